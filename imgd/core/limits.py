"""The settings that the scheduler keeps to. Values only."""

from dataclasses import dataclass
from typing import Final

SEGMENTS_MAX: Final = 4096  # Each takes two descriptors of the daemon's.


@dataclass(frozen=True, slots=True)
class Limits:
    """The scheduler's settings."""

    workers_max: int = 2
    workers_idle_max: int = 2
    worker_idle_s: float = 30.0
    lists_max: int = 1000
    queue_max: int = 200
    memory_wait_s: float = 30.0
    overtake_max: int = 20
    segments_max: int = SEGMENTS_MAX
    ageing_s: float = 10.0
    retry_after_s: float = 2.0
    hung_max: int = 4  # Workers that may hang on one file system before none is sent there any more.
    hung_retry_s: float = 10.0

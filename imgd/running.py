"""Running: what is told of a plan while it is carried out: steps, and results as they are ready. Values only."""

from dataclasses import dataclass
from typing import Final, Literal

from cgi_worker.wire.facts import Facts
from cgi_worker.wire.tiles import TilePlace


@dataclass(frozen=True, slots=True)
class RunLimits:
    """What one run may take at most; 0: no limit of its own.

    steps_max  steps of its plan.
    bytes_max  of all buffers of its plan, whether they exist already or not.
    """

    steps_max: int = 0
    bytes_max: int = 0


NO_LIMITS: Final = RunLimits()


@dataclass(frozen=True, slots=True)
class StepNews:
    """How far a step is. Steps are counted from 0 in the order of the plan.

    cached      nothing was computed: its results were there.
    joined      another job computes it, and this one shares what it makes.
    used_bytes  of its first result that are final.
    elapsed_ms  that the worker took, once it has ended; 0 if cached or joined.
    """

    number: int
    step: str
    state: Literal["start", "progress", "end"]
    cached: bool = False
    joined: bool = False
    used_bytes: int = 0
    elapsed_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Learned:
    """The frame's facts are known."""

    facts: Facts


@dataclass(frozen=True, slots=True)
class Produced:
    """A result is ready.

    place  of a tile; None for anything else.
    etag   strong validator from the key: the same for the same view of the same source, whatever made it.
    facts  JSON said by the step that made it: the levels used, among others.
    """

    place: TilePlace | None
    etag: str
    media_type: str
    facts: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Glanced:
    """A coarse picture of all that tiles are made of, before the first of them: nothing that is kept."""

    media_type: str
    width_px: int
    height_px: int
    body: bytes


News = StepNews | Learned | Produced | Glanced

"""Frozen values that all floors share: who asks, and how a job ends. No behaviour."""

import enum
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal

from cgi_worker.wire.facts import Source
from cgi_worker.wire.packets import FailureCode


class Urgency(enum.IntEnum):
    """Class of a job; lower goes first."""

    FIRST_LOOK = 0  # A few milliseconds of work for who sees nothing yet: it overtakes what is only not yet sharp.
    INTERACTIVE = 1
    PREFETCH = 2
    BATCH = 3


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks: for fairness (owner, then session), and for superseding (runner, "" when there is none)."""

    owner: str = "local"
    session: str = "http"
    runner: str = ""
    urgency: Urgency = Urgency.INTERACTIVE


@dataclass(frozen=True, slots=True)
class Replied:
    """The result is ready under its key."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A step said that it cannot be done."""

    code: FailureCode
    text: str


@dataclass(frozen=True, slots=True)
class Crashed:
    """The worker is gone without a word; `signal` that killed it, or its exit code, if known."""

    signal: int | None = None
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The worker overran its limit and was killed."""

    limit_s: float


@dataclass(frozen=True, slots=True)
class Stopped:
    """Nobody waited for it any more, or the daemon is ending."""


@dataclass(frozen=True, slots=True)
class Superseded:
    """A newer view of the same runner took its place."""


@dataclass(frozen=True, slots=True)
class Refused:
    """It was never begun: the queue was full, or memory did not come in time."""

    why: str
    retry_after_s: float
    reason: Literal["queue_full", "waited", "storage", "processes", "descriptors", "template", "lost"] = "waited"


Outcome = Replied | Failed | Crashed | TimedOut | Stopped | Superseded | Refused


@dataclass(frozen=True, slots=True)
class OpenSource:
    """A frame found beneath its root: an O_PATH descriptor (it reads nothing, blocks on nothing) and its identity."""

    path_fd: int
    source: Source


Resolve = Callable[[str], AbstractAsyncContextManager[OpenSource]]
"""Find a frame by name; the descriptor is open inside the `with`. Raises BadRequest, NoSuchFrame or NotYours."""

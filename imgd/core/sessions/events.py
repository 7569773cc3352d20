"""Events and commands of the sessions: facts in the past tense in, orders in the imperative out."""

from dataclasses import dataclass, field
from typing import Any, Final, Literal

from cgi_worker.wire.tiles import TilePlace, ViewportView
from cgi_worker.wire.view import View
from imgd.core.sessions.messages import Figures, Picture, Result, RunnerMessage
from imgd.running import StepNews

SessionName = str
RunnerId = str
Severity = Literal["info", "warning", "error"]

CLOSE_TAKEN_OVER: Final = 4001
CLOSE_ENDED: Final = 4002


# What happens


@dataclass(frozen=True, slots=True)
class Connected:
    """A client has connected; `secret` is fresh and lets it resume."""

    session: SessionName
    owner: str
    secret: str = field(repr=False)
    at_s: float


@dataclass(frozen=True, slots=True)
class Heard:
    """A client has said something; `token` is fresh, for a runner that it opens."""

    session: SessionName
    message: RunnerMessage
    token: str = field(repr=False)
    at_s: float


@dataclass(frozen=True, slots=True)
class Disconnected:
    """A client is gone. clean: it has said so (a close frame), or we have sent it away."""

    session: SessionName
    clean: bool
    at_s: float


@dataclass(frozen=True, slots=True)
class Accepted:
    """A run has found its frame.

    run      its id, the same for the same view of the same source.
    version  of the frame, as tiles' addresses have it.
    """

    runner: RunnerId
    turn: int
    run: str
    frame: str
    version: str = ""


@dataclass(frozen=True, slots=True)
class Stepped:
    """A step of a run is further."""

    runner: RunnerId
    turn: int
    news: StepNews


@dataclass(frozen=True, slots=True)
class Found:
    """A run has found figures out (None: nothing that was asked for); `notes`: what the reader warns of, in words."""

    runner: RunnerId
    turn: int
    figures: Figures | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Encoded:
    """A run has made a picture, or a tile."""

    runner: RunnerId
    turn: int
    picture: Picture


@dataclass(frozen=True, slots=True)
class RunEnded:
    """A run has ended by itself. problem: None when completed, else (status, title, text).

    document  the result document (JSON value), when completed.
    budget    which budget it was that ended it: "time", "steps", "bytes", or "".
    """

    runner: RunnerId
    turn: int
    at_s: float
    problem: tuple[int, str, str] | None = None
    document: Any = None
    budget: Literal["", "time", "steps", "bytes"] = ""


@dataclass(frozen=True, slots=True)
class Arrived:
    """The directory that a runner follows has a newer frame (`root/path`, surrogateescaped)."""

    runner: RunnerId
    frame: str
    at_s: float


@dataclass(frozen=True, slots=True)
class NotFollowed:
    """The directory that a runner follows cannot be read at present; it is followed nevertheless."""

    runner: RunnerId
    text: str
    at_s: float


@dataclass(frozen=True, slots=True)
class Sent:
    """These tiles of a runner have left for a session's socket."""

    session: SessionName
    runner: RunnerId
    turn: int
    etags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """The last message of a turn has left for a session's socket; all of it before that has left, or was dropped."""

    session: SessionName
    runner: RunnerId
    turn: int
    at_s: float


@dataclass(frozen=True, slots=True)
class Dropped:
    """A session's socket was too slow: these tiles (level, column, row) of a runner were not sent."""

    session: SessionName
    runner: RunnerId
    turn: int
    tiles: tuple[TilePlace, ...]


@dataclass(frozen=True, slots=True)
class EndOrdered:
    """An operator ends a session, or one runner, by its number; None for all sessions."""

    session: SessionName | None = None
    number: int | None = None
    at_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time went by."""

    at_s: float


@dataclass(frozen=True, slots=True)
class LimitsChanged:
    """The settings are others now."""

    limits: "SessionLimits"


Event = (
    Connected | Heard | Disconnected | Accepted | Stepped | Found | Encoded | RunEnded | Arrived | NotFollowed | Sent
    | Shown | Dropped | EndOrdered | Ticked | LimitsChanged
)  # fmt: skip


# What is to be done


@dataclass(frozen=True, slots=True)
class Say:
    """Tell a session a text message.

    reply_to  the id of the question that it answers; None: it is told in the order of its runner's messages.
    runner, turn  what it is about; "" and 0: nothing of a run.
    """

    session: SessionName
    message: dict[str, Any]
    reply_to: int | None = None
    runner: RunnerId = ""
    turn: int = 0


@dataclass(frozen=True, slots=True)
class Show:
    """Send a session a picture, or a tile; tiles may be dropped for newer ones."""

    session: SessionName
    runner: RunnerId
    number: int
    turn: int
    picture: Picture


@dataclass(frozen=True, slots=True)
class Forget:
    """Throw away what has not been sent yet of a runner's pictures and tiles, of this turn and of those before it."""

    session: SessionName
    runner: RunnerId
    turn: int


@dataclass(frozen=True, slots=True)
class Begin:
    """Begin a run. What runs for the same runner is stopped when this one's plan is with the engine, not before.

    wanted   a picture, or the tiles of a viewport.
    have     etags of the tiles that every session which holds the runner has already: they are not made again.
    results  which figures to find; without "picture" neither picture nor tiles are made.
    """

    runner: RunnerId
    turn: int
    session: SessionName
    owner: str
    wanted: View | ViewportView
    have: frozenset[str] = frozenset()
    results: tuple[Result, ...] = ()


@dataclass(frozen=True, slots=True)
class Stop:
    """Withdraw all that runs for a runner: nobody wants it."""

    runner: RunnerId


@dataclass(frozen=True, slots=True)
class Follow:
    """Report the newest frame of a directory now, and each newer one as Arrived."""

    runner: RunnerId
    directory: str
    owner: str


@dataclass(frozen=True, slots=True)
class Unfollow:
    """Follow no more."""

    runner: RunnerId


@dataclass(frozen=True, slots=True)
class Wake:
    """Report Ticked at this time, or soon after; a newer order takes the place of this one."""

    at_s: float


@dataclass(frozen=True, slots=True)
class HangUp:
    """Close a session's socket; Disconnected has been taken into account."""

    session: SessionName
    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Write:
    """Write an entry of a runner's console into the daemon's log. run: its id, as far as there is one."""

    severity: Severity
    text: str
    number: int
    run: str = ""


Command = Say | Show | Forget | Begin | Stop | Follow | Unfollow | Wake | HangUp | Write


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """The settings that the sessions keep, or tell."""

    sessions_max: int
    sessions_owner_max: int
    runners_max: int
    uids_max: int
    viewport_tiles_max: int
    console_max: int
    resume_s: float
    set_rest_s: float
    ping_s: float
    message_bytes: int
    rows: Literal["up", "down"] = "up"

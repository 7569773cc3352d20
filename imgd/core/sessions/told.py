"""What clients are told, by its fields: what a page's types are generated from, and what tests hold all messages to."""

from typing import Any, Final, Literal, NotRequired, TypedDict

from cgi_worker.wire.facts import Facts
from imgd.core.sessions.messages import Result
from imgd.entry import Entry


class Limits(TypedDict):
    """Limits, by the names of their settings."""

    runners_max: int
    session_uids_max: int
    viewport_tiles_max: int
    tiles_kept: int
    console_max: int
    message_bytes: int
    resume_s: float
    set_rest_s: float
    ping_s: float


class PartState(TypedDict):
    """The part that a runner shows: level and box, or fit."""

    level: int | None
    box: tuple[float, float, float, float] | None
    fit: tuple[int, int] | None
    dpr: float


class RunnerState(TypedDict):
    """How things stand with a runner."""

    runner: str
    number: int
    view: str
    frame: str | None
    follow: str | None
    results: tuple[Result, ...]
    viewport: PartState | None
    paused: bool
    pending: bool
    pending_frame: str | None
    skipped: int
    turn: int
    running: bool
    sessions: int


class ConsoleEntry(TypedDict):
    """A line of a runner's console."""

    n: int
    turn: int
    severity: Literal["info", "warning", "error"]
    text: str


class Greeting(TypedDict):
    """Reply to `hello`."""

    id: int
    op: Literal["hello"]
    session: str
    version: int
    resume: str
    resumed: bool
    limits: Limits
    rows: Literal["up", "down"]
    runners: list[RunnerState]


class Refused(TypedDict):
    """Reply to what was wrong."""

    id: int | None
    op: Literal["error"]
    status: int
    title: str
    detail: str
    parameter: str


class Ponged(TypedDict):
    """Reply to `ping`."""

    id: int
    op: Literal["ping"]
    head: str


class Sourced(TypedDict):
    """Reply to `src`."""

    id: int
    op: Literal["src"]
    uid: str


class Held(TypedDict):
    """Reply to `open` and `attach`."""

    id: int
    op: Literal["opened", "attached"]
    runner: str
    number: int
    state: RunnerState


class Driven(TypedDict):
    """Reply to what drives a runner."""

    id: int
    op: Literal["set", "viewport", "run", "play", "pause", "step"]
    runner: str
    state: RunnerState


class LetGo(TypedDict):
    """Reply to `close`."""

    id: int
    op: Literal["closed"]
    runner: str


class Logged(TypedDict):
    """Reply to `log`."""

    id: int
    op: Literal["log"]
    runner: str
    entries: list[ConsoleEntry]
    last: int


class Subscribed(TypedDict):
    """Reply to `subscribe`."""

    id: int
    op: Literal["subscribed"]
    head: str


class Unsubscribed(TypedDict):
    """Reply to `unsubscribe`."""

    id: int
    op: Literal["unsubscribed"]
    sub: int


class _OfTurn(TypedDict):
    runner: str
    turn: int


class Accepted(_OfTurn):
    """The frame is there."""

    op: Literal["accepted"]
    run: str
    frame: str
    view: str
    version: str


class Stepped(_OfTurn):
    """A step is further."""

    op: Literal["step"]
    number: int
    step: str
    state: Literal["start", "progress", "end"]
    cached: bool
    joined: bool
    bytes: int
    ms: float


class Level(TypedDict):
    """Black and white in data units, and the midtone."""

    black: float
    white: float
    mid: float


class Levels(TypedDict):
    """Levels that a run has used: one, or three of red, green and blue."""

    levels: list[Level]
    stretch: str
    kind: str
    coarse: NotRequired[bool]
    rows_read: NotRequired[int]
    rows_all: NotRequired[int]


class FactsFound(_OfTurn):
    """What the frame holds."""

    op: Literal["facts"]
    document: Facts


class LevelsFound(_OfTurn):
    """Which levels are used."""

    op: Literal["levels"]
    document: Levels


class HistogramFound(_OfTurn):
    """How its values are spread."""

    op: Literal["histogram"]
    document: Any


class PictureMade(TypedDict):
    """The picture of a run, by HTTP."""

    href: str
    etag: str
    media_type: str
    bytes: int
    width_px: int
    height_px: int


class TileMade(TypedDict):
    """A tile of a run."""

    level: int
    x: int
    y: int
    etag: str
    bytes: int


class RunResult(TypedDict):
    """The result document of a run."""

    run: str
    frame: str
    notes: list[str]
    steps: list[str]
    facts: NotRequired[Facts]
    levels: NotRequired[Levels]
    histogram: NotRequired[Any]
    picture: NotRequired[PictureMade]
    tiles: NotRequired[list[TileMade]]


class Completed(_OfTurn):
    """The end: it is done."""

    op: Literal["completed"]
    result: RunResult


class Failed(_OfTurn):
    """The end: it cannot be done."""

    op: Literal["failed"]
    code: int
    title: str
    text: str


class Cancelled(_OfTurn):
    """The end: it is not wanted any more."""

    op: Literal["cancelled"]
    why: str


class Following(TypedDict):
    """Another frame is shown from now on, or waits."""

    op: Literal["following"]
    runner: str
    frame: str | None
    pending: str | None
    skipped: int


class Changed(TypedDict):
    """Another session has driven it."""

    op: Literal["changed"]
    runner: str
    state: RunnerState


class Ended(TypedDict):
    """An operator has ended it."""

    op: Literal["closed"]
    runner: str
    why: str


class FrameEvent(TypedDict):
    """An event; what is empty is left out."""

    id: int
    at: str
    type: str
    root: NotRequired[str]
    path: NotRequired[str]
    frame: NotRequired[Entry]
    thumbnail: NotRequired[str]
    hdu: NotRequired[dict[str, str | int | float | bool | None]]
    detail: NotRequired[dict[str, str | int | float | bool | None]]


class Noted(TypedDict):
    """An event, and the subscriptions that it is for."""

    subs: list[int]
    event: FrameEvent


class Events(TypedDict):
    """Events, ascending."""

    op: Literal["events"]
    events: list[Noted]


class CaughtUp(TypedDict):
    """Those that gave a cursor have been told all up to now."""

    op: Literal["live"]
    subs: list[int]
    head: str


Missed = TypedDict("Missed", {"op": Literal["missed"], "subs": list[int], "from": int, "to": int})
"""These ids will not come."""


class Reset(TypedDict):
    """The cursor is of another log."""

    op: Literal["reset"]
    subs: list[int]
    head: str


class Head(TypedDict):
    """Nothing up to here is still to come. down: why the store is down."""

    op: Literal["head"]
    head: str
    down: NotRequired[str]


class Underway(TypedDict):
    """How far something has come."""

    op: Literal["progress"]
    subs: list[int]
    event: dict[str, Any]


class StepDone(TypedDict):
    """What became of a step of a run by HTTP."""

    number: int
    step: str
    cached: bool
    joined: bool
    bytes: int
    ms: float


class RunAnswer(TypedDict):
    """What `/runs` answers."""

    run: str
    version: str
    rows: Literal["up", "down"]
    steps: list[StepDone]
    result: RunResult


REPLIES: Final = (
    Greeting, Refused, Ponged, Sourced, Held, Driven, LetGo, Logged, Subscribed, Unsubscribed,
)  # fmt: skip
OF_RUNNERS: Final = (
    Accepted, Stepped, FactsFound, LevelsFound, HistogramFound, Completed, Failed, Cancelled, Following, Changed, Ended,
)  # fmt: skip
OF_EVENTS: Final = (Events, CaughtUp, Missed, Reset, Head, Underway)

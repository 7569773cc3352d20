"""A runner: one open picture, what those who hold it have been sent of it, and what has happened in it."""

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from cgi_worker.wire.tiles import ViewportView
from cgi_worker.wire.view import View
from imgd.core.sessions.asking import Parameters, query_of, ref, viewport_of
from imgd.core.sessions.events import RunnerId, SessionName, Severity
from imgd.core.sessions.figures import RunnerRecord
from imgd.core.sessions.messages import Part, Result

TILES_KEPT: Final = 1024  # Of one runner in one session: what a client has to keep, and what is remembered of it.
ENTRY_MAX: Final = 500


class Entry(msgspec.Struct, frozen=True):
    """A line of a runner's console; n counts from 1 without gaps. turn: 0 if it belongs to no run."""

    n: int
    turn: int
    severity: Severity
    text: str


@dataclass(slots=True)
class Holder:
    """What a session that holds a runner has been sent of it.

    have    etags of the tiles that it has, in the order in which they were sent; the oldest are forgotten.
    look    how the newest tiles that it has look: their view, apart from place and size.
    behind  not all of the newest turn has left for it.
    lost    tiles of the newest turn were dropped on the way to it.
    """

    have: dict[str, None] = field(default_factory=dict)
    look: View | None = None
    behind: bool = False
    lost: bool = False

    def got(self, etags: tuple[str, ...]) -> None:
        """Remember tiles that were sent."""
        for etag in etags:
            self.have.pop(etag, None)
            self.have[etag] = None
        while len(self.have) > TILES_KEPT:
            del self.have[next(iter(self.have))]

    def forget(self) -> None:
        """Take it that there is nothing."""
        self.have.clear()
        self.look = None


@dataclass(slots=True)
class Runner:
    """One open picture.

    view           what is shown, or will be; its frame is "" as long as a followed directory has shown none.
    follow         the directory that it follows.
    pending        paused: the view, or the viewport, is newer than what has run.
    pending_frame  the newest frame of the directory, as long as it is not shown.
    refollowed     it slept, and the directory's newest frame is to be told again.
    turn           of the newest run begun; 0: none yet. Runs older than it are over.
    running        the newest run has not ended, as far as those who hold it know.
    working        the newest run has neither ended nor been stopped.
    due            the next run begins as soon as the rest after the newest one is over; that one may run until then.
    begun_view     what it shows; begun_look: how its tiles look.
    computed       steps of the newest run that were neither cached nor joined.
    warned         what the reader has warned of the frame that is shown.
    superseded     runs cancelled for newer ones since the last one that was not.
    holders        connected sessions; parked: sessions that may come back.

    Invariant: running implies working; a runner that nobody connected holds neither runs nor is due.
    """

    id: RunnerId
    number: int
    owner: str
    results: tuple[Result, ...]
    parameters: Parameters
    view: View
    follow: str | None
    paused: bool
    since_s: float
    console_max: int
    viewport: Part | None = None
    pending: bool = False
    pending_frame: str | None = None
    skipped: int = 0
    refollowed: bool = False
    turn: int = 0
    run: str = ""
    running: bool = False
    working: bool = False
    due: bool = False
    begun_s: float = float("-inf")
    begun_view: str = ""
    begun_look: View | None = None
    computed: int = 0
    warned: dict[str, None] = field(default_factory=dict)
    superseded: int = 0
    holders: dict[SessionName, Holder] = field(default_factory=dict)
    parked: dict[SessionName, None] = field(default_factory=dict)
    console: deque[Entry] = field(default_factory=deque)
    entries: int = 0

    @property
    def under_way(self) -> bool:
        """Tell whether the newest run has not ended, or somebody has not been sent all of it yet."""
        return self.running or any(holder.behind for holder in self.holders.values())

    @property
    def look(self) -> View:
        """The view apart from place and size: tiles of equal looks lie beside each other."""
        plain = View(self.view.frame)
        return msgspec.structs.replace(self.view, region=plain.region, size=plain.size, exact=plain.exact)

    def wanted(self) -> View | ViewportView:
        """Tell what the next run makes."""
        if self.viewport is None:
            return self.view
        look = self.look
        coarse = any(holder.look != look for holder in self.holders.values())
        glance = coarse and self.viewport.glance and "picture" in self.results
        return viewport_of(self.view, self.viewport, coarse=coarse, glance=glance)

    def had_by_all(self) -> frozenset[str]:
        """Find the tiles that everybody has who holds it."""
        if self.viewport is None:
            return frozenset()
        return frozenset.intersection(*(frozenset(holder.have) for holder in self.holders.values()))

    def note(self, turn: int, severity: Severity, text: str) -> Entry:
        """Add an entry to the console; the oldest is forgotten when it is full."""
        self.entries += 1
        entry = Entry(self.entries, turn, severity, text if len(text) <= ENTRY_MAX else text[: ENTRY_MAX - 3] + "...")
        if len(self.console) >= self.console_max:
            self.console.popleft()
        self.console.append(entry)
        return entry

    def state(self) -> dict[str, Any]:
        """Tell clients how things stand."""
        return {
            "runner": self.id,
            "number": self.number,
            "view": query_of(self.view),
            "frame": ref(self.view.frame) if self.view.frame else None,
            "follow": None if self.follow is None else ref(self.follow),
            "results": self.results,
            "viewport": None if self.viewport is None else _told(self.viewport),
            "paused": self.paused,
            "pending": self.is_pending,
            "pending_frame": None if self.pending_frame is None else ref(self.pending_frame),
            "skipped": self.skipped,
            "turn": self.turn,
            "running": self.running or self.due,
            "sessions": len(self.holders),
        }

    @property
    def is_pending(self) -> bool:
        """Tell whether there is something newer than what is shown or on its way."""
        return self.pending or self.pending_frame is not None

    def record(self) -> RunnerRecord:
        """Tell the operator of it."""
        return RunnerRecord(
            self.number,
            self.owner,
            self.since_s,
            (*self.holders, *self.parked),
            query_of(self.view),
            None if self.follow is None else ref(self.follow),
            paused=self.paused,
            pending=self.is_pending,
            running=self.running or self.due,
            turn=self.turn,
            run=self.run,
            skipped=self.skipped,
        )

    def check(self) -> None:
        """Assert the invariants."""
        assert self.holders or self.parked, "a runner that nobody holds is gone"
        assert not self.holders.keys() & self.parked.keys()
        assert self.working or not self.running
        assert self.holders or not (self.working or self.due), "nobody is there to see it"
        assert len(self.console) <= self.console_max
        assert all(len(holder.have) <= TILES_KEPT for holder in self.holders.values())
        assert self.view.frame or (self.follow is not None and not self.turn)


def _told(part: Part) -> dict[str, Any]:
    level = None if part.fit is not None else part.level
    return {"level": level, "box": part.box, "fit": part.fit, "dpr": part.dpr}

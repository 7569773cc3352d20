"""What is known of one watched root for as long as the daemon runs: figures, and the latest identities."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import trio

from imgd.events.event import Draft
from imgd.events.store import Store
from imgd.setting_kinds import Root
from imgd.watching.drafts import Describe, Fact
from imgd.watching.noting import Outbox

RECENT_MAX: Final = 10_000

Tell = Callable[[Draft], None]
"""Tell progress to who listens just then; `Log.tell` is one."""


def tell_nobody(_: Draft) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchSettings:
    """How roots are watched.

    settle_s      a file that is not complete is told about when it has been quiet for so long.
    poll_s        look through the whole root so often, instead of inotify; 0: inotify.
    describes_max files of a root that are looked into at the same time.
    presence_s    how often it is looked whether the root's directory is (still) there.
    fallback_s    poll_s of a root for which the kernel has no watches left.
    """

    settle_s: float = 2.0
    poll_s: float = 0.0
    describes_max: int = 4
    presence_s: float = 1.0
    fallback_s: float = 10.0


@dataclass(frozen=True, slots=True)
class WatchStatistics:
    """Figures of one root.

    frames     files that are frames, as of the last look through all, and what was noted since.
    scanned    frames that the running look through all has met so far, or that the last one met.
    unsettled  files that something happened to and that are not told about yet; unnoted: that the store has not got.
    """

    root: str
    present: int
    polling: int
    directories: int
    frames: int
    scanning: int
    scanned: int
    scans_total: int
    unsettled: int
    unnoted: int
    overflows_total: int
    describes_total: int
    events_total: int


class Recent:
    """The identities that the index has of some files: a bounded memory of the latest."""

    def __init__(self) -> None:
        self._identities: OrderedDict[bytes, str] = OrderedDict()

    def get(self, path: bytes) -> str:
        """Tell an identity; "" if it is not remembered."""
        return self._identities.get(path, "")

    def put(self, path: bytes, identity: str) -> None:
        """Remember, and forget the oldest when there are too many."""
        self._identities[path] = identity
        self._identities.move_to_end(path)
        if len(self._identities) > RECENT_MAX:
            self._identities.popitem(last=False)

    def learn(self, path: bytes, identity: str) -> None:
        """Remember if there is room."""
        if len(self._identities) < RECENT_MAX:
            self._identities.setdefault(path, identity)

    def drop(self, path: bytes) -> None:
        """Forget."""
        self._identities.pop(path, None)


@dataclass(slots=True)
class RootState:
    """All that outlasts the root's being away for a while. Its figures are counted up by who makes them.

    scanned_once  its frames have been put into the index: what differs from now on is told.
    away          its directory was looked for, and is not there.
    stored        facts that the store got, whether they made an event or not.
    """

    root: Root
    store: Store
    describe: Describe
    settings: WatchSettings
    tell: Tell
    outbox: Outbox = field(init=False)
    recent: Recent = field(default_factory=Recent)
    scanned_once: bool = False
    away: bool = False
    survey_wanted: trio.Event = field(default_factory=trio.Event)
    present: bool = False
    exhausted: bool = False
    directories: int = 0
    unsettled: int = 0
    frames: int = 0
    scanning: bool = False
    scanned: int = 0
    scans: int = 0
    overflows: int = 0
    describes: int = 0
    stored: int = 0
    events: int = 0

    def __post_init__(self) -> None:
        self.outbox = Outbox(self.root.name, self.store, self._noted, self.want_survey)

    @property
    def poll_s(self) -> float:
        """How often to look through all; 0: only when there is a reason."""
        return self.settings.poll_s or (self.settings.fallback_s if self.exhausted else 0.0)

    def want_survey(self) -> None:
        """Have the whole root looked through."""
        self.survey_wanted.set()

    def _noted(self, fact: Fact, told: bool) -> None:
        self.stored += 1
        self.events += told
        if fact.identity is None:
            self.frames -= told and self.frames > 0
            self.recent.drop(fact.path)
            return
        self.frames += told and not self.recent.get(fact.path)
        self.recent.put(fact.path, fact.identity)

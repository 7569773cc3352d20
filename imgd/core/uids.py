"""Sessions, and the UIDs under which their views are loaded. Pure: UIDs are made by the caller."""

from collections import OrderedDict
from dataclasses import dataclass

from cgi_worker.wire.view import View
from imgd.errors import Busy

RETRY_AFTER_S = 5.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a UID stands for: a view, the session that asked for it, and the runner of that session ("" if none)."""

    view: View
    session: str
    runner: str


@dataclass(frozen=True, slots=True)
class UidStatistics:
    """Figures of now, and totals since the start."""

    sessions: int
    uids: int
    sessions_opened_total: int
    uids_given_total: int
    uids_forgotten_total: int


class Uids:
    """Remember who wants what. A UID is gone with its session, or when its session has asked for too many more.

    Invariant: a UID is known exactly if one open session lists it; no session lists more than its limit.
    """

    def __init__(self, sessions_max: int, uids_max: int) -> None:
        self._sessions_max = sessions_max
        self._uids_max = uids_max
        self._most = sessions_max, uids_max  # As many as there may be of each, after a limit was lowered.
        self._uids: dict[str, OrderedDict[str, None]] = {}  # Of each session, the oldest first.
        self._wanted: dict[str, Wanted] = {}
        self._opened = 0
        self._given = 0
        self._forgotten = 0

    def change_limits(self, sessions_max: int, uids_max: int) -> None:
        """Keep to others from now on; who is there stays, and forgets what is too much with its next view."""
        self._most = max(sessions_max, len(self._uids)), max(uids_max, *map(len, self._uids.values()), 0)
        self._sessions_max, self._uids_max = sessions_max, uids_max

    def open(self, session: str) -> None:
        """Begin a session.

        Raises  Busy if there are too many already; nothing has changed then.
        """
        assert session not in self._uids, "a session is opened once"
        if len(self._uids) >= self._sessions_max:
            raise Busy("there are too many open sessions", RETRY_AFTER_S, "sessions")
        self._uids[session] = OrderedDict()
        self._opened += 1
        self.check()

    def close(self, session: str) -> None:
        """End a session; its UIDs are gone with it."""
        for uid in self._uids.pop(session):
            del self._wanted[uid]
        self.check()

    def src(self, wanted: Wanted, uid: str) -> tuple[str, ...]:
        """Note what a UID, never used before, stands for; return the UIDs forgotten for it."""
        assert uid not in self._wanted, "a UID stands for one view for ever"
        uids = self._uids[wanted.session]
        uids[uid] = None
        self._wanted[uid] = wanted
        self._given += 1
        forgotten: list[str] = []
        while len(uids) > self._uids_max:
            oldest, _ = uids.popitem(last=False)
            del self._wanted[oldest]
            forgotten.append(oldest)
        self._forgotten += len(forgotten)
        self.check()
        return tuple(forgotten)

    def lookup(self, uid: str) -> Wanted | None:
        """Tell what a UID stands for; None if it is not known, or no longer."""
        return self._wanted.get(uid)

    def statistics(self) -> UidStatistics:
        """Count."""
        return UidStatistics(len(self._uids), len(self._wanted), self._opened, self._given, self._forgotten)

    def check(self) -> None:
        """Assert the invariants, at a cost that does not grow with the number of UIDs."""
        assert len(self._uids) <= self._most[0]
        assert len(self._wanted) <= len(self._uids) * self._most[1]

"""Who is connected, and who may come back."""

from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256

from imgd.core.sessions.events import RunnerId, SessionLimits, SessionName
from imgd.errors import Busy

RETRY_AFTER_S = 5.0


@dataclass(slots=True)
class Session:
    """One client's life.

    secret    with which it may be resumed; it is known to the client once `greeted`.
    runners   that it holds, in the order in which it came to hold them.
    parked_s  since when it has been away, None while it is connected.
    """

    name: SessionName
    owner: str
    since_s: float
    secret: str = field(repr=False)
    greeted: bool = False
    runners: dict[RunnerId, None] = field(default_factory=dict)
    parked_s: float | None = None


class Roster:
    """Know all sessions.

    Parked sessions have a bound of their own, as large as that of connected ones: they cost little, and so neither do
    they keep a newcomer out, nor does a newcomer push out those who are about to come back after a network's failure.
    The one that has been away the longest is forgotten first.
    """

    def __init__(self, limits: SessionLimits) -> None:
        self._limits = limits
        self._most = limits.sessions_max  # There may be more than the limit after it was lowered: so many.
        self._owned_most = limits.sessions_owner_max
        self.connected: dict[SessionName, Session] = {}
        self.parked: dict[SessionName, Session] = {}  # In the order in which they were parked.
        self._owned: Counter[str] = Counter()  # Connected sessions, by owner.
        self._owned_parked: Counter[str] = Counter()
        self._by_secret: dict[bytes, Session] = {}  # By digest: how long the look-up takes tells nothing of the secret.

    def change_limits(self, limits: SessionLimits) -> None:
        """Keep to others from now on; who is there stays, and may come back."""
        self._limits = limits
        self._most = max(limits.sessions_max, len(self.connected), len(self.parked))
        owned = (*self._owned.values(), *self._owned_parked.values())
        self._owned_most = max(limits.sessions_owner_max, *owned, 0)

    def admit(self, session: Session) -> None:
        """Let a client in.

        Raises  Busy if there are too many; nothing has changed then.
        """
        assert session.name not in self.connected and session.name not in self.parked
        if len(self.connected) >= self._limits.sessions_max:
            text = f"there are {len(self.connected)} open sessions, which is the limit (setting sessions_max)"
            raise Busy(text, RETRY_AFTER_S, "sessions")
        if self._owned[session.owner] >= self._limits.sessions_owner_max:
            text = (
                f"you have {self._owned[session.owner]} open sessions, which is the limit (setting sessions_owner_max)"
            )
            raise Busy(text, RETRY_AFTER_S, "sessions")
        digest = _digest(session.secret)
        assert digest not in self._by_secret, "a secret is fresh"
        self._by_secret[digest] = session
        self.connected[session.name] = session
        self._owned[session.owner] += 1

    def park(self, session: Session, at_s: float) -> list[Session]:
        """Keep a place for a client that is away; return those that are to be forgotten for it, still in."""
        del self.connected[session.name]
        _take_one(self._owned, session.owner)
        session.parked_s = at_s
        self.parked[session.name] = session
        self._owned_parked[session.owner] += 1
        too_many = []
        if self._owned_parked[session.owner] > self._owned_most:
            too_many.append(next(each for each in self.parked.values() if each.owner == session.owner))
        elif len(self.parked) > self._most:
            too_many.append(next(iter(self.parked.values())))
        return too_many

    def forget(self, session: Session) -> None:
        """End a session, connected or parked."""
        if session.parked_s is None:
            del self.connected[session.name]
            _take_one(self._owned, session.owner)
        else:
            del self.parked[session.name]
            _take_one(self._owned_parked, session.owner)
        del self._by_secret[_digest(session.secret)]

    def by_secret(self, secret: str, owner: str, at_s: float) -> Session | None:
        """Find the session that this secret lets its owner resume."""
        found = self._by_secret.get(_digest(secret))
        if found is None or found.owner != owner or not found.greeted:
            return None
        return found if found.parked_s is None or at_s < found.parked_s + self._limits.resume_s else None

    def overdue(self, at_s: float) -> list[Session]:
        """Find those who were away for too long."""
        found = []
        for session in self.parked.values():
            assert session.parked_s is not None
            if at_s < session.parked_s + self._limits.resume_s:
                break
            found.append(session)
        return found

    def next_overdue_s(self) -> float | None:
        """Tell when the next one has been away for too long."""
        first = next(iter(self.parked.values()), None)
        return None if first is None or first.parked_s is None else first.parked_s + self._limits.resume_s

    def check(self) -> None:
        """Assert the invariants, at a cost that does not grow."""
        assert len(self.connected) <= self._most
        assert len(self.parked) <= self._most
        assert len(self._by_secret) == len(self.connected) + len(self.parked)

    def check_all(self) -> None:
        """Assert all of them."""
        self.check()
        assert self._owned == Counter(each.owner for each in self.connected.values())
        assert self._owned_parked == Counter(each.owner for each in self.parked.values())
        assert all(count <= self._owned_most for count in self._owned.values())
        assert all(count <= self._owned_most for count in self._owned_parked.values())
        assert all(each.parked_s is None for each in self.connected.values())
        away = [each.parked_s for each in self.parked.values() if each.parked_s is not None]
        assert len(away) == len(self.parked) and away == sorted(away)


def _digest(secret: str) -> bytes:
    return sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _take_one(counter: Counter[str], owner: str) -> None:
    counter[owner] -= 1
    if not counter[owner]:
        del counter[owner]

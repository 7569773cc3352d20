"""The sessions' state machine: events in, commands out."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final

from imgd.core.sessions.events import (
    CLOSE_ENDED,
    Accepted,
    Arrived,
    Command,
    Connected,
    Disconnected,
    Dropped,
    Encoded,
    EndOrdered,
    Event,
    Found,
    HangUp,
    Heard,
    LimitsChanged,
    NotFollowed,
    RunEnded,
    Say,
    Sent,
    SessionLimits,
    Shown,
    Stepped,
    Ticked,
    Wake,
    Write,
)
from imgd.core.sessions.figures import Overview, SessionRecord, SessionStatistics, Totals
from imgd.core.sessions.hearing import Hearing
from imgd.core.sessions.roster import Roster, Session
from imgd.core.sessions.runner import Runner
from imgd.core.sessions.runs import Runs
from imgd.errors import Busy

CHECK_EVERY: Final = 4096  # Events; the whole state is looked through then.


class Sessions:
    """Know who is connected and what each has open; decide what runs, who is told, and who is sent away.

    Invariants: a message of a runner goes to the connected sessions that hold it, which are of its owner; each run that
    was begun ends once, and nothing is told of it after that; what nobody holds is gone.
    """

    def __init__(self, limits: SessionLimits) -> None:
        self._limits = limits
        self._totals = Totals()
        self._roster = Roster(limits)
        self._runs = Runs(limits.set_rest_s, self._totals)
        self._hearing = Hearing(limits, self._roster, self._runs, self._totals)
        self._of_runs = _by_kind(self._runs)
        self._runners_most = limits.runners_max  # Of one session; lower limits end nobody's.
        self._wake_s: float | None = None
        self._events = 0

    def handle(self, event: Event) -> list[Command]:
        """Apply one event; return the commands it causes, in order.

        Raises  ImgdError for a client that is not let in (Busy), and for a message that is wrong; nothing has changed.
        """
        assert not self._runs.commands, "what was wrong has changed nothing"
        if (told := self._of_runs.get(type(event))) is not None:
            told(event)
        else:
            self._of_sessions(event)
            self._roster.check()
        self._wake()
        self._check_now_and_then()
        commands, self._runs.commands = self._runs.commands, []
        return commands

    def _of_sessions(self, event: Event) -> None:
        match event:
            case Connected():
                self._connected(event)
            case Heard():
                self._hearing.hear(event)
            case Disconnected(name, clean, at_s):
                if (session := self._roster.connected.get(name)) is not None:
                    self._gone(session, at_s, parks=not clean)
            case Ticked(at_s):
                self._wake_s = None
                self._runs.tick(at_s)
                for session in self._roster.overdue(at_s):
                    self._forget(session, at_s)
            case EndOrdered():
                self._end(event)
            case LimitsChanged(limits):
                self._change_limits(limits)
            case _:
                raise AssertionError(f"no such event: {event!r}")

    def statistics(self) -> SessionStatistics:
        """Count."""
        return SessionStatistics(
            sessions=len(self._roster.connected),
            sessions_parked=len(self._roster.parked),
            runners=len(self._runs.runners),
            runs=self._totals.runs,
            **asdict(self._totals),
        )

    def overview(self) -> Overview:
        """Tell the operator who is there, and what each has open."""
        runners = self._runs.runners
        sessions = tuple(
            SessionRecord(
                each.name,
                each.owner,
                each.since_s,
                each.parked_s is None,
                tuple(runners[id].number for id in each.runners),
            )
            for each in (*self._roster.connected.values(), *self._roster.parked.values())
        )
        return Overview(sessions, tuple(runner.record() for runner in runners.values()))

    def check_all(self) -> None:
        """Assert all invariants."""
        self._roster.check_all()
        self._runs.check()
        runners = self._runs.runners
        connected, parked = self._roster.connected, self._roster.parked
        assert {(s.name, id) for s in connected.values() for id in s.runners} == {
            (name, id) for id, runner in runners.items() for name in runner.holders
        }
        assert {(s.name, id) for s in parked.values() for id in s.runners} == {
            (name, id) for id, runner in runners.items() for name in runner.parked
        }
        for session in (*connected.values(), *parked.values()):
            assert len(session.runners) <= self._runners_most
            assert all(runners[id].owner == session.owner for id in session.runners)

    def _change_limits(self, limits: SessionLimits) -> None:
        """Keep to other limits from now on. Nobody is sent away: who is there was let in, and may stay."""
        everybody = (*self._roster.connected.values(), *self._roster.parked.values())
        self._limits = limits
        self._runners_most = max(limits.runners_max, *(len(session.runners) for session in everybody), 0)
        self._roster.change_limits(limits)
        self._hearing.change_limits(limits)
        self._runs.change_rest(limits.set_rest_s)
        self._wake_s = None  # Who is away may be overdue sooner than it was.

    # Sessions come and go

    def _connected(self, event: Connected) -> None:
        try:
            self._roster.admit(Session(event.session, event.owner, event.at_s, event.secret))
        except Busy:
            self._totals.refused_sessions_total += 1
            raise
        self._totals.sessions_total += 1

    def _gone(self, session: Session, at_s: float, *, parks: bool) -> None:
        """A client is gone. Its place is kept if it may come back, which it can only if it was told how to."""
        if not (parks and session.greeted and self._limits.resume_s):
            self._forget(session, at_s)
            return
        for id in session.runners:
            self._runs.let_go(self._runs.runners[id], session.name, at_s, parks=True)
        for oldest in self._roster.park(session, at_s):
            self._forget(oldest, at_s)

    def _forget(self, session: Session, at_s: float) -> None:
        for id in session.runners:
            self._runs.let_go(self._runs.runners[id], session.name, at_s)
        self._roster.forget(session)

    def _end(self, event: EndOrdered) -> None:
        """An operator ends a session, a runner, or all."""
        if event.number is not None:
            for runner in [each for each in self._runs.runners.values() if each.number == event.number]:
                self._end_runner(runner)
            return
        everybody = [*self._roster.connected.values(), *self._roster.parked.values()]
        for session in [each for each in everybody if event.session in (None, each.name)]:
            was_connected = session.parked_s is None
            self._forget(session, event.at_s)
            if was_connected:
                self._do(HangUp(session.name, CLOSE_ENDED, "ended by an operator"))

    def _end_runner(self, runner: Runner) -> None:
        why = "ended by an operator"
        connected, parked = list(runner.holders), list(runner.parked)
        self._do(Write("warning", why, runner.number, runner.run))
        self._runs.end(runner, "ended")
        for name in connected:
            del self._roster.connected[name].runners[runner.id]
            self._do(Say(name, {"op": "closed", "runner": runner.id, "why": why}, None, runner.id))
        for name in parked:
            del self._roster.parked[name].runners[runner.id]

    def _do(self, command: Command) -> None:
        self._runs.commands.append(command)

    def _wake(self) -> None:
        """Order to be woken for what comes first, unless that is ordered, or something earlier."""
        times = [*self._runs.dues.values()]
        if (overdue_s := self._roster.next_overdue_s()) is not None:
            times.append(overdue_s)
        if times and (self._wake_s is None or min(times) < self._wake_s):
            self._wake_s = min(times)
            self._do(Wake(self._wake_s))

    def _check_now_and_then(self) -> None:
        self._events += 1
        if self._events % CHECK_EVERY == 0:
            self.check_all()


def _by_kind(runs: Runs) -> dict[type[Event], Callable[[Any], None]]:
    """Tell who is told of each event of a run: by far the most events are of this sort."""
    return {
        Accepted: runs.accepted,
        Stepped: runs.stepped,
        Found: runs.found,
        Encoded: runs.encoded,
        RunEnded: runs.ended,
        Arrived: runs.arrived,
        NotFollowed: runs.not_followed,
        Sent: runs.sent,
        Dropped: runs.dropped,
        Shown: runs.shown,
    }

"""What clients say, and what is answered."""

from typing import Any, Final

from imgd.core.sessions.asking import changed, check_part, check_tiles, opened, view_of, with_frame
from imgd.core.sessions.events import CLOSE_TAKEN_OVER, HangUp, Heard, Say, SessionLimits
from imgd.core.sessions.figures import Totals
from imgd.core.sessions.messages import (
    Attach,
    Close,
    Hello,
    Log,
    Open,
    Part,
    Pause,
    Play,
    Run,
    Set,
    Step,
    Viewport,
)
from imgd.core.sessions.roster import RETRY_AFTER_S, Roster, Session
from imgd.core.sessions.runner import TILES_KEPT, Runner
from imgd.core.sessions.runs import Runs
from imgd.errors import BadRequest, Busy, Gone, NoSuchRunner

VERSION: Final = 2
Reply = dict[str, Any]
Driving = Set | Viewport | Run | Play | Pause | Step


class Hearing:
    """Carry out what clients ask, each for itself: whatever is wrong is found before anything has changed."""

    def __init__(self, limits: SessionLimits, roster: Roster, runs: Runs, totals: Totals) -> None:
        self._limits = limits
        self._roster = roster
        self._runs = runs
        self._totals = totals

    def change_limits(self, limits: SessionLimits) -> None:
        """Keep to others from now on."""
        self._limits = limits

    def hear(self, event: Heard) -> None:
        """Do what a client asks.

        Raises  ImgdError.
        """
        session, message = self._roster.connected.get(event.session), event.message
        if session is None:
            raise Gone("the session has ended")
        match message:
            case Hello():
                reply = self._hello(session, message, event.at_s)
            case Open():
                reply = self._open(session, message, event)
            case Attach():
                reply = self._attach(session, message, event.at_s)
            case Close(_, id):
                reply = self._close(session, self._held(session, id), event.at_s)
            case Log(_, id, since):
                reply = _log(self._held(session, id), since)
            case Set() | Viewport() | Run() | Play() | Pause() | Step():
                reply = self._drive(session, message, event.at_s)
        self._runs.commands.append(Say(session.name, {"id": message.id, **reply}, message.id, reply.get("runner", "")))

    def _hello(self, session: Session, message: Hello, at_s: float) -> Reply:
        found = self._roster.by_secret(message.resume, session.owner, at_s) if message.resume else None
        if found is session:
            found = None
        if found is not None:
            self._check_room(session, len(found.runners.keys() - session.runners.keys()))
            self._resume(session, found, at_s)
        session.greeted = True
        return {
            "op": "hello",
            "session": session.name,
            "version": VERSION,
            "resume": session.secret,
            "resumed": found is not None,
            "limits": _told(self._limits),
            "rows": self._limits.rows,
            "runners": [self._runs.runners[id].state() for id in session.runners],
        }

    def _resume(self, session: Session, found: Session, at_s: float) -> None:
        """Take another session's runners over; if that one is still connected, nobody is at its other end any more."""
        self._totals.resumed_total += 1
        was_connected = found.parked_s is None
        taken = [self._runs.runners[id] for id in found.runners if id not in session.runners]
        for runner in taken:
            runner.parked[session.name] = None  # So that it does not end in between.
        for id in found.runners:
            self._runs.let_go(self._runs.runners[id], found.name, at_s)
        self._roster.forget(found)
        if was_connected:
            self._runs.commands.append(HangUp(found.name, CLOSE_TAKEN_OVER, "taken over by a newer connection"))
        for runner in taken:
            session.runners[runner.id] = None
            was_awake = bool(runner.holders)
            self._runs.hold(runner, session.name, at_s)
            if was_awake and runner.turn and not (runner.paused or runner.running or runner.due):
                self._runs.want(runner, at_s)

    def _open(self, session: Session, message: Open, event: Heard) -> Reply:
        parameters, view, follow = opened(message)
        if message.viewport is not None:
            self._check_part(message.viewport)
        self._check_room(session, 1)
        runner = Runner(
            event.token, self._runs.next_number(), session.owner, message.results, parameters, view, follow,
            message.paused, event.at_s, self._limits.console_max,
        )  # fmt: skip
        self._totals.runners_total += 1
        session.runners[runner.id] = None
        self._runs.add(runner)
        self._runs.hold(runner, session.name, event.at_s)
        if message.viewport is not None:
            runner.viewport = message.viewport
            self._runs.want_unless_paused(runner, event.at_s)
        return {"op": "opened", "runner": runner.id, "number": runner.number, "state": runner.state()}

    def _attach(self, session: Session, message: Attach, at_s: float) -> Reply:
        runner = self._runs.runners.get(message.runner)
        if runner is None or runner.owner != session.owner:
            raise _no_such_runner()
        if runner.id not in session.runners:
            self._check_room(session, 1)
            session.runners[runner.id] = None
            self._runs.hold(runner, session.name, at_s)
        return {"op": "attached", "runner": runner.id, "number": runner.number, "state": runner.state()}

    def _close(self, session: Session, runner: Runner, at_s: float) -> Reply:
        if len(runner.holders) == 1:
            self._runs.cancel(runner, "closed")
        del session.runners[runner.id]
        self._runs.let_go(runner, session.name, at_s)
        return {"op": "closed", "runner": runner.id}

    def _drive(self, session: Session, message: Driving, at_s: float) -> Reply:
        """Do what a message asks of a runner, and tell the others who hold it."""
        runner = self._held(session, message.runner)
        match message:
            case Set():
                self._set(runner, message, at_s)
            case Viewport():
                self._check_part(message.part)
                runner.viewport = message.part
                if message.again:
                    runner.holders[session.name].forget()
                self._runs.want_unless_paused(runner, at_s)
            case Run():
                self._runs.want(runner, at_s)
            case Play():
                self._runs.play(runner, at_s)
            case Pause():
                self._runs.pause(runner)
            case Step():
                self._runs.step(runner, at_s)
        state = runner.state()
        for name in runner.holders:
            if name != session.name:
                told = {"op": "changed", "runner": runner.id, "state": state}
                self._runs.commands.append(Say(name, told, None, runner.id))
        return {"op": str(message.__struct_config__.tag), "runner": runner.id, "state": state}

    def _set(self, runner: Runner, message: Set, at_s: float) -> None:
        parameters = changed(runner.parameters, message)
        view = view_of(parameters, runner.follow)
        if message.viewport is not None:
            self._check_part(message.viewport)
            runner.viewport = message.viewport
        runner.parameters = parameters
        runner.view = view if runner.follow is None else with_frame(view, runner.view.frame)
        self._totals.sets_total += 1
        if runner.turn or runner.viewport is not None:
            self._runs.want_unless_paused(runner, at_s)

    def _check_part(self, part: Part) -> None:
        check_part(part)
        try:
            check_tiles(part, self._limits.viewport_tiles_max)
        except BadRequest:
            self._totals.over_tiles_total += 1
            raise

    def _held(self, session: Session, id: str) -> Runner:
        if id not in session.runners:
            raise _no_such_runner()
        return self._runs.runners[id]

    def _check_room(self, session: Session, more: int) -> None:
        limit = self._limits.runners_max
        if len(session.runners) + more > limit:
            self._totals.refused_runners_total += 1
            raise Busy(f"a session holds at most {limit} runners (setting runners_max)", RETRY_AFTER_S, "sessions")


def _no_such_runner() -> NoSuchRunner:
    """Say the same whether there is none, or it is another owner's, or only not held by this session."""
    return NoSuchRunner("there is no such runner", "runner")


def _log(runner: Runner, since: int) -> Reply:
    entries = [entry for entry in runner.console if entry.n > since]
    return {"op": "log", "runner": runner.id, "entries": entries, "last": runner.entries}


def _told(limits: SessionLimits) -> Reply:
    """Tell clients the limits that they should know, by the names of their settings."""
    return {
        "runners_max": limits.runners_max,
        "session_uids_max": limits.uids_max,
        "viewport_tiles_max": limits.viewport_tiles_max,
        "tiles_kept": TILES_KEPT,
        "console_max": limits.console_max,
        "message_bytes": limits.message_bytes,
        "resume_s": limits.resume_s,
        "set_rest_s": limits.set_rest_s,
        "ping_s": limits.ping_s,
    }

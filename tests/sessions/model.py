"""The slow obvious model: who holds what, what each was told and sent, written down plainly beside the machine.

It knows the promises, not how they are kept: it watches every command and complains about any that breaks one.
"""

from dataclasses import dataclass, field
from typing import Any

from cgi_worker.wire.tiles import TilePlace, ViewportView
from cgi_worker.wire.view import View, view_from_pairs
from imgd.core.sessions.events import (
    Accepted,
    Arrived,
    Begin,
    Command,
    Connected,
    Disconnected,
    Dropped,
    Encoded,
    EndOrdered,
    Event,
    Follow,
    Forget,
    Found,
    HangUp,
    Heard,
    RunEnded,
    Say,
    Sent,
    SessionLimits,
    Show,
    Shown,
    Stepped,
    Stop,
    Ticked,
    Unfollow,
    Wake,
    Write,
)
from imgd.core.sessions.messages import (
    Attach,
    Close,
    Figures,
    Hello,
    Open,
    Pause,
    Picture,
    Play,
    Run,
    RunnerMessage,
    Set,
    Step,
    Viewport,
)
from imgd.core.sessions.sessions import Sessions
from imgd.errors import BadRequest, Busy, ImgdError, NoSuchRunner
from imgd.running import StepNews

ENDS = ("completed", "failed", "cancelled")
REST_S = 0.1
RESUME_S = 10.0


@dataclass
class Client:
    """A session, as the world sees it. away_s: since when its place is kept."""

    name: str
    owner: str
    greeted: bool = False
    away_s: float | None = None
    holds: set[str] = field(default_factory=set)

    @property
    def secret(self) -> str:
        """With which it is resumed."""
        return self.name + "!"


@dataclass
class Shows:
    """A runner, as the world sees it.

    ends      by turn and session: how often its end was told.
    waiting   turns that have begun and have not ended, as far as anybody was told.
    working   the turn at which somebody works, if anybody does.
    has       by session: etags of tiles that have left for it since it came to hold the runner.
    forced    it was told to run although it is paused.
    unshown   by session: turns whose end it was told, and which have not all left for it.
    """

    owner: str
    number: int
    parameters: dict[str, str]
    follow: bool
    paused: bool
    frame: str = ""
    pending_frame: str = ""
    driven: bool = False
    forced: bool = False
    viewport: tuple[int, Any] | None = None
    turn: int = 0
    begun_s: float = -1e9
    wanted: Any = None
    waiting: set[int] = field(default_factory=set)
    working: int | None = None
    told: dict[str, set[int]] = field(default_factory=dict)
    has: dict[str, set[str]] = field(default_factory=dict)
    unshown: dict[str, set[int]] = field(default_factory=dict)
    on_way: dict[str, list[tuple[int, str]]] = field(default_factory=dict)

    def view(self, frame: str) -> View:
        """Tell what is to be seen."""
        return view_from_pairs([*self.parameters.items(), ("frame", frame)])


class World:
    """The machine, everybody who talks to it, and what must hold."""

    def __init__(self, **limits: int) -> None:
        more = {"uids_max": 4, "viewport_tiles_max": 50, "console_max": 5, "message_bytes": 1000}
        self.limits = SessionLimits(resume_s=RESUME_S, set_rest_s=REST_S, ping_s=30.0, **more, **limits)
        self.sessions = Sessions(self.limits)
        self.now_s = 0.0
        self.wake_s: float | None = None
        self.clients: dict[str, Client] = {}
        self.away: list[str] = []
        self.runners: dict[str, Shows] = {}
        self.followed: set[str] = set()
        self.names = 0
        self.completed = self.failed = self.begun = 0
        self.leaving: tuple[str, str] = ("", "")

    # Events

    def connected(self) -> list[Client]:
        """List who is connected."""
        return [client for client in self.clients.values() if client.away_s is None]

    def do(self, event: Event) -> list[Command]:
        """Let something happen, and look at what follows from it."""
        commands = self.sessions.handle(event)
        self.sessions.check_all()
        for command in commands:
            self.watch(command)
        return commands

    def connect(self, owner: str) -> str | None:
        """A client comes; return its name if it is let in."""
        self.names += 1
        name = f"ws{self.names}"
        there = self.connected()
        full = len(there) >= self.limits.sessions_max
        owned = sum(each.owner == owner for each in there) >= self.limits.sessions_owner_max
        try:
            self.do(Connected(name, owner, name + "!", self.now_s))
        except Busy:
            assert full or owned, "refused without a reason"
            return None
        assert not full and not owned, "let in beyond the limit"
        self.clients[name] = Client(name, owner)
        return name

    def ask(self, name: str, message: RunnerMessage, token: str = "") -> dict[str, Any]:
        """A client says something; return the reply, {} if it was refused."""
        before = self.sessions.statistics(), self.sessions.overview()
        try:
            commands = self.do(Heard(name, message, token, self.now_s))
        except ImgdError as error:
            assert self.sessions.overview() == before[1], "refused, and changed nevertheless"
            return {"error": error}
        replies = [each for each in commands if isinstance(each, Say) and each.reply_to is not None]
        assert [(each.session, each.reply_to) for each in replies] == [(name, message.id)]
        return replies[0].message

    def hello(self, name: str, resume: str) -> None:
        """A client says hello, perhaps with a secret that is good, or is not."""
        client = self.clients[name]
        found = next((each for each in self.clients.values() if resume and each.secret == resume), None)
        good = found is not None and found is not client and found.owner == client.owner and found.greeted
        if good and found is not None and found.away_s is not None:
            good = self.now_s < found.away_s + RESUME_S
        too_many = good and found is not None and len(client.holds | found.holds) > self.limits.runners_max
        if good and found is not None and not too_many:
            self.move(found, client)
        reply = self.ask(name, Hello(1, resume))
        assert isinstance(reply.get("error"), Busy) == too_many
        if too_many:
            return
        client.greeted = True
        assert reply["resumed"] == good and reply["resume"] == client.secret
        assert {state["runner"] for state in reply["runners"]} == client.holds

    def move(self, found: Client, client: Client) -> None:
        """All that one held the other holds."""
        for id in found.holds:
            runner = self.runners[id]
            for per_session in (runner.told, runner.has, runner.unshown, runner.on_way):
                per_session.pop(found.name, None)
            if not any(id in each.holds for each in self.connected() if each is not found):
                runner.waiting.clear()  # Nobody is there to be told.
            client.holds.add(id)
        found.holds = set()
        self.forget(found)

    def forget(self, client: Client) -> None:
        """A session is gone, and with it what nobody else holds."""
        del self.clients[client.name]
        self.away = [name for name in self.away if name != client.name]
        for id in client.holds:
            self.lets_go(id, client.name)

    def lets_go(self, id: str, name: str) -> None:
        """One session less holds a runner."""
        runner = self.runners[id]
        for per_session in (runner.told, runner.has, runner.unshown, runner.on_way):
            per_session.pop(name, None)
        holders = [each for each in self.clients.values() if id in each.holds and each.name != name]
        if not any(each.away_s is None for each in holders):
            runner.waiting.clear()
        if not holders:
            assert runner.working is None or self.leaving, "checked when the commands are there"

    def leave(self, name: str, clean: bool) -> None:
        """A client goes."""
        client = self.clients[name]
        if clean or not client.greeted:
            self.forget(client)
        else:
            client.away_s = self.now_s
            self.away.append(name)
            for id in client.holds:
                self.lets_go(id, name)
            mine = [each for each in self.away if self.clients[each].owner == client.owner]
            if len(mine) > self.limits.sessions_owner_max:
                self.forget(self.clients[mine[0]])
            elif len(self.away) > self.limits.sessions_max:
                self.forget(self.clients[self.away[0]])
        self.do(Disconnected(name, clean, self.now_s))
        self.sweep()

    def open(self, name: str, parameters: dict[str, str], follow: bool, paused: bool) -> None:
        """A client opens a runner."""
        client = self.clients[name]
        self.names += 1
        id = f"r{self.names}"
        full = len(client.holds) >= self.limits.runners_max
        given = {key: value for key, value in parameters.items() if not (follow and key == "frame")}
        if not full:
            client.holds.add(id)
            frame = "" if follow else given["frame"]
            plain = {key: value for key, value in given.items() if key != "frame"}
            self.runners[id] = Shows(client.owner, 0, plain, follow, paused, frame)
        reply = self.ask(name, Open(1, dict(given), "dir" if follow else None, ("facts", "picture"), paused), id)
        assert isinstance(reply.get("error"), Busy) == full
        if not full:
            numbers = {runner.number for runner in self.runners.values()}
            assert reply["number"] not in numbers, "numbers are given once"
            self.runners[id].number = reply["number"]

    def attach(self, name: str, id: str) -> None:
        """A client wants to hold what another one opened."""
        client, runner = self.clients[name], self.runners.get(id)
        mine = runner is not None and runner.owner == client.owner
        full = id not in client.holds and len(client.holds) >= self.limits.runners_max
        if mine and not full:
            client.holds.add(id)
        reply = self.ask(name, Attach(1, id))
        assert isinstance(reply.get("error"), NoSuchRunner) == (not mine)
        assert isinstance(reply.get("error"), Busy) == (mine and full)

    def close(self, name: str, id: str) -> None:
        """A client lets go."""
        client = self.clients[name]
        held = id in client.holds
        self.leaving = name, id
        if held:
            client.holds.discard(id)
        reply = self.ask(name, Close(1, id))
        assert isinstance(reply.get("error"), NoSuchRunner) == (not held)
        self.leaving = "", ""
        if held:
            self.lets_go(id, name)
            self.sweep()

    def drive(self, name: str, id: str, message: Any) -> None:
        """A client drives a runner, or tries to."""
        held = id in self.clients[name].holds
        if held:
            runner = self.runners[id]
            before = runner.parameters, runner.frame, runner.viewport, runner.driven
            self.expect(runner, message)
        reply = self.ask(name, message)
        if not held:
            assert isinstance(reply["error"], NoSuchRunner)
        elif isinstance(reply.get("error"), BadRequest):
            runner.parameters, runner.frame, runner.viewport, runner.driven = before
        else:
            assert reply["state"]["paused"] == runner.paused

    def expect(self, runner: Shows, message: Any) -> None:
        """Write down what a message asks for."""
        match message:
            case Set(_, _, changes):
                for key, value in changes.items():
                    if key == "frame":
                        runner.frame = str(value)
                    elif value is None:
                        runner.parameters = {k: v for k, v in runner.parameters.items() if k != key}
                    else:
                        runner.parameters = {**runner.parameters, key: str(value)}
            case Viewport():
                runner.viewport = message.level, message.box
                runner.driven = True
            case Run():
                runner.driven = runner.forced = True
            case Play():
                runner.paused = False
            case Pause() | Step():
                runner.paused, runner.forced = True, isinstance(message, Step)

    def tick(self, seconds: float) -> None:
        """Time goes by; who wanted to be woken is woken."""
        end_s = self.now_s + seconds
        while self.wake_s is not None and self.wake_s <= end_s:
            self.now_s, self.wake_s = max(self.now_s, self.wake_s), None
            for name in list(self.away):
                client = self.clients[name]
                if client.away_s is not None and self.now_s >= client.away_s + RESUME_S:
                    self.forget(client)
            self.do(Ticked(self.now_s))
            self.sweep()
        self.now_s = end_s

    def end_by_order(self, event: EndOrdered) -> None:
        """An operator ends something."""
        if event.number is not None:
            for id, runner in list(self.runners.items()):
                if runner.number == event.number:
                    self.do(event)
                    for client in self.clients.values():
                        client.holds.discard(id)
                    runner.waiting.clear()
        else:
            for client in list(self.clients.values()):
                if event.session in (None, client.name):
                    self.forget(client)
            self.do(event)
        self.sweep()

    # Work

    def advance(self, id: str, what: int) -> None:
        """Whoever works for a runner tells something; so does, perhaps, one who has not heard that it was stopped."""
        runner = self.runners[id]
        turn = max(1, runner.turn - (what % 5 == 0))
        match what % 7:
            case 0:
                self.do(Accepted(id, turn, "run", "n/a"))
            case 1:
                self.do(Stepped(id, turn, StepNews(0, "reduce", ("start", "progress", "end")[what % 3])))
            case 2:
                self.do(Found(id, turn, Figures(("facts", "levels")[what % 2 == 0], {}), ("note",)))
            case 3:
                self.do(Encoded(id, turn, Picture(b"", "p", "jpeg", 1, 1)))
            case _:
                self.do(Encoded(id, turn, Picture(b"", f"t{what % 11}", "jpeg", 1, 1, 0, what % 11)))

    def finish(self, id: str, fails: bool, older: bool = False) -> None:
        """Whoever works for a runner is done."""
        runner = self.runners[id]
        turn = runner.turn - older
        if turn < 1:
            return
        problem = (422, "Bad frame", "text") if fails else None
        if turn == runner.working:
            runner.working = None
            if turn in runner.waiting:
                self.failed += fails
                self.completed += not fails
        self.do(RunEnded(id, turn, self.now_s, problem, None if fails else {}))

    def deliver(self, name: str, id: str, drops: bool) -> None:
        """All that is on its way to a session leaves, or some of it is dropped."""
        runner = self.runners[id]
        for turn, etag in runner.on_way.pop(name, []):
            if drops:
                self.do(Dropped(name, id, turn, (TilePlace(0, 0, 0),)))
            else:
                runner.has.setdefault(name, set()).add(etag)
                self.do(Sent(name, id, turn, (etag,)))
            drops = False
        for turn in sorted(runner.unshown.pop(name, ())):
            self.do(Shown(name, id, turn, self.now_s))

    def arrive(self, id: str) -> None:
        """A followed directory has a newer frame."""
        self.names += 1
        runner = self.runners[id]
        runner.pending_frame = f"n/{self.names}"
        self.do(Arrived(id, runner.pending_frame, self.now_s))

    def settle(self) -> None:
        """All work is done, all of it leaves, and time goes by, until nothing is left to do."""
        for _ in range(30):
            for id, runner in list(self.runners.items()):
                if runner.working is not None:
                    self.finish(id, fails=False)
                for client in self.connected():
                    if id in client.holds:
                        self.deliver(client.name, id, drops=False)
            self.tick(REST_S)
            if all(each.working is None and not each.unshown for each in self.runners.values()):
                break
        else:
            raise AssertionError("it never comes to rest")
        for id, runner in self.runners.items():
            self.check_newest(id, runner)

    def check_newest(self, id: str, runner: Shows) -> None:
        """What was set last is what was run last, of who is neither paused nor alone."""
        assert not runner.waiting
        if runner.paused or not any(id in client.holds for client in self.connected()):
            return
        if runner.follow:
            runner.frame = runner.pending_frame or runner.frame
        if not runner.frame or not (runner.turn or runner.driven):
            assert not runner.turn or runner.frame
            return
        self.check_wanted(runner, runner.wanted, runner.frame)

    def check_wanted(self, runner: Shows, wanted: Any, frame: str) -> None:
        """Compare what is run with what is asked for."""
        view = wanted.view if isinstance(wanted, ViewportView) else wanted
        assert view == runner.view(frame), "not the newest view"
        assert isinstance(wanted, ViewportView) == (runner.viewport is not None)
        if isinstance(wanted, ViewportView):
            assert (wanted.level, wanted.box) == runner.viewport, "not the newest viewport"

    # What follows

    def holders(self, id: str) -> set[str]:
        """List the connected sessions that hold a runner."""
        return {client.name for client in self.connected() if id in client.holds}

    def watch(self, command: Command) -> None:
        """Complain about a command that breaks a promise."""
        match command:
            case Say():
                self.watch_say(command)
            case Show(name, id, number, turn, picture):
                runner = self.runners[id]
                assert name in self.holders(id), "shown to who does not hold it"
                assert turn == runner.turn and turn in runner.waiting, "shown after its end"
                assert number == runner.number
                if picture.level >= 0:
                    assert picture.etag not in runner.has.get(name, ()), "sent again"
                    runner.on_way.setdefault(name, []).append((turn, picture.etag))
            case Forget(name, id, turn):
                runner = self.runners[id]
                runner.on_way[name] = [each for each in runner.on_way.get(name, []) if each[0] > turn]
            case Begin():
                self.watch_begin(command)
            case Stop(id):
                assert self.runners[id].working is not None, "there is nothing to stop"
                self.runners[id].working = None
            case Follow(id):
                assert id not in self.followed and self.runners[id].follow
                self.followed.add(id)
            case Unfollow(id):
                self.followed.remove(id)
            case Wake(at_s):
                self.wake_s = at_s
            case HangUp(name):
                assert name not in self.clients, "only who is gone is sent away"
            case Write():
                assert command.number in {runner.number for runner in self.runners.values()}

    def watch_say(self, command: Say) -> None:
        name, message = command.session, command.message
        assert name in self.clients and self.clients[name].away_s is None, "told to who is not there"
        if command.reply_to is not None or not command.runner:
            return
        id = command.runner
        assert name in self.holders(id) or self.leaving == (name, id), "told to who does not hold it"
        runner = self.runners[id]
        assert runner.owner == self.clients[name].owner
        if "turn" not in message:
            return
        turn = message["turn"]
        assert turn == runner.turn == command.turn, "of an older run"
        assert turn not in runner.told.get(name, ()), "told after its end"
        if message["op"] in ENDS:
            runner.told.setdefault(name, set()).add(turn)
            runner.unshown.setdefault(name, set()).add(turn)
            if runner.told.keys() >= self.holders(id) and all(
                turn in runner.told[each] for each in self.holders(id) | ({name} if self.leaving[1] == id else set())
            ):
                runner.waiting.discard(turn)

    def watch_begin(self, command: Begin) -> None:
        runner = self.runners[command.runner]
        assert command.owner == runner.owner and command.session in self.holders(command.runner)
        assert command.turn == runner.turn + 1, "turns are counted"
        assert not runner.waiting, "the one before has not ended"
        assert runner.forced or not runner.paused, "it is paused"
        runner.forced = False
        self.begun += 1
        frame = command.wanted.frame
        if runner.follow:
            assert frame in (runner.frame, runner.pending_frame)
            if self.now_s < runner.begun_s + REST_S:
                assert frame != runner.frame, "only a newer frame needs no rest"
            if frame == runner.pending_frame:
                runner.frame, runner.pending_frame = frame, ""
        else:
            assert self.now_s >= runner.begun_s + REST_S - 1e-9, "no rest"
        self.check_wanted(runner, command.wanted, runner.frame)
        for name in self.holders(command.runner):
            assert command.have <= runner.has.get(name, set()), "not everybody has it"
        runner.turn, runner.wanted, runner.begun_s = command.turn, command.wanted, self.now_s
        runner.waiting = {command.turn}
        runner.working = command.turn

    def sweep(self) -> None:
        """What nobody holds is gone, and nobody works for it; what nobody connected holds sleeps."""
        for id, runner in list(self.runners.items()):
            held = {client.name for client in self.clients.values() if id in client.holds}
            if not held:
                assert runner.working is None and id not in self.followed, "left behind"
                del self.runners[id]
            elif not self.holders(id):
                assert runner.working is None and id not in self.followed, "it works for nobody"

    def check(self) -> None:
        """Compare what there is with what there should be."""
        found, overview = self.sessions.statistics(), self.sessions.overview()
        assert found.sessions == len(self.connected()) and found.sessions_parked == len(self.away)
        assert found.runners == len(self.runners)
        assert found.runs == sum(len(runner.waiting) for runner in self.runners.values())
        assert found.runs_begun_total == self.begun
        assert (found.runs_completed_total, found.runs_failed_total) == (self.completed, self.failed)
        assert {each.name: (each.owner, set(each.runners)) for each in overview.sessions} == {
            client.name: (client.owner, {self.runners[id].number for id in client.holds})
            for client in self.clients.values()
        }
        assert self.followed == {id for id, runner in self.runners.items() if runner.follow and self.holders(id)}

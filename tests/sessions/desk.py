"""A desk at which sessions are played through: a clock, what everybody was told, and what was ordered."""

from collections import defaultdict
from typing import Any, TypeVar

from cgi_worker.wire.tiles import TilePlace, ViewportView
from cgi_worker.wire.view import View
from imgd.core.sessions.events import (
    Accepted,
    Arrived,
    Begin,
    Command,
    Connected,
    Disconnected,
    Dropped,
    Encoded,
    Event,
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
    Ticked,
    Wake,
)
from imgd.core.sessions.messages import (
    Attach,
    Close,
    Figures,
    Hello,
    Log,
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
from imgd.running import StepNews
from tests.sessions.telling import check_told

C = TypeVar("C")
FRAME = "night/a.fits"
LIMITS = {
    "sessions_max": 8, "sessions_owner_max": 4, "runners_max": 4, "uids_max": 64, "viewport_tiles_max": 100,
    "console_max": 20, "resume_s": 60.0, "set_rest_s": 0.1, "ping_s": 30.0, "message_bytes": 16384,
}  # fmt: skip
ENDS = ("completed", "failed", "cancelled")


def picture(etag: str = "p") -> Picture:
    """Make a picture."""
    return Picture(b"bytes", etag, "jpeg", 10, 10)


def tile(etag: str, column: int = 0, level: int = 0) -> Picture:
    """Make a tile."""
    return Picture(b"bytes", etag, "jpeg", 256, 256, level, column, 0)


class Desk:
    """One `Sessions`, and who says what to it.

    told    by session: everything that it was told without having asked.
    shown   by session: etags of what it was shown.
    """

    def __init__(self, **limits: Any) -> None:
        self.sessions = Sessions(SessionLimits(**{**LIMITS, **limits}))
        self.now_s = 0.0
        self.last: list[Command] = []
        self.told: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        self.shown: defaultdict[str, list[str]] = defaultdict(list)
        self.begun: list[Begin] = []
        self.hung_up: dict[str, int] = {}
        self.wake_s: float | None = None
        self._ids = 0

    def do(self, event: Event) -> list[Command]:
        """Let something happen."""
        self.last = self.sessions.handle(event)
        self.sessions.check_all()
        for command in self.last:
            match command:
                case Say(session, message, reply_to):
                    check_told(message)
                    if reply_to is None:
                        self.told[session].append(message)
                case Show(session):
                    self.shown[session].append(command.picture.etag)
                case Begin():
                    self.begun.append(command)
                case HangUp(session, code):
                    self.hung_up[session] = code
                case Wake(at_s):
                    self.wake_s = at_s
        return self.last

    def ordered(self, kind: type[C]) -> list[C]:
        """Find the commands of one kind that came last."""
        return [command for command in self.last if isinstance(command, kind)]

    # Clients

    def connect(self, name: str, owner: str = "ann", *, resume: str = "") -> dict[str, Any]:
        """Let a client in, and have it say hello; its secret is its name with a `!`."""
        self.do(Connected(name, owner, name + "!", self.now_s))
        return self.ask(name, Hello(self._next_id(), resume))

    def leave(self, name: str, *, clean: bool = False) -> None:
        """A client goes."""
        self.do(Disconnected(name, clean, self.now_s))

    def ask(self, session: str, message: RunnerMessage, token: str = "") -> dict[str, Any]:
        """Have a client say something; return the reply."""
        self.do(Heard(session, message, token, self.now_s))
        replies = [each for each in self.ordered(Say) if each.reply_to is not None]
        assert [(each.session, each.reply_to, each.message["id"]) for each in replies] == [
            (session, message.id, message.id)
        ]
        return replies[0].message

    def open(self, session: str, runner: str, view: Any = None, **more: Any) -> dict[str, Any]:
        """Open a runner with this id."""
        view = ("" if "follow" in more else {"frame": FRAME}) if view is None else view
        return self.ask(session, Open(self._next_id(), view, **more), runner)

    def set(self, session: str, runner: str, **changes: Any) -> dict[str, Any]:
        """Change its view."""
        return self.ask(session, Set(self._next_id(), runner, changes))

    def viewport(self, session: str, runner: str, x: float = 0, **more: Any) -> dict[str, Any]:
        """Show a part of it."""
        values: dict[str, Any] = {"level": 0, "box": (x, 0.0, 512.0, 512.0), **more}
        return self.ask(session, Viewport(self._next_id(), runner, **values))

    def run(self, session: str, runner: str) -> dict[str, Any]:
        """Run it."""
        return self.ask(session, Run(self._next_id(), runner))

    def play(self, session: str, runner: str) -> dict[str, Any]:
        """Let it play."""
        return self.ask(session, Play(self._next_id(), runner))

    def pause(self, session: str, runner: str) -> dict[str, Any]:
        """Have it pause."""
        return self.ask(session, Pause(self._next_id(), runner))

    def step(self, session: str, runner: str) -> dict[str, Any]:
        """Have it do one step."""
        return self.ask(session, Step(self._next_id(), runner))

    def close(self, session: str, runner: str) -> dict[str, Any]:
        """Let go of it."""
        return self.ask(session, Close(self._next_id(), runner))

    def attach(self, session: str, runner: str) -> dict[str, Any]:
        """Hold it as well."""
        return self.ask(session, Attach(self._next_id(), runner))

    def log(self, session: str, runner: str, since: int = 0) -> list[tuple[str, str]]:
        """Read its console: severities and texts."""
        reply = self.ask(session, Log(self._next_id(), runner, since))
        return [(entry.severity, entry.text) for entry in reply["entries"]]

    # Runs

    def accept(self, runner: str, turn: int, run: str = "run") -> None:
        """A run has found its frame."""
        self.do(Accepted(runner, turn, run, FRAME, "v1"))

    def take_step(self, runner: str, turn: int, step: str = "reduce", **more: Any) -> None:
        """A step is further."""
        self.do(Stepped(runner, turn, StepNews(**{"number": 0, "step": step, "state": "end", **more})))

    def find(self, runner: str, turn: int, what: Any = "facts", *notes: str) -> None:
        """Figures are known."""
        self.do(Found(runner, turn, Figures(what, {"some": what}), notes))

    def encode(self, runner: str, turn: int, *pictures: Picture) -> None:
        """Pictures or tiles are ready."""
        for each in pictures:
            self.do(Encoded(runner, turn, each))

    def end(self, runner: str, turn: int, **more: Any) -> None:
        """A run ends by itself."""
        self.do(
            RunEnded(runner, turn, self.now_s, **{"document": None if "problem" in more else {"run": "run"}, **more})
        )

    def arrive(self, runner: str, frame: str) -> None:
        """A directory has a newer frame."""
        self.do(Arrived(runner, frame, self.now_s))

    def send(self, session: str, runner: str, turn: int, *etags: str) -> None:
        """Tiles leave for a client."""
        self.do(Sent(session, runner, turn, etags))

    def drop(self, session: str, runner: str, turn: int, count: int = 1) -> None:
        """Tiles are dropped on the way to a client."""
        self.do(Dropped(session, runner, turn, tuple(TilePlace(0, column, 0) for column in range(count))))

    def show(self, session: str, runner: str, turn: int) -> None:
        """All of a turn has left for a client."""
        self.do(Shown(session, runner, turn, self.now_s))

    def whole_run(self, runner: str, *sessions: str) -> None:
        """The newest run ends, and has left for these clients."""
        turn = [each for each in self.begun if each.runner == runner][-1].turn
        self.end(runner, turn)
        for session in sessions:
            self.show(session, runner, turn)

    def later(self, seconds: float) -> None:
        """Time goes by; who wanted to be woken is."""
        end_s = self.now_s + seconds
        while self.wake_s is not None and self.wake_s <= end_s:
            self.now_s, self.wake_s = self.wake_s, None
            self.do(Ticked(self.now_s))
        self.now_s = end_s

    # What came of it

    def ops(self, session: str) -> list[str]:
        """List what a client was told without asking, and forget it."""
        return [message["op"] for message in self.told.pop(session, [])]

    def view(self) -> View:
        """Tell what the newest run makes."""
        wanted = self.begun[-1].wanted
        return wanted.view if isinstance(wanted, ViewportView) else wanted

    def _next_id(self) -> int:
        self._ids += 1
        return self._ids

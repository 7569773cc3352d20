"""Runs: the one that feeds the sessions' core and carries its commands out, with a task for each run and each follower.

Whoever has something to report calls `handle` (the sessions' reading and writing tasks, the runs): it never waits, and
the commands are carried out in their order before it returns. `serve` is where the tasks live.
"""

import itertools
import logging
import math
import secrets
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import msgspec
import trio

from cgi_worker.wire.tiles import TilePlace
from imgd.access.roots import Roots
from imgd.config import Settings
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
    Follow,
    Forget,
    Found,
    HangUp,
    Heard,
    LimitsChanged,
    NotFollowed,
    RunEnded,
    RunnerId,
    Say,
    Sent,
    SessionLimits,
    SessionName,
    Show,
    Shown,
    Stepped,
    Stop,
    Ticked,
    Unfollow,
    Wake,
    Write,
)
from imgd.core.sessions.messages import Figures, Picture, RunnerMessage
from imgd.core.sessions.sessions import Sessions
from imgd.engine.inbox import Inbox
from imgd.errors import ImgdError
from imgd.events.log import Log
from imgd.model import Asker
from imgd.origin import ORIGIN, Origin, note_run
from imgd.running import RunLimits, StepNews
from imgd.web.carrying import Means, Wish, budget_of, carry
from imgd.web.following import Watch, follow
from imgd.web.frames_out import frame_of
from imgd.web.outbox import Item, Outbox
from imgd.web.problems import plain_text
from imgd.web.seam import Engine

log = logging.getLogger("imgd.runs")

OWNER: Final = "local"
ORDERS_MAX: Final = 100_000
PROGRESS_S: Final = 0.25  # Of a step's progress the core hears no more often.
LET_GO_S: Final = 0.05  # A plan is with the engine so soon after its frame's facts are known.
ENDS: Final = frozenset(("completed", "failed", "cancelled"))
SEVERITIES: Final = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class Post(Protocol):
    """Where a session's messages go."""

    @property
    def outbox(self) -> Outbox:
        """What waits to be sent."""

    def hang_up(self, code: int, reason: str) -> None:
        """Say what waits, then close."""

    def give_up(self) -> None:
        """End it as one that takes nothing."""


@dataclass(slots=True, eq=False)
class _Run:
    """A run from its Begin to its end."""

    begin: Begin
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)


@dataclass(slots=True, eq=False)
class _Followed:
    order: Follow
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)


@dataclass(frozen=True, slots=True)
class _LetGo:
    """What is older than this run is to be stopped in a moment."""

    run: _Run


class Runs:
    """Sessions, their runners and their runs. `serve` has to run for anything to be run."""

    def __init__(self, engine: Engine, roots: Roots, events: Log, settings: Settings) -> None:
        self._engine = engine
        self._roots = roots
        self._log = events
        self._set_limits(settings)
        self.sessions = Sessions(_limits_of(settings))
        self._posts: dict[SessionName, Post] = {}
        self._running: dict[RunnerId, list[_Run]] = {}  # The newest last; only its news are reported.
        self._followed: dict[RunnerId, _Followed] = {}
        self._orders: Inbox[_Run | _Followed | _LetGo] = Inbox(ORDERS_MAX)
        self._events: deque[Event] = deque()
        self._handling = False
        self._wake_s = math.inf
        self._wake_set = trio.Event()

    def take(self, settings: Settings) -> None:
        """Take up other settings; runs under way, and all sessions, go on."""
        self._set_limits(settings)
        self.handle(LimitsChanged(_limits_of(settings)))

    def _set_limits(self, settings: Settings) -> None:
        self._run_limit_s = settings.run_limit_s
        self._plan_limits = RunLimits(settings.run_steps_max, settings.run_bytes)

    # What sessions call

    def connect(self, session: SessionName) -> None:
        """Begin a session; `post` must follow.

        Raises  Busy if there are too many.
        """
        self.handle(Connected(session, OWNER, secrets.token_urlsafe(16), trio.current_time()))

    def post(self, session: SessionName, post: Post) -> None:
        """Have what is said to a session put there."""
        self._posts[session] = post

    def hear(self, session: SessionName, message: RunnerMessage) -> None:
        """Do what a client says; its reply is put into its outbox.

        Raises  ImgdError; nothing has changed then.
        """
        self.handle(Heard(session, message, secrets.token_urlsafe(16), trio.current_time()))

    def sent(self, session: SessionName, items: Iterable[Item]) -> None:
        """Note that these have left for a session's socket."""
        for (runner, turn), some in itertools.groupby(items, lambda item: (item.runner, item.turn)):
            if not runner:
                continue
            whole = list(some)
            if etags := tuple(item.etag for item in whole if item.place is not None):
                self.handle(Sent(session, runner, turn, etags))
            if any(item.last for item in whole):
                self.handle(Shown(session, runner, turn, trio.current_time()))

    def disconnect(self, session: SessionName, *, clean: bool) -> None:
        """End a session; without a word if the core has hung up on it."""
        if self._posts.pop(session, None) is not None:
            self.handle(Disconnected(session, clean, trio.current_time()))

    def dropped(self, session: SessionName, runner: RunnerId, turn: int, places: tuple[TilePlace, ...]) -> None:
        """Note that there was no room for these tiles."""
        self.handle(Dropped(session, runner, turn, places))

    def statistics(self) -> Any:
        """Tell figures."""
        return self.sessions.statistics()

    # What happens, and what is done about it

    def handle(self, event: Event) -> None:
        """Let the core apply an event, and carry out what it orders, in order; what that causes comes after it.

        Raises  ImgdError, of Connected and Heard; nothing has changed then.
        """
        self._events.append(event)
        if self._handling:
            return
        self._handling = True
        try:
            while self._events:
                for command in self.sessions.handle(self._events.popleft()):
                    self._carry_out(command)
        finally:
            self._handling = False

    def _carry_out(self, command: Command) -> None:
        match command:
            case Say():
                self._say(command)
            case Show(session, runner, number, turn, picture):
                if (post := self._posts.get(session)) is not None:
                    place = None if picture.level < 0 else TilePlace(picture.level, picture.column, picture.row)
                    frame = frame_of(number, turn, picture)
                    post.outbox.show(Item(frame, runner, turn, place, picture.etag))
            case Forget(session, runner, turn):
                if (post := self._posts.get(session)) is not None:
                    post.outbox.forget(runner, turn)
            case Begin():
                self._begin(command)
            case Stop(runner):
                for run in self._running.pop(runner, ()):
                    run.scope.cancel()
            case Follow(runner):
                self._followed[runner] = _Followed(command)
                self._orders.put(self._followed[runner])
            case Unfollow(runner):
                if (followed := self._followed.pop(runner, None)) is not None:
                    followed.scope.cancel()
            case Wake(at_s):
                self._wake_s = at_s
                self._wake_set.set()
            case HangUp(session, code, reason):
                if (post := self._posts.pop(session, None)) is not None:
                    post.hang_up(code, reason)
            case Write(severity, text, number, run):
                words = ("runner %d, run %s: %s", number, run or "-", plain_text(text))
                log.log(SEVERITIES[severity], *words, extra={"origin": Origin(run=run)})

    def _say(self, command: Say) -> None:
        post = self._posts.get(command.session)
        if post is None:
            return
        text = msgspec.json.encode(command.message).decode()
        if command.reply_to is not None:
            post.outbox.put(text)
        else:
            is_last = bool(command.runner) and command.message.get("op") in ENDS
            post.outbox.say(text, command.runner, command.turn, last=is_last)
            if post.outbox.stuffed:
                self.disconnect(command.session, clean=False)
                post.give_up()

    # Runs

    def _begin(self, begin: Begin) -> None:
        """Order a run. Of what runs for its runner the oldest goes on until this one is with the engine."""
        runs = self._running.setdefault(begin.runner, [])
        for between in runs[1:]:
            between.scope.cancel()
        del runs[1:]
        runs.append(_Run(begin))
        self._orders.put(runs[-1])

    def is_newest(self, run: _Run) -> bool:
        """Tell whether anybody wants to hear of a run."""
        runs = self._running.get(run.begin.runner)
        return runs is not None and runs[-1] is run

    def stop_older(self, run: _Run) -> None:
        """Stop what runs for a run's runner besides."""
        if self.is_newest(run):
            runs = self._running[run.begin.runner]
            for older in runs[:-1]:
                older.scope.cancel()
            del runs[:-1]

    def stop_older_soon(self, run: _Run) -> None:
        """Do as `stop_older`, when the run's plan has had time to get to the engine."""
        if self.is_newest(run) and len(self._running[run.begin.runner]) > 1:
            self._orders.put(_LetGo(run))

    async def _let_go(self, run: _Run) -> None:
        await trio.sleep(LET_GO_S)
        self.stop_older(run)

    async def serve(self) -> None:
        """Run what is to be run, and report the time, until cancelled; no run outlives this call."""
        async with trio.open_nursery() as running:
            running.start_soon(self._tick)
            while True:
                match await self._orders.take():
                    case _Run() as run:
                        running.start_soon(self._run, run)
                    case _Followed() as followed:
                        running.start_soon(self._follow, followed)
                    case _LetGo(run):
                        running.start_soon(self._let_go, run)

    async def _tick(self) -> None:
        while True:
            self._wake_set = trio.Event()
            with trio.move_on_at(self._wake_s):
                await self._wake_set.wait()
            if trio.current_time() >= self._wake_s:
                self._wake_s = math.inf
                self.handle(Ticked(trio.current_time()))

    async def _run(self, run: _Run) -> None:
        begin = run.begin
        ORIGIN.set(Origin(session=begin.session))
        ended: RunEnded | None = None
        try:
            with run.scope:
                ended = await self._outcome(run)
        finally:
            self.stop_older(run)
            is_newest = self.is_newest(run)
            if is_newest:
                del self._running[begin.runner]
        if ended is not None and is_newest:
            self.handle(ended)

    async def _outcome(self, run: _Run) -> RunEnded:
        begin = run.begin
        wish = Wish(begin.wanted, begin.results, begin.have)
        means = Means(self._engine, Asker(begin.owner, begin.session), self._plan_limits, self._run_limit_s)
        try:
            document = await carry(wish, means, _Reports(self, run))
        except ImgdError as error:
            problem = (error.status, error.title, plain_text(error.text))
            now = trio.current_time()
            return RunEnded(begin.runner, begin.turn, now, problem, budget=budget_of(error))
        return RunEnded(begin.runner, begin.turn, trio.current_time(), None, document)

    async def _follow(self, followed: _Followed) -> None:
        order = followed.order

        def arrived(frame: str) -> None:
            self.handle(Arrived(order.runner, frame, trio.current_time()))

        def failed(text: str) -> None:
            self.handle(NotFollowed(order.runner, plain_text(text), trio.current_time()))

        with followed.scope:
            await follow(order.directory, Watch(self._roots, self._log, arrived, failed))


class _Reports:
    """What a run has to tell, as events for the core; nothing once there is a newer one."""

    def __init__(self, runs: Runs, run: _Run) -> None:
        self._runs = runs
        self._run = run
        self._next_progress_s = -math.inf

    def _tell(self, event: Event) -> None:
        if self._runs.is_newest(self._run):
            self._runs.handle(event)

    def accepted(self, run: str, frame: str, version: str) -> None:
        """There is such a frame."""
        note_run(run)
        self._tell(Accepted(self._run.begin.runner, self._run.begin.turn, run, frame, version))

    def known(self) -> None:
        """The frame's facts are known: the plan goes to the engine now."""
        self._runs.stop_older_soon(self._run)

    def stepped(self, news: StepNews) -> None:
        """A step is further."""
        if news.step != "parse":
            self._runs.stop_older(self._run)
        if news.state == "progress":
            now = trio.current_time()
            if now < self._next_progress_s:
                return
            self._next_progress_s = now + PROGRESS_S
        self._tell(Stepped(self._run.begin.runner, self._run.begin.turn, news))

    def found(self, figures: Figures | None, notes: tuple[str, ...]) -> None:
        """Figures are known; or there is something to note."""
        self._tell(Found(self._run.begin.runner, self._run.begin.turn, figures, notes))

    def encoded(self, picture: Picture) -> None:
        """A picture or a tile is there."""
        self._tell(Encoded(self._run.begin.runner, self._run.begin.turn, picture))


def _limits_of(settings: Settings) -> SessionLimits:
    return SessionLimits(
        sessions_max=settings.sessions_max, sessions_owner_max=settings.sessions_owner_max,
        runners_max=settings.runners_max, uids_max=settings.session_uids_max,
        viewport_tiles_max=settings.viewport_tiles_max, console_max=settings.console_max, resume_s=settings.resume_s,
        set_rest_s=settings.set_rest_s, ping_s=settings.ping_s, message_bytes=settings.message_bytes,
        rows=settings.rows,
    )  # fmt: skip

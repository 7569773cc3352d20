"""Users with the page open: a websocket that says what the page says, and leaves in every way there is."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

import trio
from trio_websocket import ConnectionClosed, HandshakeError, WebSocketConnection, wrap_client_stream

from imgd.web.frames_out import HEADER
from tests.daemon import http1
from tests.daemon.asking import Asking
from tests.soak.field import Field
from tests.soak.judge import Asked, Judge
from tests.soak.users import LOOKS, PAUSE_S

SCREEN: Final = (1100, 700)
LIMIT_S: Final = 60.0
CLOSE_LIMIT_S: Final = 2.0
STAYS_S: Final = 4.0  # In the mean.
ON_THE_WAY_S: Final = 5.0  # So long before it is heard of a run may have begun.
TURNS_KEPT: Final = 100
RESULTS: Final = ["facts", "levels", "picture"]
CHANGES: Final[tuple[dict[str, Any], ...]] = (
    {"stretch": "log"}, {"stretch": "asinh", "levels": "0.1,0.99", "cut": None}, {"levels": None}, {"invert": "1"},
    {"map": "inferno", "color": "mono"}, {"map": None, "invert": None},
    {"cut": "900,2500", "levels": None}, {"cut": None}, {"turn": 90}, {"turn": None},
)  # fmt: skip
ACTS: Final = {"set": 4, "drag": 2, "pan": 6, "fit": 1, "rest": 4, "ping": 1, "another": 2, "log": 1}


class Refused(Exception):
    """The daemon has refused what was asked; the judge knows it."""


@dataclass(frozen=True)
class Turn:
    """A run that was accepted. began_s: the frame was not looked at before."""

    frame: str
    view: str
    began_s: float


@dataclass
class Ear:
    """Hears what a session is told, and hands it on to the judge."""

    judge: Judge
    waiting: dict[int, trio.Event] = field(default_factory=dict)
    replies: dict[int, dict[str, Any]] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    frames: dict[str, str] = field(default_factory=dict)
    turns: dict[tuple[int, int], Turn] = field(default_factory=dict)

    async def hear(self, live: WebSocketConnection) -> None:
        """Hear one message after another, until the connection ends."""
        while True:
            message = await live.get_message()
            if isinstance(message, bytes):
                self._frame(message)
                continue
            told = json.loads(message)
            if "id" in told:
                self._reply(told)
            elif told["op"] == "following":
                self.frames[told["runner"]] = told["frame"].removeprefix("f/")
            elif "turn" in told:
                self._of_run(told)

    def _reply(self, told: dict[str, Any]) -> None:
        for state in told.get("runners", [told["state"]] if "state" in told else []):
            self.numbers[state["runner"]] = state["number"]
            self.frames[state["runner"]] = str(state["frame"] or "").removeprefix("f/")
        there = self.waiting.get(told["id"])
        if there is None:
            self.judge.complain(f"a reply to no question: {told}")
            return
        self.replies[told["id"]] = told
        there.set()

    def _of_run(self, told: dict[str, Any]) -> None:
        key = (self.numbers.get(told["runner"], 0), told["turn"])
        match told["op"]:
            case "accepted":
                began_s = trio.current_time() - ON_THE_WAY_S
                self.turns[key] = Turn(told["frame"].removeprefix("f/"), told["view"], began_s)
                if len(self.turns) > TURNS_KEPT:
                    del self.turns[next(iter(self.turns))]
            case "completed":
                if key not in self.turns:
                    self.judge.complain(f"a run has ended that never began: {told}")
                else:
                    self.judge.answered(Asked("live run"), b"", self.turns[key].began_s)
            case "failed":
                turn = self.turns.get(key)
                frame = turn.frame if turn is not None else self.frames[told["runner"]]
                began_s = turn.began_s if turn is not None else trio.current_time() - ON_THE_WAY_S
                self.judge.asked["live run"] += 1
                self.judge.refusal(Asked("live run", frame), told["code"], told["text"], began_s)

    def _frame(self, message: bytes) -> None:
        _, kind, _, level, number, at, column, row, *_ = HEADER.unpack_from(message)
        turn = self.turns.get((number, at))
        if turn is None:
            self.judge.complain(f"a picture of runner {number}, turn {at}, which was never accepted")
            return
        if kind == 1:
            asked = Asked("live picture", turn.frame, f"/img?{turn.view}")
        else:
            asked = Asked("live tile", turn.frame, f"/tile?{turn.view}&level={level}&x={column}&y={row}")
        self.judge.answered(asked, message[HEADER.size :], turn.began_s)


@dataclass
class Sitting:
    """One who has the page open."""

    door: Asking
    frames: Field
    judge: Judge
    random: Random
    secret: str = ""
    last_id: int = 0

    async def visit(self) -> None:
        """Open the page, do something, leave; now and then by losing the connection, and coming back."""
        began_s = trio.current_time()
        try:
            await self._come()
        except* HandshakeError as errors:  # Out of the nursery in which the websocket is read.
            self.judge.broke(Asked("live"), errors, began_s)

    async def _come(self) -> None:
        for _ in range(2):
            async with self._connected() as live:
                if live is None:
                    return
                ear = Ear(self.judge)
                with trio.move_on_after(self.random.expovariate(1 / STAYS_S)):
                    await self._sit(live, ear)
                if self.random.random() < 0.6:
                    with trio.move_on_after(CLOSE_LIMIT_S):
                        await live.aclose()
                    return

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[WebSocketConnection | None]:
        """Connect; at the end the connection breaks, one way or the other."""
        asked, began_s = Asked("live"), trio.current_time()
        try:
            stream = await http1.open_stream(self.door.host, self.door.port, 0, self.door.context("http/1.1"))
        except OSError as error:
            self.judge.complain(f"nobody answers at {self.door.base_url}: {error!r}")
            yield None
            return
        async with trio.open_nursery() as nursery:
            live: WebSocketConnection | None = None
            try:
                with trio.fail_after(LIMIT_S):
                    live = await wrap_client_stream(nursery, stream, f"{self.door.host}:{self.door.port}", "/live")
                self.judge.answered(asked, b"", began_s)
            except (ConnectionClosed, trio.TooSlowError) as error:
                self.judge.broke(asked, error, began_s)
            try:
                yield live
            finally:
                nursery.cancel_scope.cancel()
                breaks = live is not None and live.closed is None and self.random.random() < 0.5
                await http1.leave(stream, reset=breaks)

    async def _sit(self, live: WebSocketConnection, ear: Ear) -> None:
        """Do what the page does when it is opened, and then what its user does, for ever."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ear.hear, live)
                await self._use(live, ear)
        except* ConnectionClosed:
            self.judge.complain(f"a websocket was closed by the other side: {live.closed}")
        except* Refused:
            pass  # A real page would show it, and its user would go on elsewhere.

    async def _use(self, live: WebSocketConnection, ear: Ear) -> None:
        hello = await self._ask(live, ear, "hello", **({"resume": self.secret} if self.secret else {}))
        if self.secret and not hello["resumed"]:
            self.judge.reasons["not resumed: it was too late, or closed in order"] += 1
        self.secret = hello["resume"]
        if self.random.random() < 0.5:
            filters = [["type", "in", ["frame.arrived", "frame.rewritten"]]]
            await self._ask(live, ear, "subscribe", filters=filters)
        runner = await self._open(live, ear)
        while True:
            await trio.sleep(self.random.expovariate(1 / (2 * PAUSE_S)))
            runner = await self._do(live, ear, runner)

    async def _open(self, live: WebSocketConnection, ear: Ear) -> str:
        fit = {"fit": [*SCREEN], "dpr": 1}
        if self.random.random() < 0.25:
            opened = await self._ask(live, ear, "open", follow="f/live", view={}, results=RESULTS, viewport=fit)
            return str(opened["runner"])
        look = self.random.choice(LOOKS).removeprefix("&")
        view = {"frame": f"f/{self.frames.choose(self.random)}"}
        view |= dict(part.split("=") for part in look.split("&") if part)
        if self.random.random() < 0.15:
            runner = str((await self._ask(live, ear, "open", view=view, results=RESULTS))["runner"])
            await self._ask(live, ear, "run", runner=runner)
            return runner
        return str((await self._ask(live, ear, "open", view=view, results=RESULTS, viewport=fit))["runner"])

    async def _do(self, live: WebSocketConnection, ear: Ear, runner: str) -> str:
        """Do one thing; tell the runner that is looked at after it."""
        match self.random.choices(list(ACTS), list(ACTS.values()))[0]:
            case "set":
                await self._ask(live, ear, "set", runner=runner, changes=self.random.choice(CHANGES))
            case "drag":
                for _ in range(8):
                    middle = round(self.random.uniform(0.1, 0.9), 3)
                    await self._ask(live, ear, "set", runner=runner, changes={"mid": middle})
                    await trio.sleep(0.03)
            case "pan":
                level = self.random.randrange(3)
                left, top = (self.random.randrange(0, 3000 >> level, 64) for _ in range(2))
                await self._ask(live, ear, "viewport", runner=runner, level=level, box=[left, top, *SCREEN])
            case "fit":
                await self._ask(live, ear, "viewport", runner=runner, fit=[*SCREEN])
            case "rest":
                await trio.sleep(self.random.expovariate(1.0))
            case "ping":
                await self._ask(live, ear, "ping")
            case "log":
                await self._ask(live, ear, "log", runner=runner, since=0)
            case "another":
                await self._ask(live, ear, "close", runner=runner)
                return await self._open(live, ear)
        return runner

    async def _ask(self, live: WebSocketConnection, ear: Ear, op: str, **more: Any) -> dict[str, Any]:
        """Ask, and wait for the reply.

        Raises  Refused.
        """
        self.last_id += 1
        asked, began_s = Asked(f"live {op}"), trio.current_time()
        there = ear.waiting[self.last_id] = trio.Event()
        try:
            await live.send_message(json.dumps({"id": self.last_id, "op": op, **more}))
            with trio.move_on_after(LIMIT_S) as limit:
                await there.wait()
        except trio.Cancelled:
            self.judge.gone(asked)
            raise
        if limit.cancelled_caught:
            self.judge.hung(asked, began_s)
            raise Refused
        del ear.waiting[self.last_id]
        reply = ear.replies.pop(self.last_id)
        if reply["op"] == "error":
            self.judge.asked[asked.kind] += 1
            self.judge.refusal(asked, reply["status"], f"{reply['parameter']} {reply['detail']}", began_s)
            raise Refused
        self.judge.answered(asked, b"", began_s)
        return reply

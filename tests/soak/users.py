"""The users of a soak: each visit is one of many kinds, and may be left at any moment."""

import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any, Final
from urllib.parse import quote

import h2.exceptions
import trio

from tests.daemon.asking import Asking
from tests.daemon.http1 import Http1, Response
from tests.daemon.http2 import Http2
from tests.soak.field import Field
from tests.soak.judge import ENDS, Asked, Judge

LEAVES: Final = 0.4  # So many visits end before they are over.
LEAVES_AFTER_S: Final = 0.4  # In the mean.
ANSWER_LIMIT_S: Final = 60.0
PAUSE_S: Final = 0.08  # Between two things that a user does, in the mean.
FOLLOWS_S: Final = 3.0
LOOKS: Final = (
    "", "&levels=0.05,0.999", "&levels=zscale&stretch=asinh", "&stretch=log", "&cut=900,3000", "&invert=1",
    "&map=viridis&bad=red&color=mono", "&turn=90", "&flip=h&mid=0.3", "&stretch=sqrt&levels=0.1,0.99", "&pool=max",
)  # fmt: skip
SIZES: Final = (
    "&size=300,",
    "&size=480,",
    "&size=,200",
    "&size=640,640",
    "&region=10,20,50,40&size=max",
    "&size=64,64!",
)
FORMATS: Final = ("", "", "", "&format=png", "&format=webp", "&quality=60")
QUESTIONS: Final = (
    "pixel?x=20&y=30&box=5", "profile?line=1,1,40,30&width=3", "region?shape=circle&numbers=30,25,12", "stats?",
    "histogram?bins=64", "stars?region=0,0,60,60", "stats?region=2,3,40,40", "export?format=npy&region=1,1,30,20",
)  # fmt: skip


class Over(Exception):
    """The visit is over before its time."""


@dataclass
class User:
    """One visit: who it is, where, and what becomes of its questions."""

    door: Asking
    frames: Field
    judge: Judge
    random: Random

    async def visit(self) -> None:
        """Come, look at something, go; now and then before it is there."""
        kinds: dict[Callable[[], Awaitable[None]], int] = {
            self.look: 6, self.pan: 4, self.measure: 3, self.list: 3, self.follow: 2,
        }  # fmt: skip
        kind = self.random.choices(list(kinds), list(kinds.values()))[0]
        try:
            await kind()
        except Over:
            pass  # The judge knows why.
        except OSError as error:
            self.judge.complain(f"nobody answers at {self.door.base_url}: {error!r}")

    def patience_s(self) -> float:
        """Tell how long this user stays."""
        return self.random.expovariate(1 / LEAVES_AFTER_S) if self.random.random() < LEAVES else float("inf")

    async def look(self) -> None:
        """Look at some pictures, in one connection."""
        async with self.door.connect() as connection:
            with trio.move_on_after(self.patience_s()) as stay:
                for _ in range(self.random.randint(1, 4)):
                    await self._picture(connection)
                    await self.rest()
            if stay.cancelled_caught:
                await connection.leave(reset=self.random.random() < 0.5)

    async def pan(self) -> None:
        """Read what tiles there are, and load some at the same time; take some of the questions back."""
        frame = self.frames.choose(self.random)
        async with self.door.connect2() as connection:
            with trio.move_on_after(self.patience_s()):
                began_s = trio.current_time()
                asked = Asked("tiles.json", frame)
                look = self.random.choice(LOOKS)
                path = f"/tiles/f/{frame}/tiles.json" + (f"?{look[1:]}" if look else "")
                answer = await self._judged(asked, lambda: connection.get(path))
                if answer.status == 200:
                    await self._tiles(connection, frame, json.loads(answer.body), look, began_s=began_s)

    async def measure(self) -> None:
        """Ask for numbers."""
        async with self.door.connect() as connection:
            with trio.move_on_after(self.patience_s()) as stay:
                for _ in range(self.random.randint(1, 4)):
                    frame = self.frames.choose(self.random)
                    question = self.random.choice(QUESTIONS)
                    target = f"/{question}{'' if question.endswith('?') else '&'}frame=f/{frame}"
                    await self.ask(connection, Asked(question.partition("?")[0], frame, target), target)
                    await self.rest()
            if stay.cancelled_caught:
                await connection.leave(reset=self.random.random() < 0.5)

    async def list(self) -> None:
        """Look at lists, headers, small pictures, and the page itself."""
        async with self.door.connect() as connection:
            with trio.move_on_after(self.patience_s()) as stay:
                for _ in range(self.random.randint(2, 6)):
                    await self._list_one(connection)
            if stay.cancelled_caught:
                await connection.leave(reset=self.random.random() < 0.5)

    async def follow(self) -> None:
        """Hear events for a while, come back with the cursor, and see that none is missing."""
        stream = Stream(self.judge)
        for _ in range(2):
            async with self.door.connect() as connection:
                with trio.move_on_after(self.random.uniform(0.2, FOLLOWS_S)):
                    await stream.hear(connection)

    async def rest(self) -> None:
        """Think."""
        await trio.sleep(self.random.expovariate(1 / PAUSE_S))

    async def ask(self, connection: Http1, asked: Asked, target: str, **headers: str) -> Response:
        """Ask, and have what comes of it judged.

        Raises  Over if the connection is of no use any more.
        """
        return await self._judged(asked, lambda: connection.get(target, **headers))

    async def _judged(
        self, asked: Asked, ask: Callable[[], Awaitable[Response]], began_s: float | None = None
    ) -> Response:
        began_s = trio.current_time() if began_s is None else began_s
        answer: Response | None = None
        try:
            with trio.move_on_after(ANSWER_LIMIT_S) as limit:
                answer = await ask()
        except trio.Cancelled:
            self.judge.gone(asked)
            raise
        except ENDS as error:
            self.judge.broke(asked, error, began_s)
            raise Over from error
        if limit.cancelled_caught or answer is None:
            self.judge.hung(asked, began_s)
            raise Over
        if answer.status < 400:
            self.judge.answered(asked, answer.body, began_s)
        else:
            self.judge.failed(asked, answer.status, answer.body, answer.headers, began_s)
        return answer

    async def _picture(self, connection: Http1) -> None:
        frame = self.frames.choose(self.random)
        target = f"/img?frame=f/{frame}" + "".join(self.random.choice(each) for each in (SIZES, LOOKS, FORMATS))
        answer = await self.ask(connection, Asked("img", frame, target), target)
        if answer.status == 200 and self.random.random() < 0.3:
            await self.ask(connection, Asked("img again", frame), target, if_none_match=answer.headers["etag"])

    async def _tiles(
        self, connection: Http2, frame: str, document: dict[str, Any], look: str, *, began_s: float
    ) -> None:
        z = self.random.randrange(document["levels"])
        level = document["levels"] - 1 - z
        across, down = (((document[side] - 1) >> level + 8) + 1 for side in ("width", "height"))
        count = self.random.randint(1, 12)
        places = [(self.random.randrange(across), self.random.randrange(down)) for _ in range(count)]
        template = document["template"]
        path = template[template.index("/tiles/") if "/tiles/" in template else 0 :]
        numbers: dict[int, Asked] = {}
        for x, y in places:
            target = path.replace("{z}", str(z)).replace("{x}", str(x)).replace("{y}", str(y))
            alone = f"/tile?frame=f/{frame}{look}&level={level}&x={x}&y={y}"
            numbers[await connection.send("GET", target)] = Asked("tile", frame, alone)
        for number, asked in numbers.items():
            if self.random.random() < 0.1:
                with suppress(h2.exceptions.StreamClosedError):  # It was answered before.
                    await connection.reset(number)
                self.judge.gone(asked)
                continue
            await self._judged(asked, partial(connection.answer, number), began_s)

    async def _list_one(self, connection: Http1) -> None:
        frame = self.frames.choose(self.random)
        targets = (
            Asked("frames", "", "/frames?dir=f/made"), Asked("catalogue", "", "/catalogue?limit=20&search=fits"),
            Asked("frame", frame, f"/frame/f/{frame}"), Asked("page", "", "/"), Asked("openapi", "", "/openapi.json"),
            Asked("thumbnail", frame, f"/thumbnail?frame=f/{frame}&side=160"),
            Asked("thumbnail", frame, f"/thumbnail?frame=f/{frame}&side=160"),
            Asked("frames", "", "/frames?dir=f/live"),
        )  # fmt: skip
        asked = self.random.choice(targets)
        compared = asked if asked.kind == "thumbnail" else Asked(asked.kind, asked.frame)
        await self.ask(connection, compared, asked.target)


@dataclass
class Stream:
    """One who hears Server-Sent Events, and comes back to where it was."""

    judge: Judge
    cursor: str = ""
    last: int = 0

    async def hear(self, connection: Http1) -> None:
        """Read until it is cancelled; see that each event is the next one."""
        asked, began_s = Asked("events"), trio.current_time()
        try:
            with trio.fail_after(ANSWER_LIMIT_S):
                await connection.send("GET", f"/events?since={quote(self.cursor)}" if self.cursor else "/events",
                                      accept="text/event-stream")  # fmt: skip
                head = await connection.response()
            if head.status != 200:
                self.judge.failed(asked, head.status, b"", head.headers, began_s)
                return
            self.judge.answered(asked, b"", began_s)
            text = b""
            async for piece in connection.body():
                *blocks, text = (text + piece).split(b"\n\n")
                for block in blocks:
                    self._take(dict(_field(line) for line in block.decode().splitlines()))
        except ENDS as error:
            self.judge.broke(asked, error, began_s)

    def _take(self, block: dict[str, str]) -> None:
        self.cursor = block.get("id") or self.cursor
        told = json.loads(block.get("data") or "{}")
        if block.get("event") in ("missed", "reset"):
            self.judge.complain(f"events: {block}, though this client was never far behind")
        elif number := told.get("id", 0):
            if self.last and number != self.last + 1:
                self.judge.complain(f"events: {number} came after {self.last}")
            self.last = number


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name, value.removeprefix(" ")

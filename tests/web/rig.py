"""An engine held in memory, and the application above it, served on the loopback."""

import io
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import trio
from PIL import Image

from cgi_worker.wire.facts import Facts, Hdu, Source
from cgi_worker.wire.tiles import TileView
from cgi_worker.wire.view import View
from cgi_worker.wire.wanted import Wanted, media_type_of
from imgd.access.roots import Roots
from imgd.config import Settings
from imgd.core.roll import Waiting
from imgd.core.uids import Uids
from imgd.engine.answer import Answer, Known, Qualified
from imgd.engine.figures import Crew
from imgd.errors import ImgdError
from imgd.events.log import Log, open_log
from imgd.model import Asker
from imgd.setting_kinds import Root
from imgd.web.app import WebApp, make_app
from imgd.web.seam import Scope
from imgd.web.serve import HttpServer, open_listeners
from tests.events.listed import ListStore
from tests.web.course import Courses


@dataclass(frozen=True)
class FakeStatistics:
    budget_bytes: int = 1000
    ratio: float = 0.5
    renders_total: int = 0
    note: str = "text is no figure"


PRESENT = Source(1, 2, 3, 4)
PLAIN = Facts("fits", (Hdu(0, "", "image", (3000, 5000), "i2", top_down=True),), 0)


@dataclass
class Script:
    """How the engine behaves: what it answers with, and where it waits or fails."""

    chunks: tuple[bytes, ...] = (b"picture",)
    etag: str = '"e1"'
    facts: str = '{"levels":[1.5,20.0]}'
    size_known: bool = True
    wait_before: bool = False  # Never gets as far as an answer.
    wait_at: int = -1  # Never makes this chunk.
    fail_before: ImgdError | None = None
    fail_at: int = -1  # Fails instead of making this chunk.
    not_ready: str = ""
    source: Source = PRESENT
    known: Facts = PLAIN
    made: int = 0  # Chunks asked of it so far.


class FakeAnswer:
    def __init__(self, script: Script, media_type: str) -> None:
        self._script = script
        self.etag = script.etag
        self.media_type = media_type
        self.source = script.source
        self.facts = script.facts
        self.size_bytes = sum(map(len, script.chunks)) if script.size_known else None

    async def chunks(self) -> AsyncIterator[bytes]:
        for index, chunk in enumerate(self._script.chunks):
            if index == self._script.wait_at:
                await trio.sleep_forever()
            if index == self._script.fail_at:
                raise ImgdError("the worker was lost")
            self._script.made += 1
            yield chunk


@dataclass
class MemoryEngine(Courses):
    """Does as its script says, and notes who asked for what, who is being served and who was cancelled."""

    script: Script = field(default_factory=Script)
    asked: list[tuple[Wanted | str, Asker]] = field(default_factory=list)
    qualified: int = 0
    looks: int = 0
    kept: dict[str, bytes] = field(default_factory=dict)
    inside: int = 0
    cancelled: int = 0
    changed: trio.Event = field(default_factory=trio.Event)

    async def qualify(self, wanted: Wanted, asker: Asker) -> Qualified:
        self.qualified += 1
        if self.script.fail_before:
            raise self.script.fail_before
        return Qualified(self.script.etag, "image/jpeg")

    def kept_tile(self, etag: str) -> bytes | None:
        return self.kept.get(etag)

    async def look(self, frame: str, asker: Asker) -> Known:
        self.looks += 1
        if self.script.fail_before:
            raise self.script.fail_before
        return Known(self.script.source, self.script.known)

    @asynccontextmanager
    async def render(self, wanted: Wanted, asker: Asker) -> AsyncIterator[Answer]:
        async with self._serve(wanted, asker, media_type_of(wanted)) as answer:
            yield answer

    @asynccontextmanager
    async def header(self, frame: str, asker: Asker) -> AsyncIterator[Answer]:
        async with self._serve(frame, asker, "application/json") as answer:
            yield answer

    @asynccontextmanager
    async def _serve(self, what: Wanted | str, asker: Asker, media_type: str) -> AsyncIterator[Answer]:
        self.asked.append((what, asker))
        self.inside += 1
        self._tell()
        try:
            if self.script.wait_before:
                await trio.sleep_forever()
            if self.script.fail_before:
                raise self.script.fail_before
            answer = FakeAnswer(self.script, media_type)
            if isinstance(what, TileView):
                answer.etag = f'"{len(self.kept)}"'
                self.kept[answer.etag] = b"".join(self.script.chunks)
            yield answer
        except trio.Cancelled:
            self.cancelled += 1
            raise
        finally:
            self.inside -= 1
            self._tell()

    def _tell(self) -> None:
        self.changed.set()
        self.changed = trio.Event()

    async def until(self, inside: int) -> None:
        with trio.fail_after(5):
            while self.inside != inside:
                await self.changed.wait()

    def statistics(self) -> FakeStatistics:
        return FakeStatistics(renders_total=len(self.asked))

    def crew(self) -> Crew:
        return Crew((), Waiting(0, 0, 0, 0.0), 0, self.script.not_ready, 0.0)

    def ready(self) -> str:
        return self.script.not_ready


class PictureEngine(MemoryEngine):
    """Answers with a real picture: a gradient of the size asked for."""

    @asynccontextmanager
    async def render(self, wanted: Wanted, asker: Asker) -> AsyncIterator[Answer]:
        assert isinstance(wanted, View)
        view = wanted
        side = (view.size.width_px or 1200, view.size.height_px or 1200)
        gradient = Image.linear_gradient("L").rotate(len(view.frame) * 20).resize(side)
        file = io.BytesIO()
        gradient.save(file, "PNG")
        self.script = replace(self.script, chunks=(file.getvalue(),))
        async with self._serve(view, asker, "image/png") as answer:
            yield answer


@dataclass
class Served:
    """The application above an engine, and its parts."""

    app: WebApp
    engine: MemoryEngine
    sessions: Uids
    settings: Settings
    server: HttpServer
    log: Log
    store: ListStore
    port: int = 0
    stopping: trio.Event = field(default_factory=trio.Event)


@contextmanager
def made(directory: Path, engine: MemoryEngine, **settings: Any) -> Iterator[Served]:
    """Make the application without listening; its log of events has no life."""
    store, given = ListStore(), _settings(directory, settings)
    with _made(given, engine, Log(store, given), store) as served:
        yield served


@asynccontextmanager
async def serving(
    directory: Path, engine: MemoryEngine, *, store: ListStore | None = None, **settings: Any
) -> AsyncIterator[Served]:
    """Serve the application on a free port of the loopback."""
    store, given = store or ListStore(), _settings(directory, settings)
    async with open_log(store, given) as log:
        with _made(given, engine, log, store) as served, open_listeners(given.bind, given.ping_s) as listening:
            served.port = int(listening.addresses[0].rstrip("/").rpartition(":")[2])
            async with trio.open_nursery() as nursery:
                nursery.start_soon(served.app.runs.serve)
                nursery.start_soon(served.server.serve, listening, served.stopping)
                yield served
                nursery.cancel_scope.cancel()


def _settings(directory: Path, settings: dict[str, Any]) -> Settings:
    return Settings(roots=(Root("night", directory),), bind=("127.0.0.1:0",), **settings)


@contextmanager
def _made(given: Settings, engine: MemoryEngine, log: Log, store: ListStore) -> Iterator[Served]:
    sessions = Uids(given.sessions_max, given.session_uids_max)
    app = make_app(given, engine, Roots(given), sessions, log=log)
    yield Served(app, engine, sessions, given, HttpServer(app, given), log, store)


@dataclass
class Reply:
    """What the application answered; `complete` is False if it left without the end of the body."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    complete: bool = False


async def get(app: WebApp, target: str, *headers: tuple[str, str], method: str = "GET", version: str = "1.1") -> Reply:
    """Call the application directly; the client never leaves."""
    path, _, query = target.partition("?")
    scope: Scope = {
        "type": "http", "http_version": version, "method": method, "scheme": "http", "path": path, "root_path": "",
        "raw_path": path.encode(), "query_string": query.encode(), "client": ("127.0.0.1", 5), "server": ("h", 80),
        "headers": [(b"host", b"h"), *((name.encode(), value.encode()) for name, value in headers)], "extensions": {},
        "asgi": {"version": "3.0", "spec_version": "2.1"}, "state": {},
    }  # fmt: skip
    reply = Reply()

    async def receive() -> dict[str, Any]:
        await trio.sleep_forever()
        raise AssertionError

    async def send(message: Any) -> None:
        await trio.lowlevel.checkpoint()
        assert not reply.complete, "a message after the end"
        if message["type"] == "http.response.start":
            reply.status = message["status"]
            reply.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            reply.body += message["body"]
            reply.complete = not message.get("more_body", False)

    await app(scope, receive, send)
    return reply

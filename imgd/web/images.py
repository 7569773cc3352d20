"""`/img`, `/frame/...` and the questions: answers of the engine, streamed as they are made, dropped when unwanted."""

import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Final

import trio

from cgi_worker.wire.grammar import ViewError
from cgi_worker.wire.question import QUESTIONS, Export, question_from_pairs
from cgi_worker.wire.tiles import tile_from_pairs
from cgi_worker.wire.view import View, thumbnail_from_pairs, view_from_pairs
from cgi_worker.wire.wanted import Wanted
from imgd.core.uids import Uids
from imgd.engine.answer import Answer
from imgd.errors import BadRequest, Gone, ImgdError, NoSuchFrame
from imgd.model import Asker
from imgd.web.problems import Headers, send_problem, send_status
from imgd.web.query import decode_text, read_known, read_pairs
from imgd.web.seam import Engine, Receive, Scope, Send

PIECE_BYTES: Final = 65_536  # What must get through within the limit; small enough for a slow telephone.
LEVELS_BYTES_MAX: Final = 2_048  # A header; browsers and proxies refuse long ones.
FRAME_PATH: Final = b"/frame/"
BY_PATH: Final = frozenset(("/thumbnail", "/tile", *(f"/{name}" for name in QUESTIONS)))
_CACHE: Final = (b"cache-control", b"private, no-cache")  # Kept, but asked about each time: a frame may be rewritten.

_log = logging.getLogger("imgd.web")


@dataclass(slots=True)
class Counts:
    """Totals since the start."""

    answers_total: int = 0
    not_modified_total: int = 0
    problems_total: int = 0
    broken_total: int = 0
    dropped_total: int = 0


class Images:
    """Answer requests for pictures and for headers; `counts` is for metrics."""

    def __init__(self, engine: Engine, sessions: Uids, send_limit_s: float) -> None:
        self._engine = engine
        self._sessions = sessions
        self._send_limit_s = send_limit_s
        self.counts = Counts()
        self._of_sessions: dict[str, set[trio.CancelScope]] = {}

    async def picture(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer `/img`."""
        await self._answer(_Reply(scope, send, self._send_limit_s), self._picture)

    async def by_path(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer `/thumbnail`, `/tile`, or a question: the path is its name."""
        await self._answer(_Reply(scope, send, self._send_limit_s), self._by_path)

    async def header(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer `/frame/...`."""
        await self._answer(_Reply(scope, send, self._send_limit_s), self._header)

    async def _answer(self, reply: "_Reply", work: "_Work") -> None:
        if reply.method not in ("GET", "HEAD"):
            await send_status(reply.send, 405, "only GET and HEAD", [(b"allow", b"GET, HEAD")])
            return
        failed: ImgdError | None = None
        try:
            await work(reply)
        except* ImgdError as errors:  # It may come out of a nursery.
            failed = _first(errors)
        if failed is None:
            return
        if reply.begun:
            # The head is out: leaving without the end breaks the connection, so that nobody takes it for whole.
            self.counts.broken_total += 1
            _log.warning("an answer broke off: %s", failed.text)
            return
        self.counts.problems_total += 1
        await send_problem(reply.send, failed)

    def end_session(self, session: str) -> None:
        """Withdraw the pictures that are on their way for a session that has ended."""
        for answering in self._of_sessions.pop(session, ()):
            answering.cancel()

    async def _picture(self, reply: "_Reply") -> None:
        view, asker = self._wanted(reply.scope)
        with trio.CancelScope() as answering:
            mine = self._of_sessions.setdefault(asker.session, set())
            mine.add(answering)
            try:
                await self._give(reply, view, asker)
            finally:
                mine.discard(answering)
                if not mine and self._of_sessions.get(asker.session) is mine:
                    del self._of_sessions[asker.session]
        if answering.cancelled_caught:
            raise Gone("its session has ended")

    async def _by_path(self, reply: "_Reply") -> None:
        pairs = read_pairs(reply.scope["query_string"])
        try:
            match reply.scope["path"].removeprefix("/"):
                case "thumbnail":
                    wanted: Wanted = thumbnail_from_pairs(pairs)
                case "tile":
                    wanted = tile_from_pairs(pairs)
                case name:
                    wanted = question_from_pairs(name, pairs)
        except ViewError as error:
            raise BadRequest(error.text, error.parameter) from error
        await self._give(reply, wanted, _asker(reply.scope))

    async def _give(self, reply: "_Reply", wanted: Wanted, asker: Asker) -> None:
        asked_etags = reply.request_header(b"if-none-match")
        if reply.method == "HEAD" or asked_etags:
            known = await self._engine.qualify(wanted, asker)
            headers: Headers = [(b"etag", known.etag.encode()), _CACHE]
            if asked_etags and matches(asked_etags, known.etag):
                self.counts.not_modified_total += 1
                await send_body_less(reply.send, 304, headers)
                return
            if reply.method == "HEAD":
                headers += [(b"content-type", known.media_type.encode()), (b"accept-ranges", b"none")]
                await send_body_less(reply.send, 200, headers)
                return
        if isinstance(wanted, Export):
            reply.more_headers.append((b"content-disposition", _file_name(wanted)))
        await self._stream(reply, self._engine.render(wanted, asker))

    async def _header(self, reply: "_Reply") -> None:
        read_known(reply.scope["query_string"], ())
        raw_path: bytes = reply.scope.get("raw_path") or reply.scope["path"].encode()
        frame = decode_text(raw_path[len(FRAME_PATH) :])
        await self._stream(reply, self._engine.header(frame, _asker(reply.scope)))

    async def _stream(self, reply: "_Reply", making: AbstractAsyncContextManager[Answer]) -> None:
        async with making as answer:
            if matches(reply.request_header(b"if-none-match"), answer.etag):
                self.counts.not_modified_total += 1
                await send_body_less(reply.send, 304, [(b"etag", answer.etag.encode()), _CACHE])
            elif await reply.stream(answer):
                self.counts.answers_total += 1
            else:
                self.counts.dropped_total += 1

    def _wanted(self, scope: Scope) -> tuple[View, Asker]:
        pairs = read_pairs(scope["query_string"])
        if any(name == "u" for name, _ in pairs):
            if len(pairs) > 1:
                raise BadRequest("stands alone: the view is known by it", "u")
            wanted = self._sessions.lookup(pairs[0][1])
            if wanted is None:
                raise NoSuchFrame("is unknown, or no longer known", "u")
            return wanted.view, Asker(session=wanted.session, runner=wanted.runner)
        try:
            return view_from_pairs(pairs), _asker(scope)
        except ViewError as error:
            raise BadRequest(error.text, error.parameter) from error


class _Reply:
    """One answer on its way out; `begun` once its head is sent."""

    def __init__(self, scope: Scope, send: Send, send_limit_s: float) -> None:
        self.scope = scope
        self.method: str = scope["method"]
        self.send = send
        self.begun = False
        self.more_headers: Headers = []
        self._send_limit_s = send_limit_s

    def request_header(self, name: bytes) -> str:
        """Tell a header of the request, repetitions joined; "" if there is none."""
        return ", ".join(value.decode("latin-1") for key, value in self.scope["headers"] if key == name)

    async def stream(self, answer: Answer) -> bool:
        """Send an answer as it is made; False if the client took nothing for too long, and it was dropped.

        Raises  ImgdError when the making fails; before the first byte the head is not sent yet.
        """
        async with _closing(answer.chunks()) as chunks:
            first = await anext(chunks, b"")
            size_bytes = answer.size_bytes
            if size_bytes is None and self.scope["http_version"] == "1.0":
                # It has no chunks: a body without a length ends with the connection, broken or not.
                first = b"".join([first, *[chunk async for chunk in chunks]])
                size_bytes = len(first)
            self.begun = True
            headers = _head(answer, size_bytes) + self.more_headers
            await self.send({"type": "http.response.start", "status": 200, "headers": headers})
            if self.method == "HEAD":
                await self._push(b"", more=False)
                return True
            left = size_bytes
            chunk = first
            while True:
                left = None if left is None else left - len(chunk)
                if not await self._push(chunk, more=left != 0):
                    return False
                if left == 0:
                    return True  # One message less than a separate end: it is a fifth of a small answer's cost.
                try:
                    chunk = await anext(chunks)
                except StopAsyncIteration:
                    return left is None and await self._push(b"", more=False)

    async def _push(self, chunk: bytes, *, more: bool) -> bool:
        for start in range(0, max(len(chunk), 1), PIECE_BYTES):
            end = start + PIECE_BYTES
            with trio.move_on_after(self._send_limit_s) as limit:
                more_body = more or end < len(chunk)
                await self.send({"type": "http.response.body", "body": chunk[start:end], "more_body": more_body})
            if limit.cancelled_caught:
                return False
        return True


_Work = Callable[[_Reply], Awaitable[None]]


@asynccontextmanager
async def _closing(chunks: AsyncIterator[bytes]) -> AsyncIterator[AsyncIterator[bytes]]:
    """End a generator here and now, not when the garbage collector finds it."""
    try:
        yield chunks
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()


def _first(errors: BaseExceptionGroup[ImgdError]) -> ImgdError:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, ImgdError)
    return error


def _asker(scope: Scope) -> Asker:
    """Take all requests from one address for one session, so that no address can crowd out the others."""
    client = scope.get("client")
    return Asker(session=f"http {client[0]}" if client else "http")


def _head(answer: Answer, size_bytes: int | None) -> Headers:
    headers: Headers = [
        (b"content-type", answer.media_type.encode()),
        (b"etag", answer.etag.encode()),
        _CACHE,
        (b"accept-ranges", b"none"),
    ]
    levels = _levels(answer.facts)
    if levels:
        headers.append((b"x-imgd-levels", levels))
    if size_bytes is not None:
        headers.append((b"content-length", str(size_bytes).encode()))
    return headers


def _file_name(wanted: Export) -> bytes:
    """Propose a name to save an export under: the frame's own, with nothing in it that a header or a disk minds."""
    stem = wanted.frame.rsplit("/", 1)[-1].split(".", 1)[0]
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in stem)[:100] or "frame"
    return f'attachment; filename="{plain}-cutout.{wanted.format}"'.encode()


def _levels(facts: str) -> bytes:
    """Write the steps' facts as a header; nothing if they are none, or too long for one."""
    if not facts or facts == "{}":
        return b""
    text = facts if facts.isascii() and facts.isprintable() else json.dumps(json.loads(facts), separators=(",", ":"))
    return text.encode("ascii") if len(text) <= LEVELS_BYTES_MAX else b""


def matches(asked: str, etag: str) -> bool:
    """Compare weakly, as If-None-Match is (RFC 9110, 13.1.2)."""
    tags = [tag.strip().removeprefix("W/") for tag in asked.split(",")]
    return "*" in tags or etag in tags


async def send_body_less(send: Send, status: int, headers: Headers) -> None:
    """Answer without a body, nor a length that would claim one."""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})

"""Replies: one answer on its way out, streamed as it is made. Who takes none of it is ended by the connection."""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from cgi_worker.wire.facts import Source
from cgi_worker.wire.told import levels_text
from cgi_worker.wire.wanted import Wanted
from imgd.engine.answer import Answer
from imgd.errors import ImgdError, OtherVersion, first_of
from imgd.model import Asker
from imgd.web.addresses import client_of
from imgd.web.problems import REASON, Headers, send_problem, send_status
from imgd.web.seam import Engine, Scope, Send

ASKED_ABOUT: Final = b"private, no-cache"  # Kept, but asked about each time: a frame may be rewritten.
IMMUTABLE: Final = b"public, max-age=31536000, immutable"  # The address names the version: it is always the same.

_log = logging.getLogger("imgd.web")


@dataclass(slots=True)
class Counts:
    """Totals since the start. `kept_total`: answers from memory, without anything being asked."""

    answers_total: int = 0
    not_modified_total: int = 0
    kept_total: int = 0
    problems_total: int = 0
    broken_total: int = 0


class Reply:
    """One answer on its way out; `begun` once its head is sent.

    more_headers  for the answer itself.
    kept          what `cache-control` says of it.
    source        which identity of the frame it must be made from; None: whichever it has.
    """

    def __init__(self, scope: Scope, send: Send) -> None:
        self.scope = scope
        self.method: str = scope["method"]
        self.send = send
        self.begun = False
        self.more_headers: Headers = []
        self.kept = ASKED_ABOUT
        self.source: Source | None = None

    def request_header(self, name: bytes) -> str:
        """Tell a header of the request, repetitions joined; "" if there is none."""
        return ", ".join(value.decode("latin-1") for key, value in self.scope["headers"] if key == name)

    async def not_modified(self, etag: str) -> None:
        """Answer that what the client has is still right."""
        headers = [(b"etag", etag.encode()), (b"cache-control", self.kept), *self.more_headers]
        await send_body_less(self.send, 304, headers)

    async def head_only(self, etag: str, media_type: str) -> None:
        """Answer HEAD, of what may not be made yet."""
        headers = [(b"etag", etag.encode()), (b"cache-control", self.kept), (b"content-type", media_type.encode())]
        await send_body_less(self.send, 200, [*headers, (b"accept-ranges", b"none"), *self.more_headers])

    async def whole(self, headers: Headers, body: bytes) -> None:
        """Send an answer that is there already, its head as given."""
        self.begun = True
        await self.send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._push(b"" if self.method == "HEAD" else body, more=False)

    async def stream(self, answer: Answer) -> None:
        """Send an answer as it is made.

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
            headers = self._head(answer, size_bytes)
            await self.send({"type": "http.response.start", "status": 200, "headers": headers})
            if self.method == "HEAD":
                await self._push(b"", more=False)
                return
            left = size_bytes
            chunk = first
            while True:
                left = None if left is None else left - len(chunk)
                await self._push(chunk, more=left != 0)
                if left == 0:
                    return  # One message less than a separate end: it is a fifth of a small answer's cost.
                try:
                    chunk = await anext(chunks)
                except StopAsyncIteration:
                    if left is None:
                        await self._push(b"", more=False)
                    return  # Shorter than was said: leaving without the end breaks the connection.

    def _head(self, answer: Answer, size_bytes: int | None) -> Headers:
        headers: Headers = [
            (b"content-type", answer.media_type.encode()),
            (b"etag", answer.etag.encode()),
            (b"cache-control", self.kept),
            (b"accept-ranges", b"none"),
        ]
        levels = levels_of(answer.facts)
        if levels:
            headers.append((b"x-imgd-levels", levels))
        if size_bytes is not None:
            headers.append((b"content-length", str(size_bytes).encode()))
        return headers + self.more_headers

    async def _push(self, chunk: bytes, *, more: bool) -> None:
        await self.send({"type": "http.response.body", "body": chunk, "more_body": more})


Work = Callable[[Reply], Awaitable[None]]


class Answers:
    """Answer requests with what the engine makes; `counts` is for metrics."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.counts = Counts()

    async def answer(self, scope: Scope, send: Send, work: Work) -> None:
        """Do what it takes to answer GET or HEAD; what fails before the first byte is answered by a problem."""
        reply = Reply(scope, send)
        if reply.method not in ("GET", "HEAD"):
            await send_status(send, 405, "only GET and HEAD", [(b"allow", b"GET, HEAD")])
            return
        failed: ImgdError | None = None
        try:
            await work(reply)
        except* ImgdError as errors:  # It may come out of a nursery.
            failed = first_of(errors)
        if failed is None:
            return
        if reply.begun:
            # The head is out: leaving without the end breaks the connection, so that nobody takes it for whole.
            self.counts.broken_total += 1
            _log.warning("an answer broke off: %s", failed.text)
            return
        self.counts.problems_total += 1
        scope[REASON] = failed.reason
        await send_problem(send, failed)

    async def give(self, reply: Reply, wanted: Wanted, asker: Asker) -> None:
        """Answer with what is wanted; to who has it already, or wants only the head, without making it."""
        asked_etags = reply.request_header(b"if-none-match")
        if reply.method == "HEAD" or asked_etags:
            known = await self.engine.qualify(wanted, asker)
            if asked_etags and matches(asked_etags, known.etag):
                await self.not_modified(reply, known.etag)
                return
            if reply.method == "HEAD":
                await reply.head_only(known.etag, known.media_type)
                return
        await self.stream(reply, self.engine.render(wanted, asker))

    async def stream(self, reply: Reply, making: AbstractAsyncContextManager[Answer]) -> None:
        """Answer with what is being made.

        Raises  ImgdError; OtherVersion if it is made from another identity of the frame than it must be.
        """
        async with making as answer:
            if reply.source not in (None, answer.source):
                raise OtherVersion("the frame has been rewritten")
            if matches(reply.request_header(b"if-none-match"), answer.etag):
                await self.not_modified(reply, answer.etag)
            else:
                await reply.stream(answer)
                self.counts.answers_total += 1

    async def not_modified(self, reply: Reply, etag: str) -> None:
        """Answer that what the client has is still right."""
        self.counts.not_modified_total += 1
        await reply.not_modified(etag)


async def read_whole(answer: Answer) -> bytes:
    """Read all of an answer.

    Raises  ImgdError when the making fails.
    """
    async with _closing(answer.chunks()) as chunks:
        return b"".join([chunk async for chunk in chunks])


@asynccontextmanager
async def _closing(chunks: AsyncIterator[bytes]) -> AsyncIterator[AsyncIterator[bytes]]:
    """End a generator here and now, not when the garbage collector finds it."""
    try:
        yield chunks
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()


def asker_of(scope: Scope) -> Asker:
    """Take all requests from one address for one session, so that no address can crowd out the others."""
    return Asker(session=f"http {client_of(scope)}")


def levels_of(facts: str) -> bytes:
    """Write the steps' facts as a header; nothing if they are none, or too long for one."""
    return levels_text(facts).encode("ascii")


def matches(asked: str, etag: str) -> bool:
    """Compare weakly, as If-None-Match is (RFC 9110, 13.1.2)."""
    tags = [tag.strip().removeprefix("W/") for tag in asked.split(",")]
    return "*" in tags or etag in tags


async def send_body_less(send: Send, status: int, headers: Headers) -> None:
    """Answer without a body, nor a length that would claim one."""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})

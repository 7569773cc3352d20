"""`/events`: the log over plain HTTP, as Server-Sent Events or as JSON that is waited for (long polling)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import trio

from imgd.config import Settings
from imgd.errors import BadRequest, Busy, ImgdError
from imgd.events.event import Cursor, Event, read_cursor
from imgd.events.feed import Batch, Feed, Live, Message, Missed, Reset, Underway
from imgd.events.filters import Filters, read_filters_json
from imgd.events.log import Log
from imgd.events.store import StoreDown
from imgd.web.outbox import Outbox
from imgd.web.problems import REASON, Headers, plain_text, send_body, send_problem, send_status
from imgd.web.query import read_known
from imgd.web.seam import Receive, Scope, Send

STREAM: Final = "text/event-stream"
WAIT_MAX_S: Final = 60
LIMIT: Final = 500
LIMIT_MAX: Final = 1_000
LOOKED_AT_MAX: Final = 20_000  # Events that one answer looks through for those that match.
HEARTBEAT_S: Final = 15.0
RETRY_MS: Final = 2_000
STORE_AGAIN_S: Final = 1.0
_SUB: Final = 0  # The one subscription of such a feed.
_HEADERS: Final[Headers] = [(b"cache-control", b"no-store"), (b"vary", b"accept"), (b"x-accel-buffering", b"no")]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a client wants to follow; since None: from now on."""

    filters: Filters
    since: Cursor | None


class Feeds:
    """Answer `/events`."""

    def __init__(self, log: Log, settings: Settings) -> None:
        self._log = log
        self.take(settings)
        self._open: dict[int, Outbox] = {}
        self._count = 0
        self._ended = False

    def take(self, settings: Settings) -> None:
        """Take up other settings; answers that are open go on."""
        self._send_limit_s = settings.send_limit_s
        self._open_max = settings.sessions_max

    def end(self) -> None:
        """Have all answers end in order, and no further one wait: the daemon is ending."""
        self._ended = True
        for each in self._open.values():
            each.end()

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; the caller cancels it when the client leaves."""
        del receive
        if scope["method"] != "GET":
            await send_status(send, 405, "only GET", [(b"allow", b"GET")])
            return
        try:
            if len(self._open) >= self._open_max:
                raise Busy("there are too many open feeds", STORE_AGAIN_S, "sessions")
            self._count += 1
            number, wakes = self._count, Outbox(1)
            self._open[number] = wakes
            try:
                if self._ended:
                    wakes.end()
                with self._log.waking(wakes.wake):
                    await self._answer(scope, send, wakes)
            finally:
                del self._open[number]
        except ImgdError as error:
            scope[REASON] = error.reason
            await send_problem(send, error)

    async def _answer(self, scope: Scope, send: Send, wakes: Outbox) -> None:
        if _accepts_stream(_header(scope, b"accept")):
            given = read_known(scope["query_string"], ("since", "filters"))
            await self._stream(_asked(given, _header(scope, b"last-event-id")), send, wakes)
            return
        given = read_known(scope["query_string"], ("since", "filters", "wait", "limit"))
        wait_s = _number(given, "wait", 0, WAIT_MAX_S) or 0
        limit = _number(given, "limit", 1, LIMIT_MAX) or LIMIT
        feed = await self._begin(_asked(given))
        body = await self._page(feed, limit, trio.current_time() + wait_s, wakes)
        await send_body(send, 200, [(b"content-type", b"application/json"), *_HEADERS], body)

    async def _begin(self, asked: _Asked) -> Feed:
        head = await self._log.settle(asked.since)
        feed = self._log.feed()
        feed.subscribe(_SUB, asked.filters, asked.since, head)
        return feed

    async def _page(self, feed: Feed, limit: int, deadline: float, wakes: Outbox) -> bytes:
        """Collect what there is; if that is nothing, wait for something until the deadline."""
        page = _Page()
        begun_at = feed.at
        while True:
            down = ""
            try:
                messages = await self._log.advance(feed, limit - len(page.events))
            except StoreDown as error:
                messages, down = None, str(error) or "the store of events does not answer"
            for message in messages or ():
                page.add(message)
            head = self._log.head
            behind = feed.wants(head) is not None
            if behind and not down and len(page.events) < limit and feed.at - begun_at < LOOKED_AT_MAX:
                await trio.lowlevel.checkpoint()
                continue
            left_s = deadline - trio.current_time()
            if (behind and not down) or page.is_news or left_s <= 0 or wakes.ended:
                return page.write(feed.cursor(head), live=not behind, down=down or self._log.down)
            await wakes.woken_within(min(left_s, STORE_AGAIN_S) if down else left_s)

    async def _stream(self, asked: _Asked, send: Send, wakes: Outbox) -> None:
        """Send events until the client leaves, takes nothing for too long, or the daemon ends.

        A store that is down is waited for in an open stream: a browser does not come again after another status.
        """
        headers = [(b"content-type", STREAM.encode()), *_HEADERS]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        feed: Feed | None = None
        text = b"retry: %d\n" % RETRY_MS
        while True:
            if feed is None:
                try:
                    feed = await self._begin(asked)
                    text += self._where(feed)
                except Busy as error:
                    text += _comment(error.text)
            with trio.move_on_after(self._send_limit_s) as limit:
                await send({"type": "http.response.body", "body": text, "more_body": True})
            if limit.cancelled_caught:
                return  # Without an end: the connection breaks, and the client comes again.
            text = b""
            if feed is not None:
                text = await self._streamed(feed, wakes)
            elif not wakes.ended:
                await wakes.woken_within(STORE_AGAIN_S)
            if not text and (feed is not None or wakes.ended):
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                return

    async def _streamed(self, feed: Feed, wakes: Outbox) -> bytes:
        """Wait for what is to be sent next; nothing: the daemon is ending."""
        quiet_until = trio.current_time() + HEARTBEAT_S  # Whatever wakes it: it may be something for others.
        while not wakes.ended:
            progress = self._log.progress(feed)
            messages = await self._next(feed, wakes)
            if messages or progress:
                parts = [*map(_progress_as_stream, progress), *(_as_stream(m, self._log.head.epoch) for m in messages)]
                return b"".join(parts)
            left_s = quiet_until - trio.current_time()
            if feed.wants(self._log.head) is not None and left_s > 0:
                await trio.lowlevel.checkpoint()
            elif not await wakes.woken_within(max(left_s, 0.0)):
                down = self._log.down
                return _comment(f"the store is down: {down}" if down else "still here") + self._where(feed)
        return b""

    def _where(self, feed: Feed) -> bytes:
        """Write the client's cursor; not while it is still to be told that the log is another one."""
        return b"\n" if feed.resets else b"id: %b\n\n" % str(feed.cursor(self._log.head)).encode()

    async def _next(self, feed: Feed, wakes: Outbox) -> list[Message]:
        """Read on; while the store is down there is nothing."""
        try:
            return await self._log.advance(feed, LIMIT) or []
        except StoreDown:
            await wakes.woken_within(STORE_AGAIN_S)
            return []


class _Page:
    """What one long-poll answer tells."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._missed: list[dict[str, int]] = []
        self._reset = False

    @property
    def is_news(self) -> bool:
        """Tell whether there is anything in it that is not to be waited with."""
        return bool(self.events) or bool(self._missed) or self._reset

    def add(self, message: Message) -> None:
        """Take a message of the feed."""
        match message:
            case Batch(items):
                self.events += [event for _, event in items]
            case Missed(_, first, last):
                self._missed.append({"from": first, "to": last})
            case Reset():
                self.events, self._missed, self._reset = [], [], True  # What was read is of another log.
            case Live():
                pass

    def write(self, cursor: Cursor, *, live: bool, down: str) -> bytes:
        """Write it as JSON."""
        rest: dict[str, Any] = {"cursor": str(cursor), "live": live}
        if down:
            rest["down"] = plain_text(down)
        if self._missed:
            rest["missed"] = self._missed
        if self._reset:
            rest["reset"] = True
        return msgspec.json.encode(rest)[:-1] + b',"events":[' + b",".join(e.json for e in self.events) + b"]}"


def _as_stream(message: Message, epoch: str) -> bytes:
    match message:
        case Batch(items):
            return b"".join(
                b"id: %b:%d\nevent: %b\ndata: %b\n\n"
                % (epoch.encode(), event.id, event.draft.type.encode(), event.json)
                for _, event in items
            )
        case Live(_, head):
            return b'event: live\nid: %b\ndata: {"head":"%b"}\n\n' % ((str(head).encode(),) * 2)
        case Missed(_, first, last):
            return b'event: missed\nid: %b:%d\ndata: {"from":%d,"to":%d}\n\n' % (epoch.encode(), last, first, last)
        case Reset(_, head):
            return b'event: reset\nid: %b\ndata: {"head":"%b"}\n\n' % ((str(head).encode(),) * 2)


def _progress_as_stream(underway: Underway) -> bytes:
    """Write it without an id: the client's cursor stays where it is."""
    return b"event: progress\ndata: %b\n\n" % underway.progress.body


def _comment(words: str) -> bytes:
    """Write what a client's program does not see; one line, whatever the words are."""
    return b": %b\n" % " ".join(plain_text(words).split()).encode()


def _asked(given: Mapping[str, str], last_event_id: bytes = b"") -> _Asked:
    """Read what is to be followed.

    Raises  BadRequest.
    """
    filters = read_filters_json(given.get("filters", ""))
    if last_event_id:
        try:
            return _Asked(filters, read_cursor(last_event_id.decode("latin-1")))
        except BadRequest as error:
            raise BadRequest(error.text, "Last-Event-ID") from error
    since = given.get("since", "")
    return _Asked(filters, read_cursor(since) if since else None)


def _accepts_stream(accept: bytes) -> bool:
    """Tell whether a stream is named among what is accepted, and not with the quality 0."""
    for each in accept.decode("latin-1").lower().split(","):
        name, *parameters = (part.strip() for part in each.split(";"))
        if name == STREAM:
            return not any(re.fullmatch(r"q\s*=\s*0(\.0*)?", part) for part in parameters)
    return False


def _header(scope: Scope, name: bytes) -> bytes:
    return b", ".join(value for key, value in scope["headers"] if key == name)


def _number(given: Mapping[str, str], name: str, low: int, high: int) -> int | None:
    text = given.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10 and low <= int(text) <= high):
        raise BadRequest(f"must be a whole number from {low} to {high}", name)
    return int(text)

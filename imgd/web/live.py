"""`/live`: one websocket is one session. It says which views it wants and gets UIDs to load them by; it follows events.

One task reads what the client says, another one writes: replies first, then events, batch by batch from wherever the
client is. Nothing piles up for a client that takes nothing: its batches are not read from the log before.
"""

import itertools
import math
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import trio

from cgi_worker.wire.grammar import ViewError
from cgi_worker.wire.view import View, view_from_pairs
from imgd.config import Settings
from imgd.core.uids import Uids, Wanted
from imgd.errors import BadRequest, ImgdError, NotYours
from imgd.events.event import Cursor, read_cursor
from imgd.events.feed import Feed, Message
from imgd.events.filters import read_filters
from imgd.events.log import Log
from imgd.events.store import StoreDown
from imgd.web.outbox import Outbox
from imgd.web.problems import body_of, headers_of, plain_text, problem_of
from imgd.web.query import read_pairs
from imgd.web.seam import Receive, Scope, Send
from imgd.web.telling import told, told_head, told_progress

VERSION: Final = 1
RUNNER_MAX: Final = 64
ID_MAX: Final = 2**53 - 1  # What a browser's number holds exactly.
CLOSE_GOING_AWAY: Final = 1001
CLOSE_NOT_TEXT: Final = 1003
CLOSE_TOO_BIG: Final = 1009
CLOSE_TOO_SLOW: Final = 1013
REASONS: Final = {
    CLOSE_GOING_AWAY: "the daemon is ending",
    CLOSE_NOT_TEXT: "messages are text",
    CLOSE_TOO_BIG: "the message is too large",
    CLOSE_TOO_SLOW: "too slow: nothing was taken within the limit",
}
REPLIES_MAX: Final = 16  # That wait to be sent, of one session.
SUBSCRIPTIONS_MAX: Final = 64  # Of one session.
RULES_MAX: Final = 256  # Filters of all subscriptions of one session: each event is put to them all.
STORE_AGAIN_S: Final = 1.0


class _Message(msgspec.Struct, frozen=True, tag_field="op", forbid_unknown_fields=True):
    id: int


class Hello(_Message, frozen=True, tag="hello"):
    """Client: who is there? -> the session's name and the version spoken."""


class Ping(_Message, frozen=True, tag="ping"):
    """Client: still there? -> the same."""


class Src(_Message, frozen=True, tag="src"):
    """Client: this view is wanted -> a UID.

    view    parameters of `/img`: an object of texts and numbers, or a query string (for names that are not UTF-8).
    runner  name of one open view of the client; a newer view of the same runner takes the place of the one being made.
    """

    view: dict[str, str | int | float] | str
    runner: str = ""


class Subscribe(_Message, frozen=True, tag="subscribe"):
    """Client: tell me events. Its `id` names the subscription.

    since    a cursor: all after it. None: from now on.
    filters  which, a list; None or none: all.
    """

    since: Any = None  # Both are read where what is wrong with them is said under their names.
    filters: Any = None


class Unsubscribe(_Message, frozen=True, tag="unsubscribe"):
    """Client: no more events of this subscription."""

    sub: int


class _Peek(msgspec.Struct):
    id: Any = None


_MESSAGES: Final = msgspec.json.Decoder(Hello | Ping | Src | Subscribe | Unsubscribe)
_PEEK: Final = msgspec.json.Decoder(_Peek)


@dataclass(slots=True)
class _Session:
    """One websocket's life: its name, what it follows, what is to be said, and the code with which it will be closed.

    life  has a deadline while something is being sent: no scope of its own for each message, which costs more.
    """

    name: str
    feed: Feed
    outbox: Outbox
    life: trio.CancelScope
    code: int = CLOSE_TOO_SLOW  # The one end of which nobody else says why.


class Live:
    """Serve the websockets."""

    def __init__(self, sessions: Uids, log: Log, settings: Settings) -> None:
        self._sessions = sessions
        self._log = log
        self._message_bytes = settings.message_bytes
        self._send_limit_s = settings.send_limit_s
        self._origins = frozenset(settings.origins)
        self._on_end: Callable[[str], None] = lambda _: None
        self._numbers = itertools.count(1)
        self._open: dict[str, _Session] = {}

    def tell_ends(self, on_end: Callable[[str], None]) -> None:
        """Have somebody told of each session that has ended."""
        self._on_end = on_end

    def end_sessions(self) -> None:
        """Tell all clients to leave (close code 1001)."""
        for session in self._open.values():
            session.code = CLOSE_GOING_AWAY
            session.life.cancel()

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one websocket until either side ends it; its session and its UIDs end with it."""
        await receive()  # websocket.connect
        name = f"ws{next(self._numbers)}"
        try:
            _check_origin(scope, self._origins)
            self._sessions.open(name)
        except ImgdError as error:
            await _reject(scope, send, error)
            return
        try:
            code = await self._converse(name, receive, send)
            if code:
                with trio.move_on_after(self._send_limit_s):
                    await send({"type": "websocket.close", "code": code, "reason": REASONS[code]})
        finally:
            del self._open[name]
            self._sessions.close(name)
            self._on_end(name)

    async def _converse(self, name: str, receive: Receive, send: Send) -> int:
        """Read and write until either side ends it; return the code to close with, 0 if the client is gone."""
        async with trio.open_nursery() as nursery:
            session = _Session(name, self._log.feed(), Outbox(REPLIES_MAX), nursery.cancel_scope)
            self._open[name] = session
            await send({"type": "websocket.accept"})
            nursery.start_soon(self._write, session, send)
            session.code = await self._read(session, receive)
            if session.code:
                session.outbox.end()  # What was asked before is answered before the end.
            else:
                nursery.cancel_scope.cancel()
        return session.code

    async def _read(self, session: _Session, receive: Receive) -> int:
        """Answer message after message; return the code to close with, 0 if the client is gone."""
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return 0
            text = message.get("text")
            if text is None:
                return CLOSE_NOT_TEXT
            if len(text) > self._message_bytes or len(text.encode("utf-8", "replace")) > self._message_bytes:
                return CLOSE_TOO_BIG
            await session.outbox.room()
            reply = await self._reply(session, text)
            session.outbox.put(msgspec.json.encode(reply).decode())

    async def _write(self, session: _Session, send: Send) -> None:
        """Say what is to be said until the outbox is ended."""
        outbox, feed = session.outbox, session.feed
        next_head = trio.current_time() + self._log.head_s
        with self._log.waking(outbox.wake):
            while True:
                while (reply := outbox.take()) is not None:
                    await self._say(session, send, reply)
                if outbox.ended:
                    return
                progress = self._log.progress(feed)  # Here: who subscribes meanwhile gets the reply first.
                messages, is_down = await self._advance(feed)
                for each in progress:
                    await self._say(session, send, told_progress(each))
                for message in messages or ():
                    await self._say(session, send, told(message))
                if trio.current_time() >= next_head and self._log.head.epoch:
                    next_head = trio.current_time() + self._log.head_s
                    await self._say(session, send, told_head(feed.cursor(self._log.head), self._log.down))
                if is_down:
                    await outbox.woken_within(STORE_AGAIN_S)  # It goes on from where it was.
                elif messages == [] and feed.wants(self._log.head) is None:
                    await outbox.woken()
                elif not messages:
                    await trio.lowlevel.checkpoint()  # It reads on; what others have to say comes in between.

    async def _advance(self, feed: Feed) -> tuple[list[Message] | None, bool]:
        """Read on; tell whether the store is down."""
        try:
            return await self._log.advance(feed), False
        except StoreDown:
            return None, True

    async def _say(self, session: _Session, send: Send, text: str) -> None:
        """Send one message; a client that takes nothing for too long is ended, and its session with it."""
        session.life.deadline = trio.current_time() + self._send_limit_s
        await send({"type": "websocket.send", "text": text})
        session.life.deadline = math.inf

    async def _reply(self, session: _Session, text: str) -> Mapping[str, Any]:
        """Carry out what a message asks. Where it changes what is followed, nothing is waited for after that: the
        reply is in the outbox before the first event."""
        try:
            message = _MESSAGES.decode(text)
            if not 0 <= message.id <= ID_MAX:
                raise BadRequest(f"must be from 0 to {ID_MAX}", "id")
            match message:
                case Hello():
                    return {"id": message.id, "op": "hello", "session": session.name, "version": VERSION}
                case Ping():
                    return {"id": message.id, "op": "ping", "head": _shown(session.feed.cursor(self._log.head))}
                case Src():
                    return {"id": message.id, "op": "src", "uid": self._src(session.name, message)}
                case Subscribe():
                    return {"id": message.id, "op": "subscribed", "head": await self._subscribe(session.feed, message)}
                case Unsubscribe(_, sub):
                    if sub not in session.feed:
                        raise BadRequest("there is no such subscription", "sub")
                    session.feed.unsubscribe(sub)
                    return {"id": message.id, "op": "unsubscribed", "sub": sub}
        except ImgdError as error:
            problem = problem_of(error)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
            problem = problem_of(BadRequest(str(error), "message"))
        return {
            "id": _id_of(text),
            "op": "error",
            "status": problem.status,
            "title": problem.title,
            "detail": plain_text(problem.detail),
            "parameter": plain_text(problem.parameter),
        }

    async def _subscribe(self, feed: Feed, message: Subscribe) -> str:
        filters = read_filters(message.filters)
        if not isinstance(message.since, str | None):
            raise BadRequest("must be a cursor, which is a text", "since")
        since = None if message.since is None else read_cursor(message.since)
        if message.id in feed:
            raise BadRequest("is that of an open subscription", "id")
        if len(feed) >= SUBSCRIPTIONS_MAX:
            raise BadRequest(f"there are {SUBSCRIPTIONS_MAX} subscriptions already", "id")
        if (rules := feed.rules_with(filters)) > RULES_MAX:
            raise BadRequest(f"would be {rules} in this session, whose limit is {RULES_MAX}", "filters")
        head = await self._log.settle(since)
        feed.subscribe(message.id, filters, since, head)
        return str(head)

    def _src(self, session: str, message: Src) -> str:
        if len(message.runner) > RUNNER_MAX:
            raise BadRequest(f"is longer than {RUNNER_MAX}", "runner")
        uid = secrets.token_urlsafe(16)
        runner = f"{session}/{message.runner}" if message.runner else ""
        self._sessions.src(Wanted(_view_of(message.view), session, runner), uid)
        return uid


def _shown(head: Cursor) -> str:
    return str(head) if head.epoch else ""  # The store has never answered yet.


def _view_of(asked: dict[str, str | int | float] | str) -> View:
    if isinstance(asked, str):
        try:
            pairs = read_pairs(asked.encode("ascii"))
        except UnicodeEncodeError:
            raise BadRequest("a query string is ASCII, percent-encoded", "view") from None
    else:
        pairs = [(name, value if isinstance(value, str) else f"{value!r}") for name, value in asked.items()]
    try:
        return view_from_pairs(pairs)
    except ViewError as error:
        raise BadRequest(error.text, error.parameter) from error


def _id_of(text: str) -> int | None:
    """Find the id of a message that is otherwise wrong, so that the client knows which one it was."""
    try:
        found = _PEEK.decode(text).id
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None
    return found if isinstance(found, int) and not isinstance(found, bool) and 0 <= found <= ID_MAX else None


def _check_origin(scope: Scope, allowed: frozenset[str]) -> None:
    """Let our own pages and programs (which send no origin) pass; other sites' pages must not read for their visitors.

    Raises  NotYours.
    """
    headers = dict(scope["headers"])
    origin = headers.get(b"origin", b"").decode("latin-1")
    if not origin or origin in allowed:
        return
    host = headers.get(b"host", b"").decode("latin-1")
    try:
        place = urlsplit(origin).netloc.lower()
    except ValueError:
        place = ""  # No origin that a browser would send.
    if not host or place != host.lower():
        raise NotYours("a page of another origin may not open the websocket (setting origins)", "origin")


async def _reject(scope: Scope, send: Send, error: ImgdError) -> None:
    """Refuse the handshake, in plain HTTP where the server can."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close"})
        return
    body = body_of(problem_of(error))
    headers = [*headers_of(error), (b"content-length", str(len(body)).encode())]
    await send({"type": "websocket.http.response.start", "status": error.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})

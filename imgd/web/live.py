"""`/live`: one websocket is one session. It opens runners, and is told and shown what they do; it follows events; it
gets UIDs to load views by.

One task reads what the client says, another one writes: replies first, then what its runners say and show, then
events, batch by batch from wherever the client is. Nothing piles up for a client that takes nothing: its batches are
not read from the log before, and tiles are dropped for newer ones.
"""

import itertools
import math
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import trio

from cgi_worker.wire.facts import FACTS_BYTES_MAX
from imgd.config import Settings
from imgd.core.sessions.asking import parameters_of, view_of
from imgd.core.sessions.messages import RunnerMessage, ViewText
from imgd.core.uids import Uids, Wanted
from imgd.errors import BadRequest, Busy, ImgdError, NotYours
from imgd.events.event import Cursor, read_cursor
from imgd.events.feed import Feed, Message
from imgd.events.filters import read_filters
from imgd.events.log import Log
from imgd.events.store import StoreDown
from imgd.origin import note_session
from imgd.web.gone import RETRY_AFTER_S
from imgd.web.outbox import TEXT_BYTES_MAX, Item, Outbox
from imgd.web.problems import body_of, headers_of, plain_text, problem_of
from imgd.web.runs import Runs
from imgd.web.seam import Receive, Scope, Send
from imgd.web.telling import told, told_head, told_progress
from imgd.web.together import Together, together_of
from imgd.web.websockets import PROGRESS_BYTES

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
RUN_TEXT_BYTES: Final = 2 * FACTS_BYTES_MAX  # Of one run: its facts are told, and are in its result document as well.
TOGETHER_BYTES: Final = 65_536  # Messages that are written in one go, to a client that takes them at once.
AT_ONCE_S: Final = 0.25
ABNORMAL: Final = 1006  # There was no closing: the connection broke.


class _Message(msgspec.Struct, frozen=True, tag_field="op", forbid_unknown_fields=True):
    id: int


class Ping(_Message, frozen=True, tag="ping"):
    """Client: still there? -> the same."""


class Src(_Message, frozen=True, tag="src"):
    """Client: this view is wanted -> a UID.

    view    parameters of `/img`: an object of texts and numbers, or a query string (for names that are not UTF-8).
    runner  name of one open view of the client; a newer view of the same runner takes the place of the one being made.
    """

    view: ViewText
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


_MESSAGES: Final = msgspec.json.Decoder(RunnerMessage | Ping | Src | Subscribe | Unsubscribe)
_PEEK: Final = msgspec.json.Decoder(_Peek)


@dataclass(slots=True)
class _Session:
    """One websocket's life: its name, what it follows, what is to be said, and the code with which it will be closed.

    life  has a deadline while something is being sent: no scope of its own for each message, which costs more.
    quick  the client took the last messages at once.
    gone  the client has ended it; clean: with a closing.
    """

    name: str
    feed: Feed
    outbox: Outbox
    life: trio.CancelScope
    together: Together
    code: int = CLOSE_TOO_SLOW  # The one end of which nobody else says why.
    reason: str = ""
    quick: bool = True
    gone: bool = False
    clean: bool = True

    def hang_up(self, code: int, reason: str) -> None:
        """Say what waits, then close."""
        self.code, self.reason = code, reason
        self.outbox.end()

    def give_up(self) -> None:
        """End it as one that takes nothing; at the latest when what is being sent has had its time."""
        self.outbox.clear()
        self.life.cancel()


class Live:
    """Serve the websockets."""

    def __init__(self, sessions: Uids, runs: Runs, log: Log, settings: Settings) -> None:
        self._sessions = sessions
        self._runs = runs
        self._log = log
        self.take(settings)
        self._on_end: Callable[[str], None] = lambda _: None
        self._is_ending = False
        self._numbers = itertools.count(1)
        self._open: dict[str, _Session] = {}

    def take(self, settings: Settings) -> None:
        """Take up other settings; sessions that are there keep the room that they have for what waits."""
        self._message_bytes = settings.message_bytes
        self._session_bytes = settings.session_bytes
        self._text_bytes = TEXT_BYTES_MAX + RUN_TEXT_BYTES * settings.runners_max
        self._send_limit_s = settings.send_limit_s
        self._origins = frozenset(settings.origins)

    def tell_ends(self, on_end: Callable[[str], None]) -> None:
        """Have somebody told of each session that has ended."""
        self._on_end = on_end

    def end_sessions(self) -> None:
        """Tell all clients to leave (close code 1001), and let none in any more."""
        self._is_ending = True
        for session in self._open.values():
            session.code = CLOSE_GOING_AWAY
            session.life.cancel()

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one websocket until either side ends it; its session, its runners and its UIDs end with it."""
        await receive()  # websocket.connect
        name = f"ws{next(self._numbers)}"
        note_session(name)
        try:
            _check_origin(scope, self._origins)
            if self._is_ending:
                raise Busy(REASONS[CLOSE_GOING_AWAY], RETRY_AFTER_S, "stopped")
            self._sessions.open(name)
        except ImgdError as error:
            await _reject(scope, send, error)
            return
        refused: ImgdError | None = None
        try:
            self._runs.connect(name)
            await self._converse(name, scope, receive, send)
        except ImgdError as error:
            refused = error
        finally:
            self._sessions.close(name)
            self._on_end(name)
        if refused is not None:
            await _reject(scope, send, refused)

    async def _converse(self, name: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Read and write until either side ends it, then close."""
        dropped = partial(self._runs.dropped, name)
        outbox = Outbox(REPLIES_MAX, self._session_bytes, dropped, text_bytes_max=self._text_bytes)
        together = together_of(scope)
        session = _Session(name, self._log.feed(), outbox, trio.CancelScope(), together)
        self._open[name] = session
        self._runs.post(name, session)
        try:
            with session.life:
                await send({"type": "websocket.accept"})
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write, session, send)
                    await self._read(session, receive)
        finally:
            del self._open[name]
            clean = session.clean if session.gone else session.code != CLOSE_TOO_SLOW
            self._runs.disconnect(name, clean=clean)
        if not session.gone:
            reason = session.reason or REASONS[session.code]
            with trio.move_on_after(self._send_limit_s):
                await send({"type": "websocket.close", "code": session.code, "reason": reason})

    async def _read(self, session: _Session, receive: Receive) -> None:
        """Answer message after message until the client is gone, or has said what ends it."""
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                session.gone, session.clean = True, message.get("code", ABNORMAL) != ABNORMAL
                session.life.cancel()
                return
            text = message.get("text")
            if text is None or not self._fits(text):
                session.hang_up(CLOSE_NOT_TEXT if text is None else CLOSE_TOO_BIG, "")
                return  # What was asked before is answered before the end.
            await session.outbox.room()
            reply = await self._reply(session, text)
            if reply is not None:
                session.outbox.put(msgspec.json.encode(reply).decode())

    def _fits(self, text: str) -> bool:
        """Tell whether a message is no larger than it may be, in UTF-8."""
        return len(text) <= self._message_bytes and len(text.encode("utf-8", "replace")) <= self._message_bytes

    async def _write(self, session: _Session, send: Send) -> None:
        """Say what is to be said until the outbox is ended, and with it the session."""
        outbox, feed = session.outbox, session.feed
        next_head = trio.current_time() + self._log.head_s
        with self._log.waking(outbox.wake):
            while True:
                while items := outbox.take_some(TOGETHER_BYTES if session.quick else 1):
                    await self._hand_over(session, send, items)
                if outbox.ended:
                    session.life.cancel()
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
        await self._hand_over(session, send, [Item(text)])

    async def _hand_over(self, session: _Session, send: Send, items: list[Item]) -> None:
        """Send messages; a client that takes nothing for too long is ended, and its session with it."""
        begun_s = trio.current_time()
        size_bytes = sum(len(item.data) for item in items)
        session.life.deadline = begun_s + self._send_limit_s * (1 + size_bytes // PROGRESS_BYTES)
        await session.together.send([item.data for item in items], send)
        session.life.deadline = math.inf
        session.quick = trio.current_time() - begun_s < AT_ONCE_S
        self._runs.sent(session.name, items)

    async def _reply(self, session: _Session, text: str) -> Mapping[str, Any] | None:
        """Carry out what a message asks. Where it changes what is followed, nothing is waited for after that: the
        reply is in the outbox before the first event."""
        try:
            message = _MESSAGES.decode(text)
            if not 0 <= message.id <= ID_MAX:
                raise BadRequest(f"must be from 0 to {ID_MAX}", "id")
            match message:
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
                case _:
                    self._runs.hear(session.name, message)  # Its reply is in the outbox by then.
                    return None
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
        self._sessions.src(Wanted(view_of(parameters_of(message.view), None), session, runner), uid)
        return uid


def _shown(head: Cursor) -> str:
    return str(head) if head.epoch else ""  # The store has never answered yet.


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

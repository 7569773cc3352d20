"""`/live`: one websocket is one session. It says which views it wants and gets UIDs to load them by."""

import itertools
import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import trio

from cgi_worker.wire.grammar import ViewError
from cgi_worker.wire.view import View, view_from_pairs
from imgd.core.sessions import Sessions, Wanted
from imgd.errors import BadRequest, ImgdError, NotYours
from imgd.web.problems import body_of, headers_of, plain_text, problem_of
from imgd.web.query import read_pairs
from imgd.web.seam import Receive, Scope, Send

VERSION: Final = 1
RUNNER_MAX: Final = 64
ID_MAX: Final = 2**53 - 1  # What a browser's number holds exactly.
CLOSE_GOING_AWAY: Final = 1001
CLOSE_NOT_TEXT: Final = 1003
CLOSE_TOO_BIG: Final = 1009


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


class _Peek(msgspec.Struct):
    id: Any = None


_MESSAGES: Final = msgspec.json.Decoder(Hello | Ping | Src)
_PEEK: Final = msgspec.json.Decoder(_Peek)


class Live:
    """Serve the websockets."""

    def __init__(self, sessions: Sessions, message_bytes: int, send_limit_s: float, origins: tuple[str, ...]) -> None:
        self._sessions = sessions
        self._message_bytes = message_bytes
        self._send_limit_s = send_limit_s
        self._origins = frozenset(origins)
        self._on_end: Callable[[str], None] = lambda _: None
        self._numbers = itertools.count(1)
        self._open: dict[str, trio.CancelScope] = {}

    def tell_ends(self, on_end: Callable[[str], None]) -> None:
        """Have somebody told of each session that has ended."""
        self._on_end = on_end

    def end_sessions(self) -> None:
        """Tell all clients to leave (close code 1001)."""
        for session in self._open.values():
            session.cancel()

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one websocket until either side ends it; its session and its UIDs end with it."""
        await receive()  # websocket.connect
        session = f"ws{next(self._numbers)}"
        try:
            _check_origin(scope, self._origins)
            self._sessions.open(session)
        except ImgdError as error:
            await _reject(scope, send, error)
            return
        try:
            with trio.CancelScope() as self._open[session]:
                await send({"type": "websocket.accept"})
                code = await self._converse(session, receive, send)
            if self._open[session].cancelled_caught:
                code = CLOSE_GOING_AWAY
            if code:
                with trio.move_on_after(self._send_limit_s):
                    await send({"type": "websocket.close", "code": code})
        finally:
            del self._open[session]
            self._sessions.close(session)
            self._on_end(session)

    async def _converse(self, session: str, receive: Receive, send: Send) -> int:
        """Answer message after message; return the code to close with, 0 if the client is gone."""
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return 0
            text = message.get("text")
            if text is None:
                return CLOSE_NOT_TEXT
            if len(text) > self._message_bytes:
                return CLOSE_TOO_BIG
            reply = msgspec.json.encode(self._reply(session, text)).decode()
            with trio.move_on_after(self._send_limit_s) as limit:
                await send({"type": "websocket.send", "text": reply})
            if limit.cancelled_caught:
                return CLOSE_GOING_AWAY

    def _reply(self, session: str, text: str) -> Mapping[str, Any]:
        try:
            message = _MESSAGES.decode(text)
            if not 0 <= message.id <= ID_MAX:
                raise BadRequest(f"must be from 0 to {ID_MAX}", "id")
            match message:
                case Hello():
                    return {"id": message.id, "op": "hello", "session": session, "version": VERSION}
                case Ping():
                    return {"id": message.id, "op": "ping"}
                case Src():
                    return {"id": message.id, "op": "src", "uid": self._src(session, message)}
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

    def _src(self, session: str, message: Src) -> str:
        if len(message.runner) > RUNNER_MAX:
            raise BadRequest(f"is longer than {RUNNER_MAX}", "runner")
        uid = secrets.token_urlsafe(16)
        runner = f"{session}/{message.runner}" if message.runner else ""
        self._sessions.src(Wanted(_view_of(message.view), session, runner), uid)
        return uid


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

"""`imgd watch`: print events as they happen, and go on by itself when the daemon was away."""

import contextlib
import functools
import json
import os
import random
import select
import signal
import ssl
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit, urlunsplit

import h11
import msgspec
import trio
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    HandshakeError,
    WebSocketConnection,
    wrap_client_stream,
)
from wsproto.utilities import ProtocolError

from imgd.errors import BadRequest, ConfigError
from imgd.events.event import read_cursor
from imgd.trust import client_context, tls_trouble

EXIT_OK: Final = 0
EXIT_REFUSED: Final = 1
EXIT_INTERRUPTED: Final = 130
EXIT_NOBODY_READS: Final = 141  # As a shell has it of who was ended by SIGPIPE.
FROM_THE_START: Final = "0"
AGAIN_S: Final = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
CONNECT_LIMIT_S: Final = 10.0
DISCONNECT_LIMIT_S: Final = 1.0
SILENCE_S: Final = 60.0  # The daemon says where we are every 30 seconds, or sooner.
MESSAGE_BYTES: Final = 64 * 1024 * 1024
LATER: Final = frozenset((408, 425, 429))  # Statuses below 500 that do not stay.
_SUB: Final = 1
_STDOUT: Final = 1
_STRANGE: Final = "what it says is nothing that a daemon of ours says"
_Kind = TypeVar("_Kind")
Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]


class Refused(Exception):
    """It cannot be done, now or later; the text says why."""


class _NotNow(Exception):
    """The daemon cannot do it at present, or what answers is no daemon at present."""


class _Told(msgspec.Struct, frozen=True):
    event: msgspec.Raw


class _Event(msgspec.Struct, frozen=True):
    """What of an event stands in a line for people."""

    at: str
    type: str
    id: int = 0
    root: str = ""
    path: str = ""
    detail: dict[str, Any] = {}


class _Said(msgspec.Struct, frozen=True):
    """What the daemon says, of any kind."""

    op: str
    head: str = ""
    events: list[_Told] = []
    event: msgspec.Raw = msgspec.Raw(b"{}")
    first: int = msgspec.field(default=0, name="from")
    last: int = msgspec.field(default=0, name="to")
    status: int = 0
    detail: str = ""
    parameter: str = ""

    @property
    def epoch(self) -> str:
        """Tell the epoch of `head`, which must be there.

        Raises  _NotNow.
        """
        try:
            return read_cursor(self.head).epoch
        except BadRequest as error:
            raise _NotNow(_STRANGE) from error


@dataclass(slots=True)
class Watching:
    """What is watched, and how far it has come.

    cursor  everything up to here has been printed; None: from now on; FROM_THE_START: all that is kept.
    left    events to print before the end; None: no end.
    progress  print progress as well: it has no cursor, and is not counted.
    trust  whom to trust over https; None: the system's authorities.
    """

    url: str
    filters: Sequence[list[Any]]
    cursor: str | None
    as_json: bool
    left: int | None
    progress: bool = False
    failures: int = 0
    trust: ssl.SSLContext | None = None


def live_url(text: str) -> str:
    """Make a daemon's address (http, https, ws, wss, or HOST:PORT) that of its websocket.

    Raises  ConfigError.
    """
    try:
        if not (text.isascii() and text.isprintable()) or " " in text:
            raise ValueError
        parts = urlsplit(text if "://" in text else f"http://{text}")
        (parts.hostname or "").encode("idna")  # Raises ValueError where a label is empty, or too long.
        known = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}.get(parts.scheme)
        if known is None or not parts.hostname or parts.port == 0 or text.startswith("unix:"):
            raise ValueError
    except ValueError as error:
        raise ConfigError(f"{text!r:.200} is no address of a daemon, such as http://127.0.0.1:8765/") from error
    path = parts.path if parts.path.endswith("/live") else parts.path.rstrip("/") + "/live"
    return urlunsplit((known, parts.netloc, path, parts.query, ""))


def run(watching: Watching) -> int:
    """Watch until it has printed enough, or is interrupted; return the exit code."""
    if sys.stdout is None:  # The descriptor would be given to the next thing that is opened.
        _tell("the standard output is closed")
        return EXIT_REFUSED
    return trio.run(_main, watching)


async def _main(watching: Watching) -> int:
    code = EXIT_OK

    async def until_interrupted(scope: trio.CancelScope) -> None:
        nonlocal code
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _ in signals:
                code = EXIT_INTERRUPTED
                scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(until_interrupted, nursery.cancel_scope)
        try:
            await watch(watching)
        except Refused as error:
            _tell(str(error))
            code = EXIT_REFUSED
        except BrokenPipeError:
            code = EXIT_NOBODY_READS
        nursery.cancel_scope.cancel()
    return code


async def watch(watching: Watching) -> None:
    """Print events until there were enough of them; connect again, for as long as it takes, when the daemon is away.

    Raises  Refused; BrokenPipeError if nobody reads what is printed.
    """
    while why := await _connect_once(watching):
        pause_s = AGAIN_S[min(watching.failures, len(AGAIN_S) - 1)] * random.uniform(0.5, 1.5)
        watching.failures += 1
        _tell(f"{why}; again in {pause_s:.1f} s")
        await trio.sleep(pause_s)


async def _connect_once(watching: Watching) -> str:
    """Follow by one connection; tell why it ended, "" if there was enough."""
    try:
        with trio.fail_after(CONNECT_LIMIT_S):
            stream = await _open_stream(watching)
    except trio.BrokenResourceError as error:
        if isinstance(error.__cause__, ssl.SSLCertVerificationError):
            raise Refused(f"{watching.url}: {tls_trouble(error)}") from error
        return f"cannot connect: {tls_trouble(error) or 'the connection broke'}"
    except (OSError, trio.TooSlowError) as error:
        return f"cannot connect: {error or 'no answer'}"
    why, final = "", None
    try:
        async with stream, trio.open_nursery() as nursery:
            try:
                why = await _converse(nursery, stream, watching)
            except (Refused, BrokenPipeError) as error:
                final = error  # Out of the nursery it would come in a group.
            nursery.cancel_scope.cancel()
    except* ConnectionRejected as group:  # Raised by the library's own task, as the others are.
        status = _status_of(group)
        why = f"status {status}"
        if status < 500 and status not in LATER:
            final = Refused(f"{watching.url} answers with status {status}")
    except* (ConnectionClosed, HandshakeError, ProtocolError, h11.ProtocolError, trio.BrokenResourceError):
        why = "no websocket: the answer is broken"
    if final is not None:
        raise final
    return why


def _status_of(group: BaseExceptionGroup[Any]) -> int:
    first = group.exceptions[0]
    return _status_of(first) if isinstance(first, BaseExceptionGroup) else int(first.status_code)


async def _open_stream(watching: Watching) -> Stream:
    parts = urlsplit(watching.url)
    assert parts.hostname is not None
    if parts.scheme == "wss":
        stream = await trio.open_ssl_over_tcp_stream(
            parts.hostname, parts.port or 443, https_compatible=True, ssl_context=watching.trust or client_context()
        )
        try:
            await stream.do_handshake()
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        return stream
    return await trio.open_tcp_stream(parts.hostname, parts.port or 80)


async def _converse(nursery: trio.Nursery, stream: Stream, watching: Watching) -> str:
    parts = urlsplit(watching.url)
    resource = urlunsplit(("", "", parts.path, parts.query, ""))
    socket: WebSocketConnection | None = None
    try:
        with trio.move_on_after(CONNECT_LIMIT_S):  # Also when it is closed without an answer: nothing says so.
            socket = await wrap_client_stream(
                nursery, stream, parts.netloc.rpartition("@")[2], resource, max_message_size=MESSAGE_BYTES
            )
        if socket is None:
            return "no websocket: there is no whole answer"
        await _follow(socket, watching)
        with trio.move_on_after(DISCONNECT_LIMIT_S):
            await socket.aclose()
        return ""
    except ConnectionClosed as error:
        return (error.reason and error.reason.reason) or "the connection ended"
    except (HandshakeError, trio.BrokenResourceError) as error:
        return f"no websocket: {error.__cause__ or error or type(error).__name__}"
    except trio.TooSlowError:
        return f"nothing heard for {SILENCE_S:g} s"
    except _NotNow as error:
        return str(error)


async def _follow(socket: WebSocketConnection, watching: Watching) -> None:
    """Print what one connection tells, until there was enough."""
    if watching.cursor == FROM_THE_START:
        await socket.send_message(json.dumps({"id": 0, "op": "ping"}))
        pong = await _heard(socket)
        if not pong.head:
            raise _NotNow("the store of events does not answer")
        watching.cursor = f"{pong.epoch}:0"
    asked = {"id": _SUB, "op": "subscribe", "since": watching.cursor, "filters": watching.filters}
    await socket.send_message(json.dumps(asked))
    epoch = ""
    while True:
        said = await _heard(socket)
        match said.op:
            case "error" if 400 <= said.status < 500:
                raise Refused(f"{said.parameter}: {said.detail}")
            case "error":
                raise _NotNow(said.detail or _STRANGE)
            case "subscribed":
                epoch = said.epoch
                watching.failures = 0
                watching.cursor = watching.cursor or said.head
            case "events" if said.events and epoch:
                if await _print(watching, [each.event for each in said.events], epoch):
                    return
            case "progress" if watching.progress:
                await _write(_line(said.event, "", watching) + "\n")
            case "missed" if epoch:
                _tell(f"missed events {said.first} to {said.last}: no longer kept, or we were too slow")
                watching.cursor = f"{epoch}:{said.last}"
            case "reset":
                epoch = said.epoch
                _tell(f"the log of events is another one; going on from {said.head}")
                watching.cursor = said.head
            case "head" | "live" if epoch:
                epoch = said.epoch
                watching.cursor = said.head


async def _heard(socket: WebSocketConnection) -> _Said:
    with trio.fail_after(SILENCE_S):
        text = await socket.get_message()
    return _decoded(text, _Said)


def _decoded(text: str | bytes | msgspec.Raw, kind: type[_Kind]) -> _Kind:
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise _NotNow(_STRANGE) from error


async def _print(watching: Watching, events: Sequence[msgspec.Raw], epoch: str) -> bool:
    if watching.left is not None:
        events = events[: watching.left]
    cursors = [f"{epoch}:{_decoded(event, _Event).id}" for event in events]
    await _write("".join(_line(*each, watching) + "\n" for each in zip(events, cursors, strict=True)))
    watching.cursor = cursors[-1]
    if watching.left is not None:
        watching.left -= len(events)
    return watching.left == 0


def _line(event: msgspec.Raw, cursor: str, watching: Watching) -> str:
    told = _decoded(event, _Event)
    if watching.as_json:
        whole = _decoded(event, dict)
        return json.dumps({"cursor": cursor, **whole} if cursor else whole, ensure_ascii=False)
    where = "/".join(filter(None, (told.root, told.path)))
    more = " ".join(f"{name}={value}" for name, value in told.detail.items())
    return _plain(" ".join(filter(None, (cursor or "-", told.at, told.type, where, more))))


def _plain(text: str) -> str:
    """Keep names from giving orders to the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


async def _write(text: str) -> None:
    """Write to the standard output, which may be a pipe that nobody reads for a while; an interrupt gets through.

    Raises  BrokenPipeError; Refused if it cannot be written to for another reason.
    """
    data = text.encode("utf-8", "replace")
    try:
        await trio.to_thread.run_sync(functools.partial(_write_all, data), abandon_on_cancel=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Refused(f"cannot write to the standard output: {error.strerror}") from error


def _write_all(data: bytes) -> None:
    while data:
        try:
            data = data[os.write(_STDOUT, data) :]
        except BlockingIOError:  # Somebody else who has the same pipe or terminal wants it so.
            room = select.poll()
            room.register(_STDOUT, select.POLLOUT)
            room.poll()


def _tell(words: str) -> None:
    if sys.stderr is not None:
        with contextlib.suppress(OSError):  # Nobody reads it: what is printed may be read nevertheless.
            print(f"imgd watch: {_plain(words)}", file=sys.stderr, flush=True)

"""`imgd watch`: print events as they happen, and go on by itself when the daemon was away."""

import functools
import json
import os
import random
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import trio
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    HandshakeError,
    WebSocketConnection,
    wrap_client_stream,
)

from imgd.errors import ConfigError

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
_SUB: Final = 1
Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]


class Refused(Exception):
    """The daemon will not have it, now or later; the text says why."""


class _NotNow(Exception):
    """The daemon cannot do it at present."""


@dataclass(slots=True)
class Watching:
    """What is watched, and how far it has come.

    cursor  everything up to here has been printed; None: from now on; FROM_THE_START: all that is kept.
    left    events to print before the end; None: no end.
    progress  print progress as well: it has no cursor, and is not counted.
    """

    url: str
    filters: Sequence[list[Any]]
    cursor: str | None
    as_json: bool
    left: int | None
    progress: bool = False
    failures: int = 0


def live_url(text: str) -> str:
    """Make a daemon's address (http, https, ws, wss, or HOST:PORT) that of its websocket.

    Raises  ConfigError.
    """
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        known = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}.get(parts.scheme)
        if known is None or not parts.hostname or parts.port == 0 or text.startswith("unix:"):
            raise ValueError
    except ValueError as error:
        raise ConfigError(f"{text!r} is no address of a daemon, such as http://127.0.0.1:8765/") from error
    path = parts.path if parts.path.endswith("/live") else parts.path.rstrip("/") + "/live"
    return urlunsplit((known, parts.netloc, path, parts.query, ""))


def run(watching: Watching) -> int:
    """Watch until it has printed enough, or is interrupted; return the exit code."""
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
            stream = await _open_stream(watching.url)
    except (OSError, trio.TooSlowError) as error:
        return f"cannot connect: {error or 'no answer'}"
    why, final = "", None
    async with stream, trio.open_nursery() as nursery:
        try:
            why = await _converse(nursery, stream, watching)
        except (Refused, BrokenPipeError) as error:
            final = error  # Out of the nursery it would come in a group.
        nursery.cancel_scope.cancel()
    if final is not None:
        raise final
    return why


async def _open_stream(url: str) -> Stream:
    parts = urlsplit(url)
    assert parts.hostname is not None
    if parts.scheme == "wss":
        return await trio.open_ssl_over_tcp_stream(parts.hostname, parts.port or 443, https_compatible=True)
    return await trio.open_tcp_stream(parts.hostname, parts.port or 80)


async def _converse(nursery: trio.Nursery, stream: Stream, watching: Watching) -> str:
    parts = urlsplit(watching.url)
    resource = urlunsplit(("", "", parts.path, parts.query, ""))
    try:
        with trio.fail_after(CONNECT_LIMIT_S):
            socket = await wrap_client_stream(
                nursery, stream, parts.netloc.rpartition("@")[2], resource, max_message_size=MESSAGE_BYTES
            )
        await _follow(socket, watching)
        with trio.move_on_after(DISCONNECT_LIMIT_S):
            await socket.aclose()
        return ""
    except ConnectionRejected as error:
        if error.status_code < 500:
            raise Refused(f"{watching.url} answers with status {error.status_code}") from error
        return f"status {error.status_code}"
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
        epoch = (await _heard(socket))["head"].partition(":")[0]
        watching.cursor = f"{epoch}:0" if epoch else FROM_THE_START
        if not epoch:
            raise _NotNow("the store of events does not answer")
    asked = {"id": _SUB, "op": "subscribe", "since": watching.cursor, "filters": watching.filters}
    await socket.send_message(json.dumps(asked))
    epoch = ""
    while True:
        message = await _heard(socket)
        match message["op"]:
            case "error" if message["status"] < 500:
                raise Refused(f"{message['parameter']}: {message['detail']}")
            case "error":
                raise _NotNow(message["detail"])
            case "subscribed":
                watching.failures = 0
                watching.cursor = watching.cursor or message["head"]
                epoch = message["head"].partition(":")[0]
            case "events":
                if await _print(watching, [each["event"] for each in message["events"]], epoch):
                    return
            case "progress" if watching.progress:
                await _write(_line(message["event"], "", as_json=watching.as_json) + "\n")
            case "missed":
                _tell(f"missed events {message['from']} to {message['to']}: no longer kept, or we were too slow")
                watching.cursor = f"{epoch}:{message['to']}"
            case "reset":
                _tell(f"the log of events is another one; going on from {message['head']}")
                watching.cursor = message["head"]
                epoch = message["head"].partition(":")[0]
            case "head" | "live" if epoch:
                watching.cursor = message["head"]


async def _heard(socket: WebSocketConnection) -> dict[str, Any]:
    with trio.fail_after(SILENCE_S):
        message = json.loads(await socket.get_message())
    if not isinstance(message, dict):
        raise Refused("this is no daemon of ours")
    return message


async def _print(watching: Watching, events: Sequence[dict[str, Any]], epoch: str) -> bool:
    if watching.left is not None:
        events = events[: watching.left]
    lines = [_line(event, f"{epoch}:{event['id']}", as_json=watching.as_json) for event in events]
    await _write("".join(line + "\n" for line in lines))
    watching.cursor = f"{epoch}:{events[-1]['id']}"
    if watching.left is not None:
        watching.left -= len(events)
    return watching.left == 0


def _line(event: dict[str, Any], cursor: str, *, as_json: bool) -> str:
    if as_json:
        return json.dumps({"cursor": cursor, **event} if cursor else event, ensure_ascii=False)
    where = "/".join(filter(None, (event.get("root"), event.get("path"))))
    more = " ".join(f"{name}={value}" for name, value in event.get("detail", {}).items())
    return _plain(" ".join(filter(None, (cursor or "-", event["at"], event["type"], where, more))))


def _plain(text: str) -> str:
    """Keep names from giving orders to the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


async def _write(text: str) -> None:
    """Write to the standard output, which may be a pipe that nobody reads for a while; an interrupt gets through."""
    data = text.encode("utf-8", "replace")
    await trio.to_thread.run_sync(functools.partial(_write_all, data), abandon_on_cancel=True)


def _write_all(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


def _tell(words: str) -> None:
    print(f"imgd watch: {words}", file=sys.stderr, flush=True)

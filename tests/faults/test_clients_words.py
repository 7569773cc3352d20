"""Requests that can be read in two ways, directly and through nginx; websocket frames that break the grammar."""

import contextlib
import re
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from tests.daemon.http1 import open_stream
from tests.daemon.rig import RunningDaemon, running_daemon
from tests.faults.hostile import (
    LIMIT_S,
    UPGRADE,
    connection,
    is_as_before,
    others_are_served,
    read_all,
    read_until,
    resting,
    send,
)
from tests.frames import make
from tests.fronts.nginx import Fronted, daemon_behind_nginx

INNER = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
LAST = b"0\r\n\r\n"


def post(*headers: bytes, body: bytes = b"", start: bytes = b"POST /runs HTTP/1.1") -> bytes:
    """Make a request to whatever headers."""
    return start + b"\r\nHost: x\r\n" + b"".join(headers) + b"\r\n" + body


REFUSED = {
    "both lengths": post(b"Content-Length: 5\r\n", CHUNKED, body=LAST + INNER),
    "both lengths, the other way": post(CHUNKED, b"Content-Length: 50\r\n", body=LAST + INNER),
    "two lengths": post(b"Content-Length: 2\r\n", b"Content-Length: 40\r\n", body=b"{}" + INNER),
    "two lengths in one": post(b"Content-Length: 2, 40\r\n", body=b"{}" + INNER),
    "a signed length": post(b"Content-Length: +2\r\n", body=b"{}" + INNER),
    "a negative length": post(b"Content-Length: -2\r\n", body=b"{}" + INNER),
    "a length with an underscore": post(b"Content-Length: 1_0\r\n", body=b"{}" + INNER),
    "a length in hexadecimal": post(b"Content-Length: 0x2\r\n", body=b"{}" + INNER),
    "two codings": post(CHUNKED, CHUNKED, body=LAST + INNER),
    "chunked twice": post(b"Transfer-Encoding: chunked, chunked\r\n", body=LAST + INNER),
    "chunked, but not last": post(b"Transfer-Encoding: chunked, identity\r\n", body=LAST + INNER),
    "an unknown coding": post(b"Transfer-Encoding: xchunked\r\n", body=LAST + INNER),
    "a coding with a vertical tab": post(b"Transfer-Encoding: \x0bchunked\r\n", body=LAST + INNER),
    "a space before the colon": post(b"Transfer-Encoding : chunked\r\n", body=LAST + INNER),
    "a tab before the colon": post(b"Content-Length\t: 2\r\n", body=b"{}" + INNER),
    "a coding in HTTP/1.0": post(CHUNKED, body=LAST + INNER, start=b"POST /runs HTTP/1.0"),
    "a NUL in a header": post(b"A: b\0c\r\n", body=INNER),
    "a NUL in a name": post(b"A\0: b\r\n", body=INNER),
    "a CR in a header": post(b"A: b\rContent-Length: 40\r\n", body=INNER),
    "no name": post(b": b\r\n", body=INNER),
    "a head that begins with a fold": b"GET /healthz HTTP/1.1\r\n A: b\r\nHost: x\r\n\r\n" + INNER,
    "two hosts": post(b"Host: y\r\n", body=INNER),
    "no host": b"GET /healthz HTTP/1.1\r\n\r\n" + INNER,
    "a host that is none": b"GET http://@/healthz HTTP/1.1\r\nHost: x\r\n\r\n" + INNER,
    "an address of another kind": b"GET ftp://x/healthz HTTP/1.1\r\nHost: x\r\n\r\n" + INNER,
    "a tunnel": b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n" + INNER,
    "an unknown version": b"GET /healthz HTTP/3.0\r\nHost: x\r\n\r\n" + INNER,
    "HTTP/0.9": b"GET /healthz\r\n\r\n" + INNER,
    "a space in the address": b"GET /heal thz HTTP/1.1\r\nHost: x\r\n\r\n" + INNER,
    "a websocket with a body": UPGRADE + b"Content-Length: 37\r\n\r\n" + INNER,
    "a websocket of another version": UPGRADE.replace(b": 13", b": 12") + b"\r\n" + INNER,
    "a websocket without a key": re.sub(rb"Sec-WebSocket-Key.*\r\n", b"", UPGRADE) + b"\r\n" + INNER,
    "a chunk too large to count": post(CHUNKED, body=b"f" * 30 + b"\r\n" + INNER),
    "a chunk that is no number": post(CHUNKED, body=b"xyz\r\n" + INNER),
    "a chunk with a sign": post(CHUNKED, body=b"+2\r\n{}\r\n" + LAST + INNER),
}
READ = {  # The one way in which each is read: the request, and what follows it as the next one.
    "bare line feeds": (post(b"Content-Length: 2\r\n", body=b"{}").replace(b"\r\n", b"\n") + INNER, (400, 404)),
    "a folded line": (post(b"A: b\r\n c\r\n", b"Content-Length: 2\r\n", body=b"{}") + INNER, (400, 404)),
    "an extension of a chunk": (post(CHUNKED, body=b"2;a=b\r\n{}\r\n" + LAST) + INNER, (400, 404)),
    "a coding in capitals": (post(b"TRANSFER-ENCODING: Chunked\r\n", body=b"2\r\n{}\r\n" + LAST) + INNER, (400, 404)),
    "the same length twice": (post(b"Content-Length: 2\r\n" * 2, body=b"{}") + INNER, (400, 404)),
    "a trailer": (post(CHUNKED, body=b"2\r\n{}\r\n0\r\nContent-Length: 40\r\n\r\n") + INNER, (400, 404)),
    "a body of a GET": (post(b"Content-Length: 35\r\n", body=INNER, start=b"GET /healthz HTTP/1.1"), (200,)),
    "a whole address": (b"GET http://x/healthz HTTP/1.1\r\nHost: y\r\n\r\n" + INNER, (200, 404)),
    "a change to HTTP/2": (
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n" + INNER,
        (200, 404),
    ),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, shape in (("a", (60, 80)), ("b", (61, 81))):
        make.write(tmp_path / f"{name}.fits", make.image_hdu(make.star_field(*shape)))
    return tmp_path


def statuses(data: bytes) -> tuple[int, ...]:
    """Tell the statuses of all answers."""
    return tuple(int(found) for found in re.findall(rb"HTTP/1\.1 (\d\d\d) ", data))


async def answers(daemon: RunningDaemon, data: bytes, count: int) -> bytes:
    """Read so many answers, or to the end."""
    async with connection(daemon) as stream:
        await send(stream, data)
        received = b""
        with trio.fail_after(LIMIT_S), contextlib.suppress(trio.BrokenResourceError):
            while len(statuses(received)) < count and (more := await stream.receive_some(65_536)):
                received += more
        return received


async def what_can_be_read_in_two_ways_is_refused(daemon: RunningDaemon) -> None:
    refused = {}
    for name, data in REFUSED.items():
        async with connection(daemon) as stream:
            await send(stream, data)
            refused[name] = statuses(await read_all(stream))
    # One answer, and the end: what follows is not read.
    assert {name: found for name, found in refused.items() if found not in ((400,), (501,), (505,))} == {}
    read = {name: statuses(await answers(daemon, data, len(expected))) for name, (data, expected) in READ.items()}
    assert read == {name: expected for name, (_, expected) in READ.items()}
    assert "Traceback" not in daemon.log()


async def test_no_request_is_answered_with_what_another_asked_for(folder: Path) -> None:
    """Through nginx, whose connections to the daemon many clients share, one after another."""
    async with daemon_behind_nginx(folder, f"f={folder}", workers_max=1, keep_alive_s=5) as fronted:
        shapes = list(REFUSED.items()) + [(name, data) for name, (data, _) in READ.items()]
        for name, data in shapes:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(smuggle, fronted, data.replace(b"/smuggled", b"/frame/f/a.fits"))
                for target, status, size in (("/frame/f/b.fits", 200, b"81"), ("/nowhere", 404, b"")):
                    answer = await fronted.front.get(target)
                    assert (answer.status, size in answer.body) == (status, True), name
                    assert b"a.fits" not in answer.body, name
        assert (await fronted.daemon.get("/img?frame=f/a.fits")).status == 200


async def smuggle(fronted: Fronted, data: bytes) -> None:
    """Say it to nginx, and leave when it has answered, or says nothing for a moment."""
    front = fronted.front
    stream = await open_stream(front.host, front.port, 0, front.context("http/1.1"))
    async with stream:
        with contextlib.suppress(trio.BrokenResourceError), trio.move_on_after(1):
            await stream.send_all(data)
            await stream.receive_some(65_536)


MASK = b"\x01\x02\x03\x04"


def message(first: int, payload: bytes = b"", *, masked: bool = True, length: bytes = b"") -> bytes:
    """Make a frame of a websocket, right or wrong.

    Source  RFC 6455, 5.2.
    """
    size = length or (
        bytes((len(payload),)) if len(payload) < 126 else struct.pack("!BH", 126, len(payload))
    )  # fmt: skip
    head = bytes((first, size[0] | (0x80 if masked else 0))) + size[1:]
    if not masked:
        return head + payload
    return head + MASK + bytes(byte ^ MASK[at % 4] for at, byte in enumerate(payload))


TEXT, BINARY, CLOSE, PING, FIN = 1, 2, 8, 9, 0x80
PROTOCOL, NO_TEXT, POLICY, TOO_BIG = 1002, 1007, 1008, 1009
WRONG = {
    "not masked": (message(FIN | TEXT, b"{}", masked=False), PROTOCOL),
    "a reserved bit": (message(0xC0 | TEXT, b"{}"), PROTOCOL),
    "a reserved kind": (message(FIN | 3, b"{}"), PROTOCOL),
    "a reserved kind of control": (message(FIN | 0xB, b"{}"), PROTOCOL),
    "a long ping": (message(FIN | PING, b"x" * 126), PROTOCOL),
    "a ping in parts": (message(PING, b"x"), PROTOCOL),
    "a part of nothing": (message(FIN, b"x"), PROTOCOL),
    "two messages at a time": (message(TEXT, b"x") + message(FIN | TEXT, b"y"), PROTOCOL),
    "a length at length": (message(FIN | TEXT, b"{}", length=b"\x7e\x00\x02"), PROTOCOL),
    "a length with its first bit": (message(FIN | TEXT, length=b"\x7f\xff" + b"\0" * 7), PROTOCOL),
    "no UTF-8": (message(FIN | TEXT, b"\xff\xfe"), NO_TEXT),
    "no UTF-8 in the end": (message(TEXT, b"\xe2\x82") + message(FIN, b""), NO_TEXT),
    "a close of one byte": (message(FIN | CLOSE, b"x"), PROTOCOL),
    "a close with a code that is none": (message(FIN | CLOSE, struct.pack("!H", 1005)), PROTOCOL),
    "a close with a code of long ago": (message(FIN | CLOSE, struct.pack("!H", 999)), PROTOCOL),
    "a close that is no UTF-8": (message(FIN | CLOSE, struct.pack("!H", 1000) + b"\xff"), NO_TEXT),
    "a message of gigabytes": (message(BINARY, length=b"\x7f" + struct.pack("!Q", 1 << 40)) + bytes(1 << 18), TOO_BIG),
    "a message in very many parts": (message(TEXT, b"x") + message(0, b"x") * 20_000, POLICY),
    "parts of nothing without end": (message(TEXT) + message(0) * 20_000, POLICY),
    "pings without end": (message(FIN | PING) * 20_000, POLICY),
    "answers to no ping": (message(FIN | 0xA) * 20_000, POLICY),
}


@asynccontextmanager
async def websocket(daemon: RunningDaemon) -> AsyncIterator[trio.SocketStream]:
    async with connection(daemon) as stream:
        await stream.send_all(UPGRADE + b"\r\n")
        assert b" 101 " in await read_until(stream, b"\r\n\r\n")
        yield stream


def closings(data: bytes) -> list[int]:
    """Tell the codes of closing frames among a server's frames."""
    codes, at = [], 0
    while at + 2 <= len(data):
        size, skip = data[at + 1], 2
        if size == 126:
            size, skip = int.from_bytes(data[at + 2 : at + 4]), 4
        elif size == 127:
            size, skip = int.from_bytes(data[at + 2 : at + 10]), 10
        if data[at] == FIN | CLOSE:
            codes.append(int.from_bytes(data[at + skip : at + skip + 2]))
        at += skip + size
    return codes


async def frames_that_break_the_grammar_end_their_websocket_with_a_code(daemon: RunningDaemon) -> None:
    for name, (data, code) in WRONG.items():
        async with others_are_served(daemon), websocket(daemon) as stream, trio.open_nursery() as nursery:
            nursery.start_soon(send, stream, data)
            codes = closings(await read_all(stream))
            nursery.cancel_scope.cancel()
        # What was sent after the end makes the kernel throw the code away.
        assert codes == [code] or (len(data) > 1000 and codes == []), (name, codes)
    async with websocket(daemon) as stream:
        await stream.send_all(message(FIN | CLOSE, struct.pack("!H", 1000)) + message(FIN | TEXT, b'{"id":1}') * 10)
        assert closings(await read_all(stream)) == [1000]
    assert "Traceback" not in daemon.log()


async def a_websocket_that_is_asked_for_wrongly_is_not_kept(daemon: RunningDaemon) -> None:
    """Each was refused, and its connection stayed open for ever."""
    for head in (
        UPGRADE.replace(b": 13", b": 99"),
        UPGRADE.replace(b"/live", b"/nowhere"),
        UPGRADE + b"Origin: http://[\r\n",
    ):
        async with connection(daemon) as stream:
            await stream.send_all(head + b"\r\n")
            [status] = statuses(await read_all(stream))
            assert status in (400, 403)
    async with connection(daemon) as stream:  # It speaks before it is let in.
        await stream.send_all(UPGRADE + b"\r\n" + b"x\n" * 100)
        await read_all(stream)


async def test_what_breaks_the_grammar_ends_its_connection_alone(folder: Path) -> None:
    async with running_daemon(f"f={folder}", workers_max=1, worker_idle_s=0.3) as daemon:
        before = await resting(daemon)
        for look in (
            what_can_be_read_in_two_ways_is_refused,
            frames_that_break_the_grammar_end_their_websocket_with_a_code,
            a_websocket_that_is_asked_for_wrongly_is_not_kept,
        ):
            await look(daemon)
            await is_as_before(daemon, before)

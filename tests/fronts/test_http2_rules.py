"""HTTP/2 by its rules (RFC 9113), with frames made by hand: what is wrong ends its stream or its connection by a code,
and what is odd but allowed is served."""

from pathlib import Path

import pytest
import trio

from tests.daemon.rig import RunningDaemon, running_daemon
from tests.faults.hostile import (
    END_HEADERS,
    END_STREAM,
    PREFACE,
    SETTINGS,
    Heard,
    connection,
    frame,
    header_block,
    hear,
    is_as_before,
    read_all,
    request,
    resting,
    send,
)
from tests.frames import make

DATA, HEADERS, PRIORITY, RST, SETTING, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
PROTOCOL, FLOW, CLOSED, SIZE, COMPRESSION = 0x1, 0x3, 0x5, 0x6, 0x9
ACK, PADDED, WITH_PRIORITY = 0x1, 0x8, 0x20
WHOLE = END_STREAM | END_HEADERS
BLOCK = header_block()


def setting(number: int, value: int) -> bytes:
    return frame(SETTING, 0, 0, number.to_bytes(2) + value.to_bytes(4))


def headers(*more: tuple[str, str], drop: str = "", path: str = "/healthz") -> bytes:
    return frame(HEADERS, WHOLE, 1, header_block(*more, drop=drop, path=path))


# What ends the connection: the section, what is sent behind the preface, and the codes that may be given.
CONNECTION_ERRORS = {
    "4.1 a frame that is too long": (SETTINGS + frame(DATA, 0, 1, bytes(16_385)), {SIZE, PROTOCOL}),
    "4.2 a head that is too long": (SETTINGS + frame(HEADERS, WHOLE, 1, bytes(16_385)), {SIZE}),
    "4.3 a head that cannot be unpacked": (SETTINGS + frame(HEADERS, WHOLE, 1, b"\xff" * 20), {COMPRESSION, PROTOCOL}),
    "4.3 a head with another frame in it": (
        SETTINGS + frame(HEADERS, END_STREAM, 1, BLOCK) + frame(PING, 0, 0, bytes(8)), {PROTOCOL},
    ),
    "4.3 a head that goes on in another stream": (
        SETTINGS + frame(HEADERS, END_STREAM, 1, BLOCK) + frame(CONTINUATION, END_HEADERS, 3), {PROTOCOL},
    ),
    "5.1 data of an idle stream": (SETTINGS + frame(DATA, 0, 1, b"x"), {PROTOCOL}),
    "5.1 a reset of an idle stream": (SETTINGS + frame(RST, 0, 1, bytes(4)), {PROTOCOL}),
    "5.1 room for an idle stream": (SETTINGS + frame(WINDOW, 0, 1, b"\0\0\0\x01"), {PROTOCOL}),
    "5.1.1 a stream of an even number": (SETTINGS + request(2), {PROTOCOL}),
    "5.1.1 a stream of a lower number": (SETTINGS + request(5) + request(3), {PROTOCOL, CLOSED}),
    "5.1.1 data of no stream": (SETTINGS + frame(DATA, 0, 0, b"x"), {PROTOCOL}),
    "6.1 padding that is longer than the frame": (
        SETTINGS + request(1, flags=0) + frame(DATA, PADDED, 1, b"\x09abc"), {PROTOCOL},
    ),
    "6.2 a head of no stream": (SETTINGS + frame(HEADERS, WHOLE, 0, BLOCK), {PROTOCOL}),
    "6.2 a head with too much padding": (SETTINGS + frame(HEADERS, WHOLE | PADDED, 1, b"\xff" + BLOCK), {PROTOCOL}),
    "6.3 a priority of no stream": (SETTINGS + frame(PRIORITY, 0, 0, bytes(5)), {PROTOCOL}),
    "6.4 a reset of no stream": (SETTINGS + frame(RST, 0, 0, bytes(4)), {PROTOCOL}),
    "6.4 a reset of another size": (SETTINGS + request(1, flags=0) + frame(RST, 0, 1, bytes(3)), {SIZE}),
    "6.5 settings of a stream": (SETTINGS + frame(SETTING, 0, 1), {PROTOCOL}),
    "6.5 settings of an odd size": (SETTINGS + frame(SETTING, 0, 0, bytes(5)), {SIZE}),
    "6.5 an answer with settings in it": (SETTINGS + frame(SETTING, ACK, 0, bytes(6)), {SIZE, PROTOCOL}),
    "6.5.2 a push that is neither on nor off": (SETTINGS + setting(2, 2), {PROTOCOL}),
    "6.5.2 a window that is too large": (SETTINGS + setting(4, 1 << 31), {FLOW, PROTOCOL}),
    "6.5.2 frames that are too small": (SETTINGS + setting(5, 1), {PROTOCOL}),
    "6.6 a push by a client": (SETTINGS + request(1, flags=0) + frame(PUSH, END_HEADERS, 1, b"\0\0\0\x02"), {PROTOCOL}),
    "6.7 a ping of a stream": (SETTINGS + frame(PING, 0, 1, bytes(8)), {PROTOCOL}),
    "6.7 a ping of another size": (SETTINGS + frame(PING, 0, 0, bytes(7)), {SIZE}),
    "6.8 a goodbye of a stream": (SETTINGS + frame(GOAWAY, 0, 1, bytes(8)), {PROTOCOL}),
    "6.9 room of another size": (SETTINGS + frame(WINDOW, 0, 0, bytes(3)), {SIZE}),
    "6.9 no room": (SETTINGS + frame(WINDOW, 0, 0, bytes(4)), {PROTOCOL}),
    "6.9.1 more room than can be": (
        SETTINGS + frame(WINDOW, 0, 0, b"\x7f\xff\xff\xff") * 2, {FLOW},
    ),
    "6.10 a head that goes on from nothing": (SETTINGS + frame(CONTINUATION, END_HEADERS, 1, BLOCK), {PROTOCOL}),
}  # fmt: skip
# What ends the stream, or the connection with it: a request that is malformed (8.1.1).
STREAM_ERRORS = {
    "5.1 data after the end": request(1, path="/runs") + frame(DATA, END_STREAM, 1, b"x"),
    "5.1 a head after the end": request(1, path="/runs") + request(1),
    "6.9.1 more room than can be": request(1, path="/runs", flags=0) + frame(WINDOW, 0, 1, b"\x7f\xff\xff\xff") * 2,
    "8.2 a name in capitals": headers(("Upper", "x")),
    "8.2.1 a line feed in a value": headers(("a", "b\r\nhost: y")),
    "8.2.1 a NUL in a value": headers(("a", "b\0c")),
    "8.2.1 a colon in a name": headers(("a:b", "c")),
    "8.2.2 a header of the connection": headers(("connection", "close")),
    "8.2.2 a coding": headers(("transfer-encoding", "chunked")),
    "8.2.2 a TE that says other than trailers": headers(("te", "gzip")),
    "8.3 an unknown one with a colon": headers((":odd", "x")),
    "8.3 a status in a request": headers((":status", "200")),
    "8.3 one with a colon behind the others": headers(("a", "b"), (":path", "/")),
    "8.3.1 no method": headers(drop=":method"),
    "8.3.1 no scheme": headers(drop=":scheme"),
    "8.3.1 no path": headers(drop=":path"),
    "8.3.1 an empty path": headers(path=""),
    "8.3.1 two paths": headers((":path", "/x")),
    "8.3.1 a path that is none": headers(path="healthz"),
    "8.3.1 a path that is not ASCII": headers(path="/\xe9"),
    "8.3.1 a path with a line in it": headers(path="/x\r\nhost: y"),
    "8.1.1 a body longer than it says": request(1, ("content-length", "1"), path="/runs", flags=0)
    + frame(DATA, END_STREAM, 1, b"xyz"),
    "8.1.1 a body shorter than it says": request(1, ("content-length", "9"), path="/runs", flags=0)
    + frame(DATA, END_STREAM, 1, b"xyz"),
    "8.1 trailers that do not end it": request(1, path="/runs", flags=0)
    + frame(HEADERS, END_HEADERS, 1, b"\x40\x01a\x01b"),
    "8.5 a tunnel": frame(HEADERS, END_HEADERS, 1, b"".join((b"\x42\x07CONNECT", b"\x41\x04x:80"))),
    "RFC 8441 another kind of tunnel": headers((":protocol", "odd")),
}  # fmt: skip
# What is odd, and has to be served.
SERVED = {
    "4.1 an unknown frame": frame(0xBB, 0xFF, 0, b"xyz") + request(1),
    "4.1 unknown flags": frame(PING, 0xFE, 0, bytes(8)) + request(1),
    "4.1 a reserved bit": frame(HEADERS, WHOLE, 0x8000_0001, BLOCK),
    "4.3 a head in parts": frame(HEADERS, END_STREAM, 1, BLOCK[:3])
    + frame(CONTINUATION, 0, 1, BLOCK[3:9]) + frame(CONTINUATION, END_HEADERS, 1, BLOCK[9:]),
    "5.3 a priority in the head": frame(HEADERS, WHOLE | WITH_PRIORITY, 1, b"\0\0\0\0\x10" + BLOCK),
    "5.3.1 a stream that depends on itself": frame(PRIORITY, 0, 3, b"\0\0\0\x05\x10") + request(1),
    "6.1 padding": frame(HEADERS, WHOLE | PADDED, 1, b"\x05" + BLOCK + bytes(5)),
    "6.4 a reset of a closed stream": request(1) + frame(RST, 0, 1, bytes(4)) + request(3),
    "6.5.3 an unknown setting": setting(0x99, 7) + request(1),
    "6.5.2 larger frames": setting(5, 1 << 20) + request(1),
    "6.9 room for a closed stream": request(1) + frame(WINDOW, 0, 1, b"\0\0\0\x01") + request(3),
    "8.2.3 cookies in parts": headers(("cookie", "a=b"), ("cookie", "c=d")),
    "8.1 a body and trailers": frame(HEADERS, END_HEADERS, 1, BLOCK)
    + frame(DATA, 0, 1, b"x") + frame(HEADERS, WHOLE, 1, b"\x40\x01a\x01b"),
    "a huge window": setting(4, (1 << 31) - 1) + request(1),
    "no table of headers": setting(1, 0) + request(1) + request(3),
}  # fmt: skip


async def heard_of(daemon: RunningDaemon, data: bytes, until: int | None = None) -> Heard:
    """Say the preface and this; hear what comes, to the end or until a stream has ended."""
    async with connection(daemon) as stream, trio.open_nursery() as nursery:
        nursery.start_soon(send, stream, PREFACE + data)
        heard = await hear(stream, until)
        nursery.cancel_scope.cancel()
        return heard


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make.write(tmp_path / "a.fits", make.image_hdu(make.star_field(600, 800)))
    return tmp_path


async def what_is_wrong_ends_the_connection(daemon: RunningDaemon) -> None:
    wrong = {}
    for name, (data, codes) in CONNECTION_ERRORS.items():
        heard = await heard_of(daemon, data)
        if not heard.ended or heard.goaway() not in codes:
            wrong[name] = heard.goaway()
    assert wrong == {}


async def what_is_malformed_ends_its_stream(daemon: RunningDaemon) -> None:
    wrong = {}
    for name, data in STREAM_ERRORS.items():
        heard = await heard_of(daemon, SETTINGS + data, until=1)
        is_refused = 1 in heard.resets() or heard.goaway() not in (None, 0)
        if not is_refused and 1 in heard.answered():
            wrong[name] = heard.frames
    assert set(wrong) == set()


async def what_is_odd_is_served(daemon: RunningDaemon) -> None:
    for name, data in SERVED.items():
        last = 3 if request(3) in data else 1
        heard = await heard_of(daemon, SETTINGS + data, until=last)
        assert last in heard.answered(), (name, heard.goaway())


async def what_is_no_preface_is_no_http2(daemon: RunningDaemon) -> None:
    for preface in (
        PREFACE.replace(b"SM", b"SX"),
        PREFACE.replace(b"2.0", b"2.1"),
        b"PRI / HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ):
        async with connection(daemon) as stream:
            await send(stream, preface + SETTINGS + request(1))
            assert b"HTTP/1.1 200" not in await read_all(stream)


async def no_more_is_sent_than_there_is_room_for(daemon: RunningDaemon) -> None:
    """Give room bit by bit: 5 bytes at first, then the rest (6.9.2: what is given by a later setting counts too)."""
    async with connection(daemon) as stream:
        await stream.send_all(PREFACE + setting(4, 5) + request(1, path="/openapi.json") + frame(PING, 0, 0, bytes(8)))
        data = b""
        with trio.fail_after(30):
            while (sent := sizes(data)) < 5:
                data += await stream.receive_some(65_536)
        assert sent == 5
        await stream.send_all(setting(4, 20) + frame(WINDOW, 0, 1, b"\0\0\0\x07"))
        with trio.fail_after(30):
            while (sent := sizes(data)) < 27:
                data += await stream.receive_some(65_536)
        assert sent == 27
        await stream.send_all(setting(4, 10) + frame(PING, 0, 0, b"12345678"))  # Less than is used: none is left.
        with trio.fail_after(30):
            while b"12345678" not in data:
                data += await stream.receive_some(65_536)
        assert sizes(data) == 27


def sizes(data: bytes) -> int:
    """Tell how many bytes of a body whole frames hold."""
    at = total = 0
    while at + 9 <= len(data):
        size = int.from_bytes(data[at : at + 3])
        if at + 9 + size <= len(data) and data[at + 3] == DATA:
            total += size
        at += 9 + size
    return total


async def too_many_streams_are_refused(daemon: RunningDaemon) -> None:
    """Open more at a time than the daemon has said (5.1.2): that is the client's error."""
    heads = b"".join(request(2 * n + 1, path="/runs", flags=0) for n in range(150))
    heard = await heard_of(daemon, SETTINGS + heads)
    assert heard.ended


async def who_asks_for_nothing_is_not_kept(daemon: RunningDaemon) -> None:
    """Say no more than the preface: the connection is idle."""
    for data in (b"", SETTINGS, SETTINGS + frame(PING, 0, 0, bytes(8))):
        assert (await heard_of(daemon, data)).ended


async def a_goodbye_is_said_at_the_end(daemon: RunningDaemon) -> None:
    """Say goodbye: the daemon ends the connection too (6.8)."""
    heard = await heard_of(daemon, SETTINGS + frame(GOAWAY, 0, 0, bytes(8)))
    assert heard.ended


LOOKS = (
    what_is_wrong_ends_the_connection, what_is_malformed_ends_its_stream, what_is_odd_is_served,
    what_is_no_preface_is_no_http2, no_more_is_sent_than_there_is_room_for, too_many_streams_are_refused,
    who_asks_for_nothing_is_not_kept, a_goodbye_is_said_at_the_end,
)  # fmt: skip


async def test_http2_keeps_its_rules(folder: Path) -> None:
    async with running_daemon(f"f={folder}", workers_max=1, worker_idle_s=0.3, keep_alive_s=2) as daemon:
        before = await resting(daemon)
        for look in LOOKS:
            await look(daemon)
            await is_as_before(daemon, before)
            assert (await daemon.get("/healthz")).status == 200
        assert "Traceback" not in daemon.log()

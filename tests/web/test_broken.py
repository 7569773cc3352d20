"""An answer that fails in the middle must not look whole to anyone; a peer that breaks the grammar ends alone."""

import contextlib
import os
import time
from pathlib import Path

import h2.errors
import h2.events
import pytest
import trio

from imgd.errors import BadRequest, first_of
from tests.web import peer
from tests.web.rig import MemoryEngine, Script, get, made, serving

HALF = Script(chunks=(b"a" * 1000, b"b" * 1000), fail_at=1)
HALF_UNKNOWN = Script(chunks=(b"a" * 1000, b"b" * 1000), fail_at=1, size_known=False)


async def test_of_known_length_is_short(tmp_path: Path) -> None:
    async with serving(tmp_path, MemoryEngine(HALF)) as served:
        stream = await peer.connect(served.port)
        await stream.send_all(peer.request("/img?frame=night/a"))
        head, _, body = (await peer.read_all(stream)).partition(b"\r\n\r\n")
        assert b"content-length: 2000" in head
        assert len(body) == 1000
        await stream.aclose()


async def test_of_unknown_length_has_no_last_chunk(tmp_path: Path) -> None:
    async with serving(tmp_path, MemoryEngine(HALF_UNKNOWN)) as served:
        stream = await peer.connect(served.port)
        await stream.send_all(peer.request("/img?frame=night/a"))
        received = await peer.read_all(stream)
        assert b"chunked" in received.lower()
        assert not received.endswith(b"0\r\n\r\n")
        await stream.aclose()


async def test_whole_of_unknown_length_has_its_last_chunk(tmp_path: Path) -> None:
    async with serving(tmp_path, MemoryEngine(Script(chunks=(b"a", b"b"), size_known=False))) as served:
        stream = await peer.connect(served.port)
        await stream.send_all(peer.request("/img?frame=night/a", "Connection: close"))
        assert (await peer.read_all(stream)).endswith(b"0\r\n\r\n")
        await stream.aclose()


async def test_http_1_0_gets_a_problem_instead(tmp_path: Path) -> None:
    async with serving(tmp_path, MemoryEngine(HALF_UNKNOWN)) as served:
        stream = await peer.connect(served.port)
        await stream.send_all(peer.request("/img?frame=night/a", version="1.0"))
        received = await peer.read_all(stream)
        assert received.startswith(b"HTTP/1.1 500")
        assert b"application/problem+json" in received
        await stream.aclose()


@pytest.mark.parametrize("script", [HALF, HALF_UNKNOWN])
async def test_http2_resets_the_stream_alone(tmp_path: Path, script: Script) -> None:
    async with serving(tmp_path, MemoryEngine(script)) as served:
        client = peer.Http2(await peer.connect(served.port))
        await client.start()
        number = await client.get("/img?frame=night/a")
        events = await client.until(h2.events.StreamReset)
        resets = [each for each in events if isinstance(each, h2.events.StreamReset)]
        assert [(each.stream_id, each.error_code) for each in resets] == [(number, h2.errors.ErrorCodes.INTERNAL_ERROR)]
        await client.get("/healthz")
        await client.until(h2.events.StreamEnded)
        await client.stream.aclose()


async def test_directly_it_leaves_without_the_end(tmp_path: Path) -> None:
    with made(tmp_path, MemoryEngine(HALF)) as served:
        reply = await get(served.app, "/img?frame=night/a")
        assert (reply.status, reply.body, reply.complete) == (200, b"a" * 1000, False)
        assert b"imgd_web_broken_total 1.0" in (await get(served.app, "/metrics")).body


HOSTILE = {
    "garbage": b"\x00\xff\x13garbage\r\n\r\n",
    "bytes behind an upgrade": peer.request("/live", *peer.UPGRADE) + b"x\n",
    "a websocket frame that is none": peer.request("/live", *peer.UPGRADE) + b"\xff\xff\xff\xff",
    "a body nobody asked for": peer.request("/healthz", "Content-Length: 100000", method="POST") + b"x" * 100_000,
    "a head without end": b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20_000,
    "an upgrade to HTTP/2 with settings that are none": peer.request(
        "/healthz", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: %%%"
    ),
    "HTTP/2 garbage": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x05\x00\x00\x00\x00\x00\x01hello" * 3,
}


@pytest.mark.parametrize("sent", HOSTILE.values(), ids=HOSTILE)
async def test_hostile_bytes_end_their_connection_alone(tmp_path: Path, sent: bytes) -> None:
    async with (
        serving(tmp_path, MemoryEngine(), keep_alive_s=0.3) as served,
        peer.websocket(served.port) as other,
    ):
        stream = await peer.connect(served.port)
        with contextlib.suppress(trio.BrokenResourceError):  # It may be refused before all of it is sent.
            await stream.send_all(sent)
        await peer.read_all(stream)
        await stream.aclose()
        await other.send_message('{"id":1,"op":"ping"}')
        with trio.fail_after(5):
            assert await other.get_message() == '{"id":1,"op":"ping","head":"0000000000000001:0"}'


async def test_http2_data_after_the_answer_ends_nothing_else(tmp_path: Path) -> None:
    async with serving(tmp_path, MemoryEngine()) as served:
        client = peer.Http2(await peer.connect(served.port))
        await client.start()
        number = await client.get("/healthz", end=False)
        await client.until(h2.events.DataReceived)
        await trio.sleep(0.05)
        client.h2.send_data(number, b"late", end_stream=True)
        await client.flush()
        await trio.sleep(0.05)
        other = await peer.connect(served.port)
        await other.send_all(peer.request("/healthz", "Connection: close"))
        assert b"ok" in await peer.read_all(other)
        await other.aclose()
        await client.stream.aclose()


async def test_a_bug_of_ours_ends_the_server(tmp_path: Path) -> None:
    class Buggy(MemoryEngine):
        def ready(self) -> str:
            raise AssertionError("a bug")

    async def meet_it() -> None:
        async with serving(tmp_path, Buggy()) as served, await peer.connect(served.port) as stream:
            await stream.send_all(peer.request("/readyz"))
            with trio.fail_after(5):
                await trio.sleep_forever()

    with pytest.raises(BaseExceptionGroup) as caught:
        await meet_it()
    assert caught.group_contains(AssertionError, match="a bug")


async def test_stopping_lets_open_answers_finish(tmp_path: Path) -> None:
    engine = MemoryEngine(Script(chunks=(bytes(3_000_000),)))
    async with serving(tmp_path, engine, shutdown_s=5.0) as served:
        stream = await peer.connect(served.port)
        await stream.send_all(peer.request("/img?frame=night/a"))
        await engine.until(1)
        served.stopping.set()
        assert len(await peer.read_all(stream)) > 3_000_000
        await stream.aclose()


async def test_stopping_waits_no_longer_than_its_limit(tmp_path: Path) -> None:
    engine = MemoryEngine(Script(chunks=(bytes(8_000_000),)))
    with trio.fail_after(3):
        async with serving(tmp_path, engine, shutdown_s=0.2) as served:
            stream = await peer.connect(served.port)
            await stream.send_all(peer.request("/img?frame=night/a"))
            await engine.until(1)
            served.stopping.set()
            await engine.until(0)
    await stream.aclose()


async def test_one_connection_too_many_is_closed(tmp_path: Path) -> None:
    async with serving(tmp_path, MemoryEngine(), connections_max=1) as served:
        first = await peer.connect(served.port)
        await first.send_all(peer.request("/healthz"))
        await peer.read_until(first, b"ok")
        second = await peer.connect(served.port)
        assert await peer.read_all(second) == b""
        assert served.server.statistics().connections_refused_total == 1
        await first.aclose()
        await second.aclose()


async def test_an_idle_connection_is_closed(tmp_path: Path) -> None:
    async with serving(tmp_path, MemoryEngine(), keep_alive_s=0.1) as served:
        stream = await peer.connect(served.port)
        await stream.send_all(peer.request("/healthz"))
        assert b"ok" in await peer.read_all(stream)
        await stream.aclose()


async def test_what_came_in_time_is_answered_however_late_it_is_seen(tmp_path: Path) -> None:
    async with serving(tmp_path, MemoryEngine(), keep_alive_s=0.3) as served:
        streams = [await peer.connect(served.port) for _ in range(40)]
        for stream in streams:
            await stream.send_all(peer.request("/healthz"))
            assert b"ok" in await peer.read_until(stream, b"ok")
        for stream in streams:
            os.write(stream.socket.fileno(), peer.request("/healthz"))
        time.sleep(0.5)  # noqa: ASYNC251 Nobody has a turn meanwhile, as where the machine stands still.
        for stream in streams:
            assert b"ok" in await peer.read_until(stream, b"ok")
            await stream.aclose()


async def test_an_error_is_found_however_many_nurseries_it_came_out_of() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with trio.open_nursery(), trio.open_nursery(), trio.open_nursery():
            raise BadRequest("must be a number", "x")
    assert not isinstance(caught.value.exceptions[0], BadRequest)
    assert first_of(caught.value).parameter == "x"

"""The client leaves: whatever was being done for it is cancelled at once, however it went."""

import gc
from collections.abc import Awaitable, Callable
from pathlib import Path

import h2.events
import pytest
import trio
from hypercorn.protocol.h2 import StreamBuffer

from imgd.web import http1
from tests.web import peer
from tests.web.rig import MemoryEngine, Script, Served, serving

BIG = bytes(4_000_000)
STAGES = {
    "before the answer": Script(wait_before=True),
    "in the middle of the body": Script(chunks=(b"a" * 1000, b"b"), wait_at=1, size_known=False),
    "while it takes nothing": Script(chunks=(BIG, BIG, BIG)),
    "while it takes nothing, and all is said": Script(chunks=(BIG,)),
}


async def fin(stream: trio.SocketStream) -> None:
    await stream.aclose()


async def half_close(stream: trio.SocketStream) -> None:
    await stream.send_eof()


async def rst(stream: trio.SocketStream) -> None:
    peer.reset(stream)


async def _both_ends_free(served: Served) -> None:
    await served.engine.until(0)
    with trio.fail_after(5):
        while served.server.statistics().connections:
            await trio.sleep(0.01)


async def _nothing_is_kept() -> None:
    """Wait until nothing is there any more of what streams of HTTP/2 have to send."""
    with trio.fail_after(5):
        while gc.collect() >= 0 and any(isinstance(each, StreamBuffer) for each in gc.get_objects()):
            await trio.sleep(0.01)


@pytest.mark.parametrize("script", STAGES.values(), ids=STAGES)
@pytest.mark.parametrize("leave", [fin, half_close, rst])
async def test_http1(tmp_path: Path, script: Script, leave: Callable[[trio.SocketStream], Awaitable[None]]) -> None:
    engine = MemoryEngine(script)
    async with serving(tmp_path, engine) as served:
        stream = await peer.connect(served.port)
        await stream.send_all(peer.request("/img?frame=night/a"))
        await engine.until(1)
        await trio.sleep(0.02)
        await leave(stream)
        await _both_ends_free(served)
        assert engine.cancelled == 1
        await stream.aclose()


@pytest.mark.parametrize("script", STAGES.values(), ids=STAGES)
async def test_http2_stream_reset(tmp_path: Path, script: Script) -> None:
    engine = MemoryEngine(script)
    async with serving(tmp_path, engine) as served:
        client = peer.Http2(await peer.connect(served.port))
        await client.start()
        number = await client.get("/img?frame=night/a")
        await engine.until(1)
        await trio.sleep(0.02)
        client.h2.reset_stream(number)
        await client.flush()
        await engine.until(0)
        assert engine.cancelled == 1
        await _nothing_is_kept()
        engine.script = Script()
        await client.get("/img?frame=night/b")  # The connection itself lives on.
        await client.until(h2.events.StreamEnded)
        await client.stream.aclose()


@pytest.mark.parametrize("leave", [fin, half_close, rst])
async def test_http2_connection(tmp_path: Path, leave: Callable[[trio.SocketStream], Awaitable[None]]) -> None:
    engine = MemoryEngine(Script(wait_before=True))
    async with serving(tmp_path, engine) as served:
        client = peer.Http2(await peer.connect(served.port))
        await client.start()
        for _ in range(5):
            await client.get("/img?frame=night/a")
        await engine.until(5)
        await leave(client.stream)
        await _both_ends_free(served)
        assert engine.cancelled == 5
        await client.stream.aclose()


async def test_with_a_second_request_behind_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http1, "_PEEK_AGAIN_S", 0.01)
    engine = MemoryEngine(Script(wait_before=True))
    async with serving(tmp_path, engine) as served:
        stream = await peer.connect(served.port)
        await stream.send_all(peer.request("/img?frame=night/a") * 2)
        await engine.until(1)
        await stream.aclose()
        await _both_ends_free(served)
        assert len(engine.asked) == 1


async def test_two_requests_at_once_are_answered_in_order(tmp_path: Path) -> None:
    async with serving(tmp_path, MemoryEngine()) as served:
        stream = await peer.connect(served.port)
        await stream.send_all(peer.request("/img?frame=night/a") + peer.request("/healthz", "Connection: close"))
        received = await peer.read_all(stream)
        assert received.index(b"picture") < received.index(b'{"status":"ok"}')
        await stream.aclose()


@pytest.mark.parametrize("leave", [fin, half_close, rst])
async def test_websocket(tmp_path: Path, leave: Callable[[trio.SocketStream], Awaitable[None]]) -> None:
    async with serving(tmp_path, MemoryEngine()) as served:
        stream = await peer.connect(served.port)
        await stream.send_all(peer.request("/live", *peer.UPGRADE))
        await peer.read_until(stream, b"\r\n\r\n")
        assert served.sessions.statistics().sessions == 1
        await leave(stream)
        await _both_ends_free(served)
        assert served.sessions.statistics().sessions == 0
        await stream.aclose()


async def test_websocket_closed_in_order(tmp_path: Path) -> None:
    async with serving(tmp_path, MemoryEngine()) as served:
        async with peer.websocket(served.port):
            assert served.sessions.statistics().sessions == 1
        await _both_ends_free(served)
        assert served.sessions.statistics().sessions == 0


async def test_a_client_that_takes_nothing_is_dropped(tmp_path: Path) -> None:
    engine = MemoryEngine(Script(chunks=(BIG, BIG, BIG)))
    async with serving(tmp_path, engine, send_limit_s=0.2) as served:
        stream = await peer.connect(served.port)
        await stream.send_all(peer.request("/img?frame=night/a"))
        await engine.until(1)
        await _both_ends_free(served)
        assert served.server.statistics().connections_stalled_total == 1
        assert len(await peer.read_all(stream)) < 3 * len(BIG)
        await stream.aclose()


async def test_a_stream_of_http2_that_takes_nothing_is_dropped_alone(tmp_path: Path) -> None:
    engine = MemoryEngine(Script(chunks=(BIG,)))
    async with serving(tmp_path, engine, send_limit_s=0.2) as served:
        client = peer.Http2(await peer.connect(served.port))
        await client.start()
        number = await client.get("/img?frame=night/a")
        with trio.fail_after(5):
            while True:  # Reads all, but opens no window: the stream stands still.
                events = client.h2.receive_data(await client.stream.receive_some(65536))
                if any(isinstance(each, h2.events.StreamReset) and each.stream_id == number for each in events):
                    break
        await engine.until(0)
        assert engine.cancelled == 1, "it was not taken for one that was sent"
        await _nothing_is_kept()
        figures = served.server.statistics()
        assert (figures.connections, figures.streams_stalled_total) == (1, 1)
        await client.stream.aclose()


@pytest.mark.parametrize("is_reset", [True, False], ids=["reset", "stalled"])
async def test_a_connection_of_http2_is_idle_however_its_last_stream_ended(tmp_path: Path, is_reset: bool) -> None:
    engine = MemoryEngine(Script(wait_before=True) if is_reset else Script(chunks=(BIG,)))
    async with serving(tmp_path, engine, send_limit_s=0.2, keep_alive_s=0.3) as served:
        client = peer.Http2(await peer.connect(served.port))
        await client.start()
        number = await client.get("/img?frame=night/a")
        await engine.until(1)
        if is_reset:
            client.h2.reset_stream(number)
            await client.flush()
        with trio.fail_after(5):
            while await client.stream.receive_some(65_536):  # Its end comes by itself.
                pass
        await _both_ends_free(served)
        await client.stream.aclose()


@pytest.mark.parametrize(("step_bytes", "is_served"), [(100, False), (20_000, True)], ids=["a trickle", "slowly"])
async def test_a_stream_of_http2_has_to_make_progress(tmp_path: Path, step_bytes: int, is_served: bool) -> None:
    """A little now and then would hold memory for ever; 64 KiB within the limit are enough."""
    engine = MemoryEngine(Script(chunks=(bytes(600_000),)))
    async with serving(tmp_path, engine, send_limit_s=0.6) as served:
        client = peer.Http2(await peer.connect(served.port))
        await client.start()
        number = await client.get("/img?frame=night/a")
        ends: list[type] = []
        with trio.fail_after(5):
            while not ends:
                with trio.move_on_after(0.03):
                    for each in client.h2.receive_data(await client.stream.receive_some(65_536)):
                        if isinstance(each, h2.events.StreamReset | h2.events.StreamEnded):
                            ends.append(type(each))
                if not ends:
                    client.h2.increment_flow_control_window(step_bytes)
                    client.h2.increment_flow_control_window(step_bytes, number)
                    await client.flush()
                    await trio.sleep(0.03)
        assert ends == [h2.events.StreamEnded if is_served else h2.events.StreamReset]
        assert served.server.statistics().streams_stalled_total == (not is_served)
        await client.stream.aclose()


async def test_streams_of_http2_that_share_a_slow_link_are_served(tmp_path: Path) -> None:
    """Each takes less than 64 KiB within the limit, all of them together more."""
    count, limit_s = 12, 0.6
    engine = MemoryEngine(Script(chunks=(bytes(200_000),)))
    async with serving(tmp_path, engine, send_limit_s=limit_s) as served:
        client = peer.Http2(await peer.connect(served.port))
        await client.start()
        numbers = [await client.get("/img?frame=night/a") for _ in range(count)]
        ended: list[type] = []
        slow_until = trio.current_time() + 4 * limit_s
        with trio.fail_after(20):
            while len(ended) < count:
                step_bytes = 1_500 if trio.current_time() < slow_until else 100_000
                with trio.move_on_after(0.03):
                    for each in client.h2.receive_data(await client.stream.receive_some(65_536)):
                        if isinstance(each, h2.events.StreamReset | h2.events.StreamEnded):
                            ended.append(type(each))
                            numbers.remove(each.stream_id)
                client.h2.increment_flow_control_window(step_bytes * count)
                for number in numbers:
                    client.h2.increment_flow_control_window(step_bytes, number)
                await client.flush()
                await trio.sleep(0.03)
        assert ended == [h2.events.StreamEnded] * count
        assert served.server.statistics().streams_stalled_total == 0
        await client.stream.aclose()


async def test_a_stalled_stream_of_http2_piles_up_nothing(tmp_path: Path) -> None:
    engine = MemoryEngine(Script(chunks=(bytes(65_536),) * 100))
    async with serving(tmp_path, engine) as served:
        client = peer.Http2(await peer.connect(served.port))
        await client.start()
        number = await client.get("/img?frame=night/a")
        with trio.move_on_after(0.5):
            while True:
                client.h2.receive_data(await client.stream.receive_some(65536))
        for _ in range(5):  # Small steps forward must not let whole chunks through.
            client.h2.increment_flow_control_window(10)
            client.h2.increment_flow_control_window(10, number)
            await client.flush()
            await trio.sleep(0.02)
        assert engine.script.made <= 4
        await client.stream.aclose()


async def test_a_slow_client_that_goes_on_is_served(tmp_path: Path) -> None:
    engine = MemoryEngine(Script(chunks=(bytes(600_000),)))
    async with serving(tmp_path, engine, send_limit_s=0.5) as served:
        stream = await peer.connect(served.port)
        await stream.send_all(peer.request("/img?frame=night/a", "Connection: close"))
        received = 0
        with trio.fail_after(20):
            while chunk := await stream.receive_some(20_000):
                received += len(chunk)
                await trio.sleep(0.03)
        assert received > 600_000
        await stream.aclose()

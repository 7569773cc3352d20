"""An answer is written in one go, as far as it is there; and whoever takes nothing of it is noticed all the same."""

import gc
import weakref
from pathlib import Path
from typing import Any, cast

import pytest
import trio
import trio.testing
from hypercorn.config import Config

from imgd.web.connection import Connection
from imgd.web.together import Together, TogetherTasks
from tests.web import peer
from tests.web.rig import MemoryEngine, Script, serving

WRITE = Connection._write


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Note what connections write, one by one."""
    noted: list[bytes] = []

    async def write(connection: Connection, data: bytes) -> None:
        noted.append(data)
        await WRITE(connection, data)

    monkeypatch.setattr(Connection, "_write", write)
    return noted


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_head_is_written_with_its_body(tmp_path: Path, written: list[bytes], method: str) -> None:
    async with serving(tmp_path, MemoryEngine(Script(chunks=(b"a" * 70_000,)))) as served:
        stream = await peer.connect(served.port)
        await stream.send_all(peer.request("/img?frame=night/a", method=method))
        await peer.read_until(stream, b"\r\n\r\n" if method == "HEAD" else b"a" * 70_000)
        await stream.aclose()
    (answer,) = written
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert body == (b"" if method == "HEAD" else b"a" * 70_000)


async def test_a_head_goes_out_at_once_where_nobody_knows_when_its_body_comes(
    tmp_path: Path, written: list[bytes]
) -> None:
    engine = MemoryEngine(Script(chunks=(b"aaa", b"bbb"), wait_at=1, size_known=False))
    async with serving(tmp_path, engine) as served:
        stream = await peer.connect(served.port)
        await stream.send_all(peer.request("/img?frame=night/a"))
        assert b"Transfer-Encoding: chunked" in await peer.read_until(stream, b"aaa")
        assert len(written) == 2
        await stream.aclose()
        await engine.until(0)


async def test_who_takes_no_answer_has_no_further_ones_made(tmp_path: Path) -> None:
    engine = MemoryEngine(Script(chunks=(bytes(20_000),)))
    async with serving(tmp_path, engine) as served:
        stream = await peer.connect(served.port)
        await stream.send_all(peer.request("/img?frame=night/a") * 300)
        await trio.sleep(1)
        assert 2 <= len(engine.asked) <= 60, "the kernel has taken some of them, and one waits until more is taken"
        await stream.aclose()
        await engine.until(0)


async def test_what_breaks_off_after_its_head_ends_the_connection(tmp_path: Path) -> None:
    engine = MemoryEngine(Script(chunks=(b"aaa", b"bbb"), fail_at=1))
    async with serving(tmp_path, engine) as served:
        stream = await peer.connect(served.port)
        await stream.send_all(peer.request("/img?frame=night/a"))
        with trio.fail_after(5):
            answer = await peer.read_all(stream)
        assert answer.endswith(b"aaa"), "what was said before is not lost, and nobody takes it for whole"
        await stream.aclose()


async def test_what_a_request_held_goes_with_it_when_it_is_cancelled() -> None:
    """At once: nobody looks for dead cycles here."""
    held = weakref.WeakSet[trio.Event]()

    async def hold(*_: Any) -> None:
        piece = trio.Event()
        held.add(piece)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            await piece.wait()

    async def none(_: Any) -> None:
        await trio.lowlevel.checkpoint()

    gc.disable()
    try:
        with trio.CancelScope() as life:
            async with TogetherTasks(Together(none)) as requests:
                await requests.spawn_app(cast(Any, hold), Config(), {"type": "http", "http_version": "1.1"}, none)
                await trio.testing.wait_all_tasks_blocked()
                assert len(held) == 1
                life.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert not held
    finally:
        gc.enable()

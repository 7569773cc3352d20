"""Rude clients: each of these once ended the whole daemon; now it costs them their connection, or an error."""

import json
from pathlib import Path

import hyperframe.frame
import pytest
import trio

from tests.daemon.rig import RunningDaemon, running_daemon
from tests.frames import make


async def odd_origin(daemon: RunningDaemon) -> None:
    """Open the websocket with an Origin that is no URL."""
    async with await trio.open_tcp_stream(daemon.host, daemon.port) as stream:
        await stream.send_all(
            b"GET /live HTTP/1.1\r\nHost: x\r\nOrigin: http://[\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        assert b" 403 " in await stream.receive_some()


async def deep_message(daemon: RunningDaemon) -> None:
    """Nest a message without end."""
    async with daemon.websocket("/live") as live:
        for text in ('{"id":' + "[" * 7000, '{"x":' + "[" * 7000):
            await live.send_message(text)
            assert json.loads(await live.get_message())["op"] == "error"


async def odd_listing(daemon: RunningDaemon) -> None:
    """Go on after a name that is no text."""
    for order in ("name", "newest"):
        assert (await daemon.get(f"/frames?dir=f&order={order}&after=%FF")).status in (200, 400)


async def many_priorities(daemon: RunningDaemon) -> None:
    """Give priorities to streams that are never opened."""
    async with daemon.connect2() as connection:
        frames = [hyperframe.frame.PriorityFrame(2 * n + 1, depends_on=0, stream_weight=1) for n in range(1500)]
        for one in frames:
            try:
                await connection.stream.send_all(one.serialize())
            except trio.BrokenResourceError:
                return


async def long_side(daemon: RunningDaemon) -> None:
    """Ask for a picture that is longer than JPEG allows."""
    assert (await daemon.get("/img?frame=f/long.fits&size=max")).status == 400


@pytest.mark.parametrize("rude", [odd_origin, deep_message, odd_listing, many_priorities, long_side])
async def test_a_rude_client_does_not_end_the_daemon(tmp_path: Path, rude) -> None:  # type: ignore[no-untyped-def]
    make.write(tmp_path / "a.fits", make.image_hdu(make.star_field(60, 80)))
    make.write(tmp_path / "long.fits", make.image_hdu(make.star_field(2, 65_520)))
    async with running_daemon(f"f={tmp_path}", workers_max=1) as daemon:
        with trio.fail_after(20):
            await rude(daemon)
        await trio.sleep(0.2)
        assert daemon.process.returncode is None, "the daemon has ended"
        assert (await daemon.get("/img?frame=f/a.fits")).status == 200

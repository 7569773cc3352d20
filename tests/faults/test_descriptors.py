"""Out of descriptors: new connections wait, which is said once; those that are open go on; it recovers by itself."""

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path

import trio

from tests.daemon.kernel import open_descriptors
from tests.daemon.rig import RunningDaemon, running_daemon
from tests.faults.hostile import LIMIT_S, connection, figures, is_as_before, resting
from tests.frames import make

CLIENTS = 30
ROOM = 20


@contextlib.contextmanager
def few_descriptors(daemon: RunningDaemon, room: int) -> Iterator[None]:
    """Leave the daemon so many more than it has."""
    before = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (open_descriptors(daemon.pid) + room, before[1]))
    try:
        yield
    finally:
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, before)


async def runs_out(daemon: RunningDaemon, *, by_closing: bool) -> None:
    """Have more clients than descriptors; let some go, or have the limit raised: it goes on by itself."""
    async with daemon.connect() as known, contextlib.AsyncExitStack() as clients:
        assert (await known.get("/healthz")).status == 200
        [pauses] = await figures(daemon, "imgd_http_accept_paused_total")
        with contextlib.ExitStack() as limit:
            limit.enter_context(few_descriptors(daemon, ROOM))
            for _ in range(CLIENTS):  # The kernel connects them; nobody accepts the last ones.
                await clients.enter_async_context(connection(daemon))
            await daemon.settles(lambda: "connections have to wait" in daemon.log(), LIMIT_S)
            assert (await known.get("/healthz")).status == 200  # Who is in is served.
            with trio.move_on_after(1.0) as waited:  # Many tries to accept.
                await daemon.get("/healthz")
            assert waited.cancelled_caught
            if by_closing:
                await clients.aclose()
            else:
                limit.close()
            with trio.fail_after(LIMIT_S):
                assert (await daemon.get("/healthz")).status == 200
        [after] = await figures(daemon, "imgd_http_accept_paused_total")
        assert after > pauses


async def test_accepting_pauses_says_so_and_recovers(tmp_path: Path) -> None:
    make.write(tmp_path / "a.fits", make.image_hdu(make.star_field(60, 80)))
    async with running_daemon(f"f={tmp_path}", workers_max=1, worker_idle_s=0.3) as daemon:
        assert (await daemon.get("/img?frame=f/a.fits")).status == 200
        before = await resting(daemon)
        for by_closing in (True, False):
            await runs_out(daemon, by_closing=by_closing)
            await is_as_before(daemon, before)
        assert daemon.log().count("connections have to wait") == 1  # Within a minute it is said once.
        assert daemon.log().count("connections are accepted again") == 1
        assert (await daemon.get("/img?frame=f/a.fits")).status == 200
        assert await figures(daemon, "imgd_http_accept_paused") == [0]

"""Clients that leave: brought to a certain point of their request, in one of four ways, through any front."""

import contextlib
import itertools
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np
import trio

from tests.daemon.figures import held, metrics
from tests.daemon.http1 import Http1
from tests.daemon.http2 import Http2
from tests.daemon.rig import RunningDaemon
from tests.frames import make
from tests.fronts.rig import Front

Way = Literal["fin", "rst", "rst_stream", "close"]
Moment = Literal["head", "queue", "parse", "step", "between", "first byte", "middle", "stalled"]
WAYS: Final[tuple[Way, ...]] = get_args(Way)  # The first two by HTTP/1.1, the others by HTTP/2.
MOMENTS: Final[tuple[Moment, ...]] = get_args(Moment)
# With `fresh`: of a region that nobody has asked for yet, so that no step of it is known already.
LONG: Final = "/img?frame=f/big.fits&region={n},0,4000,4000&size=max&quality=100"  # More than all buffers hold.
BIGGEST: Final = "/img?frame=f/big.fits&region=0,{n},8000,6000&size=max&quality=100"
REGIONS: Final = 400  # By then the first is long forgotten: each takes a good part of the budget.
MIDDLE_BYTES: Final = 1 << 20
SMALL_BUFFER_BYTES: Final = 16_384
FREE_LIMIT_S: Final = 10.0  # Against hanging; how soon it is `./scripts/bench aborts` measures.
_numbers = itertools.count(1)


def fresh(target: str) -> str:
    """Make it a picture that nobody has asked for yet."""
    number = next(_numbers)
    return target.format(n=number % REGIONS, share=f"0.{number % 50_000:05d}")


def write_frames(folder: Path, unseen: int) -> None:
    """Write what these clients ask for, and so many frames for those who want one that nobody knows."""
    sky = make.star_field(600, 800)
    make.write(folder / "a.fits", make.image_hdu(sky))
    make.write(folder / "big.fits", make.image_hdu(np.tile(np.minimum(sky, 30_000).astype(np.int16), (10, 10))))
    (folder / "unseen").mkdir()
    for number in range(unseen):
        make.write(folder / "unseen" / f"{number}.fits", make.image_hdu(sky[:100, :100]))


class Visit:
    """One client and its one request."""

    def __init__(self, front: Front, way: Way, connection: Http1 | Http2) -> None:
        self.front = front
        self.way = way
        self._connection = connection
        self._number = 0
        self._body: AsyncIterator[bytes] | None = None

    async def ask(self, target: str) -> None:
        """Send the request."""
        sent = await self._connection.send("GET", target)
        self._number = sent or 0

    async def ask_half(self, target: str) -> None:
        """Send a part of the request's head, and not the rest."""
        if isinstance(self._connection, Http1):
            await self._connection.stream.send_all(f"GET {target} HTTP/1.1\r\nHost: {self.front.host}\r\nX-".encode())
        else:
            self._number = await self._connection.send_half("GET", target)

    async def takes(self, size_bytes: int) -> None:
        """Read so much of the answer's body."""
        if isinstance(self._connection, Http2):
            while await self._connection.more(self._number) < size_bytes:
                pass
            return
        if self._body is None:
            head = await self._connection.response()
            assert head.status == 200, head
            self._body = self._connection.body()
        taken = 0
        while taken < size_bytes:
            taken += len(await anext(self._body))

    async def leave(self) -> None:
        """Leave."""
        if self.way == "rst_stream":
            assert isinstance(self._connection, Http2)
            await self._connection.reset(self._number)
        else:
            await self._connection.leave(reset=self.way == "rst")


@asynccontextmanager
async def visiting(front: Front, way: Way) -> AsyncIterator[Visit]:
    """Connect; a client that leaves by a RST_STREAM stays connected until the end of the `with`."""
    open_connection: Any = front.connect if way in ("fin", "rst") else front.connect2
    async with open_connection(SMALL_BUFFER_BYTES) as connection:
        visit = Visit(front, way, connection)
        yield visit
        if visit._body is not None:
            await visit._body.aclose()  # type: ignore[attr-defined]


async def bring_to(moment: Moment, visit: Visit, unseen: str, others: AsyncExitStack) -> int:
    """Bring a request to this moment; the daemon has one worker, and knows the facts of the frame of LONG.

    unseen  a frame that nobody has asked for yet.
    others  gets the client that holds the only worker meanwhile, if the moment
            needs one; it is to be closed after this one has left.

    Returns the process that works for it; 0 if none does, or none can be told.
    """
    daemon = visit.front.daemon
    match moment:
        case "head":
            await visit.ask_half(fresh(LONG))
        case "queue":
            first = await others.enter_async_context(daemon.connect(SMALL_BUFFER_BYTES))
            await first.send("GET", fresh(BIGGEST))
            await until(lambda: jobs(daemon), 1)
            await visit.ask(fresh(LONG))
            await until(lambda: jobs(daemon), 2)
        case "parse":
            pid = await still_worker(daemon)
            await visit.ask(f"/img?frame={unseen}&size=100,")
            await until_at(daemon, "parse")
            return pid
        case "step":
            pid = await still_worker(daemon)
            await visit.ask(fresh(BIGGEST))
            await until_at(daemon, "reduce")
            os.kill(pid, signal.SIGCONT)
            return pid
        case "between":
            await visit.ask(fresh(BIGGEST))
            return await until_at(daemon, "tone", "encode")
        case "first byte":
            await visit.ask(fresh(BIGGEST))
            await visit.takes(1)
            return await worker_of(daemon)
        case "middle":
            await visit.ask(fresh(BIGGEST))
            await visit.takes(MIDDLE_BYTES)
            return await worker_of(daemon)
        case "stalled":
            await visit.ask(fresh(LONG))
            await visit.takes(1)
            await until_at(daemon, "deliver", "")
    return 0


async def roll(daemon: RunningDaemon) -> list[dict[str, Any]]:
    """Ask for all workers, and what they are at."""
    workers: list[dict[str, Any]] = json.loads((await daemon.get("/admin")).body)["workers"]
    return workers


async def still_worker(daemon: RunningDaemon) -> int:
    """Hold a worker still that waits for work; return its process."""
    while True:
        await daemon.get(fresh("/img?frame=f/a.fits&size=10,&levels={share},0.99"))
        for each in await roll(daemon):
            if each["state"] == "idle":
                os.kill(each["pid"], signal.SIGSTOP)
                return int(each["pid"])


async def worker_of(daemon: RunningDaemon) -> int:
    """Find the process at work; 0 if none is."""
    return next((int(each["pid"]) for each in await roll(daemon) if each["state"] == "busy"), 0)


async def until_at(daemon: RunningDaemon, *steps: str) -> int:
    """Wait until a worker is at one of these steps ("": until none is at any); return its process, or 0."""
    while True:
        workers = await roll(daemon)
        for each in workers:
            if each["step"] in steps and each["state"] == "busy":
                return int(each["pid"])
        if "" in steps and all(each["state"] == "idle" for each in workers):
            return 0
        await trio.lowlevel.checkpoint()


async def jobs(daemon: RunningDaemon) -> int:
    """Count the jobs."""
    return int((await metrics(daemon))["imgd_engine_jobs"])


async def until(count: Callable[[], Awaitable[int]], wanted: int) -> None:
    """Wait until something is so many."""
    while await count() != wanted:
        await trio.sleep(0.002)


def is_gone(pid: int) -> bool:
    """Whether a process is gone; one that is dead, and only waits to be reaped, has given back all its memory."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] in "XZ"
    except OSError:
        return True


async def until_free(front: Front) -> None:
    """Wait until nobody works, all bytes are free, and no CGI program is left.

    Raises  AssertionError that tells what is left.
    """
    with trio.move_on_after(FREE_LIMIT_S):
        while await held(front.daemon) or programs_of(front):
            await trio.sleep(0.005)
        return
    figures = await metrics(front.daemon)
    left = {name: value for name, value in figures.items() if name.startswith("imgd_engine_") and value}
    raise AssertionError(f"still held: CGI programs {programs_of(front)}, {left}")


def programs_of(front: Front) -> list[int]:
    """Find the CGI programs that a front runs."""
    found: list[int] = []
    if front.is_cgi:
        with contextlib.suppress(OSError):
            pid = (front.logs[0].parent / "lighttpd.pid").read_text().strip()
            found = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [pid for pid in found if not is_gone(pid)]

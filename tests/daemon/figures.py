"""What a daemon says of itself at /metrics; what the kernel says of it is in `kernel`."""

from typing import Final

import trio

from tests.daemon.rig import RunningDaemon

FREE_LIMIT_S: Final = 30.0  # Against hanging: it is soon, but on a crowded machine that may be seconds.
HELD: Final = ("leased_bytes", "reserved_bytes", "jobs", "workers_busy")


async def metrics(daemon: RunningDaemon) -> dict[str, float]:
    """Read all metrics."""
    text = (await daemon.get("/metrics")).body.decode()
    return {name: float(value) for name, value in (row.split() for row in text.splitlines() if row[0] != "#")}


async def held(daemon: RunningDaemon) -> dict[str, float]:
    """Tell what is leased, reserved or running; {} when nothing is."""
    figures = await metrics(daemon)
    return {name: figures[f"imgd_engine_{name}"] for name in HELD if figures[f"imgd_engine_{name}"]}


async def until_free(daemon: RunningDaemon, limit_s: float = FREE_LIMIT_S) -> None:
    """Wait until nothing is leased, reserved or running.

    Raises  AssertionError that tells what is left.
    """
    left: dict[str, float] = {}
    with trio.move_on_after(limit_s):
        while left := await held(daemon):
            await trio.sleep(0.01)
        return
    raise AssertionError(f"still held after {limit_s} s: {left}")

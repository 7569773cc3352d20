"""After a fault: everything is as it was before it, and the next request is served as before."""

from dataclasses import dataclass

import trio

from tests.daemon.figures import metrics
from tests.daemon.rig import RunningDaemon

LIMIT_S = 60.0  # Against waiting for ever, on a machine under load.
HELD = ("jobs", "leased_bytes", "reserved_bytes", "workers", "workers_stuck", "workers_alive")


@dataclass(frozen=True)
class Stock:
    """What there is while nothing is done; descriptors without the two of each segment."""

    processes: int
    descriptors: int


async def stock_of(daemon: RunningDaemon) -> Stock:
    """Wait until nothing is done and the idle workers have left; count what there is then.

    The daemon is to have a short `worker_idle_s`.
    """
    figures: dict[str, float] = {}
    with trio.move_on_after(LIMIT_S):
        while True:
            figures = await metrics(daemon)
            at_rest = not any(figures[f"imgd_engine_{name}"] for name in HELD)
            if at_rest and daemon.segment_bytes() == figures["imgd_engine_kernel_bytes"]:
                return Stock(len(daemon.processes()), daemon.descriptors() - 2 * segments_of(daemon))
            await trio.sleep(0.02)
    raise AssertionError({name: figures.get(f"imgd_engine_{name}") for name in HELD})


def segments_of(daemon: RunningDaemon) -> int:
    """Count the segments that the daemon itself has open, by the kernel."""
    from tests.daemon import kernel

    return len(kernel.segments([daemon.pid]))


async def is_as_before(daemon: RunningDaemon, before: Stock, target: str, body: bytes) -> None:
    """See that all that there was is there, and no more; then that a picture is what it was."""
    after = await stock_of(daemon)
    with trio.move_on_after(LIMIT_S):
        while after != before:  # Connections of clients that have left are still being closed, perhaps.
            await trio.sleep(0.05)
            after = await stock_of(daemon)
    assert after == before
    await is_served(daemon, target, body)


async def is_served(daemon: RunningDaemon, target: str, body: bytes) -> None:
    """See that a picture is what it was."""
    answer = await daemon.get(target)
    assert (answer.status, answer.body == body) == (200, True), answer.body[:300]

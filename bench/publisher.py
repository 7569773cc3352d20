"""`python -m bench.publisher STORE EVENTS TASKS BATCH`: publish as one daemon does; print what it took as JSON."""

import json
import sys
import time

import trio

from imgd.entry import Entry
from imgd.events.event import Draft
from imgd.events.opening import open_store
from imgd.events.store import Store

WARM_UP = 200


def draft(number: int) -> Draft:
    """Make an event as an arriving frame makes it."""
    name = f"m31_{number:06d}.fits"
    entry = Entry(name, f"night/2026-01-31/{name}", "frame", 122_350_000, "2026-01-31T20:15:00.250Z")
    hdu: dict[str, str | int | float | bool | None] = {
        "OBJECT": "M31", "FILTER": "Ha", "EXPTIME": 300.0, "IMAGETYP": "Light Frame", "INSTRUME": "camera", "GAIN": 100,
        "CCD-TEMP": -10.0, "BITPIX": 16, "NAXIS1": 9576, "NAXIS2": 6388,
    }  # fmt: skip
    return Draft(
        at="2026-01-31T20:15:00.250Z", type="frame.arrived", root="night", path=f"2026-01-31/{name}", frame=entry,
        thumbnail=f"thumbnail?frame={entry.ref}&size=256", hdu=hdu,
    )  # fmt: skip


async def publish(store: Store, events: int, tasks: int, batch: int) -> tuple[float, list[float]]:
    """Publish that many events by that many tasks, each of which waits for one batch to be durable before the next.

    Returns  seconds in all; milliseconds of each batch.
    """
    left = events // batch
    took: list[float] = []

    async def one() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            began = time.perf_counter()
            await store.publish([draft(left * batch + number) for number in range(batch)])
            took.append((time.perf_counter() - began) * 1e3)

    began = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for _ in range(tasks):
            nursery.start_soon(one)
    return time.perf_counter() - began, took


async def _main(where: str, events: int, tasks: int, batch: int) -> None:
    async with open_store(where) as store:
        await publish(store, WARM_UP, tasks, 1)
        print("ready", flush=True)
        await trio.to_thread.run_sync(sys.stdin.readline)  # All begin together.
        cpu_began = time.process_time()
        elapsed_s, took = await publish(store, events, tasks, batch)
        print(
            json.dumps({"elapsed_s": elapsed_s, "took_ms": took, "cpu_s": time.process_time() - cpu_began}), flush=True
        )


if __name__ == "__main__":
    trio.run(_main, sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))

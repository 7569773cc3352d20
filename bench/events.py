"""Events: how fast both stores take them, how fast one daemon delivers them, and how soon a frame is at the browser."""

import itertools
import json
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import trio

from bench.catalogue import measure_catalogue
from bench.programs import cpu_s_of, expect, read_line, running_program, say
from bench.table import Measure, median, percentile
from tests.daemon.rig import RunningDaemon, running_daemon
from tests.events.postgres import private_postgres
from tests.frames import make

TASKS: Final = 64
EVENTS: Final = 20_000
DAEMONS: Final = 4
CLIENTS: Final = 300
DELIVERED: Final = 1_000  # To each of them.
SUBSCRIBERS: Final = 1_000
FILES: Final = 150
STALLED: Final = 20
LOOKING: Final = 6  # People.
BIG: Final = (3000, 3000)
SHAPE: Final = (600, 800)
PAUSE_S: Final = 0.05  # Between two files: each is to be a single one.
SETTLE_S: Final = 1.5
LIMIT_S: Final = 30.0


async def measure_events(folder: Path, rounds: int) -> list[Measure]:
    """Measure stores alone, then daemons with one."""
    say(f"publishing {EVENTS} events by {TASKS} tasks, {rounds} rounds")
    measures = await trio.to_thread.run_sync(_stores, folder, rounds)
    say("reading the catalogue of very many frames")
    measures += await measure_catalogue(folder)
    root = folder / "night"
    root.mkdir()
    sky = np.random.default_rng(2).integers(0, 4000, BIG).astype(np.uint16)
    (root / "big.fits").write_bytes(make.image_hdu(sky))
    async with running_daemon(f"night={root}", sessions_max=SUBSCRIBERS + 50, send_limit_s=600) as daemon:
        say(f"closing {FILES} files")
        alone = await _arrivals(daemon, root, "a")
        measures += _told(alone)
        say(f"closing {FILES} files while {LOOKING} people look at pictures")
        measures += await _while_looked_at(daemon, root)
        say(f"delivering to {CLIENTS} clients, {rounds} rounds")
        measures += await _deliveries(daemon, rounds)
        say(f"closing {FILES} files beside {STALLED} clients that take nothing")
        async with AsyncExitStack() as stack:
            for _ in range(STALLED):
                await stack.enter_async_context(_stalled(daemon))
            measures.append(_beside(alone, await _arrivals(daemon, root, "b")))
        say(f"opening {SUBSCRIBERS} subscribers")
        measures.append(await _memory(daemon))
    return measures


def _stores(folder: Path, rounds: int) -> list[Measure]:
    fsync_ms = _fsync_ms(folder)
    measures = [Measure("fsync of 4 KiB, here", "ms", median(fsync_ms), None, f"median of {len(fsync_ms)}")]
    lite = [_publishing([f"sqlite:{folder}/bench{number}.sqlite"]) for number in range(rounds)]
    measures += _rates("SQLite, one daemon", lite, 10_000, 6.0)
    with private_postgres() as server:
        one = [_publishing([server.new_database()]) for _ in range(rounds)]
        measures += _rates("PostgreSQL, one daemon", one, 6_000, None)
        four = [_publishing([server.new_database()] * DAEMONS) for _ in range(rounds)]
        measures += _rates(f"PostgreSQL, {DAEMONS} daemons", four, 15_000, None)
    return measures


def _fsync_ms(folder: Path) -> list[float]:
    took = []
    with (folder / "fsync").open("wb", buffering=0) as file:
        for _ in range(50):
            began = time.perf_counter()
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - began) * 1e3)
    return took


def _publishing(places: Sequence[str]) -> tuple[float, list[float], float]:
    """Publish by one process a place, all at once; tell events a second, milliseconds of each, CPU seconds."""
    with ExitStack() as stack:
        programs = [
            stack.enter_context(running_program("bench.publisher", place, str(EVENTS), str(TASKS), "1"))
            for place in places
        ]
        for program in programs:
            expect(program, "ready")
        began = time.perf_counter()
        for program in programs:
            assert program.stdin is not None
            program.stdin.write("go\n")
            program.stdin.flush()
        told = [json.loads(read_line(program)) for program in programs]
        elapsed_s = time.perf_counter() - began
    took = [each for one in told for each in one["took_ms"]]
    return len(took) / elapsed_s, took, sum(one["cpu_s"] for one in told)


def _rates(
    name: str, rounds: Sequence[tuple[float, list[float], float]], rate: float, p50_ms: float | None
) -> list[Measure]:
    rates = [each[0] for each in rounds]
    took = [ms for each in rounds for ms in each[1]]
    cpu_us = sum(each[2] for each in rounds) / len(took) * 1e6
    how = f"{TASKS} tasks a daemon, each event acknowledged; {cpu_us:.0f} us of CPU an event without the server's"
    return [
        Measure(f"{name}: events published", "/s", median(rates), rate, how, tuple(rates), at_least=True),
        Measure(f"{name}: p50", "ms", median(took), p50_ms, f"p99 {percentile(took, 0.99):.1f} ms"),
    ]


async def _arrivals(daemon: RunningDaemon, root: Path, name: str) -> list[float]:
    """Write frames, and wait for the event of each; tell milliseconds since the file was closed."""
    octets = make.image_hdu(np.random.default_rng(1).integers(0, 4000, SHAPE).astype(np.uint16))
    took: list[float] = []
    async with daemon.websocket("/live") as live:
        await live.send_message('{"id":1,"op":"subscribe","filters":[["type","=","frame.arrived"]]}')
        await live.get_message()
        for number in range(FILES):
            with (root / f"{name}{number:04d}.fits").open("wb") as file:
                file.write(octets)
            closed = time.perf_counter()
            with trio.fail_after(LIMIT_S):
                while f"/{name}{number:04d}.fits" not in await live.get_message():
                    pass
            took.append((time.perf_counter() - closed) * 1e3)
            await trio.sleep(PAUSE_S)
    return took[10:]


def _told(took: Sequence[float]) -> list[Measure]:
    how = (
        f"{len(took)} frames of {SHAPE[1]} x {SHAPE[0]}, one after another; looked into by a worker, durable, delivered"
    )
    return [
        Measure("file closed -> event at the client, p50", "ms", median(took), 60, how, tuple(took)),
        Measure("file closed -> event at the client, p99", "ms", percentile(took, 0.99), 250, f"worst {max(took):.1f}"),
    ]


async def _while_looked_at(daemon: RunningDaemon, root: Path) -> list[Measure]:
    numbers = itertools.count(1)

    async def look() -> None:
        while True:
            levels = f"0.{next(numbers):06d},0.999"
            answer = await daemon.get(f"/img?frame=night/big.fits&size=1200,&levels={levels}&mid=0.3")
            assert answer.status == 200

    async with trio.open_nursery() as nursery:
        for _ in range(LOOKING):
            nursery.start_soon(look)
        took = await _arrivals(daemon, root, "c")
        nursery.cancel_scope.cancel()
    how = f"each of {LOOKING} asks for one picture of {BIG[1]} x {BIG[0]} after the other; p50 {median(took):.1f}"
    return [Measure("the same p99 while people look at pictures", "ms", percentile(took, 0.99), 250, how, tuple(took))]


def _beside(alone: Sequence[float], took: Sequence[float]) -> Measure:
    name = f"the same p99 beside {STALLED} stalled clients / alone"
    how = f"{percentile(took, 0.99):.1f} ms; each of them has asked for all events, and takes none"
    return Measure(name, "x", percentile(took, 0.99) / percentile(alone, 0.99), 1.5, how, tuple(took))


@asynccontextmanager
async def _stalled(daemon: RunningDaemon) -> AsyncIterator[None]:
    """Have a client that asks for everything, and then reads nothing."""
    async with daemon.websocket("/live") as live:
        await live.send_message('{"id":1,"op":"ping"}')
        epoch = json.loads(await live.get_message())["head"].partition(":")[0]
    async with await trio.open_tcp_stream(daemon.host, daemon.port) as stream:
        asked = json.dumps({"id": 1, "op": "subscribe", "since": f"{epoch}:0"}).encode()
        assert len(asked) < 126
        await stream.send_all(
            f"GET /live HTTP/1.1\r\nHost: {daemon.host}:{daemon.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        await stream.receive_some()
        await stream.send_all(bytes((0x81, 0x80 | len(asked))) + bytes(4) + asked)
        yield


async def _deliveries(daemon: RunningDaemon, rounds: int) -> list[Measure]:
    rates, cpu_us = [], []
    for _ in range(rounds):
        told, cpu_s = await trio.to_thread.run_sync(_deliver, daemon)
        assert told["exact"], f"a client has not taken each event once; {told['left']} are missing"
        rates.append(CLIENTS * DELIVERED / told["elapsed_s"])
        cpu_us.append(cpu_s / (CLIENTS * DELIVERED) * 1e6)
    how = f"{DELIVERED} events to {CLIENTS} websockets of one daemon; the clients have the other core"
    return [
        Measure("deliveries", "/s", median(rates), 50_000, how, tuple(rates), at_least=True),
        Measure(
            "CPU of the daemon a delivery", "us", median(cpu_us), None, "publishing by another process", tuple(cpu_us)
        ),
    ]


def _deliver(daemon: RunningDaemon) -> tuple[dict[str, Any], float]:
    """Publish beside the daemon, as another one on its store does, and have all clients take it."""
    store = f"sqlite:{daemon.folder}/events.sqlite"
    with running_program("bench.publisher", store, str(DELIVERED), "1", "250") as publisher:
        expect(publisher, "ready")
        time.sleep(SETTLE_S)
        with running_program(
            "bench.listeners", daemon.host, str(daemon.port), str(CLIENTS), str(DELIVERED)
        ) as listeners:
            expect(listeners, "ready")
            before = cpu_s_of(daemon.pid)
            assert publisher.stdin is not None
            publisher.stdin.write("go\n")
            publisher.stdin.flush()
            told: dict[str, Any] = json.loads(read_line(listeners))
    return told, cpu_s_of(daemon.pid) - before


async def _memory(daemon: RunningDaemon) -> Measure:
    async with _subscribers(daemon, SUBSCRIBERS // 10):
        await trio.sleep(SETTLE_S)
    before = daemon.pss_bytes()
    async with _subscribers(daemon, SUBSCRIBERS):
        await trio.sleep(SETTLE_S)
        each_kb = (daemon.pss_bytes() - before) / 1e3 / SUBSCRIBERS
    return Measure("a subscriber", "kB", each_kb, 30, f"growth of PSS by {SUBSCRIBERS} websockets that follow, each")


@asynccontextmanager
async def _subscribers(daemon: RunningDaemon, count: int) -> AsyncIterator[None]:
    with running_program("bench.listeners", daemon.host, str(daemon.port), str(count), "1") as listeners:
        await trio.to_thread.run_sync(expect, listeners, "ready")
        yield

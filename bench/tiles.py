"""Tiles, made by one real worker in todo lists, without the daemon: its CPU time, and the time of a whole viewport."""

import itertools
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec
import trio

from bench.limit import Limit
from bench.turns import Missing, Taken
from cgi_worker.source import source_of
from cgi_worker.wire.facts import Facts, Source, decode_facts
from cgi_worker.wire.packets import Done, Failed, Identity, Lent, Progress, Todo
from cgi_worker.wire.recipe import parse_recipe
from cgi_worker.wire.steps import Recipe
from cgi_worker.wire.talk import Talk
from cgi_worker.wire.tile_lists import tile_list_recipe
from cgi_worker.wire.tiles import TILE_PX, TilePlace
from cgi_worker.wire.view import Cut, View
from imgd.engine.forking import WorkerLink
from imgd.engine.segments import PAGE_BYTES, Segments
from imgd.engine.workers import TemplateSettings, open_template
from tests.rig.crew import greet

VIEWPORT: Final = (8, 5)  # Tiles across and down of a screen of 1920 x 1200.
LEVELS: Final = (0, 1, 2)  # Those that are made straight from a plain file.
CORES: Final = 2
LIMIT_S: Final = 120
WARM_UP: Final = 2
QUALITY: Final = 85  # The default of a view.


class TileWorker:
    """One worker with segments of its own, warm after the first list, as the daemon lends them."""

    def __init__(self, link: WorkerLink, talk: Talk, frame: Path) -> None:
        self._link, self._talk, self._frame = link, talk, frame
        self._segments = Segments()
        self._capacity: dict[int, int] = {}
        self._numbers = itertools.count(1)
        self.made = b""  # The last item that was made, in the last buffer.
        path_fd = os.open(frame, os.O_PATH)
        self.source: Source = source_of(path_fd)
        os.close(path_fd)

    async def facts(self) -> Facts:
        """Have the frame parsed."""
        used = await self.carry_out(parse_recipe(self.source), threads=1)
        return decode_facts(self._segments.read(0, 0, used[0]))

    async def carry_out(self, recipe: Recipe, threads: int) -> dict[int, int]:
        """Have one todo list done; tell the bytes used of each buffer.

        Raises  Missing if the worker cannot do it.
        """
        for number, buffer in enumerate(recipe.buffers):
            self._provide(number, -(-buffer.size_bytes // PAGE_BYTES) * PAGE_BYTES)
        lent = tuple(Lent(buffer, number, True) for number, buffer in enumerate(recipe.buffers))
        source = msgspec.json.encode(self.source).decode()
        todo = Todo(next(self._numbers), recipe.stages, lent, source, True, False, threads)
        self._talk.give(todo)
        path_fd = os.open(self._frame, os.O_PATH)
        self._link.send(todo, [path_fd, *(self._segments.writer_fd(number) for number in range(len(lent)))])
        os.close(path_fd)
        used: dict[int, int] = {}
        failed: Failed | None = None
        ends = [0]
        while not self._talk.idle:
            message = await self._link.receive()
            if message is None:
                raise Missing("the worker ended: it does not know this step yet, or failed in it")
            self._talk.hear(message)
            failed = message if isinstance(message, Failed) else failed
            if isinstance(message, Progress):
                ends += message.ends or (message.used_bytes,)
            if isinstance(message, Done):
                used |= dict(zip(recipe.stages[message.stage].outputs, message.used_bytes, strict=True))
        if failed is not None:
            raise Missing(f"{failed.code}: {failed.text}")
        last = max(used)
        self.made = bytes(self._segments.read(last, ends[-2] if len(ends) > 1 else 0, used[last]))
        return used

    def cpu_s(self) -> float:
        """Tell the CPU time of all its threads, those that have ended too.

        Source  clock_getcpuclockid(3): the clock of process p is numbered (~p << 3) | 2.
        """
        return time.clock_gettime(~self._link.pid << 3 | 2)

    def close(self) -> None:
        """Give the segments back."""
        self._segments.close()

    def _provide(self, number: int, capacity_bytes: int) -> None:
        if self._capacity.get(number, 0) < capacity_bytes:
            if number in self._capacity:
                self._segments.destroy(number)
            self._segments.create(number, capacity_bytes)
            self._capacity[number] = capacity_bytes


@asynccontextmanager
async def tile_worker(frame: Path) -> AsyncIterator[TileWorker]:
    """Start a template with one worker."""
    async with open_template(TemplateSettings(readable=(str(frame.parent),))) as template:
        link = await template.fork(1, Identity())
        worker = TileWorker(link, await greet(link), frame)
        try:
            yield worker
        finally:
            worker.close()
            link.close()


async def take_tiles(frame: Path, cut: tuple[float, float], rounds: int) -> Taken:
    """Have viewports made; the samples are milliseconds.

    Returns  "level N": CPU time a tile, in lists of a viewport by one thread; "viewport": wall time of one at level 0
             by two threads; "viewport, CPU": what that cost both cores; "JPEG": encoding such a tile alone.
    """
    taken = Taken()
    why = f"no end within {LIMIT_S} s"
    with trio.move_on_after(LIMIT_S):
        async with tile_worker(frame) as worker:
            try:
                await _take(worker, View("bench/tiles", levels=Cut(*cut)), rounds, taken.samples)
                return taken
            except Missing as missing:  # In here: the template's nursery would wrap it into a group.
                why = str(missing)
    names = (*(f"level {level}" for level in LEVELS), "JPEG", "viewport", "viewport, CPU")
    return Taken(reasons=dict.fromkeys(names, why))


async def _take(worker: TileWorker, view: View, rounds: int, samples: dict[str, list[float]]) -> None:
    facts = await worker.facts()
    for number in range(-WARM_UP, rounds):
        took: dict[str, float] = {}
        for level in LEVELS:
            recipe, count = _viewport(view, level, number, (facts, worker.source))
            _, cpu_ms = await _timed(worker, recipe, threads=1)
            took[f"level {level}"] = cpu_ms / count
            if level == 0:
                took["JPEG"] = min(Limit.encode_ms(worker.made, QUALITY) for _ in range(3))
        recipe, _ = _viewport(view, 0, number, (facts, worker.source))
        took["viewport"], took["viewport, CPU"] = await _timed(worker, recipe, threads=CORES)
        for name, value in took.items() if number >= 0 else ():
            samples.setdefault(name, []).append(value)


def _viewport(view: View, level: int, number: int, of: tuple[Facts, Source]) -> tuple[Recipe, int]:
    """Lay a viewport somewhere else each time; tell how many tiles it has."""
    facts, source = of
    hdu = next(hdu for hdu in facts.hdus if hdu.index == facts.default_hdu)
    across, down = (max(1, side // (TILE_PX << level)) for side in (hdu.width_px, hdu.height_px))
    left, top = (3 * number) % max(1, across - VIEWPORT[0]), (2 * number) % max(1, down - VIEWPORT[1])
    columns, rows = range(min(across, VIEWPORT[0])), range(min(down, VIEWPORT[1]))
    places = tuple(TilePlace(level, left + x, top + y) for y in rows for x in columns)
    return tile_list_recipe(view, places, facts, source), len(places)


async def _timed(worker: TileWorker, recipe: Recipe, threads: int) -> tuple[float, float]:
    began, cpu_began = time.perf_counter(), worker.cpu_s()
    await worker.carry_out(recipe, threads)
    return (time.perf_counter() - began) * 1e3, (worker.cpu_s() - cpu_began) * 1e3

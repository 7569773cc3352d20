"""Memory that is bounded: the budget by the kernel's figures, refusals instead of waiting, readers that are slow."""

import math
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import cast

import pytest
import trio

from imgd.core.segment import PAGE_BYTES, State
from imgd.engine.answer import Answer
from imgd.engine.client import CHUNK_BYTES
from imgd.errors import Busy, WorkerLost
from imgd.setting_kinds import MIB
from tests.daemon import kernel
from tests.engine.rig import ASKER, children_of, kill, running, until, view
from tests.rig.engine_steps import Frame, picture_of


def chunks_of(answer: Answer) -> AsyncGenerator[bytes, None]:
    return cast("AsyncGenerator[bytes, None]", answer.chunks())


async def test_the_budget_is_never_exceeded_and_every_answer_is_the_one_computed_alone(tmp_path: Path) -> None:
    budget, ours, theirs = 24 * MIB, list[int](), list[int]()
    async with running(tmp_path, budget_bytes=budget, workers_max=3, queue_max=1000, memory_wait_s=20.0) as rig:
        # Each takes about 7 MiB with all that its picture is made from: four times the budget together.
        frames = {f"f{n}": rig.put(f"f{n}", Frame(800 + 20 * n, 900), n) for n in range(14)}
        wrong: list[str] = []

        async def watch() -> None:
            # From this thread: while it looks nobody gives back or makes segments, so that what it adds up was there at
            # one moment. First what the descriptors say, then all that any process has open or mapped.
            template = rig.engine.statistics().template_pid
            while True:
                ours.append(rig.floor.segments.kernel_bytes())
                theirs.append(kernel.segment_bytes([os.getpid(), *children_of(template)]))
                rig.floor.core.check_all()
                await trio.sleep(0.002)

        async def ask(name: str, width_px: int) -> None:
            wanted = view(name, width_px)
            if (await rig.picture(wanted)).body != picture_of(frames[name], wanted):
                wrong.append(name)

        async def leave(name: str) -> None:
            with trio.move_on_after(0.05):
                await rig.picture(view(name, 700))

        async with trio.open_nursery() as watching:
            watching.start_soon(watch)
            async with trio.open_nursery() as nursery:
                for name in frames:
                    nursery.start_soon(ask, name, 900)
                    nursery.start_soon(ask, name, 300)
                    nursery.start_soon(leave, name)
            watching.cancel_scope.cancel()
        assert not wrong
        assert rig.engine.statistics().evicted_total > 0
        assert rig.engine.statistics().recycled_total > 0
        await rig.quiet()
    assert len(theirs) > 20
    assert budget / 2 < max(ours) <= budget
    assert budget / 2 < max(theirs) <= budget


async def test_a_full_queue_answers_busy_at_once(tmp_path: Path) -> None:
    async with running(tmp_path, workers_max=1, queue_max=2) as rig:
        octets = {f"f{n}": rig.put(f"f{n}", Frame(acts={"reduce": rig.gate("go")}), n) for n in range(4)}
        for name in octets:
            await rig.engine.qualify(view(name), ASKER)
        done: list[bytes] = []

        async def ask(name: str) -> None:
            done.append((await rig.picture(view(name))).body)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, "f0")
            await rig.until_noted("at:reduce")
            nursery.start_soon(ask, "f1")
            nursery.start_soon(ask, "f2")
            await until(lambda: rig.engine.statistics().jobs_waiting == 2)
            with pytest.raises(Busy, match="queue is full") as caught, trio.fail_after(1):
                await rig.picture(view("f3"))
            assert caught.value.retry_after_s > 0
            with trio.move_on_after(0.1) as waiting:  # To join what another is making takes no place in the queue.
                await rig.picture(view("f0"))
            assert waiting.cancelled_caught
            rig.open_gate("go")
        assert sorted(done) == sorted(picture_of(octets[name], view(name)) for name in ("f0", "f1", "f2"))
        assert rig.engine.statistics().refused_total == 1
        await rig.quiet()


async def test_memory_that_does_not_come_free_in_time_is_a_refusal(tmp_path: Path) -> None:
    async with running(tmp_path, budget_bytes=16 * MIB, memory_wait_s=0.3) as rig:
        rig.put("a", Frame(1100, 1100, acts={"tone": rig.gate("go")}))
        octets = rig.put("b", Frame(1100, 1100), 1)
        for name in "ab":
            await rig.engine.qualify(view(name), ASKER)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(rig.picture, view("a", 1100))
            await rig.until_noted("at:tone")
            holding = rig.held()
            with pytest.raises(Busy, match="did not come free in time") as caught:
                await rig.picture(view("b", 1100))
            assert caught.value.retry_after_s > 0
            await until(lambda: rig.held() == holding)
            rig.open_gate("go")
        assert (await rig.picture(view("b", 1100))).body == picture_of(octets, view("b", 1100))
        await rig.quiet()


async def test_a_reader_that_stops_holds_only_its_encoded_bytes_while_others_work(tmp_path: Path) -> None:
    async with running(tmp_path, budget_bytes=16 * MIB) as rig:
        slow = rig.put("slow", Frame(1200, 1200, encoded_bytes=2 * CHUNK_BYTES + 500_000))
        others = {f"f{n}": rig.put(f"f{n}", Frame(900, 900), n + 1) for n in range(6)}
        wanted = view("slow", 1200)
        async with rig.engine.render(wanted, ASKER) as answer, aclosing(chunks_of(answer)) as chunks:
            read = await anext(chunks)
            pages = math.ceil((2 * CHUNK_BYTES + 500_000) / PAGE_BYTES) * PAGE_BYTES
            await until(lambda: rig.engine.statistics().leased_bytes == pages)
            for name, octets in others.items():
                assert (await rig.picture(view(name, 900))).body == picture_of(octets, view(name, 900))
            assert rig.engine.statistics().evicted_total > 0
            await until(lambda: rig.engine.statistics().leased_bytes == pages)
            while (chunk := await anext(chunks, b"")) != b"":
                assert len(chunk) <= CHUNK_BYTES
                read += chunk
        assert read == picture_of(slow, wanted)
        await rig.quiet()


async def test_an_answer_that_breaks_off_is_told_and_nothing_of_the_buffer_is_read_after(tmp_path: Path) -> None:
    """The reader is slow: when it comes back its worker is long dead, and the segment holds another's bytes."""
    async with running(tmp_path, budget_bytes=16 * MIB) as rig:
        acts = {"encode/half": rig.gate("never")}
        rig.put("a", Frame(1200, 1200, acts=acts, encoded_bytes=2 * CHUNK_BYTES + 500_000))
        async with rig.engine.render(view("a", 1200), ASKER) as answer, aclosing(chunks_of(answer)) as chunks:
            assert len(await anext(chunks)) == CHUNK_BYTES
            await rig.until_noted("at:encode/half")
            segments = rig.floor.core.pool.segments
            (held,) = (each.id for each in segments.values() if each.state is State.WRITING)
            (worker,) = rig.busy_workers()
            kill(worker)
            await until(lambda: rig.engine.statistics().leased_bytes == 0)
            assert segments[held].state is State.SPARE
            for n in range(20):
                octets = rig.put("b", Frame(1200, 1100), n + 1)
                assert (await rig.picture(view("b", 1100))).body == picture_of(octets, view("b", 1100))
                if held not in segments or segments[held].state is not State.SPARE:
                    break  # It holds another's, or is gone.
            else:
                pytest.fail("the memory of what broke off was never used again")
            with pytest.raises(WorkerLost, match="broke off"):
                await anext(chunks)
        await rig.quiet()

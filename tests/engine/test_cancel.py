"""A client that leaves, at any point: its worker is killed, what it held is free; unless others wait for the same."""

from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import trio

from imgd.errors import WorkerLost
from imgd.setting_kinds import MIB
from tests.engine.rig import ASKER, Picture, Running, running, until, view
from tests.rig.bench import alive
from tests.rig.engine_steps import Frame, picture_of

PLACES = ["parse", "reduce", "tone", "encode", "encode/half"]


def step_of(place: str) -> str:
    return place.partition("/")[0]


async def ask(rig: Running, name: str, got: list[Picture]) -> None:
    got.append(await rig.picture(view(name)))


async def test_leaving_in_the_middle_of_each_step_kills_the_worker_and_frees_what_it_held(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        before = rig.held()
        for seed, place in enumerate(PLACES):
            octets = rig.put("a", Frame(acts={place: rig.gate(place.replace("/", "-"))}), seed)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask, rig, "a", [])
                await rig.until_noted(f"at:{place}")
                (worker,) = rig.busy_workers()
                assert rig.held().leased_bytes > 0
                nursery.cancel_scope.cancel()
            await rig.nothing_is_left_of(before, worker)
            rig.open_gate(place.replace("/", "-"))
            assert (await rig.picture(view("a"))).body == picture_of(octets, view("a"))
        assert rig.engine.statistics().stopped_total == len(PLACES)


async def test_leaving_after_any_time_leaves_nothing(tmp_path: Path) -> None:
    """Between the places that have a name: before the look-up, while the worker is forked, while it ends."""
    async with running(tmp_path, workers_idle_max=0) as rig:
        before = rig.held()
        for seed in range(40):
            octets = rig.put("a", seed=seed)
            got: list[Picture] = []
            with trio.move_on_after(seed * 0.0005):
                await ask(rig, "a", got)
            assert all(one.body == picture_of(octets, view("a")) for one in got)
        await rig.nothing_is_left_of(before)
        octets = rig.put("a", seed=99)
        assert (await rig.picture(view("a"))).body == picture_of(octets, view("a"))


async def test_leaving_with_half_of_the_answer_read(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        rig.put("a", Frame(acts={"encode/half": rig.gate("rest")}))
        before = rig.held()
        async with rig.engine.render(view("a"), ASKER) as answer:
            async with aclosing(answer.chunks()) as chunks:  # type: ignore[type-var]
                await anext(chunks)
            (worker,) = rig.busy_workers()
        await rig.nothing_is_left_of(before, worker)


async def test_leaving_with_all_of_the_answer_read_or_none_keeps_the_worker_and_the_picture(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        rig.put("a")
        before = rig.held()
        await rig.picture(view("a"))
        async with rig.engine.render(view("a"), ASKER):
            assert rig.held().leased_bytes > 0
        await rig.nothing_is_left_of(before)
        assert len(rig.workers()) == 1
        assert rig.engine.statistics().idle_bytes > 0


async def test_if_another_waits_for_the_same_the_work_goes_on_and_serves_him(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        before = rig.held()
        for seed, place in enumerate(PLACES):
            octets = rig.put("a", Frame(acts={place: rig.gate(str(seed))}), seed)
            begun, got = rig.done()[step_of(place)], list[Picture]()
            async with trio.open_nursery() as nursery:
                async with trio.open_nursery() as leaving:
                    leaving.start_soon(ask, rig, "a", [])
                    await rig.until_noted(f"at:{place}")
                    (worker,) = rig.busy_workers()
                    nursery.start_soon(ask, rig, "a", got)
                    await until(lambda: rig.engine.statistics().jobs == 2)
                    leaving.cancel_scope.cancel()
                assert rig.busy_workers() == [worker]
                rig.open_gate(str(seed))
            assert [one.body for one in got] == [picture_of(octets, view("a"))]
            assert rig.done()[step_of(place)] == begun + 1
            await rig.nothing_is_left_of(before)
            assert alive(worker)


async def test_another_picture_of_the_same_plane_keeps_the_work_alive_as_well(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        octets = rig.put("a", Frame(acts={"reduce": rig.gate("go")}))
        await rig.engine.qualify(view("a"), ASKER)
        got: list[Picture] = []

        async def ask_other() -> None:
            got.append(await rig.picture(view("a", low=0.3)))

        async with trio.open_nursery() as nursery:
            async with trio.open_nursery() as leaving:
                leaving.start_soon(ask, rig, "a", [])
                await rig.until_noted("at:reduce")
                nursery.start_soon(ask_other)
                await until(lambda: rig.engine.statistics().jobs == 2)
                leaving.cancel_scope.cancel()
            rig.open_gate("go")
        assert got[0].body == picture_of(octets, view("a", low=0.3))
        assert rig.done()["reduce"] == 1
        await rig.quiet()


@pytest.mark.parametrize("scarce", [{"budget_bytes": 16 * MIB}, {"workers_max": 1}], ids=["memory", "workers"])
async def test_leaving_while_waiting_for_memory_or_for_a_worker_disturbs_nobody(
    tmp_path: Path, scarce: dict[str, Any]
) -> None:
    async with running(tmp_path, **scarce) as rig:
        octets = rig.put("a", Frame(1100, 1100, acts={"tone": rig.gate("go")}))
        rig.put("b", Frame(1100, 1100), seed=1)
        got: list[Picture] = []

        async def ask_large(name: str) -> None:
            got.append(await rig.picture(view(name, 1100)))

        for name in "ab":
            await rig.engine.qualify(view(name), ASKER)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask_large, "a")
            await rig.until_noted("at:tone")
            before = rig.held()
            async with trio.open_nursery() as leaving:
                leaving.start_soon(ask_large, "b")
                await until(lambda: rig.engine.statistics().jobs_waiting == 1)
                assert rig.held().reserved_bytes == before.reserved_bytes
                leaving.cancel_scope.cancel()
            await until(lambda: rig.held() == before)
            rig.open_gate("go")
        assert [one.body for one in got] == [picture_of(octets, view("a", 1100))]
        assert rig.done()["reduce"] == 1
        await rig.quiet()


async def test_a_worker_killed_for_one_is_not_missed_by_the_next_who_asks_at_once(tmp_path: Path) -> None:
    """The buffers of the killed are still mapped when the next one asks: they are made anew, elsewhere."""
    async with running(tmp_path) as rig:
        octets = rig.put("a", Frame(acts={"tone": rig.gate("first")}))
        await rig.engine.qualify(view("a"), ASKER)
        for _ in range(5):
            async with trio.open_nursery() as leaving:
                leaving.start_soon(ask, rig, "a", [])
                await until(lambda: bool(rig.busy_workers()))
                leaving.cancel_scope.cancel()
        rig.open_gate("first")
        try:
            assert (await rig.picture(view("a"))).body == picture_of(octets, view("a"))
        except WorkerLost as error:
            raise AssertionError("the worker that was killed for another was this one's") from error
        await rig.quiet()

"""Frames that change while they are looked at: the next answer tells the truth."""

import os
from pathlib import Path

import pytest
import trio

from imgd.errors import Busy, NoSuchFrame
from tests.engine.rig import Picture, Running, running, view
from tests.rig.engine_steps import Frame, picture_of


async def ask(rig: Running, got: list[Picture]) -> None:
    got.append(await rig.picture(view("a")))


async def test_rewritten_in_place_again_and_again_each_picture_is_of_what_is_there(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        etags = set()
        for seed in range(10):
            octets = rig.put("a", seed=seed, age_s=0)
            picture = await rig.picture(view("a"))
            assert picture.body == picture_of(octets, view("a"))
            etags.add(picture.etag)
        assert len(etags) == 10
        await rig.quiet()


async def test_rewritten_in_place_during_a_step_the_new_picture_is_given(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        rig.put("a", Frame(acts={"reduce": rig.gate("go")}))
        got: list[Picture] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, rig, got)
            await rig.until_noted("at:reduce")
            octets = rig.put("a", Frame(100, 80), seed=1, age_s=0)
            rig.open_gate("go")
        assert got[0].body == picture_of(octets, view("a"))
        assert rig.done()["parse"] == 2
        await rig.quiet()


async def test_a_frame_that_never_stops_changing_is_busy(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        gates = [f"go{n}" for n in range(4)]
        rig.put("a", Frame(acts={"reduce": rig.gate(gates[0])}))

        async def rewrite() -> None:
            for n, gate in enumerate(gates, 1):
                await rig.until_noted("at:reduce", n)
                then = rig.gate(gates[n]) if n < len(gates) else ""
                rig.put("a", Frame(acts={"reduce": then}), seed=n)
                rig.open_gate(gate)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(rewrite)
            with pytest.raises(Busy, match="being rewritten") as caught:
                await rig.picture(view("a"))
        assert caught.value.retry_after_s > 0
        await rig.quiet()


async def test_replaced_by_rename_during_a_step_the_answer_is_of_what_was_asked_for_and_the_next_is_new(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as rig:
        old = rig.put("a", Frame(acts={"reduce": rig.gate("go")}))
        got: list[Picture] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, rig, got)
            await rig.until_noted("at:reduce")
            new = rig.put("b", Frame(90, 90), seed=1)
            os.rename(rig.folder / "b", rig.folder / "a")
            await ask(rig, got)
            rig.open_gate("go")
        assert [one.body for one in got] == [picture_of(new, view("a")), picture_of(old, view("a"))]
        assert got[0].etag != got[1].etag
        await rig.quiet()


async def test_deleted_during_a_step_and_made_again_later(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        octets = rig.put("a", Frame(acts={"reduce": rig.gate("go")}))
        got: list[Picture] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, rig, got)
            await rig.until_noted("at:reduce")
            (rig.folder / "a").unlink()
            with pytest.raises(NoSuchFrame):
                await rig.picture(view("a"))
            rig.open_gate("go")
        assert got[0].body == picture_of(octets, view("a"))
        with pytest.raises(NoSuchFrame):
            await rig.picture(view("a"))
        octets = rig.put("a", seed=1)
        assert (await rig.picture(view("a"))).body == picture_of(octets, view("a"))


async def test_cut_while_it_is_mapped_the_worker_dies_and_what_is_left_is_shown(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        octets = rig.put("a", Frame(300, 300, acts={"reduce": "mapped", "reduce/mapped": rig.gate("go")}))
        got: list[Picture] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, rig, got)
            await rig.until_noted("at:reduce/mapped")
            os.truncate(rig.folder / "a", 40_000)
            rig.open_gate("go")
        assert rig.done()["reduce"] == 2  # The first one died of SIGBUS.
        assert rig.engine.statistics().workers_forked_total == 2
        assert got[0].body == picture_of(octets[:40_000], view("a")) != picture_of(octets, view("a"))
        await rig.quiet()

"""Tiles: those asked for together are one list, what is being made is shared, and what nobody wants is not made."""

import os
import signal
from collections import OrderedDict
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from cgi_worker.wire.tiles import TilePlace, ViewportView
from cgi_worker.wire.view import View
from imgd.engine import tile_desk
from imgd.engine.looks import look_of
from imgd.engine.tile_desk import Asking, MadeTile, TileStatistics
from imgd.engine.tile_store import OVERHEAD_BYTES, KeptTile, TileStore
from imgd.errors import BadFrame, BadRequest, Busy, PlanTooBig, WorkerLost
from imgd.model import Asker
from imgd.running import Produced
from imgd.setting_kinds import MIB
from tests.engine.rig import ASKER, ROOT, SOON_S, Picture, Running, kill, look, running, stand_in, until, view
from tests.rig import engine_steps
from tests.rig.engine_steps import Frame, tile_of

HEIGHT, WIDTH = 1280, 2048
PLACES = [TilePlace(0, column, row) for row in range(5) for column in range(8)]
FEW = PLACES[:6]


def frame(**acts: str) -> Frame:
    return Frame(HEIGHT, WIDTH, acts={name.replace("_", "/"): act for name, act in acts.items()})


def box_of(count: int) -> tuple[float, float, float, float]:
    """The window of the first tiles of the upper row."""
    return (0.0, 0.0, 256.0 * count, 256.0)


class Crowd:
    """Many who ask for a tile each, or for a viewport; `got` is what they have, by place, and `failed` why not."""

    def __init__(self, rig: Running, wanted: View) -> None:
        self.rig = rig
        self.view = wanted
        self.got: dict[TilePlace, Picture] = {}
        self.failed: dict[TilePlace, Exception] = {}
        self.shown: dict[TilePlace, bytes] = {}

    async def one(self, place: TilePlace) -> None:
        try:
            self.got[place] = await self.rig.tile(self.view, place.level, place.column, place.row)
        except (Busy, WorkerLost, BadFrame, PlanTooBig) as error:
            self.failed[place] = error

    async def each(self, places: list[TilePlace]) -> None:
        async with trio.open_nursery() as nursery:
            for place in places:
                nursery.start_soon(self.one, place)

    async def window(self, count: int, asker: Asker = ASKER) -> None:
        async with self.rig.engine.carry_out(ViewportView(self.view, 0, box_of(count)), asker) as carrying:
            async for news in carrying.news():
                if isinstance(news, Produced):
                    assert news.place is not None
                    self.shown[news.place] = news.body


def figures(rig: Running) -> TileStatistics:
    return rig.engine.tiles.statistics()


def submitted(rig: Running) -> int:
    return rig.engine.statistics().submitted_total


def made(rig: Running) -> int:
    return sum(count for line, count in rig.done().items() if line.startswith("tile:"))


async def learn(rig: Running, name: str = "a") -> None:
    await rig.engine.look(f"{ROOT}/{name}", ASKER)


async def test_tiles_asked_for_one_by_one_at_the_same_time_are_one_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tile_desk, "GATHER_S", 0.5)
    async with running(tmp_path) as rig:
        octets = rig.put("a", frame())
        before, jobs = rig.held(), 1
        await learn(rig)
        crowd = Crowd(rig, look("a"))
        await crowd.each(PLACES)
        assert {place: one.body for place, one in crowd.got.items()} == {
            place: tile_of(octets, look("a"), place) for place in PLACES
        }
        assert len({one.etag for one in crowd.got.values()}) == len(PLACES)
        assert submitted(rig) == jobs + 1
        assert (figures(rig).tile_lists_total, figures(rig).tiles_made_total) == (1, len(PLACES))
        assert made(rig) == len(PLACES)
        await rig.nothing_is_left_of(before)
        assert (figures(rig).tiles_pending, figures(rig).tile_lists) == (0, 0)


async def test_who_comes_back_before_the_list_is_begun_is_on_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tile_desk, "GATHER_S", 0.2)
    async with running(tmp_path) as rig:
        rig.put("a", frame())
        await learn(rig)
        crowd = Crowd(rig, look("a"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(crowd.one, PLACES[0])
            for _ in range(3):
                async with trio.open_nursery() as leaving:
                    leaving.start_soon(crowd.one, PLACES[1])
                    await until(lambda: figures(rig).tiles_pending == 2)
                    leaving.cancel_scope.cancel()
            nursery.start_soon(crowd.one, PLACES[1])
        assert crowd.got.keys() == set(PLACES[:2])
        assert (figures(rig).tile_lists_total, figures(rig).tiles_made_total, made(rig)) == (1, 2, 2)
        assert figures(rig).tiles_dropped_total == 0


async def test_tiles_of_several_levels_that_come_mixed_are_each_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tile_desk, "GATHER_S", 0.5)
    async with running(tmp_path) as rig:
        octets = rig.put("a", frame())
        await learn(rig)
        mixed = [TilePlace(at % 3, at % 2, at % 4 // 3) for at in range(12)]
        mixed = list(dict.fromkeys(mixed))
        assert [place.level for place in mixed] != sorted(place.level for place in mixed)
        crowd = Crowd(rig, look("a"))
        await crowd.each([*mixed, TilePlace(5, 0, 0), TilePlace(4, 0, 0)])
        assert not crowd.failed
        for place in mixed:
            assert crowd.got[place].body == tile_of(octets, look("a"), place)
        assert figures(rig).tile_lists_total == 5
        assert rig.done()["reduce"] == 1
        await rig.quiet()


async def test_a_list_of_several_levels_gives_each_tile_to_who_asked_for_it(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        octets = rig.put("a", frame())
        known = await rig.engine.look(f"{ROOT}/a", ASKER)
        places = [TilePlace(at % 3, at % 2, 0) for at in range(6)]
        path_fd = os.open(rig.folder / "a", os.O_PATH)
        asking = Asking(look_of(look("a"), known.facts, known.source), ASKER, path_fd)
        got: dict[TilePlace, bytes] = {}
        rig.engine.tiles.ask(asking, places)
        while news := await asking.more():
            got |= {one.place: one.tile.body for one in news if isinstance(one, MadeTile)}
        os.close(path_fd)
        wanted = asking.look.view
        assert got == {place: tile_of(octets, wanted, place) for place in places}
        assert figures(rig).tile_lists_total == 1


async def test_what_is_kept_costs_no_worker_and_no_list(tmp_path: Path) -> None:
    async with running(tmp_path, worker_idle_s=0.05) as rig:
        rig.put("a", frame())
        first, again = Crowd(rig, look("a")), Crowd(rig, look("a"))
        await first.each(FEW)
        await until(lambda: not rig.workers())
        jobs, lists = submitted(rig), figures(rig).tile_lists_total
        await again.each(FEW)
        await again.window(6)
        assert again.got == first.got
        assert again.shown == {place: one.body for place, one in first.got.items()}
        assert (submitted(rig), figures(rig).tile_lists_total) == (jobs, lists)
        assert not rig.workers()
        assert figures(rig).tiles_found_total == 2 * len(FEW)


async def test_another_look_or_a_rewritten_frame_is_another_tile(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        bodies, etags = set(), set()
        for seed in range(2):
            octets = rig.put("a", frame(), seed)
            for wanted in (look("a"), look("a", 3.0), look("a", picture_format="png")):
                tile = await rig.tile(wanted, 0, 1, 1)
                assert tile.body == tile_of(octets, wanted, TilePlace(0, 1, 1))
                bodies.add(tile.body)
                etags.add(tile.etag)
        assert len(bodies) == len(etags) == 6


async def test_a_frame_whose_name_is_not_utf_8_has_tiles_of_its_own(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        etags = set()
        for name in ("a\udcff", "a\udcfe"):
            octets = rig.put(name, frame(), 1)
            tile = await rig.tile(look(name), 0, 1, 1)
            assert tile.body == tile_of(octets, look(name), TilePlace(0, 1, 1))
            etags.add(tile.etag)
        assert len(etags) == 2


async def test_the_same_tiles_asked_for_by_two_are_made_once(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        octets = rig.put("a", frame(tiles_2=rig.gate("go")))
        crowd, other = Crowd(rig, look("a")), Crowd(rig, look("a"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(crowd.window, 6)
            await rig.until_noted("at:tiles/2")
            await until(lambda: len(crowd.shown) == 2)
            nursery.start_soon(other.window, 6)
            nursery.start_soon(other.each, FEW)
            await until(lambda: figures(rig).tiles_shared_total == 8)
            await until(lambda: len(other.got) == 2)  # Those that were there are not waited for.
            rig.open_gate("go")
        expected = {place: tile_of(octets, look("a"), place) for place in FEW}
        assert crowd.shown == other.shown == expected
        assert {place: one.body for place, one in other.got.items()} == expected
        assert made(rig) == len(FEW)
        await rig.quiet()


async def test_who_leaves_spares_the_rest_of_his_tiles_and_takes_none_from_others(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        octets = rig.put("a", frame(tiles_2=rig.gate("go")))
        before, jobs = rig.held(), 1
        await learn(rig)
        leaver, other = Crowd(rig, look("a")), Crowd(rig, look("a"))
        async with trio.open_nursery() as nursery:
            async with trio.open_nursery() as leaving:
                leaving.start_soon(leaver.window, 6)
                await rig.until_noted("at:tiles/2")
                await until(lambda: len(leaver.shown) == 2)
                (wanted,) = set(FEW[:6]) - set(leaver.shown) - set(FEW[1:])
                nursery.start_soon(other.one, wanted)
                await until(lambda: figures(rig).tiles_shared_total == 1)
                leaving.cancel_scope.cancel()
            rig.open_gate("go")
        assert other.got[wanted].body == tile_of(octets, look("a"), wanted)
        await rig.nothing_is_left_of(before)
        await until(lambda: figures(rig).tile_lists == 0)
        assert made(rig) == 3
        assert figures(rig).tiles_dropped_total == 3
        assert submitted(rig) == jobs + 1
        assert rig.engine.statistics().stopped_total == 0


async def test_when_all_leave_among_the_tiles_the_rest_is_dropped_and_the_worker_lives(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        octets = rig.put("a", frame(tiles_2=rig.gate("go")))
        before = rig.held()
        await learn(rig)
        crowd = Crowd(rig, look("a"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(crowd.window, 6)
            await rig.until_noted("at:tiles/2")
            await until(lambda: len(crowd.shown) == 2)
            (worker,) = rig.busy_workers()
            nursery.cancel_scope.cancel()
        assert figures(rig).tiles_pending == 0
        rig.open_gate("go")
        await rig.nothing_is_left_of(before)
        await until(lambda: figures(rig).tile_lists == 0)
        assert rig.workers() == [worker]
        assert (made(rig), figures(rig).tiles_dropped_total) == (2, 4)
        await crowd.each(FEW)
        assert {place: one.body for place, one in crowd.got.items()} == {
            place: tile_of(octets, look("a"), place) for place in FEW
        }


async def test_when_all_leave_before_the_tiles_the_worker_is_stopped(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        rig.put("a", frame(reduce=rig.gate("go")))
        before = rig.held()
        await learn(rig)
        crowd = Crowd(rig, view("a"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(crowd.window, 6)
            await rig.until_noted("at:reduce")
            (worker,) = rig.busy_workers()
            nursery.cancel_scope.cancel()
        await rig.nothing_is_left_of(before, worker)
        assert figures(rig).tiles_dropped_total == 6
        assert (figures(rig).tile_lists, figures(rig).tiles_pending, made(rig)) == (0, 0, 0)
        rig.open_gate("go")
        await crowd.each(FEW)
        assert len(crowd.got) == 6


async def test_who_leaves_before_his_list_is_begun_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tile_desk, "GATHER_S", 0.2)
    async with running(tmp_path) as rig:
        rig.put("a", frame())
        before, jobs = rig.held(), 1
        await learn(rig)
        for _ in range(5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(Crowd(rig, look("a")).one, PLACES[0])
                await until(lambda: figures(rig).tiles_pending == 1)
                nursery.cancel_scope.cancel()
        await rig.nothing_is_left_of(before)
        assert submitted(rig) == jobs
        assert figures(rig).tiles_dropped_total == 5


async def test_leaving_after_any_time_leaves_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        octets = rig.put("a", frame())
        before = rig.held()
        await learn(rig)
        stays = Crowd(rig, look("a", 99.0))
        for turn in range(30):
            wanted = look("a", float(turn))
            stays = Crowd(rig, wanted)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stays.each, [PLACES[turn], PLACES[turn + 1]])
                with trio.move_on_after(turn * 0.0005):
                    await Crowd(rig, wanted).each(PLACES[:30])
            assert not stays.failed
            assert {place: one.body for place, one in stays.got.items()} == {
                place: tile_of(octets, wanted, place) for place in stays.got
            }
            assert len(stays.got) == 2
        await rig.nothing_is_left_of(before)
        await until(lambda: figures(rig).tile_lists == 0)
        assert figures(rig).tiles_pending == 0


async def test_what_is_dropped_before_the_worker_is_there_is_not_made_either(tmp_path: Path) -> None:
    async with running(tmp_path, workers_idle_max=0) as rig:
        rig.put("a", frame())
        await learn(rig)
        await until(lambda: not rig.workers())
        leaver, other = Crowd(rig, look("a")), Crowd(rig, look("a"))
        template = rig.engine.statistics().template_pid
        kill(template, signal.SIGSTOP)
        try:
            async with trio.open_nursery() as nursery:
                async with trio.open_nursery() as leaving:
                    leaving.start_soon(leaver.window, 6)
                    await until(lambda: rig.engine.statistics().workers_busy == 1)
                    nursery.start_soon(other.one, FEW[0])
                    await until(lambda: figures(rig).tiles_shared_total == 1)
                    leaving.cancel_scope.cancel()
                kill(template, signal.SIGCONT)
        finally:
            kill(template, signal.SIGCONT)
        assert FEW[0] in other.got
        await until(lambda: figures(rig).tile_lists == 0)
        assert made(rig) == 1
        assert figures(rig).tiles_dropped_total == 5
        await rig.quiet()


async def test_a_worker_killed_in_the_middle_fails_what_is_not_made_and_nothing_else(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        octets = rig.put("a", frame(tiles_3=rig.gate("go")))
        rig.put("b", frame(), seed=1)
        before = rig.held()
        await learn(rig)
        await learn(rig, "b")
        crowd, others = Crowd(rig, look("a")), Crowd(rig, look("b"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(crowd.each, FEW)
            await rig.until_noted("at:tiles/3")
            await until(lambda: len(crowd.got) == 3)
            (worker,) = rig.busy_workers()
            nursery.start_soon(others.each, FEW)
            kill(worker)
        assert len(others.got) == len(FEW)
        assert crowd.got.keys() | crowd.failed.keys() == set(FEW)
        assert len(crowd.failed) == 3
        assert all(type(error) is Busy for error in crowd.failed.values())
        await rig.nothing_is_left_of(before, worker)
        assert (figures(rig).tile_lists, figures(rig).tiles_pending) == (0, 0)
        rig.open_gate("go")
        await crowd.each(FEW)
        assert {place: one.body for place, one in crowd.got.items()} == {
            place: tile_of(octets, look("a"), place) for place in FEW
        }


async def test_when_the_template_is_lost_the_rest_is_made_by_another(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        octets = rig.put("a", frame(tiles_3=rig.gate("go")))
        await learn(rig)
        crowd = Crowd(rig, look("a"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(crowd.each, FEW)
            await rig.until_noted("at:tiles/3")
            await until(lambda: len(crowd.got) == 3)
            kill(rig.engine.statistics().template_pid)
            await until(lambda: rig.engine.statistics().template_starts_total == 2)
            rig.open_gate("go")
        assert not crowd.failed
        assert {place: one.body for place, one in crowd.got.items()} == {
            place: tile_of(octets, look("a"), place) for place in FEW
        }
        assert made(rig) == len(FEW)  # Those that were there are not made again.
        await until(lambda: figures(rig).tile_lists == 0)
        await rig.quiet()


async def test_rewritten_in_the_middle_of_a_list_the_rest_is_of_what_is_there_then(tmp_path: Path) -> None:
    """A tile is told before its list ends: what was read after the change is not among them."""
    async with running(tmp_path) as rig:
        old = rig.put("a", frame(tiles_2=rig.gate("go"), tiles_4=rig.gate("end")))
        await learn(rig)
        crowd = Crowd(rig, look("a"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(crowd.each, FEW)
            await rig.until_noted("at:tiles/2")
            await until(lambda: len(crowd.got) == 2)
            before = dict(crowd.got)
            new = rig.put("a", frame(), seed=1)
            rig.open_gate("go")
            await until(lambda: len(crowd.got) >= 4)
            rig.open_gate("end")
        assert not crowd.failed
        for place in FEW:
            assert crowd.got[place].body == tile_of(old if place in before else new, look("a"), place)
        assert len(before) == 2
        await rig.quiet()


async def test_a_frame_that_is_said_to_have_changed_is_looked_for_again_and_then_told(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        rig.put("a", frame(tiles="fail changed"))
        crowd = Crowd(rig, look("a"))
        await crowd.each(FEW)
        assert len(crowd.failed) == len(FEW)
        assert all(isinstance(error, Busy) and "rewritten" in error.text for error in crowd.failed.values())
        assert rig.done()["tiles"] == 4  # The tries of a request, all of them together.
        with pytest.raises(Busy, match="rewritten"):
            await crowd.window(6)
        await rig.quiet()


async def test_a_broken_frame_fails_all_of_its_list_and_no_other(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        rig.put("a", frame(tiles_2="fail bad_frame"))
        rig.put("b", frame(), seed=1)
        broken, well = Crowd(rig, look("a")), Crowd(rig, look("b"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(broken.each, FEW)
            nursery.start_soon(well.each, FEW)
        assert len(well.got) == len(FEW)
        assert len(broken.got) + len(broken.failed) == len(FEW)
        assert len(broken.got) <= 2  # What was made before may be lost with the rest.
        assert all(isinstance(error, BadFrame) for error in broken.failed.values())
        await rig.quiet()


async def test_a_full_queue_refuses_a_list_and_all_who_are_on_it(tmp_path: Path) -> None:
    async with running(tmp_path, workers_max=1, queue_max=1) as rig:
        rig.put("a", frame(tiles=rig.gate("go")))
        await learn(rig)
        first, waiting, refused = (Crowd(rig, look("a", low)) for low in (1.0, 2.0, 3.0))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(first.each, FEW)
            await rig.until_noted("at:tiles")
            nursery.start_soon(waiting.each, FEW)
            await until(lambda: rig.engine.statistics().jobs_waiting == 1)
            await refused.each(FEW)
            assert len(refused.failed) == len(FEW)
            assert all(isinstance(error, Busy) and "full" in error.text for error in refused.failed.values())
            rig.open_gate("go")
        assert len(first.got) == len(waiting.got) == len(FEW)
        await rig.quiet()


async def test_a_level_that_could_never_fit_is_refused_and_the_others_are_made(tmp_path: Path) -> None:
    async with running(tmp_path, budget_bytes=16 * MIB) as rig:
        rig.put("a", Frame(64, 64, claims_px=(12_000, 12_000)))
        for level in (3, 4):
            with pytest.raises(PlanTooBig, match="budget"):
                await rig.tile(look("a"), level, 0, 0)
        with pytest.raises(BadRequest):
            await rig.tile(look("a"), 0, 47, 0)
        await rig.tile(look("a"), 2, 0, 0)
        await rig.quiet()


async def test_a_viewport_is_shared_out_between_workers_and_no_list_takes_the_place_of_another(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        octets = rig.put("a", frame(tiles=rig.gate("go")))
        await learn(rig)
        await rig.quiet()
        asked = ViewportView(look("a"), 0, (0.0, 0.0, 2048.0, 1280.0))
        got = {}

        async def show() -> None:
            async with rig.engine.carry_out(asked, Asker("owner", "session", "runner")) as carrying:
                async for news in carrying.news():
                    if isinstance(news, Produced) and news.place is not None:
                        got[news.place] = news.body

        async with trio.open_nursery() as nursery:
            nursery.start_soon(show)
            await rig.until_noted("at:tiles", 2)
            assert len(rig.busy_workers()) == 2
            rig.open_gate("go")
        assert got == {place: tile_of(octets, look("a"), place) for place in PLACES}
        assert figures(rig).tile_lists_total == 2
        await rig.quiet()


async def test_a_list_takes_no_more_than_its_part_of_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tile_desk, "GATHER_S", 0.5)
    async with running(tmp_path, budget_bytes=16 * MIB, workers_max=1) as rig:
        rig.put("a", frame())
        await learn(rig)
        crowd = Crowd(rig, look("a"))
        await crowd.each(PLACES)
        assert len(crowd.got) == len(PLACES)
        assert figures(rig).tile_lists_total == 4
        await rig.quiet()


async def test_without_room_for_tiles_each_is_made_each_time(tmp_path: Path) -> None:
    async with running(tmp_path, tile_cache_bytes=0) as rig:
        rig.put("a", frame())
        crowd = Crowd(rig, look("a"))
        await crowd.each(FEW)
        await crowd.each(FEW)
        assert made(rig) == 2 * len(FEW)
        assert (figures(rig).tiles_kept, figures(rig).tiles_kept_bytes, figures(rig).tiles_found_total) == (0, 0, 0)


async def test_a_frame_written_this_moment_is_not_kept_and_yet_shown(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        octets = rig.put("a", frame(), age_s=0)
        tile = await rig.tile(look("a"), 0, 0, 0)
        assert tile.body == tile_of(octets, look("a"), TilePlace(0, 0, 0))
        await rig.quiet()


async def test_ending_in_the_middle_of_lists_leaves_nothing(tmp_path: Path) -> None:
    """The rig takes stock when the engine has ended."""
    async with running(tmp_path) as rig:
        rig.put("a", frame(tiles_1=rig.gate("never")))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Crowd(rig, look("a")).window, 6)
            nursery.start_soon(Crowd(rig, look("a", 1.0)).each, FEW)
            await rig.until_noted("at:tiles/1", 2)
            nursery.start_soon(Crowd(rig, look("a", 2.0)).each, FEW)
            await until(lambda: rig.engine.statistics().jobs_waiting == 1)
            nursery.cancel_scope.cancel()


async def test_a_worker_that_talks_nonsense_about_tiles_is_lost_alone(tmp_path: Path) -> None:
    async with running(tmp_path, stand_in(serve=engine_steps.SERVE_BADLY)) as rig:
        rig.put("a", frame())
        await learn(rig)
        bad = rig.folder.parent / "log.bad"
        bad.write_text("garbage")
        rig.engine.renew_workers()
        await until(lambda: rig.engine.statistics().template_starts_total == 2, 2 * SOON_S)
        await until(lambda: not rig.engine.ready(), 2 * SOON_S)
        crowd = Crowd(rig, look("a"))
        await crowd.each(FEW)
        assert [type(error) for error in crowd.failed.values()] == [WorkerLost] * len(FEW)
        bad.unlink()
        await crowd.each(FEW)
        assert len(crowd.got) == len(FEW)
        await rig.quiet()


@given(
    st.integers(0, 6000),
    st.lists(st.tuples(st.booleans(), st.integers(0, 9), st.integers(0, 3000)), max_size=60),
)
def test_the_store_keeps_what_was_used_last_within_its_bound(bound: int, story: list[tuple[bool, int, int]]) -> None:
    store = TileStore(bound)
    slow: OrderedDict[str, KeptTile] = OrderedDict()
    hits = 0
    for keeps, name, size in story:
        etag = str(name)
        if keeps:
            tile = KeptTile(bytes(size), "{}")
            store.keep(etag, tile)
            slow.pop(etag, None)
            slow[etag] = tile
            while sum(len(one.body) + OVERHEAD_BYTES for one in slow.values()) > bound:
                slow.popitem(last=False)
        else:
            assert store.find(etag) is slow.get(etag)
            if etag in slow:
                slow.move_to_end(etag)
                hits += 1
        assert len(store) == len(slow)
        assert store.size_bytes == sum(len(one.body) + OVERHEAD_BYTES for one in slow.values()) <= bound
        assert store.hits == hits

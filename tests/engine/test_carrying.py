"""Carrying out: each step is told once, with who did it; then what was made; and whoever leaves withdraws."""

import signal
from collections.abc import Collection
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import pytest
import trio

from cgi_worker.wire.question import Histogram
from cgi_worker.wire.tiles import TilePlace, TileView, ViewportView
from cgi_worker.wire.view import View
from cgi_worker.wire.wanted import Wanted
from imgd.engine import tile_desk
from imgd.errors import BadFrame, BadRequest, Busy, NoSuchFrame, PlanTooBig
from imgd.running import NO_LIMITS, Learned, News, Produced, RunLimits, StepNews
from tests.engine.rig import ASKER, ROOT, Running, kill, look, running, until, view
from tests.engine.test_tile_desk import FEW, HEIGHT, WIDTH, figures, frame, learn, made, submitted
from tests.rig.engine_steps import Frame, picture_of, tile_of

WINDOW = (0.0, 0.0, 1536.0, 256.0)  # The tiles of FEW.
PICTURE_STEPS = ["parse", "reduce", "tone", "encode"]


class Course:
    """What was told of one run."""

    def __init__(self) -> None:
        self.news: list[News] = []

    def steps(self) -> list[StepNews]:
        return [news for news in self.news if isinstance(news, StepNews)]

    def made(self) -> list[Produced]:
        return [news for news in self.news if isinstance(news, Produced)]

    def words(self) -> list[tuple[str, str, str]]:
        """Each step, its state, and who did it."""
        return [
            (step.step, step.state, "cached" if step.cached else "joined" if step.joined else "own")
            for step in self.steps()
        ]

    def tiles(self) -> dict[TilePlace | None, bytes]:
        return {one.place: one.body for one in self.made()}

    def check(self) -> None:
        """Each step begins at most once, ends once, and nothing is told of it afterwards."""
        numbers = {step.number for step in self.steps()}
        assert numbers == set(range(len(numbers)))
        for number in numbers:
            states = [step.state for step in self.steps() if step.number == number]
            assert states[-1] == "end" and states.count("end") == 1
            assert states.count("start") <= 1 and "start" not in states[1:]
            ended = next(step for step in self.steps() if step.number == number and step.state == "end")
            assert not (ended.cached and ended.joined)
            assert ended.elapsed_ms == 0 or not (ended.cached or ended.joined)
        assert sum(isinstance(news, Learned) for news in self.news) == 1
        assert len({one.etag for one in self.made()}) == len(self.made())


async def carry(
    rig: Running,
    wanted: Wanted | ViewportView,
    limits: RunLimits = NO_LIMITS,
    have: Collection[str] = (),
    course: Course | None = None,
) -> Course:
    course = course or Course()
    async with (
        rig.engine.carry_out(wanted, ASKER, limits, have) as carrying,
        aclosing(cast(Any, carrying.news())) as heard,
    ):
        async for news in heard:
            course.news.append(news)
    course.check()
    return course


def window(wanted: View, box: tuple[float, float, float, float] = WINDOW, coarse: bool = False) -> ViewportView:
    return ViewportView(wanted, 0, box, coarse)


async def test_a_picture_is_told_step_by_step_and_then_given(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        octets = rig.put("a")
        before = rig.held()
        cold = await carry(rig, view("a"))
        own = [(step, state, "own") for step in PICTURE_STEPS for state in ("start", "end")]
        assert [word for word in cold.words() if word[1] != "progress"] == own
        assert isinstance(cold.news[2], Learned)
        (picture,) = cold.made()
        assert cold.news[-1] is picture
        assert (picture.place, picture.media_type) == (None, "image/jpeg")
        assert picture.body == picture_of(octets, view("a"))
        assert all(step.elapsed_ms > 0 for step in cold.steps() if step.state == "end")
        encoded = [step.used_bytes for step in cold.steps() if step.step == "encode"]
        assert encoded == sorted(encoded) and encoded[-1] == len(picture.body)
        warm = await carry(rig, view("a"))
        assert warm.words() == [(step, "end", "cached") for step in PICTURE_STEPS]
        assert warm.made() == cold.made()
        assert (await rig.picture(view("a"))).etag == picture.etag
        await rig.nothing_is_left_of(before)


async def test_a_picture_that_another_makes_is_joined(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        octets = rig.put("a", Frame(acts={"tone": rig.gate("go")}))
        await learn(rig)
        courses = [Course(), Course()]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(carry, rig, view("a"), NO_LIMITS, (), courses[0])
            await rig.until_noted("at:tone")
            nursery.start_soon(carry, rig, view("a"), NO_LIMITS, (), courses[1])
            await until(lambda: len(courses[1].steps()) == 4)
            rig.open_gate("go")
        words = [word for word in courses[1].words() if word[1] != "progress"]
        assert words[:2] == [("parse", "end", "cached"), ("reduce", "end", "cached")]
        assert words[2:] == [
            ("tone", "start", "joined"), ("encode", "start", "joined"),
            ("tone", "end", "joined"), ("encode", "end", "joined"),
        ]  # fmt: skip
        assert courses[0].made() == courses[1].made()
        assert courses[1].made()[0].body == picture_of(octets, view("a"))
        assert rig.done()["encode"] == 1
        await rig.quiet()


async def test_a_picture_that_one_has_is_not_given_again(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        rig.put("a")
        (picture,) = (await carry(rig, view("a"))).made()
        assert (await carry(rig, view("a"), have={picture.etag})).made() == []
        assert len((await carry(rig, view("a"), have={'"another"'})).made()) == 1


async def test_a_viewport_is_told_as_one_step_and_each_tile_when_it_is_ready(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        octets = rig.put("a", frame(tiles_2=rig.gate("go")))
        before = rig.held()
        cold = Course()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(carry, rig, window(look("a")), NO_LIMITS, (), cold)
            await until(lambda: len(cold.made()) == 2)
            rig.open_gate("go")
        assert cold.words() == [(step, state, "own") for step in ("parse", "tiles") for state in ("start", "end")]
        assert cold.tiles() == {place: tile_of(octets, look("a"), place) for place in FEW}
        end = cold.steps()[-1]
        assert cold.news[-1] is end
        assert end.used_bytes == sum(len(one.body) for one in cold.made())
        assert end.elapsed_ms > 0
        warm = await carry(rig, window(look("a")))
        assert warm.words() == [(step, "end", "cached") for step in ("parse", "tiles")]
        assert warm.tiles() == cold.tiles()
        assert {one.etag for one in warm.made()} == {one.etag for one in cold.made()}
        tile = await rig.tile(look("a"), 0, 3, 0)
        assert tile.etag in {one.etag for one in cold.made()}
        await rig.nothing_is_left_of(before)


async def test_what_tiles_need_is_told_as_well_and_the_coarse_one_comes_first(tmp_path: Path) -> None:
    async with running(tmp_path, workers_max=1) as rig:
        rig.put("a", frame())
        await learn(rig)
        await rig.quiet()
        cold = await carry(rig, window(view("a"), coarse=True))
        assert [word for word in cold.words() if word[1] != "progress"] == [("parse", "end", "cached")] + [
            (step, state, "own") for step in ("reduce", "tiles") for state in ("start", "end")
        ]
        assert cold.made()[0].place == TilePlace(3, 0, 0)
        assert len(cold.made()) == 7
        other = await carry(rig, window(view("a", low=0.2), coarse=True))
        assert other.words() == [
            ("parse", "end", "cached"), ("reduce", "end", "cached"), ("tiles", "start", "own"), ("tiles", "end", "own"),
        ]  # fmt: skip
        await rig.quiet()


async def test_shared_out_between_two_workers_each_step_is_told_once_and_by_who_does_it(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        rig.put("a", frame(reduce=rig.gate("go")))
        await learn(rig)
        await rig.quiet()
        course = Course()
        whole = window(view("a"), (0.0, 0.0, float(WIDTH), float(HEIGHT)), coarse=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(carry, rig, whole, NO_LIMITS, (), course)
            await rig.until_noted("at:reduce")
            await until(lambda: figures(rig).tile_lists_total == 2)
            rig.open_gate("go")
        assert len(course.made()) == 41
        ends = {step.number: step for step in course.steps() if step.state == "end"}
        assert [ends[number].step for number in sorted(ends)] == ["parse", "reduce", "tiles"]
        assert not any(ends[number].cached or ends[number].joined for number in (1, 2))
        assert rig.done()["reduce"] == 1
        await rig.quiet()


async def test_a_viewport_that_others_make_is_joined_and_what_they_have_not_is_its_own(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        rig.put("a", frame(tiles_3=rig.gate("go")))
        await learn(rig)
        courses = [Course(), Course(), Course()]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(carry, rig, window(look("a")), NO_LIMITS, (), courses[0])
            await rig.until_noted("at:tiles/3")
            await until(lambda: len(courses[0].made()) == 3)
            nursery.start_soon(carry, rig, window(look("a")), NO_LIMITS, (), courses[1])
            await until(lambda: figures(rig).tiles_shared_total == 3)
            nursery.start_soon(carry, rig, window(look("a"), (0.0, 0.0, 2048.0, 256.0)), NO_LIMITS, (), courses[2])
            await until(lambda: figures(rig).tiles_shared_total == 6)
            rig.open_gate("go")
        assert courses[1].words() == [
            ("parse", "end", "cached"), ("tiles", "start", "joined"), ("tiles", "end", "joined"),
        ]  # fmt: skip
        assert courses[1].tiles() == courses[0].tiles()
        assert courses[2].words() == [("parse", "end", "cached"), ("tiles", "start", "own"), ("tiles", "end", "own")]
        assert len(courses[2].made()) == 8
        assert made(rig) == 8
        await rig.quiet()


async def test_tiles_that_one_has_are_neither_given_nor_made(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        rig.put("a", frame())
        first = await carry(rig, window(look("a"), (0.0, 0.0, 512.0, 256.0)))
        jobs = submitted(rig)
        have = {one.etag for one in first.made()}
        rest = await carry(rig, window(look("a")), have=have)
        assert set(rest.tiles()) == set(FEW[2:])
        assert submitted(rig) == jobs + 1
        nothing = await carry(rig, window(look("a")), have=have | {one.etag for one in rest.made()})
        assert (nothing.made(), submitted(rig)) == ([], jobs + 1)
        assert nothing.words() == [("parse", "end", "cached"), ("tiles", "end", "cached")]


async def test_a_window_beside_the_picture_is_done_at_once(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        rig.put("a", frame())
        course = await carry(rig, window(look("a"), (99_999.0, 0.0, 100.0, 100.0)))
        assert course.made() == []
        assert course.words()[-1] == ("tiles", "end", "cached")
        assert rig.done()["tiles"] == 0


async def test_one_tile_or_the_answer_to_a_question_is_carried_out_too(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        rig.put("a", frame())
        asked = await carry(rig, Histogram(frame=f"{ROOT}/a"))
        (answer,) = asked.made()
        assert (answer.media_type, answer.body) == ("application/json", b'{"asked":"Histogram"}')
        assert asked.words()[-1] == ("measure", "end", "own")
        again = await carry(rig, Histogram(frame=f"{ROOT}/a"))
        assert again.made() == asked.made()
        assert {who for _, _, who in again.words()} == {"cached"}


async def test_a_run_keeps_within_its_limits(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        rig.put("a", frame())
        needs: list[tuple[View | ViewportView, int]] = [(view("a"), 4), (window(look("a")), 7), (window(view("a")), 8)]
        for wanted, steps in needs:
            with pytest.raises(PlanTooBig, match=f"{steps} steps") as refused:
                await carry(rig, wanted, RunLimits(steps_max=steps - 1))
            assert refused.value.parameter == "steps"
            with pytest.raises(PlanTooBig, match="MiB") as refused:
                await carry(rig, wanted, RunLimits(bytes_max=1000))
            assert refused.value.parameter == "bytes"
        assert made(rig) == rig.done()["reduce"] == 0
        for wanted, steps in needs:
            await carry(rig, wanted, RunLimits(steps_max=steps, bytes_max=1 << 30))
        await rig.quiet()


async def test_what_there_is_not_and_what_is_broken_is_said(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        before = rig.held()
        with pytest.raises(NoSuchFrame):
            await carry(rig, view("missing"))
        (rig.folder / "a").write_bytes(b"no frame at all")
        for wanted in (view("a"), window(look("a"))):
            course = Course()
            with pytest.raises(BadFrame, match="no stand-in"):
                await carry(rig, wanted, course=course)
            assert course.words() == [("parse", "start", "own")]
        rig.put("b", frame(tiles_2="fail bad_frame"))
        course = Course()
        with pytest.raises(BadFrame, match="told to fail"):
            await carry(rig, window(look("b")), course=course)
        assert ("tiles", "end", "own") not in course.words()
        with pytest.raises(BadRequest):
            await carry(rig, ViewportView(look("b"), 99, WINDOW))
        with pytest.raises(BadRequest):
            await carry(rig, TileView(look("b"), 0, 99, 0))
        await rig.nothing_is_left_of(before)


@pytest.mark.parametrize("act", ["parse", "reduce", "tiles", "tiles/2", "encode/half"])
async def test_leaving_in_the_middle_withdraws(tmp_path: Path, act: str) -> None:
    async with running(tmp_path) as rig:
        octets = rig.put("a", Frame(HEIGHT, WIDTH, acts={act: rig.gate("go")}))
        before = rig.held()
        wanted = view("a") if "encode" in act else window(view("a"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(carry, rig, wanted)
            await rig.until_noted(f"at:{act}")
            if act == "tiles/2":
                await until(lambda: figures(rig).tiles_made_total == 2)
            nursery.cancel_scope.cancel()
        if act == "tiles/2":
            rig.open_gate("go")  # It goes on to the next tile, and sees that nobody wants any.
        await rig.nothing_is_left_of(before)
        assert figures(rig).tiles_pending == 0
        assert made(rig) == (2 if act == "tiles/2" else 0)
        rig.open_gate("go")
        assert (await rig.picture(view("a"))).body == picture_of(octets, view("a"))
        assert len((await carry(rig, window(view("a")))).made()) == len(FEW)


@pytest.mark.parametrize("asked", ["picture", "viewport"])
async def test_leaving_without_hearing_all_withdraws_before_the_frame_is_let_go(tmp_path: Path, asked: str) -> None:
    """The news is left where it is: nobody closes it but the engine, and nothing is left for the collector."""
    async with running(tmp_path) as rig:
        rig.put("a", Frame(HEIGHT, WIDTH, acts={"tiles/2": rig.gate("no"), "encode/half": rig.gate("no")}))
        before = rig.held()
        wanted = view("a") if asked == "picture" else window(view("a"))
        async with rig.engine.carry_out(wanted, ASKER) as carrying:
            async for news in carrying.news():
                if isinstance(news, StepNews) and (news.step, news.state) == ("reduce", "end"):
                    break
        assert figures(rig).tiles_pending == 0
        rig.open_gate("no")
        await rig.nothing_is_left_of(before)
        async with rig.engine.carry_out(wanted, ASKER) as carrying:
            assert carrying.source.size_bytes > 0
        await rig.nothing_is_left_of(before)


async def test_tried_again_each_step_is_still_told_once(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        octets = rig.put("a", frame(tone=rig.gate("tone"), tiles_2=rig.gate("tiles")))
        for wanted, place in ((view("a"), "tone"), (window(view("a", low=0.3)), "tiles/2")):
            course = Course()
            starts = rig.engine.statistics().template_starts_total
            async with trio.open_nursery() as nursery:
                nursery.start_soon(carry, rig, wanted, NO_LIMITS, (), course)
                await rig.until_noted(f"at:{place}")
                kill(rig.engine.statistics().template_pid, signal.SIGKILL)
                with trio.fail_after(10):
                    while rig.engine.statistics().template_starts_total == starts:
                        await trio.sleep(0.01)
                rig.open_gate(place.partition("/")[0])
            assert len(course.made()) == (1 if isinstance(wanted, View) else len(FEW))
        assert rig.done()["tone"] == 2
        assert (await rig.picture(view("a"))).body == picture_of(octets, view("a"))
        await rig.quiet()


async def test_a_worker_that_is_killed_fails_its_run_and_the_next_is_served(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        rig.put("a", frame(tiles_2=rig.gate("go"), tone=rig.gate("go")))
        before = rig.held()
        cases: list[tuple[View | ViewportView, str]] = [(window(look("a")), "tiles/2"), (view("a"), "tone")]
        for wanted, place in cases:
            with pytest.RaisesGroup(Busy):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(carry, rig, wanted)
                    await rig.until_noted(f"at:{place}")
                    (worker,) = rig.busy_workers()
                    kill(worker)
            await rig.nothing_is_left_of(before, worker)
        rig.open_gate("go")
        assert len((await carry(rig, window(look("a")))).made()) == len(FEW)
        assert len((await carry(rig, view("a"))).made()) == 1


async def test_rewritten_under_a_run_it_is_said_to_be_rewritten(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        for wanted, place in ((window(look("a")), "tiles"), (view("a"), "reduce")):
            rig.put("a", Frame(HEIGHT, WIDTH, acts={place: rig.gate(place)}))
            with pytest.RaisesGroup(Busy):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(carry, rig, wanted)
                    await rig.until_noted(f"at:{place}")
                    rig.put("a", frame(), seed=3)
                    rig.open_gate(place)
        await rig.quiet()


async def test_runs_that_come_and_go_at_any_time_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tile_desk, "SHARE_MIN", 2)
    async with running(tmp_path) as rig:
        octets = rig.put("a", frame())
        await learn(rig)
        await rig.quiet()
        before = rig.held()
        for turn in range(25):
            wanted = look("a", turn / 4)
            stays = Course()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(carry, rig, window(wanted, (256.0, 0.0, 900.0, 700.0)), NO_LIMITS, (), stays)
                with trio.move_on_after(turn * 0.0004):
                    await carry(rig, window(wanted))
            assert stays.tiles() == {place: tile_of(octets, wanted, place) for place in stays.tiles() if place}
            assert len(stays.made()) == 12
        await until(lambda: figures(rig).tile_lists == 0)
        await rig.nothing_is_left_of(before)
        assert figures(rig).tiles_pending == 0

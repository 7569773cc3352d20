"""Glancing: who would wait for long sees something coarse first, ahead of what is only not yet sharp; others do not."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from cgi_worker.wire.tiles import ViewportView
from cgi_worker.wire.view import View
from imgd.running import NO_LIMITS, Glanced, Learned, Produced
from tests.engine.rig import ASKER, ROOT, Running, running, until, view
from tests.engine.test_carrying import Course, carry
from tests.rig.engine_steps import Frame, glance_of

FIT = (400, 250)
BIG = Frame(2600, 4000)  # More pixels than have no glance.


def fitted(wanted: View) -> ViewportView:
    return ViewportView(wanted, fit=FIT, coarse=True, glance=True)


def glances(course: Course) -> list[Glanced]:
    return [news for news in course.news if isinstance(news, Glanced)]


async def learn(rig: Running, name: str) -> None:
    await rig.engine.look(f"{ROOT}/{name}", ASKER)


def waiting(rig: Running) -> int:
    return rig.engine.crew().waiting.interactive


@asynccontextmanager
async def busy(rig: Running) -> AsyncIterator[trio.Nursery]:
    """Have both workers at something, and somebody else wait for one already.

    The gate "one" lets a worker go, which whoever waits would hold until the gate "all" opens; both are at the end.
    """
    for name, act in (("x", "tone"), ("y", "tone"), ("else", "reduce")):
        rig.put(name, Frame(acts={act: rig.gate("one" if name == "x" else "all")}))
    await learn(rig, "else")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(carry, rig, view("x"))
        nursery.start_soon(carry, rig, view("y"))
        await rig.until_noted("at:tone", 2)
        nursery.start_soon(carry, rig, view("else"))
        await until(lambda: waiting(rig) == 1)
        try:
            yield nursery
        finally:
            rig.open_gate("one")
            rig.open_gate("all")


async def test_while_all_work_a_glance_comes_before_who_has_waited_for_longer(tmp_path: Path) -> None:
    course = Course()
    async with running(tmp_path, workers_max=2) as rig:
        octets = rig.put("big", BIG)
        await learn(rig, "big")
        async with busy(rig) as nursery:
            nursery.start_soon(carry, rig, fitted(view("big")), NO_LIMITS, (), course)
            await until(lambda: waiting(rig) == 2)
            rig.open_gate("one")
            await until(lambda: bool(glances(course)))
        await rig.quiet()
    told = [type(news) for news in course.news if isinstance(news, Learned | Glanced | Produced)]
    assert told[:3] == [Learned, Glanced, Produced] and told.count(Glanced) == 1
    assert len({one.place.level for one in course.made() if one.place}) == 1, "no tile that shows less than the glance"
    (seen,) = glances(course)
    assert (seen.width_px, seen.height_px, seen.media_type) == (192, 125, "image/jpeg")
    assert seen.body == glance_of(octets, view("big"), FIT)
    assert all(step.step != "encode" for step in course.steps()), "its steps are not those of the run"


async def test_who_sees_nothing_yet_is_not_kept_waiting_for_what_the_frame_holds(tmp_path: Path) -> None:
    course = Course()
    async with running(tmp_path, workers_max=2) as rig:
        rig.put("big", BIG)
        async with busy(rig) as nursery:
            nursery.start_soon(carry, rig, fitted(view("big")), NO_LIMITS, (), course)
            await until(lambda: waiting(rig) == 2)
            rig.open_gate("one")
            await until(lambda: any(isinstance(news, Learned) for news in course.news))
        await rig.quiet()


async def test_where_a_worker_is_free_or_the_planes_are_there_nobody_glances(tmp_path: Path) -> None:
    async with running(tmp_path, workers_max=2) as rig:
        rig.put("big", BIG)
        cold = await carry(rig, fitted(view("big")))
        assert not glances(cold) and rig.done()["encode"] == 0
        course = Course()
        async with busy(rig) as nursery:
            other = fitted(view("big", low=0.2))
            nursery.start_soon(carry, rig, other, NO_LIMITS, (), course)
            await until(lambda: waiting(rig) == 2)
        assert not glances(course) and len(course.made()) == len(cold.made())
        await rig.quiet()


async def test_a_glance_that_fails_is_not_missed(tmp_path: Path) -> None:
    course = Course()
    async with running(tmp_path, workers_max=2) as rig:
        rig.put("big", Frame(BIG.height_px, BIG.width_px, acts={"tone": "fail bad_frame"}))
        async with busy(rig) as nursery:
            nursery.start_soon(carry, rig, fitted(view("big")), NO_LIMITS, (), course)
            await until(lambda: waiting(rig) == 2)
        assert not glances(course) and course.made()
        await rig.quiet()


async def test_who_leaves_while_glancing_leaves_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, workers_max=2) as rig:
        rig.put("big", Frame(BIG.height_px, BIG.width_px, acts={"tone": rig.gate("glance")}))
        await learn(rig, "big")
        async with busy(rig), trio.open_nursery() as leaving:
            leaving.start_soon(carry, rig, fitted(view("big")))
            await until(lambda: waiting(rig) == 2)
            rig.open_gate("one")
            await rig.until_noted("at:tone", 3)
            leaving.cancel_scope.cancel()
        await rig.quiet()
        assert rig.done()["encode"] == 3, "the glance was not encoded"

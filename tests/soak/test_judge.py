"""The judge of the soak finds out what is wrong, and finds the reason of what is not."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import trio

from tests.frames import make
from tests.soak.alone import Alone, digest, wanted_of
from tests.soak.census import Holding, differences
from tests.soak.faults import Fault, Faults
from tests.soak.field import KILLER, Field, Lay, Story
from tests.soak.judge import COMPARED_EACH, Asked, Judge

TARGET = "/img?frame=f/a.fits&size=50,"
PROBLEM = {"content-type": "application/problem+json", "retry-after": "1"}


@asynccontextmanager
async def judging(folder: Path) -> AsyncIterator[Judge]:
    """A judge of two frames: one that is sound, one that is broken; at the end all is compared."""
    for seed, name in enumerate(("a.fits", "b.fits")):
        make.write(folder / name, make.image_hdu(make.star_field(80, 120, seed=seed)))
    frames = Field(folder, folder, 1)
    frames.stories = {
        "a.fits": Story([Lay(-1e9, folder / "a.fits")]), "bad.fits": Story([Lay(-1e9, folder / "b.fits")], sound=False),
        KILLER: Story([Lay(-1e9, folder / "b.fits")], sound=False),
    }  # fmt: skip
    judge = Judge(frames, Faults(cast(Any, None)), Alone())
    ended = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(judge.compare, ended)
        yield judge
        ended.set()


def picture(folder: Path, name: str) -> bytes:
    from cgi_worker import alone

    with (folder / name).open("rb") as file:
        return alone.render(file.fileno(), wanted_of(TARGET))[0]


def answer_often(judge: Judge, body: bytes, began_s: float) -> None:
    for _ in range(COMPARED_EACH):
        judge.answered(Asked("img", "a.fits", TARGET), body, began_s)


async def test_pictures_are_compared_with_one_made_alone(tmp_path: Path) -> None:
    async with judging(tmp_path) as judge:
        answer_often(judge, picture(tmp_path, "a.fits"), trio.current_time())
    assert (judge.compared.right, judge.compared.wrong, judge.complaints) == (1, 0, [])
    async with judging(tmp_path) as judge:
        answer_often(judge, picture(tmp_path, "b.fits"), trio.current_time())
    assert judge.compared.wrong == 1 and "not what one alone gets" in judge.complaints[0]


async def test_a_frame_that_was_rewritten_meanwhile_may_be_the_one_or_the_other(tmp_path: Path) -> None:
    async with judging(tmp_path) as judge:
        began_s = trio.current_time()
        judge.frames.stories["a.fits"].lays.append(Lay(began_s, tmp_path / "b.fits"))
        await trio.sleep(0.01)
        for name in ("a.fits", "b.fits"):
            answer_often(judge, picture(tmp_path, name), began_s)
        answer_often(judge, picture(tmp_path, "a.fits"), trio.current_time())  # It came too late for that.
    assert (judge.compared.right, judge.compared.wrong) == (2, 1)


@pytest.mark.parametrize(
    ("frame", "status", "fault", "reason"),
    [
        ("a.fits", 503, "worker killed", True), ("a.fits", 503, None, False), ("a.fits", 500, "worker killed", False),
        ("a.fits", 504, "worker stopped", True), ("a.fits", 504, "worker killed", False), ("a.fits", 422, None, False),
        ("a.fits", 404, None, False), ("bad.fits", 422, None, True), ("bad.fits", 500, None, False),
        (KILLER, 500, None, True), ("a.fits", 502, "template killed", False),
    ],
)  # fmt: skip
async def test_a_refusal_has_a_reason_or_is_a_complaint(
    tmp_path: Path, frame: str, status: int, fault: Any, reason: bool
) -> None:
    async with judging(tmp_path) as judge:
        began_s = trio.current_time()
        if fault is not None:
            judge.faults.done.append(Fault(fault, began_s, began_s))
        judge.failed(Asked("img", frame, TARGET), status, b'{"detail":"so"}', PROBLEM, began_s)
    assert judge.reasons.total() == reason
    assert len(judge.complaints) == (not reason)


async def test_a_tile_that_another_version_of_the_frame_has_not_is_no_fault(tmp_path: Path) -> None:
    async with judging(tmp_path) as judge:
        began_s = trio.current_time()
        gone = b'{"detail":"level 0 has 4 x 3 tiles"}'
        judge.failed(Asked("tile", "a.fits", TARGET), 400, gone, PROBLEM, began_s)
        judge.frames.stories["a.fits"].lays.append(Lay(began_s, tmp_path / "b.fits"))
        judge.failed(Asked("tile", "a.fits", TARGET), 400, gone, PROBLEM, began_s)
        judge.failed(Asked("tile", "a.fits", TARGET), 400, b'{"detail":"must be a number"}', PROBLEM, began_s)
    assert (judge.reasons.total(), len(judge.complaints)) == (1, 2)


async def test_a_machine_that_stands_still_is_told_and_excuses_nothing(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with judging(tmp_path) as judge:
        stopping = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(judge.faults.watch, stopping)
            await trio.sleep(10)
            assert not judge.faults.stalls
            began_s = trio.current_time()
            autojump_clock.jump(15)
            await trio.sleep(1)
            stopping.set()
        for status in (502, 503, 504):
            judge.failed(Asked("img", "a.fits", TARGET), status, b'{"detail":"so"}', PROBLEM, began_s)
    (stall,) = judge.faults.stalls
    assert stall.ended_s - began_s >= 15 and not judge.faults.done
    assert len(judge.complaints) == 3 and not judge.reasons
    assert all("the machine stood still for 15" in each for each in judge.complaints)


async def test_an_answer_that_breaks_off_or_says_not_when_to_come_again_is_a_complaint(tmp_path: Path) -> None:
    async with judging(tmp_path) as judge:
        now_s = trio.current_time()
        judge.broke(Asked("img", "a.fits"), ConnectionError(), now_s)
        judge.failed(Asked("img", "a.fits"), 503, b"<html>", {"content-type": "text/html"}, now_s)
        judge.faults.done.append(Fault("worker killed", now_s, now_s))
        judge.broke(Asked("img", "a.fits"), ConnectionError(), now_s)
        judge.failed(Asked("img", "a.fits"), 503, b'{"detail":"so"}', {"content-type": PROBLEM["content-type"]}, now_s)
    assert len(judge.complaints) == 3
    assert judge.reasons.total() == 2


def test_what_is_left_behind_is_told() -> None:
    before = Holding(2, 26, 200, 90 << 20, 0, 5, 200_000_000, 90_000_000)
    assert differences(before, before) == []
    more = Holding(2, 27, 200, 90 << 20, 4096, 10, 211_000_000, 95_000_000)
    told = [each.split(":")[0] for each in differences(before, more)]
    assert told[:3] == ["descriptors", "pss_bytes", "threads"]
    assert told[3:] == ["the kernel holds 4096 bytes of segments that the daemon does not know of"]
    assert digest(b"a") != digest(b"b")

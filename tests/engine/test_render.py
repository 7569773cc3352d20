"""Render, header and qualify: what they answer, what they keep, and how a job's end becomes an answer."""

import os
from pathlib import Path

import msgspec
import pytest
import trio

from cgi_worker.wire.view import View
from imgd.engine.trying import raise_outcome
from imgd.errors import (
    BadFrame,
    BadRequest,
    Busy,
    Gone,
    ImgdError,
    NoSuchFrame,
    NotYours,
    PlanTooBig,
    Rewritten,
    WorkerLost,
    WorkerTimedOut,
)
from imgd.model import Asker, Crashed, Failed, Outcome, Refused, Stopped, Superseded, TimedOut
from imgd.setting_kinds import MIB
from tests.engine.rig import ASKER, ROOT, Picture, Running, running, view
from tests.rig.engine_steps import Frame, frame_bytes, picture_of


async def test_a_picture_is_made_once_and_then_found(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        octets = rig.put("a", Frame(300, 200))
        wanted = view("a", 40)
        known = await rig.engine.qualify(wanted, ASKER)
        assert rig.done() == {"parse": 1}  # Nothing more is needed for a 304, or a HEAD.
        first = await rig.picture(wanted)
        assert first.body == picture_of(octets, wanted)
        assert (first.etag, first.media_type) == (known.etag, known.media_type) == (known.etag, "image/jpeg")
        assert first.etag.startswith('"') and first.etag.endswith('"') and len(first.etag) == 34
        assert msgspec.json.decode(first.facts, type=Frame).height_px == 300
        before = rig.engine.statistics()
        assert await rig.picture(wanted) == first
        after = rig.engine.statistics()
        assert after.cached_total == before.cached_total + 1
        assert (after.workers_forked_total, rig.done()) == (1, {"parse": 1, "reduce": 1, "tone": 1, "encode": 1})
        await rig.quiet()


async def test_other_levels_begin_at_the_reduced_plane_and_another_size_keeps_the_histogram(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        octets = rig.put("a", Frame(400, 400))
        views = [view("a", 50), view("a", 50, low=0.2), view("a", 100), view("a", 50, quality=3), view("a", 50, 0.2, 9)]
        made = [await rig.picture(wanted) for wanted in views]
        assert [one.body for one in made] == [picture_of(octets, wanted) for wanted in views]
        assert len({one.etag for one in made}) == len(views)
        # The toned picture is not kept: it is made in passing, for one encoding.
        assert rig.done() == {"parse": 1, "reduce": 2, "tone": 5, "encode": 5}


async def test_the_header_document_comes_from_the_same_parse_as_the_facts(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        rig.put("a", Frame(acts={"nothing": "happens"}))
        assert await rig.header("a") == {"cards": {"nothing": "happens"}}
        await rig.picture(view("a"))
        assert await rig.header("a") == {"cards": {"nothing": "happens"}}
        assert rig.done()["parse"] == 1


async def test_fifty_at_once_are_one_read(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        octets = rig.put("a", Frame(acts={"reduce": rig.gate("go")}))
        got: list[Picture] = []

        async def ask() -> None:
            got.append(await rig.picture(view("a")))

        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(ask)
            await rig.until_noted("at:reduce")
            rig.open_gate("go")
        assert {one.body for one in got} == {picture_of(octets, view("a"))}
        assert len(got) == 50
        assert rig.done() == {"parse": 1, "reduce": 1, "at:reduce": 1, "tone": 1, "encode": 1}
        now = rig.engine.statistics()
        assert (
            now.submitted_total == 2 + now.joined_total + now.cached_total
        )  # One parse, one picture; all else shared.
        assert now.joined_total >= 49
        await rig.quiet()


async def test_the_answer_begins_while_the_worker_is_still_encoding(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        octets = rig.put("a", Frame(acts={"encode/half": rig.gate("rest")}))
        whole = picture_of(octets, view("a"))
        async with rig.engine.render(view("a"), ASKER) as answer:
            assert answer.size_bytes is None
            assert msgspec.json.decode(answer.facts, type=Frame).height_px == 64  # In time for the head of the answer.
            chunks = answer.chunks()
            assert await anext(chunks) == whole[: len(whole) // 2]
            rig.open_gate("rest")
            assert await anext(chunks) == whole[len(whole) // 2 :]
            with pytest.raises(StopAsyncIteration):
                await anext(chunks)
            assert answer.size_bytes == len(whole)


async def test_a_newer_view_of_the_same_runner_takes_the_place_of_the_older(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        octets = rig.put("a", Frame(acts={"tone": rig.gate("never")}))
        other = rig.put("b", seed=1)
        await rig.engine.qualify(view("a"), ASKER)
        runner = Asker(session="s", runner="main")
        ended: list[ImgdError] = []

        async def ask() -> None:
            with pytest.raises(Gone) as caught:
                await rig.picture(view("a"), runner)
            ended.append(caught.value)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await rig.until_noted("at:tone")
            assert (await rig.picture(view("b"), runner)).body == picture_of(other, view("b"))
        assert len(ended) == 1
        await rig.quiet()
        rig.open_gate("never")
        assert (await rig.picture(view("a"), runner)).body == picture_of(octets, view("a"))


async def test_what_cannot_be_is_refused_before_anything_is_set_aside(tmp_path: Path) -> None:
    async with running(tmp_path, pixels_max=4 * 10**6, budget_bytes=16 * MIB) as rig:
        rig.put("huge", Frame(claims_px=(60_000, 60_000)))
        rig.put("large", Frame(claims_px=(2000, 1900)))
        (rig.folder / "folder").mkdir()
        os.mkfifo(rig.folder / "fifo")
        (rig.folder / "text").write_text("no frame")
        outside = f"{ROOT}/../outside"
        cases: list[tuple[View, type[ImgdError], str]] = [
            (view("huge"), PlanTooBig, "60000 x 60000"),
            (View(f"{ROOT}/large", size=view("large", 1900).size), PlanTooBig, "budget is 16 MiB"),
            (msgspec.structs.replace(view("large"), hdu=3), BadRequest, "no HDU 3"),
            (msgspec.structs.replace(view("large"), plane=1), BadRequest, "1 plane"),
            (view("missing"), NoSuchFrame, "missing"),
            (msgspec.structs.replace(view("a"), frame=outside), NoSuchFrame, "outside"),
            (view("folder"), BadFrame, "a directory"),
            (view("fifo"), BadFrame, "a FIFO"),
            (view("text"), BadFrame, "no stand-in"),
        ]
        await rig.header("huge")
        await rig.header("large")
        for wanted, kind, words in cases:
            await rig.quiet()
            before = rig.engine.statistics()
            with pytest.raises(kind, match=words):
                await rig.picture(wanted)
            with pytest.raises(kind, match=words):
                await rig.engine.qualify(wanted, ASKER)
            now = rig.engine.statistics()
            if kind is PlanTooBig:
                assert (now.segments, now.free_bytes) == (before.segments, before.free_bytes)
        assert rig.done()["reduce"] == 0
        await rig.quiet()


async def test_a_step_that_fails_is_told_to_everybody_who_waits_and_to_nobody_later(tmp_path: Path) -> None:
    kinds = {"bad_frame": BadFrame, "forbidden": NotYours, "too_big": PlanTooBig, "changed": Busy}
    async with running(tmp_path) as rig:
        for seed, (code, kind) in enumerate(kinds.items()):
            rig.put("a", Frame(acts={"tone": f"{rig.gate(code)}; fail {code}"}), seed)
            await rig.engine.qualify(view("a"), ASKER)
            before, told = rig.done(), list[str]()
            async with trio.open_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(refused, rig, kind, told)
                await rig.until_noted("at:tone", before["at:tone"] + 1)
                rig.open_gate(code)
            assert len(told) == 3
            assert len(set(told)) == 1
            assert rig.done()["tone"] - before["tone"] in (range(4, 13) if code == "changed" else [1])
        octets = rig.put("a", seed=9)
        assert (await rig.picture(view("a"))).body == picture_of(octets, view("a"))
        await rig.quiet()


async def refused(rig: Running, kind: type[ImgdError], told: list[str]) -> None:
    with pytest.raises(kind) as caught:
        await rig.picture(view("a"))
    told.append(caught.value.text)


async def test_facts_are_kept_for_as_many_frames_as_were_set(tmp_path: Path) -> None:
    async with running(tmp_path, facts_max=2) as rig:
        for seed, name in enumerate("abc"):
            rig.put(name, seed=seed)
            await rig.engine.qualify(view(name), ASKER)
        assert rig.engine.statistics().facts_kept == 2
        await rig.engine.qualify(view("a"), ASKER)  # Forgotten, but the document is still in its buffer.
        assert rig.done()["parse"] == 3


async def test_facts_that_cannot_be_read_cost_their_own_request_and_are_not_believed_again(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        rig.put("a", Frame(acts={"parse": "unreadable facts"}))
        for _ in range(2):
            with pytest.raises(WorkerLost, match="unreadable"):
                await rig.picture(view("a"))
        assert rig.done()["parse"] > 2  # Parsed anew each time: what was unreadable is not taken from its buffer.
        await rig.quiet()


async def test_what_fell_out_of_memory_is_made_again(tmp_path: Path) -> None:
    async with running(tmp_path, budget_bytes=16 * MIB) as rig:
        frames = {f"f{seed}": rig.put(f"f{seed}", Frame(800, 800), seed) for seed in range(12)}  # Planes of 29 MiB.
        for low in (0.05, 0.1):  # Other levels, so that the planes are wanted again and not only the pictures.
            for name, octets in frames.items():
                wanted = view(name, 800, low)
                assert (await rig.picture(wanted)).body == picture_of(octets, wanted)
        assert rig.engine.statistics().evicted_total > 0
        assert rig.done()["reduce"] > len(frames)
        await rig.quiet()


def test_each_outcome_is_an_answer_of_its_own() -> None:
    outcomes: list[tuple[Outcome, type[ImgdError], str]] = [
        (Failed("forbidden", "why"), NotYours, "why"),
        (Failed("too_big", "why"), PlanTooBig, "why"),
        (Failed("changed", "why"), Rewritten, "being rewritten"),
        (Failed("bad_frame", "why"), BadFrame, "why"),
        (TimedOut(2.5), WorkerTimedOut, r"2\.5 s"),
        (Crashed(11), WorkerLost, "crashed"),
        (Superseded(), Gone, "newer view"),
        (Refused("full", 3.0), Busy, "full"),
        (Stopped(), Gone, "stopped"),
    ]
    for outcome, kind, words in outcomes:
        with pytest.raises(kind, match=words) as caught:
            raise_outcome(outcome)
        assert type(caught.value) is kind
        if isinstance(outcome, Refused):
            assert isinstance(caught.value, Busy) and caught.value.retry_after_s == 3.0


def test_what_is_computed_alone_differs_by_frame_and_by_view() -> None:
    frames = [frame_bytes(Frame(100, 100), seed) for seed in range(2)]
    views = [view("a", 10), view("a", 20), view("a", 10, low=0.1), view("a", 10, quality=1)]
    assert len({picture_of(octets, wanted) for octets in frames for wanted in views}) == 8

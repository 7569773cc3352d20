"""Rows of the bench: which bounds are kept, what is missing is said, samples are in turns, memory is what it is."""

import itertools
import json
import mmap
import os
from pathlib import Path

import pytest

from bench.memory import held_by
from bench.table import Measure, table_text, write_json
from bench.turns import Asked, Missing, Taken, in_turns, ratio, told

MB = 1 << 20


@pytest.mark.parametrize(
    ("reached", "asked", "at_least", "missed"),
    [
        (2.0, 2.0, False, False),
        (2.1, 2.0, False, True),
        (2.0, 2.0, True, False),
        (1.9, 2.0, True, True),
        (None, 2.0, False, True),
        (None, 2.0, True, True),
        (None, None, False, False),
        (float("nan"), 2.0, False, True),
        (float("nan"), 2.0, True, True),
    ],
)
def test_a_bound_is_kept_or_missed(reached: float | None, asked: float | None, at_least: bool, missed: bool) -> None:
    assert Measure("m", "x", reached, asked, "", at_least=at_least).missed is missed


def test_what_is_missing_is_named_in_the_table_and_in_json(tmp_path: Path) -> None:
    row = told(Asked("peer: vips", "ms", 3, at_least=True), Taken(reasons={"vips": "is not installed"}), ("vips",))
    assert "missing" in table_text([row]) and ">= 3" in table_text([row])
    assert "MISSED" in table_text([row]) and "vips: is not installed" in table_text([row])
    write_json(tmp_path / "b.json", [row])
    assert json.loads((tmp_path / "b.json").read_text())["measures"][0]["reached"] is None


def test_turns_are_taken_in_order_and_one_that_fails_is_left_out() -> None:
    said: list[str] = []

    def turn(name: str, fails_at: int = -1) -> float:
        said.append(name)
        if said.count(name) == fails_at:
            raise Missing("no longer")
        return float(said.count(name))

    taken = in_turns(3, {"a": lambda: turn("a"), "b": lambda: turn("b", 2), "c": lambda: turn("c")}, warm_up=1)
    assert said == ["a", "b", "c", "a", "b", "c", "a", "c", "a", "c"]
    assert taken.samples == {"a": [2, 3, 4], "c": [2, 3, 4]}
    assert taken.reasons == {"b": "no longer"}


def test_a_ratio_is_of_medians_of_sums() -> None:
    taken = Taken({"cold": [10, 12, 50], "copy": [3, 3, 9], "JPEG": [1, 1, 1]})
    row = ratio(Asked("cold / limit", "x", 3), taken, ("cold",), ("copy", "JPEG"))
    assert row.reached == 3 and not row.missed
    assert row.beside == {"cold": (10, 12, 50), "copy": (3, 3, 9), "JPEG": (1, 1, 1)}
    assert "b: was not measured" in ratio(Asked("r", "x"), taken, ("cold",), ("b",)).how


def test_memory_is_counted_without_mapped_frames(tmp_path: Path) -> None:
    frame, other = tmp_path / "frames" / "a.fits", tmp_path / "other"
    frame.parent.mkdir()
    before = held_by(os.getpid(), frame.parent)
    for path in (frame, other):
        with path.open("wb") as writing:
            writing.writelines(itertools.repeat(bytes(MB), 16))  # Not all at once: the allocator would keep that.
    with frame.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert mapped[:: mmap.PAGESIZE].count(0) == 16 * MB // mmap.PAGESIZE
        assert held_by(os.getpid(), frame.parent).own_bytes - before.own_bytes < 8 * MB
    with other.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert mapped[:: mmap.PAGESIZE].count(0) == 16 * MB // mmap.PAGESIZE
        assert held_by(os.getpid(), frame.parent).own_bytes - before.own_bytes > 12 * MB
    segment = os.memfd_create("imgd-1")
    try:
        for _ in range(16):
            os.write(segment, bytes(MB))
        with mmap.mmap(segment, 16 * MB, access=mmap.ACCESS_READ) as mapped:
            assert mapped[:: mmap.PAGESIZE].count(0) == 16 * MB // mmap.PAGESIZE
            now = held_by(os.getpid(), frame.parent)
            assert now.own_bytes - before.own_bytes < 8 * MB
            assert now.segment_bytes - before.segment_bytes == 16 * MB
    finally:
        os.close(segment)

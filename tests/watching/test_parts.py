"""The parts of watching: records of inotify, watches and paths, walks in the index's order, the index in pages."""

import os
import struct
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imgd.watching import walking
from imgd.watching.drafts import Fact, change_of
from imgd.watching.inotify import Inotify
from imgd.watching.notices import CLOSE_WRITE, CREATE, IS_DIRECTORY, OVERFLOW, Notice, read_notices
from imgd.watching.place import Place, RootVanished
from imgd.watching.surveying import Shelf
from imgd.watching.tree import Tree
from imgd.watching.walking import Walk

names = st.binary(max_size=40).map(lambda name: name.replace(b"\0", b""))
records = st.builds(Notice, st.integers(-1, 2**31 - 1), st.integers(0, 2**32 - 1), names)


def packed(notice: Notice) -> bytes:
    """As inotify(7) writes a record: the name padded with NULs to a multiple of 16."""
    length = -(-(len(notice.name) + 1) // 16) * 16 if notice.name else 0
    return struct.pack("=iIII", notice.watch, notice.mask, 7, length) + notice.name.ljust(length, b"\0")


@given(st.lists(records))
def test_records_are_read_back(given_: list[Notice]) -> None:
    assert read_notices(b"".join(map(packed, given_))) == given_


@given(st.lists(records, min_size=1), st.data())
def test_half_a_record_is_refused(given_: list[Notice], data: st.DataObject) -> None:
    whole = b"".join(map(packed, given_))
    last = len(packed(given_[-1]))
    cut = data.draw(st.integers(1, last - 1))
    with pytest.raises(ValueError, match="half the"):
        read_notices(whole[:-cut])


def test_an_overflow_is_of_no_directory() -> None:
    assert read_notices(struct.pack("=iIII", -1, OVERFLOW, 0, 0)) == [Notice(-1, OVERFLOW, b"")]


def test_the_kernel_tells_of_a_watched_directory(tmp_path: Path) -> None:
    with Inotify() as inotify:
        fd = os.open(tmp_path, os.O_RDONLY)
        watch = inotify.add(fd)
        assert inotify.add(fd) == watch
        os.close(fd)
        assert inotify.read() == []
        (tmp_path / "a.fits").touch()
        (tmp_path / "d").mkdir()
        told = inotify.read()
        assert told == [
            (watch, CREATE, b"a.fits"),
            (watch, CLOSE_WRITE, b"a.fits"),
            (watch, CREATE | IS_DIRECTORY, b"d"),
        ]
        inotify.remove(watch)
        inotify.remove(watch)


def test_a_directory_that_moved_is_known_by_its_new_place() -> None:
    tree = Tree()
    for watch, path in enumerate((b"", b"a", b"a/b", b"ab"), start=1):
        assert tree.put(watch, path, 1) is None
    assert tree.put(3, b"c", 1) is None
    assert sorted(tree.drop_below(b"a")) == [2]
    assert tree.path_of(3) == b"c"
    assert tree.put(5, b"c", 2) == 3  # Another directory came to that name.
    assert (tree.path_of(3), tree.path_of(5), len(tree)) == (None, b"c", 3)
    tree.drop(3)
    assert sorted(tree.drop_before(2)) == [1, 4]
    assert len(tree) == 1


paths = st.lists(
    st.lists(st.sampled_from(["a", "b", "a.fits", "b.fits", "a-", "a0", ".h", "c.fits.gz"]), min_size=1, max_size=3),
    max_size=12,
)


@given(paths, st.integers(1, 5))
@example([["a", "b.fits"], ["a.fits"], ["a-", "b.fits"], ["a0"]], 5)
def test_a_walk_meets_all_frames_in_the_order_of_their_bytes(
    tmp_path_factory: pytest.TempPathFactory, given_: list[list[str]], names_a_slice: int
) -> None:
    top = tmp_path_factory.mktemp("walk")
    want: set[bytes] = set()
    for parts in given_:
        path = top.joinpath(*parts)
        if any(each.is_file() for each in path.parents) or path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        if "fits" in parts[-1] and ".h" not in parts:
            want.add(os.fsencode(path.relative_to(top)))
    place = Place.find(top)
    assert place is not None
    before = walking.SLICE_NAMES
    walking.SLICE_NAMES = names_a_slice  # type: ignore[misc]
    try:
        met: list[bytes] = []
        walk = Walk(place, b"", lambda _fd, _path: None)
        while True:
            part = walk.next()
            met += [sighting.path for sighting in part.frames]
            if part.upto is None:
                break
            assert not met or met[-1] <= part.upto
            assert all(path in met for path in want if path <= part.upto)
    finally:
        walking.SLICE_NAMES = before  # type: ignore[misc]
    assert met == sorted(want)


def test_a_link_is_met_as_what_it_leads_to_unless_it_leads_out(tmp_path: Path) -> None:
    top = tmp_path / "top"
    (top / "d").mkdir(parents=True)
    (top / "d/a.fits").write_bytes(b"12345")
    (tmp_path / "secret.fits").touch()
    (top / "in.fits").symlink_to("d/a.fits")
    (top / "out.fits").symlink_to("../secret.fits")
    (top / "loop.fits").symlink_to("loop.fits")
    (top / "up").symlink_to(".")
    (top / "dir.fits").mkdir()
    place = Place.find(top)
    assert place is not None
    part = Walk(place, b"", lambda _fd, _path: None).next()
    assert [(each.path, each.size_bytes) for each in part.frames] == [(b"d/a.fits", 5), (b"in.fits", 5)]
    assert [each and each.size_bytes for each in place.look([b"in.fits", b"out.fits", b"d", b"none"])] == [
        5, None, None, None,
    ]  # fmt: skip


def test_another_directory_in_its_place_is_not_looked_at(tmp_path: Path) -> None:
    (tmp_path / "top").mkdir()
    place = Place.find(tmp_path / "top")
    assert place is not None
    (tmp_path / "top").rename(tmp_path / "away")
    with pytest.raises(RootVanished):
        place.look([b"a.fits"])
    (tmp_path / "top").mkdir()
    assert not place.is_there()
    with pytest.raises(RootVanished):
        Walk(place, b"", lambda _fd, _path: None).next()


@given(st.lists(st.binary(min_size=1, max_size=3), unique=True), st.integers(1, 4), st.lists(st.binary(max_size=3)))
async def test_the_index_is_read_as_far_as_wanted(known: list[bytes], page: int, stops: list[bytes]) -> None:
    known.sort()

    async def pages() -> AsyncIterator[Sequence[tuple[bytes, str]]]:
        for start in range(0, len(known), page):
            yield [(path, "1:1") for path in known[start : start + page]]

    async with Shelf(pages()) as shelf:
        read: list[bytes] = []
        for stop in (*sorted(stops), None):
            while (rows := await shelf.next(stop)) is not None:
                read += [path for path, _ in rows]
            assert read == [path for path in known if stop is None or path <= stop]


def test_a_frame_that_is_gone_is_shown_as_it_was() -> None:
    change = change_of("night", Fact(b"d/\xff.fits", None, "7:1700000000000000000", 1_700_000_001_000_000_000))
    assert (change.identity, change.draft.type, change.draft.path) == (None, "frame.gone", "d/\ufffd.fits")
    entry = change.draft.frame
    assert entry is not None
    assert (entry.ref, entry.size_bytes, entry.modified) == ("night/d/%FF.fits", 7, "2023-11-14T22:13:20.000Z")
    assert (change.draft.thumbnail, change.draft.at) == ("", "2023-11-14T22:13:21.000Z")
    unknown = change_of("night", Fact(b"a.fits", None, "", 0)).draft.frame
    assert unknown is not None
    assert (unknown.size_bytes, unknown.modified) == (0, None)

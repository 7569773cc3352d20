"""Segments: what the kernel holds is what is counted, and who may read cannot write."""

import fcntl
import mmap
import os
from collections.abc import Iterator

import pytest

from imgd.engine.segments import PAGE_BYTES, Segments, SegmentsStatistics
from tests.rig.bench import census


@pytest.fixture
def segments() -> Iterator[Segments]:
    before = census()
    made = Segments()
    yield made
    made.close()
    assert census() == before


def test_what_is_written_is_read(segments: Segments) -> None:
    segments.create(5, 2 * PAGE_BYTES)
    os.pwrite(segments.writer_fd(5), b"abcdef", 4094)
    assert segments.read(5, 4093, 4101) == b"\0abcdef\0"
    assert segments.read(5, 10, 10) == b""
    with pytest.raises(AssertionError):
        segments.read(5, 0, 2 * PAGE_BYTES + 1)


def test_the_kernels_figure_follows_touch_and_punch(segments: Segments) -> None:
    segments.create(1, 4 * PAGE_BYTES)
    segments.create(2, 8 * PAGE_BYTES)
    assert segments.statistics() == SegmentsStatistics(2, 12 * PAGE_BYTES, 0)
    os.pwrite(segments.writer_fd(1), b"x" * 4 * PAGE_BYTES, 0)
    os.pwrite(segments.writer_fd(2), b"x", 5 * PAGE_BYTES)
    assert segments.kernel_bytes() == 5 * PAGE_BYTES
    segments.punch(1, PAGE_BYTES)
    assert segments.kernel_bytes() == 2 * PAGE_BYTES
    assert segments.read(1, PAGE_BYTES - 1, PAGE_BYTES + 1) == b"x\0"
    segments.punch(1, 4 * PAGE_BYTES)
    segments.punch(1, 0)
    segments.destroy(2)
    assert segments.statistics() == SegmentsStatistics(1, 4 * PAGE_BYTES, 0)
    assert os.fstat(segments.writer_fd(1)).st_size == 4 * PAGE_BYTES


def test_a_segment_can_neither_shrink_nor_grow_nor_be_unsealed(segments: Segments) -> None:
    segments.create(1, PAGE_BYTES)
    writer = segments.writer_fd(1)
    for size in (0, PAGE_BYTES - 1, PAGE_BYTES + 1):
        with pytest.raises(PermissionError):
            os.ftruncate(writer, size)
    with pytest.raises(PermissionError):
        fcntl.fcntl(writer, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)


def test_the_reading_descriptor_writes_nothing(segments: Segments) -> None:
    segments.create(1, PAGE_BYTES)
    reader = segments.reader_fd(1)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.pwrite(reader, b"x", 0)
    with pytest.raises(PermissionError):
        mmap.mmap(reader, PAGE_BYTES, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    mapped = mmap.mmap(reader, PAGE_BYTES, mmap.MAP_SHARED, mmap.PROT_READ)
    os.pwrite(segments.writer_fd(1), b"seen", 0)
    assert mapped[:4] == b"seen"
    mapped.close()


def test_nobody_without_privileges_opens_it_again(segments: Segments) -> None:
    segments.create(1, PAGE_BYTES)
    assert os.fstat(segments.reader_fd(1)).st_mode & 0o777 == 0
    assert not os.get_inheritable(segments.reader_fd(1))
    assert not os.get_inheritable(segments.writer_fd(1))


def test_sizes_are_whole_pages_and_numbers_are_used_once(segments: Segments) -> None:
    segments.create(1, PAGE_BYTES)
    for number, capacity in ((1, PAGE_BYTES), (2, 0), (2, PAGE_BYTES + 1)):
        with pytest.raises(AssertionError):
            segments.create(number, capacity)
    with pytest.raises(KeyError):
        segments.destroy(2)

"""Segments: the shared memory itself, and the descriptors that lead to it. Decides nothing."""

import ctypes
import fcntl
import mmap
import os
from dataclasses import dataclass
from typing import Final

PAGE_BYTES: Final = mmap.PAGESIZE
BLOCK_BYTES: Final = 512  # The unit of st_blocks, whatever the file system's own.
_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
_KEEP_SIZE, _PUNCH_HOLE = 0x01, 0x02

_fallocate = ctypes.CDLL(None, use_errno=True).fallocate64
_fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


@dataclass(frozen=True, slots=True)
class SegmentsStatistics:
    """kernel_bytes is the kernel's own count of the pages that the segments hold now."""

    segments: int
    capacity_bytes: int
    kernel_bytes: int


@dataclass(slots=True)
class _Segment:
    """Its descriptors are -1 until it is lent for the first time."""

    number: int
    capacity_bytes: int
    writer_fd: int = -1
    reader_fd: int = -1

    def make(self) -> None:
        """Have the kernel make it, sealed and without permission bits.

        Raises  OSError, with nothing made.
        """
        if self.writer_fd >= 0:
            return
        writer_fd = os.memfd_create(f"imgd-{self.number}", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(writer_fd, self.capacity_bytes)
            fcntl.fcntl(writer_fd, fcntl.F_ADD_SEALS, _SEALS)
            reader_fd = os.open(f"/proc/self/fd/{writer_fd}", os.O_RDONLY | os.O_CLOEXEC)
            os.fchmod(writer_fd, 0)
        except BaseException:
            os.close(writer_fd)
            raise
        self.writer_fd, self.reader_fd = writer_fd, reader_fd


class Segments:
    """All segments of this process. The descriptors stay its own: lend them, never close them."""

    def __init__(self) -> None:
        self._segments: dict[int, _Segment] = {}

    def create(self, segment: int, capacity_bytes: int) -> None:
        """Have a segment of fixed size; it is made when it is first lent, and its pages are taken when first touched.

        Sealed, so that nobody who has it mapped can be hurt by its shrinking; without permission bits, so that whoever
        holds the descriptor for reading cannot open it again for writing.
        """
        assert segment not in self._segments, "a segment's number is used once"
        assert capacity_bytes > 0, "a segment of nothing cannot be mapped"
        assert capacity_bytes % PAGE_BYTES == 0, "the kernel counts whole pages, and so does the budget"
        self._segments[segment] = _Segment(segment, capacity_bytes)

    def writer_fd(self, segment: int) -> int:
        """Tell the descriptor for whoever produces.

        Raises  OSError if the segment cannot be made.
        """
        found = self._segments[segment]
        found.make()
        return found.writer_fd

    def reader_fd(self, segment: int) -> int:
        """Tell the descriptor for whoever reads; it cannot be mapped for writing.

        Raises  OSError if the segment cannot be made.
        """
        found = self._segments[segment]
        found.make()
        return found.reader_fd

    def read(self, segment: int, start: int, stop: int) -> bytes:
        """Copy bytes out."""
        found = self._segments[segment]
        assert 0 <= start <= stop <= found.capacity_bytes, "bytes outside the segment"
        copied = os.pread(found.reader_fd, stop - start, start)
        assert len(copied) == stop - start, "a sealed segment cannot end early"
        return copied

    def punch(self, segment: int, from_bytes: int) -> None:
        """Give what lies from this byte on back to the kernel; it reads as zeros from now on."""
        found = self._segments[segment]
        assert 0 <= from_bytes <= found.capacity_bytes, "bytes outside the segment"
        length = found.capacity_bytes - from_bytes
        if (
            length
            and found.writer_fd >= 0
            and _fallocate(found.writer_fd, _KEEP_SIZE | _PUNCH_HOLE, from_bytes, length) != 0
        ):
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))

    def destroy(self, segment: int) -> None:
        """Close both descriptors; the memory goes when the last process that has it mapped lets go."""
        found = self._segments.pop(segment)
        if found.writer_fd >= 0:
            os.close(found.reader_fd)
            os.close(found.writer_fd)

    def kernel_bytes(self) -> int:
        """Add up what the kernel says that the segments hold.  Cost: one fstat a segment."""
        made = (one.reader_fd for one in self._segments.values() if one.reader_fd >= 0)
        return sum(os.fstat(reader_fd).st_blocks for reader_fd in made) * BLOCK_BYTES

    def statistics(self) -> SegmentsStatistics:
        """Tell how many there are and what they hold."""
        capacity = sum(one.capacity_bytes for one in self._segments.values())
        return SegmentsStatistics(len(self._segments), capacity, self.kernel_bytes())

    def close(self) -> None:
        """Destroy all segments."""
        for segment in list(self._segments):
            self.destroy(segment)

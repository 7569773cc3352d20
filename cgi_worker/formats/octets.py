"""A frame's bytes, read forward by offset: as they lie in the file, or out of a gzip file. Never by name."""

import os
import zlib
from typing import Any, Final, Protocol

from isal import isal_zlib

from cgi_worker.wire.failure import StepFailed

INFLATED_BYTES_MAX: Final = 1 << 30  # About four seconds of one core; a longer gzip file is read up to here.
_CHUNK: Final = 1 << 18
_ERRORS: Final[Any] = (isal_zlib.error, zlib.error, EOFError)


class DamagedGzip(Exception):
    """Bytes that no gzip writer wrote."""


class Inflating:
    """One gzip member on its way out; several times as fast as the zlib module, and without the GIL.

    rest   what was not used yet of the bytes given, or is not part of this member.
    ended  the member is complete, and its check sum is right.
    """

    def __init__(self) -> None:
        self._stream = isal_zlib.decompressobj(wbits=31)
        self.rest: Any = b""
        self.ended = False

    def inflate(self, some: Any, limit_bytes: int) -> bytes:
        """Inflate bytes, which continue those before, into at most so many.

        Raises  DamagedGzip.
        """
        try:
            more = self._stream.decompress(some, limit_bytes)
        except _ERRORS as error:
            raise DamagedGzip from error
        self.ended = self._stream.eof
        self.rest = self._stream.unused_data if self.ended else self._stream.unconsumed_tail
        return more


class Octets(Protocol):
    """Bytes of a frame; the offset of a call is never before that of an earlier call."""

    def read(self, offset: int, size: int) -> bytes:
        """Read up to `size` bytes; fewer only where the frame ends."""

    def reach(self, offset: int) -> int:
        """Tell how far the frame reaches: `offset`, or where it ends if that is before."""

    def complaint(self) -> str:
        """Tell what is wrong with the bytes themselves, "" if nothing."""


class Plain:
    """The bytes of a file, by pread: the descriptor's own position is neither used nor moved."""

    def __init__(self, source_fd: int) -> None:
        self._fd = source_fd
        self.size_bytes = os.fstat(source_fd).st_size

    def read(self, offset: int, size: int) -> bytes:
        """Read up to `size` bytes; fewer only where the file ends.

        Raises  StepFailed("bad_frame") when the disk or the network below it fails.
        """
        pieces, left = [], size
        while left > 0:
            try:
                piece = os.pread(self._fd, left, offset + size - left)
            except OSError as error:
                raise StepFailed("bad_frame", f"reading at byte {offset} failed: {error.strerror}") from error
            if not piece:
                break
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)

    def reach(self, offset: int) -> int:
        """Tell how far the file reaches."""
        return min(offset, self.size_bytes)

    def complaint(self) -> str:
        """Find nothing wrong: any byte may stand in a file."""
        return ""


class Inflated:
    """The bytes inside a gzip file of one or more members; only forward, since gzip has no index.

    A damaged or too long file ends where the damage or the limit is, and `complaint` says so.
    Memory  what one `read` asks for, and one chunk.
    """

    def __init__(self, source_fd: int, limit_bytes: int = INFLATED_BYTES_MAX) -> None:
        self._file = Plain(source_fd)
        self._limit_bytes = limit_bytes
        self._taken = 0  # Bytes of the file that were taken so far.
        self._waiting = b""  # Those of them that are not inflated yet.
        self._member = Inflating()
        self._start = 0  # Offset of the first byte in `_ready`.
        self._ready = bytearray()
        self._ended = False
        self._complaint = ""

    def read(self, offset: int, size: int) -> bytes:
        """Read up to `size` bytes; fewer only where the inflated bytes end."""
        if self.reach(offset) < offset:
            return b""
        while len(self._ready) < size and self._inflate():
            pass
        with memoryview(self._ready) as ready:
            return bytes(ready[:size])

    def reach(self, offset: int) -> int:
        """Forget everything before `offset`; tell how far there was something."""
        assert offset >= self._start, "gzip has no way back"
        while self._start + len(self._ready) < offset:
            self._start += len(self._ready)
            self._ready.clear()
            if not self._inflate():
                return self._start
        del self._ready[: offset - self._start]
        self._start = offset
        return offset

    def complaint(self) -> str:
        """Tell what is wrong with the gzip file as far as it was read."""
        return self._complaint

    def _inflate(self) -> bool:
        """Add some bytes to `_ready`; False at the end."""
        while not self._ended:
            if self._start + len(self._ready) >= self._limit_bytes:
                return self._end(f"only the first {self._limit_bytes} bytes inside the gzip file are read")
            if not self._waiting and not self._take():
                return self._end("" if self._member.ended else "the gzip file is cut short")
            if self._member.ended:
                if self._waiting[:1] == b"\0":  # Tapes and some tools fill up with zeros after the last member.
                    return self._end("")
                self._member = Inflating()
            try:
                more = self._member.inflate(self._waiting, _CHUNK)
            except DamagedGzip:
                return self._end(f"the gzip file is damaged near its byte {self._taken - len(self._waiting)}")
            self._waiting = self._member.rest
            if more:
                self._ready += more
                return True
        return False

    def _take(self) -> bool:
        self._waiting = self._file.read(self._taken, _CHUNK)
        self._taken += len(self._waiting)
        return bool(self._waiting)

    def _end(self, complaint: str) -> bool:
        self._ended = True
        self._complaint = self._complaint or complaint
        return False

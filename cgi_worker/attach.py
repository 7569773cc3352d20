"""Segments as arrays and bytes; detaching that cannot leave a view behind."""

import gc
import math
import mmap
import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cgi_worker.link import close_all
from cgi_worker.wire.packets import Lent


class ViewLeftBehind(Exception):
    """Somebody still looks into a segment; it is not detached, and this process must end to let go of it."""


class Attached:
    """The buffers that one todo list lends, mapped.

    A mapping cannot be closed while an array or a memoryview of it exists (the buffer protocol counts them), which is
    what makes a promise of `detach`.
    """

    def __init__(self, lent: Sequence[Lent], descriptors: Sequence[int]) -> None:
        """Map each buffer from its descriptor and close the descriptor; what is not writable is mapped read-only.

        Cost    30 microseconds a megabyte of arrays that are to be written, whose pages are mapped at once; one by one,
                as they are written, it would be 200.
        """
        self._lent = tuple(lent)
        self._maps: list[mmap.mmap | None] = []
        rest = list(descriptors)
        try:
            for one in self._lent:
                protection = mmap.PROT_READ | mmap.PROT_WRITE if one.writable else mmap.PROT_READ
                flags = mmap.MAP_SHARED | (mmap.MAP_POPULATE if one.writable and one.buffer.dtype else 0)
                self._maps.append(mmap.mmap(rest[0], max(1, one.buffer.size_bytes), flags, protection))
                os.close(rest.pop(0))
        finally:
            close_all(rest)

    @property
    def segments(self) -> frozenset[int]:
        """The segments that are mapped."""
        return frozenset(one.segment for one, mapped in zip(self._lent, self._maps, strict=True) if mapped is not None)

    def size_of(self, segments: Iterable[int]) -> int:
        """Tell the bytes that are mapped of these segments."""
        wanted = set(segments)
        return sum(
            len(mapped)
            for one, mapped in zip(self._lent, self._maps, strict=True)
            if mapped is not None and one.segment in wanted
        )

    def array(self, index: int, writable: bool) -> NDArray[Any]:
        """Lend a buffer as an array of its dtype and shape."""
        buffer = self._lent[index].buffer
        assert buffer.dtype, "this buffer holds bytes, not an array"
        flat = np.frombuffer(self._mapped(index), np.dtype(buffer.dtype), math.prod(buffer.shape))
        flat.flags.writeable = writable
        return flat.reshape(buffer.shape)

    def view(self, index: int, used_bytes: int, writable: bool) -> memoryview:
        """Lend the first bytes of a buffer."""
        view = memoryview(self._mapped(index))[:used_bytes]
        assert not (writable and view.readonly), "this buffer was lent for reading"
        return view if writable else view.toreadonly()

    def detach(self, segment: int) -> None:
        """Unmap all that is lent of a segment.

        Raises  ViewLeftBehind when a view of it still exists.
        """
        for index, one in enumerate(self._lent):
            mapped = self._maps[index]
            if one.segment == segment and mapped is not None:
                _close(mapped, segment)
                self._maps[index] = None

    def _mapped(self, index: int) -> mmap.mmap:
        mapped = self._maps[index]
        assert mapped is not None, "this buffer is detached"
        return mapped


def _close(mapped: mmap.mmap, segment: int) -> None:
    try:
        mapped.close()
    except BufferError:
        gc.collect()  # A view in a dead cycle, as an exception's frames make them, is nobody's any more.
        try:
            mapped.close()
        except BufferError:
            raise ViewLeftBehind(f"a view of segment {segment} is left") from None

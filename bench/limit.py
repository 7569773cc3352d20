"""The limit: what one core cannot do faster, measured beside everything that is compared with it."""

import io
import mmap
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from PIL import Image


class Limit:
    """A frame's mapped pages, all present, and a warm buffer of the same size."""

    def __init__(self, frame: Path) -> None:
        with frame.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            self._map = mmap.mmap(file.fileno(), size, mmap.MAP_SHARED | mmap.MAP_POPULATE, mmap.PROT_READ)
        self._warm = np.zeros(size, np.uint8)
        self.copy_ms()

    def copy_ms(self) -> float:
        """Copy the mapped pixels once into the warm buffer; return milliseconds."""
        began = time.perf_counter()
        pixels = np.frombuffer(self._map, np.uint8)
        np.copyto(self._warm, pixels)
        took = time.perf_counter() - began
        del pixels  # The map cannot be closed under it.
        return took * 1e3

    @staticmethod
    def encode_ms(jpeg: bytes, quality: int) -> float:
        """Encode the picture that `jpeg` shows once more; return milliseconds."""
        picture = Image.open(io.BytesIO(jpeg))
        picture.load()
        began = time.perf_counter()
        picture.save(io.BytesIO(), "JPEG", quality=quality)
        return (time.perf_counter() - began) * 1e3

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._map.close()

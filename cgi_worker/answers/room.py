"""Room: an output buffer that is written from start to end, and announced as it grows."""

from typing import IO, Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from cgi_worker.steps.work import Work
from cgi_worker.wire.failure import StepFailed

ANNOUNCED_BYTES: Final = 262_144  # Small answers arrive whole, with their length.


class Room:
    """Output 0 as a file that can only grow.

    used  bytes written so far; all of them are final.
    """

    def __init__(self, work: Work, what: str) -> None:
        self._work = work
        self._what = what
        self._octets = np.frombuffer(work.output_bytes(0), np.uint8)
        self._announced = 0
        self.used = 0

    def write(self, octets: Any) -> int:
        """Add some bytes.

        Raises  StepFailed("too_big") when the buffer is full.
        """
        some = np.frombuffer(octets, np.uint8) if len(octets) else np.empty(0, np.uint8)
        self.take(some.size)[:] = some
        self.announce()
        return some.size

    def take(self, size_bytes: int) -> NDArray[np.uint8]:
        """Lend the next bytes; they are to be written before the next call of anything else.

        Raises  StepFailed("too_big") when the buffer is full.
        """
        end = self.used + size_bytes
        if end > self._octets.size:
            text = f"{self._what} takes more than the {self._octets.size} bytes set aside"
            raise StepFailed("too_big", text)
        taken = self._octets[self.used : end]
        self.used = end
        return taken

    def announce(self) -> None:
        """Say how much is final, if it is worth it."""
        if self.used - self._announced >= ANNOUNCED_BYTES:
            self._announced = self.used
            self._work.progress(self.used)

    def end(self, size_bytes: int) -> NDArray[np.uint8]:
        """Lend the last bytes of the buffer, to work in until so much is written that they are needed."""
        if size_bytes > self._octets.size - self.used:
            raise StepFailed("too_big", f"{self._what} takes more than the {self._octets.size} bytes set aside")
        return self._octets[self._octets.size - size_bytes :]

    def flush(self) -> None:
        """Keep nothing back: there is nothing to be done."""

    def tell(self) -> int:
        """Tell how much was written."""
        return self.used

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to where the file ends already: there is no other place to write at."""
        if whence == 0 and offset != self.used:
            raise OSError(f"cannot go from {self.used} to {offset}")
        return self.used

    def file(self) -> IO[bytes]:
        """Lend it as the part of a file that Pillow's encoders use."""
        return cast(IO[bytes], self)

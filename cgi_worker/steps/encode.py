"""Encode: the 8-bit picture as JPEG, PNG or WebP, announced as it grows."""

from typing import IO, Any, Final, cast

from PIL import Image

from cgi_worker.steps.work import Made, Work
from cgi_worker.wire.failure import StepFailed
from cgi_worker.wire.recipe import Encode

ANNOUNCED_BYTES: Final = 262_144  # Most pictures are smaller: they arrive whole, with their length.
PNG_COMPRESS_LEVEL: Final = 1  # Noise hardly shrinks further, and takes several times as long to try.
WEBP_METHOD: Final = 1  # The default of 4 takes three times as long for a few percent.


class _Sink:
    """A file that an encoder writes to from start to end; its bytes land in the output buffer."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._room = work.output_bytes(0)
        self._announced = 0
        self.used = 0

    def write(self, octets: Any) -> int:
        """Take some bytes.

        Raises  StepFailed("too_big") when the buffer is full.
        """
        some = memoryview(octets).cast("B")
        end = self.used + len(some)
        if end > len(self._room):
            raise StepFailed("too_big", f"the encoded picture takes more than the {len(self._room)} bytes set aside")
        self._room[self.used : end] = some
        self.used = end
        if end - self._announced >= ANNOUNCED_BYTES:
            self._announced = end
            self._work.progress(end)
        return len(some)

    def flush(self) -> None:
        """Keep nothing back: there is nothing to be done."""

    def tell(self) -> int:
        """Tell how much was written."""
        return self.used

    def release(self) -> None:
        """Let go of the buffer."""
        self._room.release()


def do(step: Encode, work: Work) -> Made:
    """Write the encoded picture (output 0) of the 8-bit one (input 0); its facts go on."""
    pixels = work.input_array(0)
    height, width = pixels.shape[:2]
    mode = "RGB" if pixels.ndim == 3 else "L"
    picture = Image.frombuffer(mode, (width, height), pixels.reshape(-1), "raw", mode, 0, 1)
    sink = _Sink(work)
    file = cast(IO[bytes], sink)  # The part of a file that Pillow's encoders use.
    try:
        match step.format:
            case "jpeg":
                picture.save(file, "JPEG", quality=step.quality)
            case "png":
                picture.save(file, "PNG", compress_level=PNG_COMPRESS_LEVEL)
            case "webp":
                picture.save(file, "WEBP", quality=step.quality, method=WEBP_METHOD)
    finally:
        sink.release()
    return Made((sink.used,), work.input_facts(0))

"""Encode: the 8-bit picture as JPEG, PNG, WebP or AVIF, announced as it grows (the last two come whole, at the end)."""

from typing import IO, Any, Final, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cgi_worker.steps.jpeg import write_jpeg
from cgi_worker.steps.work import Made, Work
from cgi_worker.wire.failure import StepFailed
from cgi_worker.wire.steps import Encode
from cgi_worker.wire.view import Subsampling

ANNOUNCED_BYTES: Final = 262_144  # Most pictures are smaller: they arrive whole, with their length.
PNG_COMPRESS_LEVEL: Final = 1  # Noise hardly shrinks further, and takes several times as long to try.
WEBP_METHOD: Final = 1  # The default of 4 takes three times as long for a few percent.
BITONAL_FROM: Final = 128  # The darkest grey that is drawn white.
AVIF_SPEED: Final = 9  # 1200 pixels in a third of a second; the default of 6 takes two or more.
AVIF_SUBSAMPLING: Final[dict[Subsampling, str]] = {"auto": "4:2:0", "444": "4:4:4", "422": "4:2:2", "420": "4:2:0"}


class Sink:
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
    """Write the encoded picture (output 0) of the 8-bit one (input 0); its facts go on.

    Grey stays grey. Chroma subsampling is for colour as JPEG and AVIF: PNG has none, and WebP always 4:2:0.
    """
    sink = Sink(work)
    file = cast(IO[bytes], sink)  # The part of a file that Pillow's encoders use.
    try:
        write(step, work.input_array(0), file, threads=work.threads)
    finally:
        sink.release()
    return Made((sink.used,), work.input_facts(0))


def write(step: Encode, pixels: NDArray[np.uint8], file: IO[bytes], *, threads: int = 1) -> None:
    """Encode pixels, (height, width) or (height, width, 3), C order, into a file from its start to its end."""
    if step.subsampling in ("400", "bitonal"):
        pixels = _without_colour(pixels, bitonal=step.subsampling == "bitonal")
    if step.format == "jpeg":
        write_jpeg(pixels, file, quality=step.quality, subsampling=step.subsampling, threads=threads)
        return
    height, width = pixels.shape[:2]
    mode = "RGB" if pixels.ndim == 3 else "L"
    picture = Image.frombuffer(mode, (width, height), pixels.reshape(-1), "raw", mode, 0, 1)
    match step.format:
        case "png":
            picture.save(file, "PNG", compress_level=PNG_COMPRESS_LEVEL)
        case "webp":
            picture.save(file, "WEBP", quality=step.quality, method=WEBP_METHOD)
        case "avif":
            sampled = "4:0:0" if mode == "L" else AVIF_SUBSAMPLING[step.subsampling]
            picture.save(
                file, "AVIF", quality=step.quality, speed=AVIF_SPEED, subsampling=sampled, max_threads=max(1, threads)
            )


def _without_colour(pixels: NDArray[np.uint8], *, bitonal: bool) -> NDArray[np.uint8]:
    """Leave the luma (ITU-R BT.601) of a picture, or only whether it is lighter than medium grey."""
    grey = np.asarray(Image.fromarray(pixels).convert("L")) if pixels.ndim == 3 else pixels
    return np.where(grey >= BITONAL_FROM, np.uint8(255), np.uint8(0)) if bitonal else grey

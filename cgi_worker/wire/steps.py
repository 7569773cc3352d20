"""Steps: what a todo list is made of, and what it writes; values only."""

from typing import Final, Literal

import msgspec

from cgi_worker.wire.facts import Hdu
from cgi_worker.wire.question import Question
from cgi_worker.wire.view import Format, Levels, Mid, Pool, Region, Stretch, Subsampling, Turn

BINS: Final = 65_536
SAMPLES: Final = 1000  # Of a plane, for zscale.


class Parse(msgspec.Struct, frozen=True, tag="parse", tag_field="step", forbid_unknown_fields=True):
    """File -> facts (JSON, `facts.Facts`), header (JSON: every card with value, comment and unit)."""


class Read(msgspec.Struct, frozen=True, tag="read", tag_field="step", forbid_unknown_fields=True):
    """File -> one full-size plane, native byte order, for sources without random access."""

    hdu: Hdu
    plane: int


class Reduce(msgspec.Struct, frozen=True, tag="reduce", tag_field="step", forbid_unknown_fields=True):
    """File, or the plane that `Read` made -> reduced plane, histogram, in one pass over the source.

    region   in source pixels, inside the plane.
    factor   source pixels per output side; even for a Bayer cell, or 1 for full demosaicing.
    cfa      pattern of the 2x2 cell at the plane's first pixel for three channels R, G, B; None for one.
    pool     each block's mean, or its highest good pixel.
    taken    rows that are read of each block row, from its first on; 0 for all of them.
    parts    the HDUs that a mosaic is put together from, in the order of `hdu.parts`.
    counted  True: the plane has twice as many channels; the second half tells how many good pixels a block has.
    Outputs plane (channels, R, C) float32 in data units, NaN where no pixel is good;
            histogram (channels, BINS) uint64 counts, or nothing. The step's facts tell the bins' values.
    """

    hdu: Hdu
    plane: int
    region: Region
    factor: int
    cfa: str | None = None
    pool: Pool = "mean"
    taken: int = 0
    parts: tuple[Hdu, ...] = ()
    counted: bool = False


class Sample(msgspec.Struct, frozen=True, tag="sample", tag_field="step", forbid_unknown_fields=True):
    """File, or the plane that `Read` made -> the values that zscale looks at.

    region  in source pixels, inside the plane.
    parts   as in `Reduce`.
    Output  (SAMPLES,) float64 in data units, ascending; NaN in place of those that there are too few good pixels for.
    """

    hdu: Hdu
    plane: int
    region: Region
    parts: tuple[Hdu, ...] = ()


class Halve(msgspec.Struct, frozen=True, tag="halve", tag_field="step", forbid_unknown_fields=True):
    """Level n-1 of a pyramid -> level n: both (2 x channels, R, C) float32, means and numbers of good pixels."""


class Tone(msgspec.Struct, frozen=True, tag="tone", tag_field="step", forbid_unknown_fields=True):
    """Reduced planes, their histograms -> 8-bit picture (height, width) or (height, width, 3).

    planes             1 (of one channel, or of three) or 3 (of one channel each): that many inputs are planes.
    counted            their histograms are the inputs after them, one a plane; without it the levels are given.
    sampled            then come their samples, one a plane; without it zscale samples the histograms.
    width_px, height_px  of the picture before it is turned.
    turn               degrees clockwise, after the flips.
    """

    width_px: int
    height_px: int
    levels: Levels
    mid: Mid | None
    stretch: Stretch
    invert: bool
    flip_h: bool
    flip_v: bool
    turn: Turn = 0
    power: float = 2.0
    link: bool = False
    neutral: bool = False
    map: str = ""
    bad: int | None = None
    under: int | None = None
    over: int | None = None
    planes: Literal[1, 3] = 1
    counted: bool = True
    sampled: bool = False


class Encode(msgspec.Struct, frozen=True, tag="encode", tag_field="step", forbid_unknown_fields=True):
    """8-bit picture -> encoded bytes, in growing chunks."""

    format: Format
    quality: int
    subsampling: Subsampling = "auto"


class Tile(msgspec.Struct, frozen=True, tag="tile", tag_field="step", forbid_unknown_fields=True):
    """File, or planes of a pyramid's level; histograms of the whole planes -> one encoded tile, in one go.

    reduce    one for each channel, or one for all: which region of the source makes this tile, by which factor.
    source    what the first inputs are, one for each of `reduce`: "file": there are none, the file itself is read;
              "plane": full-size planes that `Read` made; "level": planes of the pyramid (counted, as `Halve` makes
              them).
    window    the tile's place in its level, in pixels of that level.
    tone.counted  the histograms of the whole planes are the last inputs, but for their samples if tone.sampled.
    """

    reduce: tuple[Reduce, ...]
    window: Region
    source: Literal["file", "plane", "level"]
    tone: Tone
    encode: Encode


class TilePart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Tiles of one level, as they differ from one another only by their place.

    whole   a tile as large as the level: each of `places` (column, row) is made as the part of it that lies there.
    planes  which inputs of the list's stage are this level's planes; none if they are cut out of the file.
    """

    level: int
    places: tuple[tuple[int, int], ...]
    whole: Tile
    planes: tuple[int, ...] = ()


class Tiles(msgspec.Struct, frozen=True, tag="tiles", tag_field="step", forbid_unknown_fields=True):
    """File, or planes of several levels; histograms of the whole planes -> many encoded tiles, in this order.

    histograms  which inputs they are, and their samples after them.
    Output      what a tone step says, as JSON, then the tiles, one after the other; what is final grows by one of
                these at a time. A tile that nobody wants any more takes no bytes.
    """

    parts: tuple[TilePart, ...]
    histograms: tuple[int, ...] = ()

    @property
    def count(self) -> int:
        """How many tiles."""
        return sum(len(part.places) for part in self.parts)


class Measure(msgspec.Struct, frozen=True, tag="measure", tag_field="step", forbid_unknown_fields=True):
    """File, or histograms -> the answer to a question: JSON, or the bytes of an export.

    parts  as in `Reduce`. Inputs: the histograms that `Reduce` made, for those questions that need them; else none.
    """

    question: Question
    hdu: Hdu
    parts: tuple[Hdu, ...] = ()


class Deliver(msgspec.Struct, frozen=True, tag="deliver", tag_field="step", forbid_unknown_fields=True):
    """Encoded bytes -> the descriptor handed over with the todo list, as a CGI/1.1 answer.

    head  the CGI header block, its empty line included; `{bytes}` in it stands for how many bytes follow,
          `{levels}` for a header line with the levels used, or for nothing.
    """

    head: str


Step = Parse | Read | Reduce | Sample | Halve | Tone | Encode | Tile | Tiles | Measure | Deliver


class Buffer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A result that a step will write: its key, its worst-case bytes, its array layout ("" for bytes).

    kept  False for what nobody will ask for again: its segment is used for something else as soon as it is idle.
    """

    key: str
    size_bytes: int
    dtype: Literal["", "u1", "u2", "i2", "i4", "i8", "f4", "f8", "u8"] = ""
    shape: tuple[int, ...] = ()
    kept: bool = True


class Stage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One step with the buffers, by index, that it reads and writes."""

    step: Step
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def reads_file(stage: Stage) -> bool:
    """Tell whether a stage opens the frame itself."""
    match stage.step:
        case Tile(source=kind):
            return kind == "file"
        case Tiles(parts):
            return any(part.whole.source == "file" for part in parts)
        case _:
            return not stage.inputs


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Steps in order; each buffer is written by one step, before any that reads it. `result` is the answer."""

    stages: tuple[Stage, ...]
    buffers: tuple[Buffer, ...]
    result: int

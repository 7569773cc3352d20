"""What is asked of the catalogue of frames, and what it answers. Values only."""

from typing import Literal, NamedTuple

import msgspec

from imgd.events.search import Term

Order = Literal[
    "newest",
    "oldest",
    "name",
    "-name",
    "object",
    "-object",
    "filter",
    "-filter",
    "exptime",
    "-exptime",
    "date",
    "-date",
]


class Named(NamedTuple):
    """A frame's name."""

    root: str
    path: bytes


class Query(msgspec.Struct, frozen=True):
    """A page of the catalogue.

    roots  of which frames are told; below, of a single one: only what lies below this directory, "" for all.
    at     a frame, of one of these roots, whose place among all that match is to be told as well.
    """

    roots: tuple[str, ...]
    below: bytes = b""
    terms: tuple[Term, ...] = ()
    order: Order = "newest"
    offset: int = 0
    limit: int = 100
    at: Named | None = None


class Row(msgspec.Struct, frozen=True):
    """A frame. hdu: JSON; None if its header is not known yet. why: it could not be read."""

    root: str
    path: bytes
    identity: str
    hdu: str | None
    why: str


class Found(msgspec.Struct, frozen=True):
    """A page, and how many frames there are: that match, in all, and of these whose header is known.

    at  how many come before the frame that was sought; None if it is not among them, or none was.
    """

    total: int
    frames: int
    described: int
    rows: tuple[Row, ...]
    at: int | None = None

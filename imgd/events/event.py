"""Events: facts with dense ids, as they are stored, filtered and delivered. Values only."""

import re
from typing import Annotated, Final, Literal

import msgspec

from imgd.entry import Entry
from imgd.errors import BadRequest

FrameType = Literal["frame.arrived", "frame.rewritten", "frame.gone"]
OtherType = Literal["root.appeared", "root.vanished", "root.scanned", "batch.ended", "rights.changed", "daemon.started"]
EventType = FrameType | OtherType
EphemeralType = Literal["root.scanning"]  # Told to who listens just then; no store takes it.
StoredType = Annotated[str, msgspec.Meta(pattern=r"\A[a-z][a-z0-9_.-]{0,63}\Z")]
"""Of what is read: a newer daemon on the same store may know more types. What is published is one of `EventType`."""
Scalar = str | int | float | bool | None

EPOCH: Final = re.compile(r"[0-9a-f]{16}")
_CURSOR: Final = re.compile(r"([0-9a-f]{16}):(0|[1-9][0-9]{0,17})")


class Draft(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What has happened, before the log has given it an id.

    at         RFC 3339, UTC, milliseconds: when it was noticed.
    root       name of the root that it is about, "" if of none.
    path       below the root, for people (bytes that are not UTF-8 are shown as U+FFFD).
    frame      as a listing gives it; of a frame that is gone, as it was last seen.
    thumbnail  where its thumbnail is: an address relative to the daemon's.
    hdu        facts of the first HDU that holds an image, as a filter compares them: EXPTIME, FILTER, OBJECT...
    detail     what else there is to say, by names of its own.
    """

    at: str
    type: StoredType
    root: str = ""
    path: str = ""
    frame: Entry | None = None
    thumbnail: str = ""
    hdu: dict[str, Scalar] = {}
    detail: dict[str, Scalar] = {}


class Event(msgspec.Struct, frozen=True):
    """A fact in its place in the log.

    body  the draft as JSON, an object without its id: encoded once, whoever reads it.
    """

    id: int
    draft: Draft
    body: bytes

    @property
    def json(self) -> bytes:
        """The event as clients get it."""
        return b'{"id":%d,%b' % (self.id, self.body[1:])


class Cursor(msgspec.Struct, frozen=True, order=True):
    """A place in the log: all events up to this id have been seen. On the wire: `epoch:id`."""

    epoch: str
    id: int

    def __str__(self) -> str:
        return f"{self.epoch}:{self.id}"


def read_cursor(text: str) -> Cursor:
    """Read a cursor as the log wrote it.

    Raises  BadRequest naming `since`.
    """
    match = _CURSOR.fullmatch(text)
    if match is None:
        raise BadRequest("must be a cursor of this log, such as 0123456789abcdef:42", "since")
    return Cursor(match[1], int(match[2]))


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Draft).decode


def body_of(draft: Draft) -> bytes:
    """Write a draft as it is stored."""
    return _encode(draft)


def event_of(id: int, body: bytes) -> Event:
    """Read a stored event.

    Raises  msgspec.ValidationError if it is not one: the store is damaged.
    """
    return Event(id, _decode(body), body)

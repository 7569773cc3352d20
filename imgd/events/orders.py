"""What the one writer of a store is asked for, as values that are checked before they reach it."""

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, get_args

import msgspec

from imgd.events.event import Draft, FrameType, OtherType, body_of
from imgd.events.headers import Looked
from imgd.events.store import Change

_AT: Final = re.compile(r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]\.[0-9]{3}Z")
_TYPES: Final = frozenset({*get_args(FrameType), *get_args(OtherType)})
_SIGNS_MAX: Final = 4096
_BODY_BYTES_MAX: Final = 1024**2

Key = tuple[str, bytes]
"""A frame in the index: root and path."""


class Row(NamedTuple):
    """An event as it is stored, without its id."""

    at: str
    type: str
    body: bytes


class Publish(msgspec.Struct, frozen=True):
    """Append these; answered with their ids."""

    rows: tuple[Row, ...]


class Note(msgspec.Struct, frozen=True):
    """Bring the index up to date; answered with an id or None for each."""

    changes: tuple[Change, ...]


class Fill(msgspec.Struct, frozen=True):
    """Put frames into the index that it does not have."""

    root: str
    known: Mapping[bytes, str]


class EnterRoot(msgspec.Struct, frozen=True):
    """Note a root's directory; answered with whether the root was known by its name."""

    root: str
    directory: str


class LostTail(msgspec.Struct, frozen=True):
    """Begin a new epoch if it is still this one; answered with the head."""

    epoch: str


class Forget(msgspec.Struct, frozen=True):
    """Delete the events up to this id; answered with how many they were."""

    id: int


class Keep(msgspec.Struct, frozen=True):
    """Keep the headers of frames that are still what they were when they were looked into."""

    looked: tuple[Looked, ...]


Order = Publish | Note | Fill | EnterRoot | LostTail | Forget | Keep
Plain = Publish | Note
"""What many orders of can be carried out in one transaction."""


def publish(drafts: Sequence[Draft]) -> Publish:
    """Make the order from drafts.

    Raises  ValueError if one of them is none that a store takes.
    """
    return Publish(tuple(map(row_of, drafts)))


def note(changes: Sequence[Change]) -> Note:
    """Make the order from changes.

    Raises  ValueError if one of them is none that a store takes.
    """
    for change in changes:
        row_of(change.draft)
        _check_text("root", change.root)
        if change.identity is not None:
            _check_text("identity", change.identity)
        if not change.path or len(change.path) > _SIGNS_MAX:
            raise ValueError(f"the path of a change must have 1 to {_SIGNS_MAX} bytes")
    return Note(tuple(changes))


def fill(root: str, known: Mapping[bytes, str]) -> Fill:
    """Make the order from a scan's findings.

    Raises  ValueError if one of them is none that a store takes.
    """
    _check_text("root", root)
    for path, identity in known.items():
        _check_text("identity", identity)
        if not path or len(path) > _SIGNS_MAX:
            raise ValueError(f"a path must have 1 to {_SIGNS_MAX} bytes")
    return Fill(root, dict(known))


def enter_root(root: str, directory: str) -> EnterRoot:
    """Make the order from a root.

    Raises  ValueError if it is none that a store takes.
    """
    _check_text("root", root)
    # A directory's name may hold bytes that are no text; what matters is only that it stays the same.
    return EnterRoot(root, directory.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"))


def row_of(draft: Draft) -> Row:
    """Write a draft as it is stored.

    Raises  ValueError if its type is unknown, its time is not written as `Draft` says, or its text cannot be encoded.
    """
    if draft.type not in _TYPES:
        raise ValueError(f"there is no event of type {draft.type!r}")
    if _AT.fullmatch(draft.at) is None:
        raise ValueError(f"the time of an event is written as 2026-01-31T23:59:59.999Z, not as {draft.at!r}")
    body = body_of(draft)
    if len(body) > _BODY_BYTES_MAX:
        raise ValueError(f"an event has at most {_BODY_BYTES_MAX} bytes, not {len(body)}")
    return Row(draft.at, draft.type, body)


def _check_text(what: str, text: str) -> None:
    if not 0 < len(text) <= _SIGNS_MAX or "\0" in text:
        raise ValueError(f"the {what} must have 1 to {_SIGNS_MAX} signs, none of them NUL")
    text.encode()

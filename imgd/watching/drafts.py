"""From what was seen of a file to the change that the store is told."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from imgd.entry import Entry, facts_of, ref_of, rfc3339, shown
from imgd.events.event import Draft, EphemeralType, OtherType, Scalar
from imgd.events.store import Change

THUMBNAIL_PX = 256


class Described(msgspec.Struct, frozen=True):
    """What a frame holds.

    complete  its size agrees with its header; False of a file that is (still) too short.
    why       in words, if it cannot be read as a frame at all; it is told about nevertheless once it is quiet.
    """

    complete: bool
    hdu: Mapping[str, Scalar]
    why: str = ""


Describe = Callable[[str], Awaitable[Described]]
"""Look into a frame by its name (`root/path`, surrogateescaped): by a worker, as the engine's questions are."""


@dataclass(frozen=True, slots=True)
class Fact:
    """What is to be told of one file.

    identity  None: it is gone.
    last      the identity that it has, or was last seen with; "" if that is not known.
    """

    path: bytes
    identity: str | None
    last: str
    at_ns: int
    hdu: Mapping[str, Scalar] = field(default_factory=dict)
    detail: Mapping[str, Scalar] = field(default_factory=dict)


def change_of(root: str, fact: Fact) -> Change:
    """Write it for the store, which sets the type."""
    ref = ref_of(root.encode() + b"/" + fact.path)
    size, modified = facts_of(fact.last)
    entry = Entry(shown(fact.path.rpartition(b"/")[2]), ref, "frame", size, modified)
    draft = Draft(
        at=rfc3339(fact.at_ns),
        type="frame.gone" if fact.identity is None else "frame.arrived",
        root=root,
        path=shown(fact.path),
        frame=entry,
        thumbnail="" if fact.identity is None else f"thumbnail?frame={ref}&side={THUMBNAIL_PX}",
        hdu=dict(fact.hdu),
        detail=dict(fact.detail),
    )
    return Change(root, fact.path, fact.identity, draft)


def root_draft(root: str, type_: OtherType | EphemeralType, at_ns: int, **detail: Scalar) -> Draft:
    """Write an event about a root as a whole."""
    return Draft(at=rfc3339(at_ns), type=type_, root=root, detail=detail)

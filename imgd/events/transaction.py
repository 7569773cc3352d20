"""One transaction for many orders: the index first, the events and their ids in its last statement."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from imgd.entry import facts_of
from imgd.events.event import Draft, FrameType
from imgd.events.headers import Looked, header_of_draft
from imgd.events.orders import EnterRoot, Fill, Forget, Keep, Key, LostTail, Note, Order, Plain, Publish, Row, row_of
from imgd.events.sessions import Session
from imgd.events.store import Change


def carry_out(session: Session, orders: Sequence[Order]) -> list[Any]:
    """Carry out orders as one transaction; return the answer to each.

    orders  any number of plain ones, or a single other one.

    Raises  StoreDown, or what is wrong with one of them; nothing is done then, or the commit's answer was lost.
    """
    match orders:
        case [Fill() as fill]:
            session.fill(fill)
            return [None]
        case [EnterRoot() as root]:
            return [session.enter_root(root)]
        case [LostTail(epoch)]:
            return [session.renew_epoch(epoch)]
        case [Forget(id)]:
            return [session.forget(id)]
        case [Keep() as keep]:
            session.keep(keep)
            return [None]
    plain = [order for order in orders if isinstance(order, Plain)]
    assert len(plain) == len(orders), "only plain orders share a transaction"
    session.begin()
    rows: list[Row] = []
    places: list[list[int | None]] = []  # Of each order: where its events are in `rows`.
    identities = _differing(session, [order for order in plain if isinstance(order, Note)])
    looked: dict[Key, Looked] = {}
    for order in plain:
        match order:
            case Publish():
                places.append(list(range(len(rows), len(rows) + len(order.rows))))
                rows += order.rows
            case Note():
                for change in order.changes:
                    _look(change, identities, looked)
                places.append([_take_note(change, identities, rows) for change in order.changes])
    session.put(identities)
    if looked:
        session.put_headers([each for key, each in looked.items() if identities[key] == each.identity])
    first = session.finish(rows) - len(rows) + 1
    return [[None if place is None else first + place for place in places_of_one] for places_of_one in places]


def _differing(session: Session, notes: Sequence[Note]) -> dict[Key, str | None]:
    """Lock what the index does not know as it is now; the rest is left alone, and costs a look."""
    changes = [change for note in notes for change in note.changes]
    if not changes:
        return {}
    known = session.identities(sorted({(change.root, change.path) for change in changes}))
    keys = {key for change in changes if known.get(key := (change.root, change.path)) != change.identity}
    locked: Mapping[Key, str] = session.lock(sorted(keys)) if keys else {}
    return {key: locked.get(key) for key in keys}


def _take_note(change: Change, identities: dict[Key, str | None], rows: list[Row]) -> int | None:
    """Apply a change to what is known; return where its event is, if it makes one."""
    key = (change.root, change.path)
    if key not in identities or identities[key] == change.identity:
        return None
    type: FrameType
    draft = change.draft
    if change.identity is None:
        type = "frame.gone"
        draft = _as_last_seen(draft, identities[key] or "")
    elif identities[key] is None:
        type = "frame.arrived"
    else:
        type = "frame.rewritten"
    identities[key] = change.identity
    rows.append(row_of(replace(draft, type=type)))
    return len(rows) - 1


def _look(change: Change, identities: Mapping[Key, str | None], looked: dict[Key, Looked]) -> None:
    """Take what a change that will be noted says of the frame's header; the last one holds."""
    key = (change.root, change.path)
    if key in identities and change.identity is not None:
        looked[key] = Looked(*key, change.identity, header_of_draft(change.draft))


def _as_last_seen(draft: Draft, identity: str) -> Draft:
    """Say what the index knows of a frame that is gone, where the watcher knows nothing."""
    if draft.frame is None or draft.frame.modified is not None:
        return draft
    size_bytes, modified = facts_of(identity)
    return replace(draft, frame=replace(draft.frame, size_bytes=size_bytes, modified=modified))

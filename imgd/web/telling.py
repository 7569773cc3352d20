"""How a feed's messages are written on a websocket, as `docs/live.md` says."""

from collections.abc import Sequence
from typing import Any

import msgspec

from imgd.events.event import Cursor
from imgd.events.feed import Batch, Live, Message, Missed, Reset, Underway
from imgd.web.problems import plain_text


def told(message: Message) -> str:
    """Write one message."""
    match message:
        case Batch(items):
            return _events(items)
        case Live(subs, head):
            return _json(op="live", subs=subs, head=str(head))
        case Missed(subs, first, last):
            return _json(op="missed", subs=subs, **{"from": first, "to": last})
        case Reset(subs, head):
            return _json(op="reset", subs=subs, head=str(head))


def told_progress(underway: Underway) -> str:
    """Write how far something has come."""
    subs, body = _numbers(underway.subs), underway.progress.body
    return (b'{"op":"progress","subs":[%b],"event":%b}' % (subs, body)).decode()


def told_head(head: Cursor, down: str) -> str:
    """Write where the client is, and why the store is down, if it is."""
    return _json(op="head", head=str(head), **({"down": plain_text(down)} if down else {}))


def _events(items: Sequence[tuple[tuple[int, ...], Any]]) -> str:
    """Write events from their bytes as they are stored, which are JSON already."""
    parts = [b'{"subs":[%b],"event":%b}' % (_numbers(subs), event.json) for subs, event in items]
    return (b'{"op":"events","events":[' + b",".join(parts) + b"]}").decode()


def _numbers(subs: tuple[int, ...]) -> bytes:
    return b"%d" % subs[0] if len(subs) == 1 else ",".join(map(str, subs)).encode()


def _json(**fields: Any) -> str:
    return msgspec.json.encode(fields).decode()

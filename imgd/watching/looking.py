"""Looking into files that may have settled, a few at a time, and telling of those that have."""

import time
from collections.abc import Mapping
from typing import Final

import trio

from imgd.errors import Busy, Gone, ImgdError, NoSuchFrame
from imgd.events.event import Scalar
from imgd.watching.drafts import Described, Fact
from imgd.watching.place import Sighting
from imgd.watching.presence import Presence
from imgd.watching.settling import Ask

BUSY_S: Final = (0.1, 30.0)  # Bounds of the pause that a busy engine asks for.
_FAILED_S: Final = 5.0
_EMPTY: Final = Described(complete=False, hdu={})


async def settle(presence: Presence) -> None:
    """Look into files as they become due, until cancelled."""
    room = presence.state.settings.describes_max

    async def look(ask: Ask) -> None:
        nonlocal room
        try:
            await _judge(presence, ask)
        finally:
            room += 1
            presence.unsettled.set()

    async with trio.open_nursery() as looks:
        while True:
            for ask in presence.settling.asks(trio.current_time(), room):
                room -= 1
                looks.start_soon(look, ask)
            presence.state.unsettled = len(presence.settling)
            presence.unsettled = trio.Event()
            with trio.CancelScope() as pause:
                if room:
                    pause.deadline = presence.settling.next_at()
                await presence.unsettled.wait()


async def _judge(presence: Presence, ask: Ask) -> None:
    """Look into one file, and see that it does not change meanwhile."""
    settling, state = presence.settling, presence.state
    try:
        before = await _look(presence, ask.path)
        if before is None:
            _missing(presence, ask)
            return
        presence.met([before])
        if ask.identity not in (None, before.identity):
            settling.changed(ask, before.identity, trio.current_time())
            return
        if state.recent.get(ask.path) == before.identity and ask.path not in state.outbox:
            settling.looked(ask, True, trio.current_time())  # Opened for writing, and closed as it was.
            return
        described = await _describe(presence, before)
        after = await _look(presence, ask.path)
    except OSError:
        settling.later(ask, trio.current_time() + _FAILED_S)
        return
    except Busy as busy:
        low, high = BUSY_S
        settling.later(ask, trio.current_time() + min(max(busy.retry_after_s, low), high))
        return
    now = trio.current_time()
    if after is None:
        _missing(presence, ask)
    elif after.identity != before.identity:
        settling.changed(ask, after.identity, now)
    elif settling.looked(ask, described.complete and not described.why, now):
        detail = _detail(described)
        presence.tell(Fact(ask.path, after.identity, after.identity, time.time_ns(), described.hdu, detail))


async def _look(presence: Presence, path: bytes) -> Sighting | None:
    """Look at a file.

    Raises  OSError when the file system fails.
    """
    (seen,) = await presence.look(path)
    if isinstance(seen, OSError):
        raise seen
    return seen


def _missing(presence: Presence, ask: Ask) -> None:
    if presence.settling.missing(ask):
        presence.gone(ask.path)
        presence.led_nowhere(ask.path)


async def _describe(presence: Presence, sighting: Sighting) -> Described:
    """Have it looked into.

    Raises  Busy: try again later.
    """
    state = presence.state
    if not sighting.size_bytes:
        return _EMPTY
    state.describes += 1
    try:
        return await state.describe(f"{state.root.name}/{sighting.path.decode('utf-8', 'surrogateescape')}")
    except Busy:
        raise
    except Gone as stopped:
        raise Busy(stopped.text, BUSY_S[0]) from stopped
    except NoSuchFrame:
        return Described(complete=False, hdu={}, why="there is a file, but it could not be opened")
    except ImgdError as error:
        return Described(complete=False, hdu={}, why=error.text)


def _detail(described: Described) -> Mapping[str, Scalar]:
    if described.why:
        return {"why": described.why}
    return {} if described.complete else {"incomplete": True}

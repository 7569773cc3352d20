"""What a session has to say: replies first, then what its runners say and show, in order; all of it bounded."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import trio

from cgi_worker.wire.tiles import TilePlace

TEXTS_MAX: Final = 2_000  # That wait, of all runners of one session; with more the client is taken for stalled.
TEXT_BYTES_MAX: Final = 4 << 20
TEXTS_HEARD_MAX: Final = 500  # With more waiting the client is not listened to: it would only ask for more.
TAKEN_MAX: Final = 64  # Messages that have been taken are not moved out of the list one by one.


@dataclass(slots=True)
class Item:
    """A message on its way out.

    data   what is sent: text, or a picture's frame.
    place  of a tile; None for texts and pictures.
    etag   of a tile.
    last   nothing of its runner's turn comes after it.
    """

    data: str | bytes
    runner: str = ""
    turn: int = 0
    place: TilePlace | None = None
    etag: str = ""
    last: bool = False


OnDropped = Callable[[str, int, tuple[TilePlace, ...]], None]


def _ignore(runner: str, turn: int, places: tuple[TilePlace, ...]) -> None:
    pass


class Outbox:
    """Messages on their way to the task that writes.

    Replies are bounded by `room`, which makes the reading task wait, and so a client that asks without taking what is
    answered. Tiles and pictures are bounded by bytes: the oldest tiles are dropped for newer ones, a picture for a
    newer one of the same runner. Texts are not dropped: with too many of them waiting the box is `stuffed`.

    on_dropped      is told the runner, the turn and the places of tiles for which there was no room.
    text_bytes_max  of texts that wait; more than that is `stuffed`.
    """

    __slots__ = (
        "_items", "_on_dropped", "_replies", "_replies_max", "_room", "_shown_max", "_start", "_text_bytes",
        "_text_bytes_max", "_texts", "_woken", "ended", "shown_bytes",
    )  # fmt: skip

    def __init__(
        self,
        replies_max: int,
        shown_max: int = 0,
        on_dropped: OnDropped = _ignore,
        *,
        text_bytes_max: int = TEXT_BYTES_MAX,
    ) -> None:
        self._replies_max = replies_max
        self._replies: list[str] = []  # No deque: an empty one takes 600 bytes, and there are few replies.
        self._items: list[Item] = []  # Those before `_start` have been taken.
        self._start = 0
        self._texts = self._text_bytes = self.shown_bytes = 0
        self._text_bytes_max = text_bytes_max
        self._shown_max = shown_max
        self._on_dropped = on_dropped
        self._room = trio.Event()
        self._woken = trio.Event()
        self.ended = False

    @property
    def stuffed(self) -> bool:
        """Tell whether more texts wait than a client can be allowed to leave."""
        return self._texts > TEXTS_MAX or self._text_bytes > self._text_bytes_max

    async def room(self) -> None:
        """Wait until one more reply may be put."""
        while len(self._replies) >= self._replies_max or self._texts > TEXTS_HEARD_MAX:
            self._room = trio.Event()
            await self._room.wait()

    def put(self, reply: str) -> None:
        """Add a reply, after `room`."""
        assert len(self._replies) < self._replies_max, "no room was waited for"
        self._replies.append(reply)
        self.wake()

    def say(self, text: str, runner: str = "", turn: int = 0, *, last: bool = False) -> None:
        """Add a text of a runner, after all that waits of runners."""
        self._texts += 1
        self._text_bytes += len(text)
        self._items.append(Item(text, runner, turn, last=last))
        self.wake()

    def show(self, item: Item) -> None:
        """Add a tile, or a picture if it has no place, after all that waits; drop what is too much by it."""
        self._items.append(item)
        self.shown_bytes += len(item.data)
        self.wake()
        if self.shown_bytes > self._shown_max:
            self._make_room(item)

    def forget(self, runner: str, turn: int) -> None:
        """Throw away the pictures and tiles of a runner that still wait, of this turn and of those before it."""
        self._drop([each for each in self._frames() if each.runner == runner and each.turn <= turn])

    def take(self) -> Item | None:
        """Take the next message, replies first; None if there is none."""
        if self._replies:
            self._room.set()
            return Item(self._replies.pop(0))
        if self._start == len(self._items):
            return None
        item = self._items[self._start]
        self._start += 1
        if self._start == len(self._items) or self._start >= TAKEN_MAX:
            del self._items[: self._start]
            self._start = 0
        if isinstance(item.data, bytes):
            self.shown_bytes -= len(item.data)
        else:
            self._texts -= 1
            self._text_bytes -= len(item.data)
            if self._texts <= TEXTS_HEARD_MAX:
                self._room.set()
        return item

    def take_some(self, most_bytes: int) -> list[Item]:
        """Take the next messages, the first whatever its size, and as many more as make this many bytes."""
        taken: list[Item] = []
        size_bytes = 0
        while size_bytes < most_bytes and (item := self.take()) is not None:
            taken.append(item)
            size_bytes += len(item.data)
        return taken

    def clear(self) -> None:
        """Throw away all that waits."""
        self._replies.clear()
        self._items.clear()
        self._start = self._texts = self._text_bytes = self.shown_bytes = 0

    def end(self) -> None:
        """Have nothing more said than what is there."""
        self.ended = True
        self.wake()

    def wake(self) -> None:
        """Have the writing task look for more."""
        self._woken.set()

    async def woken(self) -> None:
        """Wait until `wake` was called since this was called last."""
        await self._woken.wait()
        self._woken = trio.Event()

    async def woken_within(self, limit_s: float) -> bool:
        """Do as `woken`; False if it was not called within the limit."""
        with trio.move_on_after(limit_s) as limit:
            await self.woken()
        return not limit.cancelled_caught

    def _frames(self) -> list[Item]:
        """List the pictures and tiles that wait, oldest first."""
        return [each for each in self._items[self._start :] if isinstance(each.data, bytes)]

    def _make_room(self, newest: Item) -> None:
        """Drop older pictures of runners that have a newer one, then the oldest tiles; never what has just come."""
        waiting = self._frames()
        excess = self.shown_bytes - self._shown_max
        too_much: list[Item] = []
        newer: set[str] = set()
        for each in reversed(waiting):
            if each.place is None and each.runner in newer:
                too_much.append(each)
                excess -= len(each.data)
            elif each.place is None:
                newer.add(each.runner)
        for each in waiting:
            if excess <= 0:
                break
            if each.place is not None and each is not newest:
                too_much.append(each)
                excess -= len(each.data)
        self._drop(too_much)
        places: dict[tuple[str, int], list[TilePlace]] = {}
        for each in too_much:
            if each.place is not None:
                places.setdefault((each.runner, each.turn), []).append(each.place)
        for (runner, turn), dropped in places.items():
            self._on_dropped(runner, turn, tuple(dropped))

    def _drop(self, items: list[Item]) -> None:
        if not items:
            return
        gone = set(map(id, items))
        self._items = [each for each in self._items[self._start :] if id(each) not in gone]
        self._start = 0
        self.shown_bytes -= sum(len(each.data) for each in items)

"""Following: which frame of a directory is the newest, now and whenever another one comes."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import trio

from imgd.access.roots import Roots
from imgd.errors import BadRequest, Busy, ImgdError
from imgd.events.feed import Batch, Feed, Message
from imgd.events.filters import Filters, read_filters
from imgd.events.log import Log
from imgd.events.store import StoreDown
from imgd.query import decode_text

AGAIN_S: Final = 2.0  # The directory is looked at this often while nobody tells what comes.
PAGE: Final = 100
PAGES_MAX: Final = 10  # Names that are no frames may be newer than the newest frame: so many pages are looked through.
_SUB: Final = 0


@dataclass(frozen=True, slots=True)
class Watch:
    """What a directory is followed with, and who is told: of a frame by its name, and why none can be found."""

    roots: Roots
    log: Log
    arrived: Callable[[str], None]
    failed: Callable[[str], None]


async def follow(directory: str, watch: Watch) -> None:
    """Tell the newest frame of a directory, and each newer one as the log has it, until cancelled.

    Of several that come at once only the newest is told. While the store is down, or the directory cannot be read, it
    is looked at again now and then; always, if it is a link.
    """
    directory = directory.rstrip("/")
    wanted = filters_of(directory)
    shown = complaint = ""
    while True:
        feed = await _subscribe(watch.log, wanted)
        try:
            newest = await newest_of(directory, watch.roots)
            is_linked = await watch.roots.is_linked(directory)  # No event tells of what comes there by this name.
        except ImgdError as error:
            if error.text != complaint:
                complaint = error.text
                watch.failed(error.text)
            await trio.sleep(AGAIN_S)
            continue
        complaint = ""
        if newest and newest != shown:
            shown = newest
            watch.arrived(newest)
        if feed is None or watch.log.down or is_linked:
            await trio.sleep(AGAIN_S)
        else:
            shown = await _listen(directory, feed, watch) or shown


async def newest_of(directory: str, roots: Roots) -> str:
    """Name the newest frame of a directory; "" if there is none.

    Raises  as `Roots.list`.
    """
    after = ""
    for _ in range(PAGES_MAX):
        page = await roots.list(directory, "newest", PAGE, after)
        for entry in page.entries:
            if entry.kind == "frame":
                return decode_text(entry.ref.encode())
        if page.after is None:
            break
        after = page.after
    return ""


def filters_of(directory: str) -> Filters:
    """Write which events tell of frames directly in a directory, as near as filters can."""
    root, _, path = directory.strip("/").partition("/")
    filters: list[list[object]] = [["type", "in", ["frame.arrived", "frame.rewritten"]], ["root", "=", root]]
    plain = path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    pattern = "".join(f"[{char}]" if char in "*?[" else char for char in plain)
    try:
        return read_filters([*filters, ["path", "glob", f"{pattern}/*" if pattern else "*"]])
    except BadRequest:
        return read_filters(filters)  # Too long for a pattern; `_is_in` tells as well.


async def _subscribe(log: Log, filters: Filters) -> Feed | None:
    """Begin after the head: what came before it is in the directory already. None while the store is down."""
    feed = log.feed()
    try:
        feed.subscribe(_SUB, filters, None, await log.settle(None))
    except Busy:
        return None
    return feed


async def _listen(directory: str, feed: Feed, watch: Watch) -> str:
    """Tell what arrives until the log no longer tells all of it; return what was told last, "" if nothing was."""
    told = ""
    woken = trio.Event()

    def wake() -> None:
        woken.set()

    with watch.log.waking(wake):
        while True:
            woken = trio.Event()
            try:
                messages = await watch.log.advance(feed)
            except StoreDown:
                await trio.sleep(AGAIN_S)
                return told
            if any(not isinstance(message, Batch) for message in messages or ()):
                return told  # Something was missed, or the log is another one.
            if newest := _newest_told(messages or (), directory):
                told = newest
                watch.arrived(newest)
            if watch.log.down:
                return told  # Nothing is told of what comes now.
            if not watch.roots.serves(directory):
                return told  # It is looked at anew, which says why.
            if messages == [] and feed.wants(watch.log.head) is None:
                with trio.move_on_after(AGAIN_S):
                    await woken.wait()
            else:
                await trio.lowlevel.checkpoint()


def _newest_told(messages: Iterable[Message], directory: str) -> str:
    """Name the frame of the last event that is about one directly in the directory; "" if none is."""
    newest = ""
    for message in messages:
        for _, event in message.items if isinstance(message, Batch) else ():
            if event.draft.frame is not None:
                name = decode_text(event.draft.frame.ref.encode())
                newest = name if name.rpartition("/")[0] == directory else newest
    return newest

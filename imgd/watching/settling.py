"""When a frame is complete: which files to look into now, and what follows from what was found. Sans-IO, no clock."""

import heapq
import itertools
import math
from dataclasses import dataclass
from typing import Final

from imgd.watching.tree import is_below

LINK_S: Final = 0.05  # A name that was made and not written to for so long is a link to a file that exists.
AGAIN_S: Final = 0.02  # First pause before a file that was not complete is looked into again; doubles.


@dataclass(frozen=True, slots=True)
class Ask:
    """Look into this file now.

    quiet     it has been quiet for long: what is found is final, complete or not.
    identity  it must still have this one; None: nothing is known of it.
    """

    path: bytes
    serial: int
    quiet: bool
    identity: str | None


@dataclass(slots=True)
class _Unsettled:
    """A file that something happened to. `queued_at`: its place among those that wait, infinite if it has none."""

    serial: int
    changed_at: float
    due_at: float
    identity: str | None = None
    queued_at: float = math.inf
    ready: bool = False
    asked: bool = False
    stirred: bool = False
    looks: int = 0
    again_at: float = -math.inf


class Settling:
    """Files between the first sign of a change and their settling. Each change is settled once, if at all.

    Times are seconds of any clock that does not go back.
    """

    def __init__(self, settle_s: float) -> None:
        self._settle_s = settle_s
        self._files: dict[bytes, _Unsettled] = {}
        self._waiting: list[tuple[float, bytes]] = []
        self._ready: list[tuple[float, bytes]] = []
        self._serials = itertools.count(1)

    def __len__(self) -> int:
        return len(self._files)

    def __contains__(self, path: bytes) -> bool:
        return path in self._files

    def created(self, path: bytes, now: float) -> None:
        """A name was made: a file that will be written to, or a link to one that is complete."""
        self._change(path, now, min(LINK_S, self._settle_s))

    def touched(self, path: bytes, now: float) -> None:
        """Something was written to it: quiet begins anew."""
        self._change(path, now, self._settle_s)

    def finished(self, path: bytes, now: float) -> None:
        """It was closed, or renamed into place, or found as it is: it may be complete."""
        self._change(path, now, 0.0)

    def seen(self, path: bytes, identity: str, now: float) -> None:
        """It was found with this identity by a look that tells nothing of who writes."""
        file = self._files.get(path)
        if file is not None and file.identity == identity:
            self._schedule(path, file, max(now, file.again_at))
            return
        self._change(path, now, self._settle_s)
        self._files[path].identity = identity

    def gone(self, path: bytes) -> None:
        """It is not there any longer."""
        self._files.pop(path, None)

    def gone_below(self, directory: bytes) -> None:
        """A directory is not there any longer, with all that is below it."""
        for path in [path for path in self._files if is_below(path, directory)]:
            del self._files[path]

    def clear(self) -> None:
        """Forget all."""
        self._files.clear()
        self._waiting.clear()
        self._ready.clear()

    def asks(self, now: float, room: int) -> list[Ask]:
        """Take what to look into now, `room` files at most, the latest changed first. Each wants an answer."""
        self._ripen(now)
        taken: list[Ask] = []
        while self._ready and len(taken) < room:
            _, path = heapq.heappop(self._ready)
            file = self._files.get(path)
            if file is None or not file.ready:
                continue
            file.ready = False
            if file.due_at > now:
                self._schedule(path, file, file.due_at)
                continue
            file.asked, file.stirred = True, False
            quiet = now - file.changed_at >= self._settle_s
            taken.append(Ask(path, file.serial, quiet, file.identity))
        return taken

    def next_at(self) -> float:
        """Tell when to ask again; infinite if nothing waits. Never later than needed."""
        if self._ready:
            return -math.inf
        return self._waiting[0][0] if self._waiting else math.inf

    def looked(self, ask: Ask, complete: bool, now: float) -> bool:
        """Answer: it could be looked into, and did not change meanwhile. True: it has settled; tell of it as it is."""
        file = self._answered(ask)
        if file is None:
            return False
        if not file.stirred and (complete or ask.quiet):
            del self._files[ask.path]
            return True
        if not complete:
            self._slow_down(file, now)
        due_at = file.due_at if file.stirred else file.changed_at + self._settle_s
        self._schedule(ask.path, file, max(due_at, file.again_at) if file.stirred else due_at)
        return False

    def changed(self, ask: Ask, identity: str, now: float) -> None:
        """Answer: it has, or got while it was looked into, another identity than it had."""
        file = self._answered(ask)
        if file is None:
            return
        file.changed_at = now
        self._slow_down(file, now)
        due_at = file.again_at
        if ask.identity is not None:
            file.identity = identity
            due_at = now + self._settle_s
        self._schedule(ask.path, file, due_at)

    def later(self, ask: Ask, at: float) -> None:
        """Answer: nobody could look into it; try again then."""
        file = self._answered(ask)
        if file is not None:
            self._schedule(ask.path, file, max(at, file.due_at) if file.stirred else at)

    def missing(self, ask: Ask) -> bool:
        """Answer: it is not there. True: and nothing was heard of it meanwhile; it is forgotten."""
        file = self._answered(ask)
        if file is None:
            return False
        if file.stirred:
            self._schedule(ask.path, file, file.due_at)
            return False
        del self._files[ask.path]
        return True

    def _answered(self, ask: Ask) -> _Unsettled | None:
        file = self._files.get(ask.path)
        if file is None or file.serial != ask.serial:
            return None  # It went, and perhaps came again, meanwhile.
        assert file.asked, "answered twice"
        file.asked = False
        return file

    def _slow_down(self, file: _Unsettled, now: float) -> None:
        """Many writers in turns must not have a file looked into after each of them."""
        file.looks += 1
        file.again_at = now + min(self._settle_s, AGAIN_S * 2 ** min(file.looks - 1, 20))

    def _change(self, path: bytes, now: float, wait_s: float) -> None:
        file = self._files.get(path)
        if file is None:
            file = self._files[path] = _Unsettled(next(self._serials), now, now)
        file.changed_at = now
        file.stirred = True
        self._schedule(path, file, max(now + wait_s, file.again_at))

    def _schedule(self, path: bytes, file: _Unsettled, due_at: float) -> None:
        file.due_at = due_at
        if not file.asked and not file.ready and due_at < file.queued_at:  # Else it comes up in time to be put off.
            file.queued_at = due_at
            heapq.heappush(self._waiting, (due_at, path))

    def _ripen(self, now: float) -> None:
        while self._waiting and self._waiting[0][0] <= now:
            at, path = heapq.heappop(self._waiting)
            file = self._files.get(path)
            if file is None or file.queued_at != at or file.asked:
                continue
            file.queued_at = math.inf
            if file.due_at > now:
                self._schedule(path, file, file.due_at)
            else:
                file.ready = True
                heapq.heappush(self._ready, (-file.changed_at, path))

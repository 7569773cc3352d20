"""Requests: how many of which kind ended how, how soon their answers began, and why some were told to come back."""

from collections import Counter
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any, Final

import trio

from cgi_worker.wire.question import QUESTIONS
from imgd.figures import Distribution, Spread
from imgd.web.problems import REASON
from imgd.web.seam import App, Receive, Scope, Send

LEFT: Final = "left"  # In place of a status: the client was gone before its answer began.
KEPT: Final = "tile_kept"
FIRST_BYTE_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0)
_KINDS: Final = {
    **dict.fromkeys(("img", "thumbnail"), "picture"),
    **dict.fromkeys(("tile", "tiles", "dzi", "iiif"), "tile"),
    **dict.fromkeys((*QUESTIONS, "frame"), "question"),
    **dict.fromkeys(("frames", "catalogue"), "listing"),
    **dict.fromkeys(("healthz", "readyz", "metrics", "admin"), "operation"),
    "runs": "run", "events": "feed",
}  # fmt: skip
_TIMED: Final = ("picture", "tile", "question", "listing", "run")  # What a person waits for.
_ENDS: Final = ("2xx", "3xx", "4xx", "5xx", LEFT)  # Told from the start: what appears with its first case has no rate.
REASONS: Final = (
    "queue_full", "waited", "template", "descriptors", "storage", "root_away", "store", "sessions", "searches",
    "rewritten", "stopped", "other",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class RequestCount:
    """Requests of one kind that ended in one way: a class of statuses such as `2xx`, or `left`."""

    kind: str
    status: str
    total: int


@dataclass(frozen=True, slots=True)
class FirstBytes:
    """How long clients waited for the first byte of answers of one kind."""

    kind: str
    seconds: Distribution


@dataclass(frozen=True, slots=True)
class BusyCount:
    """Answers 503, by what was short."""

    reason: str
    answers_total: int


class Requests:
    """Count them. Tiles that are answered from memory are counted where they are found, and not timed."""

    def __init__(self) -> None:
        self.kept_total = 0
        self._ends = Counter({(kind, end): 0 for kind in _TIMED for end in _ENDS})
        self._first = {kind: Spread(FIRST_BYTE_S) for kind in _TIMED}
        self._busy = Counter(dict.fromkeys(REASONS, 0))

    async def answer(self, app: App, scope: Scope, receive: Receive, send: Send) -> None:
        """Have a request answered, and count it."""
        kind, began_s, end = kind_of(scope["path"]), trio.current_time(), LEFT

        async def sending(message: MutableMapping[str, Any]) -> None:
            nonlocal end
            if message["type"] == "http.response.start":
                end = f"{message['status'] // 100}xx"
                if kind in self._first:
                    self._first[kind].note(trio.current_time() - began_s)
                if message["status"] == 503 and kind != "operation":  # `/readyz` says 503 to each look at it.
                    self._busy[scope.get(REASON) or "other"] += 1
            await send(message)

        try:
            await app(scope, receive, sending)
        finally:
            self._ends[kind, end] += 1

    def counts(self) -> list[RequestCount]:
        """Tell how many requests of each kind ended how."""
        kept = RequestCount(KEPT, "2xx", self.kept_total)
        return [kept, *(RequestCount(kind, end, count) for (kind, end), count in sorted(self._ends.items()))]

    def first_bytes(self) -> list[FirstBytes]:
        """Tell how long clients waited."""
        return [FirstBytes(kind, spread.taken()) for kind, spread in self._first.items()]

    def busy(self) -> list[BusyCount]:
        """Tell why answers were 503."""
        return [BusyCount(reason, count) for reason, count in sorted(self._busy.items())]


def kind_of(path: str) -> str:
    """Tell what kind of request a path is; what leads nowhere else is a page."""
    return _KINDS.get(path[1:].partition("/")[0], "page")

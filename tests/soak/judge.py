"""The judge of a soak: counts requests, looks into every 20th answer, and finds a reason for each failure, or none."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import h11
import trio

from tests.soak.alone import Alone, digest
from tests.soak.faults import Faults, Kind
from tests.soak.field import KILLER, Field, Story

COMPARED_EACH: Final = 20
WAITING_MAX: Final = 200  # Answers that wait to be compared.
COMPLAINTS_MAX: Final = 50
NO_SUCH_TILE: Final = re.compile(r"^level \d+ has \d+ x \d+ tiles")
UNSOUND: Final = frozenset((400, 413, 422))  # What a frame that is broken may be refused with.
ENDS: Final = (h11.RemoteProtocolError, trio.BrokenResourceError, ConnectionError)


@dataclass(frozen=True)
class Asked:
    """One question.

    kind    what is counted.
    frame   which frame it is about, below the root; "" if it is about none.
    target  the same as one alone is asked; "" if an answer cannot be compared.
    """

    kind: str
    frame: str = ""
    target: str = ""


@dataclass
class Compared:
    """How many answers were compared with what one alone gets, and how many could not be: their frame was changing."""

    right: int = 0
    changing: int = 0
    wrong: int = 0


@dataclass
class Judge:
    """Takes every answer. What should not be is a complaint; without any the soak is passed."""

    frames: Field
    faults: Faults
    alone: Alone
    asked: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    refused: Counter[tuple[str, int]] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    compared: Compared = field(default_factory=Compared)
    complaints: list[str] = field(default_factory=list)
    _answers: int = 0

    def __post_init__(self) -> None:
        self._queue: list[tuple[Asked, str, float, float]] = []
        self._more = trio.Event()

    def answered(self, asked: Asked, body: bytes, began_s: float) -> None:
        """Take an answer that is whole. Every 20th is compared, later."""
        self.asked[asked.kind] += 1
        if not asked.target:
            return
        self._answers += 1
        if self._answers % COMPARED_EACH == 0 and len(self._queue) < WAITING_MAX:
            self._queue.append((asked, digest(body), began_s, trio.current_time()))
            self._more.set()

    def is_next(self) -> bool:
        """Tell whether the next answer would be compared."""
        return (self._answers + 1) % COMPARED_EACH == 0

    def gone(self, asked: Asked) -> None:
        """Note that a user left before the answer was whole."""
        self.asked[asked.kind] += 1
        self.left[asked.kind] += 1

    def failed(self, asked: Asked, status: int, body: bytes, headers: Mapping[str, str], began_s: float) -> None:
        """Take a refusal, or a failure: there must be a reason for it."""
        self.asked[asked.kind] += 1
        words = body[:300].decode(errors="replace")
        problem: dict[str, object] = {}
        if headers.get("content-type") == "application/problem+json":
            with suppress(ValueError):
                problem = json.loads(body)
        if not problem:
            self.complain(f"{asked}: {status} by no problem document: {words}")
            return
        self.refusal(asked, status, str(problem.get("detail")), began_s)
        if status == 503 and "retry-after" not in headers:
            self.complain(f"{asked}: 503 does not say when to come again: {words}")

    def refusal(self, asked: Asked, status: int, words: str, began_s: float) -> None:
        """Take a refusal whose form is right."""
        self.refused[asked.kind, status] += 1
        reason = self._reason(asked, status, words, began_s)
        if reason:
            self.reasons[f"{status} {reason}"] += 1
        else:
            self.complain(f"{asked}: {status} {words!r}, for no reason; {self._situation(asked, began_s)}")

    def broke(self, asked: Asked, error: BaseException, began_s: float) -> None:
        """Take an answer that broke off: only a worker lost while it was at it is a reason."""
        self.asked[asked.kind] += 1
        hurt = self.faults.within(began_s, trio.current_time()) - {"template stopped"}
        if hurt:
            self.reasons[f"broke off: {_named(hurt)}"] += 1
        elif None in self._held(asked, began_s):
            self.reasons["broke off: the frame was being written"] += 1
        else:
            self.complain(f"{asked}: broke off ({error!r}), for no reason; {self._situation(asked, began_s)}")

    def hung(self, asked: Asked, began_s: float) -> None:
        """Note that no answer came for very long."""
        self.asked[asked.kind] += 1
        self.complain(f"{asked}: no answer within {trio.current_time() - began_s:.0f} s")

    def complain(self, text: str) -> None:
        """Note what should not be."""
        if len(self.complaints) < COMPLAINTS_MAX:
            self.complaints.append(text)

    async def compare(self, ended: trio.Event) -> None:
        """Compare answers with what one alone gets, until it is over and all are compared."""
        try:
            while self._queue or not ended.is_set():
                if not self._queue:
                    self._more = trio.Event()
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(_either, self._more, nursery.cancel_scope)
                        await ended.wait()
                        nursery.cancel_scope.cancel()
                    continue
                await self._compare(*self._queue.pop(0))
        finally:
            await self.alone.close()

    async def _compare(self, asked: Asked, found: str, began_s: float, ended_s: float) -> None:
        held = self._story(asked).within(began_s, ended_s)
        for content in dict.fromkeys(held):
            if content is not None and await self.alone.digest_of(content, asked.target) == found:
                self.compared.right += 1
                return
        if None in held:
            self.compared.changing += 1  # It may be of what lay there between the one and the other.
            return
        self.compared.wrong += 1
        self.complain(f"{asked}: not what one alone gets of {[str(each) for each in held]}")

    def _reason(self, asked: Asked, status: int, words: str, began_s: float) -> str:
        """Find out why an answer was refused; "" if there is no reason."""
        held, hurt = self._held(asked, began_s), self.faults.within(began_s, trio.current_time())
        changes = len(held) > 1 or None in held
        sound = not asked.frame or self._story(asked).sound
        match status:
            case 404 if changes:
                return "the frame went, or has another version"
            case 400 if changes and NO_SUCH_TILE.search(words):
                return "the frame went, or has another version"
            case 400 | 413 | 422 if not sound:
                return "the frame is broken"
            case 422 | 503 if changes and ("rewritten" in words or status == 422):
                return "the frame was being written"
            case 500 if asked.frame == KILLER:
                return "the frame kills its worker"
            case 503 if hurt:
                return _named(hurt)
            case 504 if hurt & {"worker stopped", "template stopped"}:
                return _named(hurt)
        return ""

    def _held(self, asked: Asked, began_s: float) -> list[Path | None]:
        return self._story(asked).within(began_s, trio.current_time()) if asked.frame else []

    def _story(self, asked: Asked) -> Story:
        return self.frames.stories.get(asked.frame) or Story([])

    def _situation(self, asked: Asked, began_s: float) -> str:
        now = trio.current_time()
        stalls = self.faults.stalls_within(began_s, now)
        stood = "".join(f", the machine stood still for {each.ended_s - each.began_s:.1f} s" for each in stalls)
        return f"it took {now - began_s:.2f} s, the frame held {self._held(asked, began_s)}{stood}"


def _named(kinds: set[Kind]) -> str:
    return " and ".join(sorted(kinds))


async def _either(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()

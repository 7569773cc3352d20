"""Tile list: many tiles in one go, each final as soon as it is encoded, and announced then or very soon after."""

import io
import time
from collections.abc import Sequence
from typing import Any, Final

from numpy.typing import NDArray

from cgi_worker.steps import tile
from cgi_worker.steps.encode import write
from cgi_worker.steps.work import Made, Work
from cgi_worker.wire.failure import StepFailed
from cgi_worker.wire.steps import Tiles
from cgi_worker.wire.tiles import tile_at

TOGETHER_S: Final = 0.002  # What is final within this time after the last word is told at once: nobody sees so little.


def do(step: Tiles, work: Work) -> Made:
    """Write what the levels are, and then the encoded tiles (output 0); the facts are those of a tone step."""
    room = work.output_bytes(0)
    used = number = 0
    ends: list[int] = []
    facts, since_s = "", 0.0

    def add(octets: bytes | memoryview) -> None:
        nonlocal used, ends, since_s
        end = used + len(octets)
        if end > len(room):
            if ends:
                work.progress(used, tuple(ends))  # What is final stays so.
            raise StepFailed("too_big", f"the encoded tiles take more than the {len(room)} bytes set aside")
        room[used:end] = octets
        used = end
        ends.append(end)
        now_s = time.perf_counter()
        if now_s - since_s >= TOGETHER_S or not number:
            work.progress(used, tuple(ends))
            ends, since_s = [], now_s

    try:
        for part in step.parts:
            lent = _OfPart(work, (*part.planes, *step.histograms))
            levels = tile.settle(part.whole, lent)
            if not facts:
                facts = tile.said(part.whole, levels)
                add(facts.encode())
            for place in part.places:
                if work.unwanted(number):
                    add(b"")
                else:
                    one, file = tile_at(part.whole, part.level, place), io.BytesIO()
                    write(one.encode, tile.paint(one, levels, lent), file)
                    add(file.getbuffer())
                number += 1
        if ends:
            work.progress(used, tuple(ends))
    finally:
        room.release()
    return Made((used,), facts)


class _OfPart:
    """What a list's stage is lent, as one of its tiles knows it: only the inputs of that level, from 0."""

    def __init__(self, work: Work, inputs: Sequence[int]) -> None:
        self._work = work
        self._inputs = inputs
        self.threads = work.threads
        self.source_fd = work.source_fd
        self.kept = work.kept

    @property
    def input_count(self) -> int:
        return len(self._inputs)

    def input_array(self, index: int) -> NDArray[Any]:
        return self._work.input_array(self._inputs[index])

    def input_bytes(self, index: int) -> memoryview:
        return self._work.input_bytes(self._inputs[index])

    def input_facts(self, index: int) -> str:
        return self._work.input_facts(self._inputs[index])

    def input_key(self, index: int) -> str:
        return self._work.input_key(self._inputs[index])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._work, name)

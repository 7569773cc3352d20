"""Ask a file a question, as a worker would: parse it, settle the recipe, do its steps."""

import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from cgi_worker.answers import measure
from cgi_worker.formats.fits import walk
from cgi_worker.formats.lent import Lent
from cgi_worker.steps import reduce
from cgi_worker.wire.facts import Facts, Source, StoredType
from cgi_worker.wire.inquiry import question_recipe
from cgi_worker.wire.question import Export, Question
from cgi_worker.wire.steps import Measure, Reduce
from tests.steps.lending import Lending, garbage

SOURCE = Source(1, 2, 3, 4)


def facts_of(path: Path) -> Facts:
    """Parse a file."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return walk(descriptor).facts
    finally:
        os.close(descriptor)


def ask(path: Path, question: Question) -> Any:
    """Answer a question that gets JSON; return what it says."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        recipe = question_recipe(question, walk(descriptor).facts, SOURCE)
        made: dict[int, tuple[NDArray[Any], str]] = {}
        for stage in recipe.stages:
            lent = Lending(descriptor)
            lent.inputs, lent.facts = [made[at][0] for at in stage.inputs], [made[at][1] for at in stage.inputs]
            if isinstance(stage.step, Reduce):
                lent.outputs = [garbage(recipe.buffers[at].shape, recipe.buffers[at].dtype) for at in stage.outputs]
                facts = reduce.do(stage.step, lent).facts
                for at, output in zip(stage.outputs, lent.outputs, strict=True):
                    assert output is not None
                    made[at] = output, facts
                continue
            assert isinstance(stage.step, Measure)
            lent.outputs = [garbage((recipe.buffers[recipe.result].size_bytes,), "u1")]
            (used,) = measure.do(stage.step, lent).used_bytes
            said = msgspec.json.decode(lent.output_bytes(0)[:used])
            assert said["coordinates"] == "FITS pixels, 1-based, at pixel centres"
            return said
    finally:
        os.close(descriptor)


def take(path: Path, question: Export) -> tuple[bytes, Any, Lending]:
    """Export; return the bytes, the facts, and what was lent."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        recipe = question_recipe(question, walk(descriptor).facts, SOURCE)
        step = recipe.stages[0].step
        assert isinstance(step, Measure) and isinstance(step.question, Export)
        lent = Lending(descriptor, outputs=[garbage((recipe.buffers[0].size_bytes,), "u1")])
        made = measure.do(step, lent)
        room = lent.outputs[0]
        assert isinstance(room, np.ndarray)
        return room[: made.used_bytes[0]].tobytes(), msgspec.json.decode(made.facts), lent
    finally:
        os.close(descriptor)


class Noted:
    """Rows of an array, native byte order; notes what was asked for, and holds callers to the order of a stream."""

    swap = 0

    def __init__(
        self, pixels: NDArray[Any], stored: StoredType, count: int | None = None, *, in_order: bool = False
    ) -> None:
        self.stored: StoredType = stored
        self.count = pixels.shape[0] if count is None else count
        self.in_order = in_order
        self.asked: list[tuple[int, int, int, int]] = []
        self._pixels = np.ascontiguousarray(pixels).astype(stored)

    def lend(self, first: int, last: int, left: int, right: int) -> Lent:
        """Lend more columns than are asked for, where there are any."""
        assert 0 <= first < last <= self.count and 0 <= left < right <= self._pixels.shape[1]
        if self.in_order and self.asked:
            assert first >= self.asked[-1][1], "a stream has no way back"
        self.asked.append((first, last, left, right))
        begin = max(0, left - 1)
        return Lent(np.ascontiguousarray(self._pixels[first:last, begin : right + 1]).view(np.uint8), begin)

"""Telling how far a look through a root has come, to who listens just then."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import trio

from imgd.events.event import Scalar
from imgd.watching.drafts import root_draft
from imgd.watching.state import RootState

EACH_S: Final = 0.5


@contextmanager
def telling(state: RootState, *, routine: bool) -> Iterator[Callable[[], None]]:
    """Tell it as the look begins, each half second at most when the yielded function is called, and as it ends.

    The end has `done`: false if the look was broken off. A `routine` look, one of many at a polled root, is told of
    only when it takes longer than half a second.
    """
    next_at = trio.current_time() + EACH_S
    is_told = not routine
    is_done = False

    def tell(**more: Scalar) -> None:
        state.tell(root_draft(state.root.name, "root.scanning", time.time_ns(), scanned=state.scanned, **more))

    def step() -> None:
        nonlocal next_at, is_told
        if trio.current_time() >= next_at:
            next_at = trio.current_time() + EACH_S
            is_told = True
            tell()

    if is_told:
        tell()
    try:
        yield step
        is_done = True
    finally:
        if is_told:
            tell(done=is_done)

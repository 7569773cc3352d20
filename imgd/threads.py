"""Threads for what may block, and what it means that none can be had."""

import errno
from collections.abc import Callable
from typing import Any, TypeVar

import trio

T = TypeVar("T")


class NoThread(OSError):
    """The system lets no further thread start: a limit on processes is reached, or memory is."""

    def __init__(self) -> None:
        super().__init__(errno.EAGAIN, "the system lets no further thread start")


async def in_thread(work: Callable[..., T], *given: Any, limiter: trio.CapacityLimiter | None = None) -> T:
    """Do in a thread what may block.

    Raises  NoThread; what the work raises.
    Cancelled at once; the thread is left behind, and its result dropped.
    """
    begun = False

    def begin() -> T:
        nonlocal begun
        begun = True
        return work(*given)

    try:
        return await trio.to_thread.run_sync(begin, abandon_on_cancel=True, limiter=limiter)
    except RuntimeError as error:
        if begun:
            raise
        raise NoThread from error

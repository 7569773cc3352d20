"""Look at what may hang, such as a network file system, and go on without it."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class TookTooLong(Exception):
    """There was no answer within the limit; the thread that asked is left behind."""


class _Asked(Generic[T]):
    def __init__(self, look: Callable[[], T]) -> None:
        self._look = look
        self.answers: list[T] = []
        self.error: OSError | None = None

    def run(self) -> None:
        try:
            self.answers.append(self._look())
        except OSError as error:
            self.error = error


def within(limit_s: float, look: Callable[[], T]) -> T:
    """Do it in a thread of its own.

    Raises  TookTooLong; the OSError that it raised.
    """
    asked = _Asked(look)
    thread = threading.Thread(target=asked.run, daemon=True)
    thread.start()
    thread.join(limit_s)
    if asked.error is not None:
        raise asked.error
    if not asked.answers:
        raise TookTooLong
    return asked.answers[0]

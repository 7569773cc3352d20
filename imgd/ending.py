"""The end of the process, whatever hangs: who told it to end gets its end within the limit."""

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Final

log = logging.getLogger("imgd")

EXIT_FORCED: Final = 75  # EX_TEMPFAIL: it was ended in the middle of something.
TIDY_S: Final = 10.0  # For all that comes after the last answer: workers, template, the log of events, threads.
AT_ONCE_S: Final = 2.0
_LAST_RESORT_S: Final = 1.0


class Guard:
    """Ends the process by force when it does not end by itself; its children end with it.

    A thread does it, which needs no event loop, and as a last resort the kernel's timer, which needs no interpreter.
    """

    def __init__(self, last_words: Callable[[], None]) -> None:
        self._last_words = last_words
        self._lock = threading.Condition()
        self._end = 0.0
        self._thread: threading.Thread | None = None

    def arm(self, limit_s: float) -> None:
        """Let the process live for so long at most; a second call can only make it shorter."""
        end = time.monotonic() + limit_s
        with self._lock:
            if self._end and end >= self._end:
                return
            self._end = end
            self._lock.notify()
        with contextlib.suppress(ValueError):  # Not in the main thread: then the other one alone has to do.
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, limit_s + _LAST_RESORT_S)
        if self._thread is None:
            self._thread = threading.Thread(target=self._wait, name="imgd-guard", daemon=True)
            self._thread.start()

    def _wait(self) -> None:
        with self._lock:
            while (left_s := self._end - time.monotonic()) > 0:
                self._lock.wait(left_s)
        log.critical("imgd does not come to its end by itself, and is ended by force")
        self._last_words()
        os._exit(EXIT_FORCED)

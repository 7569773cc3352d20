"""Placing: threads that work together are kept on processors of their own, as far as there are enough."""

import ctypes
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

_current_cpu = ctypes.CDLL(None).sched_getcpu


@contextmanager
def apart(hands: Sequence[int]) -> Iterator[None]:
    """Divide the processors that this thread may run on between it and its hands, and give it all of them back.

    This thread stays on the one it runs on. Where Linux is a guest, it takes a processor that has rested for a moment
    for one that its host has taken away: a thread that is woken is then put where the thread that wakes it runs, beside
    processors that do nothing, and two do their work there in turns.

    What it is given back are the processors there are now: of others that come later it has none.

    hands  native ids of threads of this process; they keep their part until the next time.
    """
    allowed = os.sched_getaffinity(0)
    own = _current_cpu()
    order = sorted(allowed, key=lambda cpu: (cpu != own, cpu))
    try:
        for at, thread in enumerate((0, *hands)):
            part = order[at :: len(hands) + 1]
            with suppress(OSError):  # The system's own will, or a thread that has ended: all are placed as ever.
                os.sched_setaffinity(thread, part or allowed)
        yield
    finally:
        with suppress(OSError):
            os.sched_setaffinity(0, allowed)

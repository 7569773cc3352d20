"""Connections for reading, lent to threads one at a time."""

import queue
import threading
from collections.abc import Callable
from typing import TypeVar

import trio

from imgd.events.patience import Patience
from imgd.events.sessions import Collided, Session, Undone
from imgd.events.store import StoreDown
from imgd.threads import NoThread, in_thread

T = TypeVar("T")


class Lending:
    """At most `sessions_max` sessions, opened when first needed."""

    def __init__(self, patience: Patience, sessions_max: int) -> None:
        self._patience = patience
        self._limiter = trio.CapacityLimiter(sessions_max)
        self._idle: queue.SimpleQueue[Session] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False

    async def use(self, ask: Callable[[Session], T]) -> T:
        """Have something read, in a thread.

        Blocks while all sessions are in use.
        Cancelled: the thread's answer is dropped when it comes; its session is used again.

        Raises  StoreDown.
        """
        try:
            return await in_thread(self._ask, ask, limiter=self._limiter)
        except NoThread as error:
            raise StoreDown(error.strerror) from error

    def close(self) -> None:
        """Close all sessions; one that is in use is closed when its thread gives it back."""
        with self._lock:
            self._closed = True
        self._close_idle()

    def _close_idle(self) -> None:
        while True:
            try:
                self._idle.get_nowait().close()
            except queue.Empty:
                return

    def _ask(self, ask: Callable[[Session], T]) -> T:
        try:
            return self._try(ask)
        except (Undone, Collided):  # A connection that died while nobody used it, as others may have: a new one.
            self._close_idle()
            return self._try(ask)

    def _try(self, ask: Callable[[Session], T]) -> T:
        session = self._take()
        kept = False
        try:
            answer = ask(session)
            kept = True
            return answer
        finally:
            if kept:
                self.give(session)
            else:
                session.close()

    def _take(self) -> Session:
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            return self._patience.open()

    def give(self, session: Session) -> None:
        """Have a session that is lent from now on."""
        with self._lock:
            if not self._closed:
                self._idle.put(session)
                return
        session.close()

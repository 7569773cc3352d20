"""How long to leave a database alone that did not answer; shared by all threads that would open it."""

import threading
import time
from typing import Final

from imgd.events.sessions import Database, Session
from imgd.events.store import StoreDown

_FIRST_S: Final = 0.05
_LONGEST_S: Final = 2.0


class Patience:
    """Opens sessions; after a failure all wait, twice as long each time, and are told why in the meantime."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._why = ""
        self._wait_s = 0.0
        self._until = 0.0
        self.opened = 0

    def open(self) -> Session:
        """Open a session.

        Raises  StoreDown, at once if it is too early to try again.
        """
        with self._lock:
            if time.monotonic() < self._until:
                raise StoreDown(self._why)
        try:
            session = self._database.open()
        except StoreDown as error:
            with self._lock:
                self._why = str(error)
                self._wait_s = min(_LONGEST_S, max(_FIRST_S, self._wait_s * 2))
                self._until = time.monotonic() + self._wait_s
            raise
        with self._lock:
            self._wait_s = 0.0
            self.opened += 1
        return session

"""How long a connection may be idle: one task and a moving deadline, where hypercorn starts a task for each request."""

import math
from collections.abc import Awaitable, Callable
from typing import Any, Final

import trio
from hypercorn.trio.task_group import TaskGroup

_LATE_S: Final = 0.05


class IdleTimer:
    """Stand in for hypercorn's idle task: `restart` when the connection becomes idle, `stop` when it is busy."""

    def __init__(self, keep_alive_s: float, terminated: Any, close: Callable[[], Awaitable[None]]) -> None:
        self._keep_alive_s = keep_alive_s
        self._terminated = terminated  # Hypercorn's event: the server is ending.
        self._close = close
        self._idle = trio.Event()
        self._scope = trio.CancelScope()
        self._deadline = math.inf
        self._started = False
        self._ended = False

    async def restart(self, task_group: TaskGroup, action: object) -> None:
        """Close the connection unless it is busy again in time; hypercorn's `action` is not needed for it."""
        del action
        self._idle.set()
        self._deadline = self._scope.deadline = trio.current_time() + self._keep_alive_s
        if not self._started:
            self._started = True
            assert task_group._nursery is not None
            task_group._nursery.start_soon(self._watch)

    async def stop(self) -> None:
        """Let the connection be busy for as long as it takes."""
        if self._idle.is_set():
            self._idle = trio.Event()
            self._deadline = self._scope.deadline = math.inf

    def end(self) -> None:
        """Never close the connection any more, and keep no task for it: it has become a websocket."""
        self._ended = True
        self._scope.cancel()

    async def _watch(self) -> None:
        while True:
            with self._scope:
                await self._terminated.wait()
                await self._idle.wait()  # What is under way when the server ends is answered first.
            idle = self._idle
            if idle.is_set() and not self._ended:
                await trio.sleep(_LATE_S)  # If nobody had a turn for long, what came in time is only read now.
            if self._ended:
                return
            if idle.is_set() and idle is self._idle:
                break
            self._scope = trio.CancelScope(deadline=self._deadline)  # It became busy in the last moment.
        with trio.CancelScope(shield=True):
            await self._close()

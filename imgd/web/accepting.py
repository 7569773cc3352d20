"""Accepting connections: it pauses, and says so, while descriptors or memory are short, and goes on by itself."""

import errno
import logging
import math
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

import trio

SAY_AGAIN_S: Final = 60.0
AT_ONCE: Final = 64  # Connections, before others have their turn: one would have a crowd wait for seconds.
PAUSE_S: Final = 0.1  # So short that who waits hardly notices; so long that trying again costs nothing.
GONE_ALREADY: Final = frozenset(  # The client's connection broke before it was accepted: see accept(2).
    {errno.ECONNABORTED, errno.EPROTO, errno.ENOPROTOOPT, errno.EHOSTDOWN, errno.ENONET, errno.EHOSTUNREACH,
     errno.EOPNOTSUPP, errno.ENETDOWN, errno.ENETUNREACH, errno.EPERM}
)  # fmt: skip
SHORT_OF: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
_log = logging.getLogger("imgd.web")


class Shortage:
    """Whether accepting is paused at present, and how often it was."""

    def __init__(self) -> None:
        self.pauses = 0
        self._paused: set[trio.SocketListener] = set()
        self._since = 0.0
        self._said_at = -math.inf
        self._is_said = False

    @property
    def is_paused(self) -> bool:
        """Tell whether new connections have to wait."""
        return bool(self._paused)

    def pause(self, listener: trio.SocketListener, error: OSError) -> None:
        """Note that this one cannot accept; the first one says so in the log, but not at each turn of a flood."""
        if not self._paused:
            self.pauses += 1
            self._since = trio.current_time()
            self._is_said = self._since >= self._said_at + SAY_AGAIN_S
            if self._is_said:
                self._said_at = self._since
                assert error.errno is not None
                _log.error("new connections have to wait: %s; those that are open go on", os.strerror(error.errno))
        self._paused.add(listener)

    def resume(self, listener: trio.SocketListener) -> None:
        """Note that this one accepts again; the last one says so in the log."""
        if listener in self._paused:
            self._paused.remove(listener)
            if not self._paused and self._is_said:
                _log.warning("connections are accepted again, after %.1f s", trio.current_time() - self._since)


async def accept_all(
    listener: trio.SocketListener,
    serve: Callable[[trio.SocketStream], Awaitable[None]],
    connections: trio.Nursery,
    shortage: Shortage,
) -> NoReturn:
    """Accept connections and serve each in a task of `connections`, until cancelled; the listener is closed then."""

    async def serving(stream: trio.SocketStream) -> None:
        try:
            await serve(stream)
        finally:
            await trio.aclose_forcefully(stream)

    async with listener:
        with socket.socket(fileno=os.dup(listener.socket.fileno())) as raw:
            raw.setblocking(False)
            while True:
                try:
                    for _ in range(AT_ONCE):
                        accepted, _address = raw.accept()
                        shortage.resume(listener)
                        connections.start_soon(serving, _stream_of(accepted))
                    await trio.lowlevel.checkpoint()
                except BlockingIOError:
                    await trio.lowlevel.wait_readable(raw)
                except OSError as error:
                    if error.errno in SHORT_OF:
                        shortage.pause(listener, error)
                        await trio.sleep(PAUSE_S)
                    elif error.errno in GONE_ALREADY:
                        await trio.lowlevel.checkpoint()
                    else:
                        raise


def _stream_of(accepted: socket.socket) -> trio.SocketStream:
    return trio.SocketStream(trio.socket.from_stdlib_socket(accepted))

"""What the daemon tells whoever started it (systemd's `sd_notify`), and the sockets that it was given by it.

Source  sd_notify(3) and sd_listen_fds(3).
"""

import logging
import os
import socket
import stat
import time
from collections.abc import Collection, MutableMapping
from dataclasses import dataclass
from typing import Final

from imgd.errors import ConfigError

log = logging.getLogger("imgd")

FIRST_FD: Final = 3  # SD_LISTEN_FDS_START
STATUS_MAX: Final = 300
REDIRECT: Final = "redirect"  # FileDescriptorName= of those that only lead to https.


class Notifier:
    """Tells the supervisor how the daemon is; nothing when there is none. Never blocks."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        """Read whom to tell, and how often it wants a sign of life; our children shall not find that."""
        self._address = environ.pop("NOTIFY_SOCKET", "")
        pid, limit_us = environ.pop("WATCHDOG_PID", ""), environ.pop("WATCHDOG_USEC", "")
        is_ours = pid in ("", str(os.getpid())) and limit_us.isdigit() and int(limit_us) > 0
        self.watchdog_s = int(limit_us) / 1e6 if is_ours and self._address else 0.0
        self._status = ""
        self._owed = ""

    def ready(self) -> None:
        """Say that the daemon answers (for the first time, or again after `reloading`)."""
        self._tell("READY=1")

    def reloading(self) -> None:
        """Say that it takes up its settings anew; `ready` is to follow."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Say that it is ending."""
        self._tell("STOPPING=1")

    def alive(self) -> None:
        """Give a sign of life."""
        if self._send(*([self._owed] if self._owed else []), "WATCHDOG=1"):
            self._owed = ""

    def status(self, words: str) -> None:
        """Say in one line what it is doing, if that is something else than before."""
        words = " ".join(words.split())[:STATUS_MAX]
        if words != self._status and self._send(f"STATUS={words}"):
            self._status = words

    def _tell(self, *pairs: str) -> None:
        """Say what must not be lost: if nobody takes it now, it is said with the next sign of life."""
        self._owed = "" if self._send(*pairs) else "\n".join(pairs)

    def _send(self, *pairs: str) -> bool:
        if not self._address:
            return True
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
            try:
                sock.sendto("\n".join(pairs).encode(), address)
            except OSError as error:
                log.debug("the supervisor was not told %s: %s", pairs[0], error.strerror or error)
                return False
        return True


@dataclass(frozen=True, slots=True)
class GivenSockets:
    """Sockets that the supervisor listens at for us; they stay open there when we end.

    http, redirects  stream sockets, TCP or UNIX. cgi: the one for CGI programs (SOCK_SEQPACKET).
    """

    http: tuple[socket.socket, ...] = ()
    redirects: tuple[socket.socket, ...] = ()
    cgi: socket.socket | None = None


NO_SOCKETS: Final = GivenSockets()


def take_sockets(environ: MutableMapping[str, str]) -> GivenSockets:
    """Take the sockets that we were started with; our children shall not find them.

    Raises  ConfigError for one that we could not use.
    """
    pid, count, names = (environ.pop(f"LISTEN_{name}", "") for name in ("PID", "FDS", "FDNAMES"))
    if pid != str(os.getpid()) or not count.isdigit():
        return GivenSockets()
    named = dict(enumerate(names.split(":") if names else ()))
    http: list[socket.socket] = []
    redirects: list[socket.socket] = []
    cgi: list[socket.socket] = []
    for index in range(int(count)):
        sock = _socket_of(FIRST_FD + index)
        if sock.type == socket.SOCK_SEQPACKET:
            cgi.append(sock)
        elif named.get(index) == REDIRECT:
            redirects.append(sock)
        else:
            http.append(sock)
    if len(cgi) > 1:
        raise ConfigError("the supervisor gave more than one socket for CGI programs (ListenSequentialPacket=)")
    return GivenSockets(tuple(http), tuple(redirects), cgi[0] if cgi else None)


def _socket_of(descriptor: int) -> socket.socket:
    words = f"descriptor {descriptor}, given by the supervisor, is no listening socket of HTTP or of CGI programs"
    try:
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            raise ConfigError(words)
        sock = socket.socket(fileno=descriptor)
    except OSError as error:
        raise ConfigError(f"{words}: {error.strerror}") from error
    families: Collection[int] = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)
    kinds = (socket.SOCK_STREAM, socket.SOCK_SEQPACKET) if sock.family == socket.AF_UNIX else (socket.SOCK_STREAM,)
    listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if sock.family not in families or sock.type not in kinds or not listens:
        raise ConfigError(words)
    sock.set_inheritable(False)
    sock.setblocking(False)
    return sock

"""Where lines of the log go: stderr, syslog, the journal. Each renders a line, and writes one when it may block."""

import array
import contextlib
import errno
import fcntl
import logging
import os
import select
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from imgd.entry import rfc3339
from imgd.origin import Origin

WAIT_S: Final = 1.0  # For a log that takes nothing just now.
MESSAGE_MAX: Final = 8_192
EXCEPTION_MAX: Final = 65_536
SYSLOG_MAX: Final = 8_000  # What the usual receivers take of one message.
_SHORT: Final = 2_000
DAEMON: Final = 3 << 3  # The facility.
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_SEVERITIES: Final = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_TOO_LARGE: Final = frozenset((errno.EMSGSIZE, errno.ENOBUFS))


@dataclass(frozen=True, slots=True)
class Line:
    """What is to be logged, in parts. severity: as syslog counts them."""

    at_ns: int
    level: int
    logger: str
    message: str
    request: str = ""
    run: str = ""
    session: str = ""
    exception: str = ""
    code: tuple[str, int, str] = ("", 0, "")

    @property
    def severity(self) -> int:
        """Count as syslog does: 0 is the worst, 7 is for who looks for bugs."""
        return next((number for level, number in _SEVERITIES if self.level >= level), 7)

    @property
    def names(self) -> list[tuple[str, str]]:
        """Tell on whose behalf it was said, as far as it was."""
        pairs = (("request", self.request), ("run", self.run), ("session", self.session))
        return [(name, text) for name, text in pairs if text]


def line_of(record: logging.LogRecord, origin: Origin | None) -> Line:
    """Take a record of `logging` apart. What it was given as `extra={"origin": ...}` goes before who logs it."""
    origin = getattr(record, "origin", None) or origin
    exception = ""
    if record.exc_info:
        exception = _FORMATTER.formatException(record.exc_info)
    message = record.getMessage()
    if len(message) > MESSAGE_MAX:
        message = message[:MESSAGE_MAX] + f"... ({len(message)} characters)"
    if len(exception) > EXCEPTION_MAX:
        exception = "...\n" + exception[-EXCEPTION_MAX:]  # What went wrong stands at its end.
    code = (record.pathname, record.lineno, record.funcName or "")
    names = (origin.request, origin.run, origin.session) if origin is not None else ("", "", "")
    at_ns = int(record.created * 1e6) * 1000
    return Line(at_ns, record.levelno, record.name, _fit(message), *names, exception=_fit(exception), code=code)


_FORMATTER: Final = logging.Formatter()


def _fit(text: str) -> str:
    """Make text fit for UTF-8: names of files may be none."""
    return text.encode("utf-8", "backslashreplace").decode()


def as_json(line: Line) -> bytes:
    """Write a line as a JSON object, without its end."""
    fields = {
        "time": rfc3339(line.at_ns),
        "level": logging.getLevelName(line.level).lower(),
        "logger": line.logger,
        "message": line.message,
        **dict(line.names),
    }
    if line.exception:
        fields["exception"] = line.exception
    return msgspec.json.encode(fields)


def as_text(line: Line) -> bytes:
    """Write a line for people, without its end."""
    names = ", ".join(f"{name} {text}" for name, text in line.names)
    text = f"{rfc3339(line.at_ns)} {logging.getLevelName(line.level)} {line.logger}: {line.message}"
    text += f" ({names})" if names else ""
    return (text + ("\n" + line.exception if line.exception else "")).encode()


Render = Callable[[Line], bytes]


class Sink(Protocol):
    """A log. `render` is called by whoever logs, `write` by the one thread that writes."""

    def render(self, line: Line) -> bytes:
        """Make of a line what is to be written. Never blocks."""

    def write(self, data: bytes) -> None:
        """Write it.

        Raises  OSError when it could not be written: it is to be tried again, with the same.
        Blocks  while the log takes nothing.
        """

    def close(self) -> None:
        """Close what it has opened."""


class StderrSink:
    """Writes to a descriptor: a terminal, a pipe to a supervisor, or a file."""

    def __init__(self, shape: Render, descriptor: int = 2) -> None:
        self._shape = shape
        self._descriptor = descriptor
        self._left: memoryview = memoryview(b"")  # Of the line that is being written: a disk may fill in its middle.

    def render(self, line: Line) -> bytes:
        """Write it as one line, or a few where it is for people."""
        return self._shape(line) + b"\n"

    def write(self, data: bytes) -> None:
        """Write all of it; what was written before a failure is not written again."""
        if not self._left:
            self._left = memoryview(data)
        while self._left:
            try:
                self._left = self._left[os.write(self._descriptor, self._left) :]
            except BlockingIOError:  # Who shares it may have made it so.
                if not _takes(self._descriptor):
                    raise

    def close(self) -> None:
        """Leave the descriptor open: it is not ours."""


class _Datagrams:
    """Sends to a datagram socket in the file system, which may go and come."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._socket: socket.socket | None = None

    def send(self, data: bytes, descriptors: list[int] | None = None) -> None:
        """Send one datagram.

        Raises  OSError: nobody is there, or it is too large.
        Blocks  at most WAIT_S while the receiver takes nothing.
        """
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        sock = self._connected()
        try:
            try:
                sock.sendmsg([data], rights, socket.MSG_NOSIGNAL)
            except BlockingIOError:
                if not _takes(sock.fileno()):
                    raise
                sock.sendmsg([data], rights, socket.MSG_NOSIGNAL)
        except OSError as error:
            if not isinstance(error, BlockingIOError) and error.errno not in _TOO_LARGE:
                self.close()  # The receiver has been started again: its socket is another one.
            raise

    def close(self) -> None:
        """Close the socket; the next datagram opens it again."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        if self._socket is None:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            try:
                sock.connect(self._path)
            except OSError:
                sock.close()
                raise
            self._socket = sock
        return self._socket


class SyslogSink:
    """Sends to syslog.

    Source  RFC 3164, 4.1, without a host name: what the C library sends, and what receivers expect on a local socket
            (neither the journal nor rsyslog, as they come, read RFC 5424 there). The time is that of the message's own.
    """

    def __init__(self, shape: Render, path: str) -> None:
        self._shape = shape
        self._datagrams = _Datagrams(path)
        self._tag = f"imgd[{os.getpid()}]: ".encode()

    def render(self, line: Line) -> bytes:
        """Write it as a message, no longer than receivers take."""
        head = f"<{DAEMON | line.severity}>".encode() + _stamp(line.at_ns) + b" " + self._tag
        body = self._shape(line)
        if len(head) + len(body) > SYSLOG_MAX:
            short = Line(
                line.at_ns, line.level, line.logger, line.message[:_SHORT], line.request, line.run, line.session,
                line.exception[-_SHORT:],
            )  # fmt: skip
            body = self._shape(short)
        return (head + body)[:SYSLOG_MAX]

    def write(self, data: bytes) -> None:
        """Send it."""
        self._datagrams.send(data)

    def close(self) -> None:
        """Close the socket."""
        self._datagrams.close()


class JournalSink:
    """Sends to systemd's journal, field by field.

    Source  systemd's documentation, "Native Journal Protocol".
    """

    def __init__(self, path: str) -> None:
        self._datagrams = _Datagrams(path)

    def render(self, line: Line) -> bytes:
        """Write the fields."""
        message = line.message + ("\n" + line.exception if line.exception else "")
        path, number, function = line.code
        pairs = [
            ("MESSAGE", message),
            ("PRIORITY", str(line.severity)),
            ("SYSLOG_IDENTIFIER", "imgd"),
            ("IMGD_LOGGER", line.logger),
            *((f"IMGD_{name.upper()}", text) for name, text in line.names),
            *([("CODE_FILE", path), ("CODE_LINE", str(number)), ("CODE_FUNC", function)] if path else []),
        ]
        return b"".join(_journal_field(name, text.encode()) for name, text in pairs)

    def write(self, data: bytes) -> None:
        """Send it; what is too large for a datagram in a sealed memory file."""
        try:
            self._datagrams.send(data)
        except OSError as error:
            if error.errno not in _TOO_LARGE:
                raise
            with contextlib.closing(_Memory(data)) as memory:
                self._datagrams.send(b"", [memory.descriptor])

    def close(self) -> None:
        """Close the socket."""
        self._datagrams.close()


class _Memory:
    """Bytes in a memory file that nobody can change any more."""

    def __init__(self, data: bytes) -> None:
        self.descriptor = os.memfd_create("imgd-log", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(self.descriptor, left) :]
            seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
            fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, seals)
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Close it."""
        os.close(self.descriptor)


def _journal_field(name: str, data: bytes) -> bytes:
    if b"\n" in data:
        return name.encode() + b"\n" + struct.pack("<Q", len(data)) + data + b"\n"
    return name.encode() + b"=" + data + b"\n"


def _stamp(at_ns: int) -> bytes:
    """Write a time as syslog has it: local, and in English whatever the locale."""
    at = time.localtime(at_ns // 10**9)
    return f"{_MONTHS[at.tm_mon - 1]} {at.tm_mday:2d} {at.tm_hour:02d}:{at.tm_min:02d}:{at.tm_sec:02d}".encode()


def _takes(descriptor: int) -> bool:
    """Wait until a descriptor takes something; False if it does not in time."""
    poll = select.poll()  # Not select: the daemon may have more than 1024 descriptors open.
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(WAIT_S * 1000))

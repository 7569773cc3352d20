"""The log: lines are put into a bounded queue, and one thread writes them, so that no log can hold the daemon up."""

import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

from imgd.log_sinks import JournalSink, Line, Sink, StderrSink, SyslogSink, as_json, as_text, line_of
from imgd.origin import origin

SYSLOG_PATH: Final = "/dev/log"
JOURNAL_PATH: Final = "/run/systemd/journal/socket"
LINES_MAX: Final = 2_000  # That wait to be written.
BYTES_MAX: Final = 4 << 20
AGAIN_S: Final = 0.5  # After a failure.
CLOSE_LIMIT_S: Final = 1.0

Where = Literal["stderr", "syslog", "journal"]
Shape = Literal["auto", "text", "json"]


@dataclass(frozen=True, slots=True)
class LogStatistics:
    """Lines written and lost since the start, lines that wait to be written, and whether they cannot be at present."""

    lines_total: int
    dropped_total: int
    waiting: int
    down: int


class LineQueue:
    """Lines on their way to a log that may be slow, full, or gone. Who puts a line in never waits.

    A line that finds no room is dropped and counted; what was dropped is said in its place when there is room again.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._lock = threading.Condition()
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._written = 0
        self._dropped = 0
        self._untold = 0  # Of those dropped.
        self._trouble = ""
        self._ending = False
        self._thread = threading.Thread(target=self._write_all, name="imgd-log", daemon=True)
        self._thread.start()

    def put(self, line: Line) -> None:
        """Have a line written, or dropped."""
        data = self._sink.render(line)
        with self._lock:
            if len(self._lines) >= LINES_MAX or self._bytes + len(data) > BYTES_MAX:
                self._dropped += 1
                self._untold += 1
                return
            self._tell_dropped()
            self._add(data)
            self._lock.notify()

    def statistics(self) -> LogStatistics:
        """Count lines."""
        return LogStatistics(self._written, self._dropped, len(self._lines), int(bool(self._trouble)))

    def close(self, limit_s: float = CLOSE_LIMIT_S) -> None:
        """Have what waits written, as far as that takes no longer than the limit."""
        with self._lock:
            self._ending = True
            self._lock.notify()
        self._thread.join(limit_s)
        if not self._thread.is_alive():
            self._sink.close()

    def _add(self, data: bytes) -> None:
        self._lines.append(data)
        self._bytes += len(data)

    def _tell_dropped(self) -> None:
        if self._untold:
            words = f"{self._untold} lines of the log were dropped: it was full, blocked or gone"
            self._add(self._sink.render(Line(time.time_ns(), logging.WARNING, "imgd.log", words)))
            self._untold = 0

    def _write_all(self) -> None:
        while (data := self._next()) is not None:
            try:
                self._sink.write(data)
            except OSError as error:
                self._trouble = error.strerror or str(error)
                if not self._rest():
                    return
                continue
            with self._lock:
                self._trouble = ""
                self._lines.popleft()
                self._bytes -= len(data)
                self._written += 1

    def _next(self) -> bytes | None:
        """Wait for a line, which stays in the queue until it is written; None: no more will come."""
        with self._lock:
            if not self._lines:
                self._tell_dropped()
            while not self._lines:
                if self._ending:
                    return None
                self._lock.wait()
            return self._lines[0]

    def _rest(self) -> bool:
        """Wait before a new try; False if the log is to be closed: nobody waits for it then."""
        end = time.monotonic() + AGAIN_S
        with self._lock:
            while not self._ending and (left_s := end - time.monotonic()) > 0:
                self._lock.wait(left_s)
            return not self._ending


class _Entrance(logging.Handler):
    """Where `logging` hands over its records."""

    def __init__(self, lines: LineQueue) -> None:
        super().__init__()
        self._lines = lines

    def createLock(self) -> None:
        """Have none: the queue has one, and each line is made by who logs it."""
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record."""
        self._lines.put(line_of(record, origin()))


@contextmanager
def open_log_lines(where: Where, shape: Shape, level: str) -> Iterator[LineQueue]:
    """Send what is logged there for the duration of the `with`; on leaving, what waits is written, if that is soon."""
    sink, missing = _sink_of(where, shape)
    if missing:
        print(f"imgd: log: nothing is at {missing} yet; it is tried again and again", file=sys.stderr)
    lines = LineQueue(sink)
    entrance = _Entrance(lines)
    root = logging.getLogger()
    before = root.handlers[:], root.level
    root.handlers[:] = [entrance]
    root.setLevel(logging.WARNING)  # Of others: at their lower levels some log the addresses that are asked for.
    set_log_level(level)
    logging.captureWarnings(True)
    hooks = threading.excepthook, sys.unraisablehook
    threading.excepthook, sys.unraisablehook = _thread_failed, _unraisable
    try:
        yield lines
    finally:
        threading.excepthook, sys.unraisablehook = hooks
        logging.captureWarnings(False)
        root.handlers[:], root.level = before
        lines.close()


def set_log_level(level: str) -> None:
    """Log what is at least so severe from now on."""
    logging.getLogger("imgd").setLevel(level.upper())


def _sink_of(where: Where, shape: Shape) -> tuple[Sink, str]:
    """Make what writes there; tell the socket if nobody listens at it so far."""
    if shape == "auto":
        shape = "text" if where == "stderr" and os.isatty(2) else "json"
    write = as_text if shape == "text" else as_json
    match where:
        case "stderr":
            return StderrSink(write), ""
        case "syslog":
            return SyslogSink(write, SYSLOG_PATH), "" if os.path.exists(SYSLOG_PATH) else SYSLOG_PATH
        case "journal":
            return JournalSink(JOURNAL_PATH), "" if os.path.exists(JOURNAL_PATH) else JOURNAL_PATH


def _thread_failed(failure: "threading.ExceptHookArgs") -> None:
    exc_info: Any = (failure.exc_type, failure.exc_value, failure.exc_traceback)
    logging.getLogger("imgd").error("a thread failed", exc_info=exc_info)


def _unraisable(failure: "sys.UnraisableHookArgs") -> None:
    exc_info: Any = (failure.exc_type, failure.exc_value, failure.exc_traceback)
    logging.getLogger("imgd").error("%s", failure.err_msg or "an error that nobody could be told of", exc_info=exc_info)

"""What a process of ours writes to its stderr (a traceback, a C library's complaint): into the log, bounded."""

import logging
import os
from typing import Final

import trio

from imgd.origin import Origin

log = logging.getLogger("imgd.stderr")

PIECE_BYTES: Final = 8_192  # Of one entry.
ALLOWED_BYTES: Final = 65_536  # In each period; the rest is thrown away, and said to be.
PERIOD_S: Final = 60.0
TOGETHER_S: Final = 0.02  # What comes so close together is one entry: a traceback is written line by line.


class Overheard:
    """The reading end of a pipe that is a process's stderr.

    who     the process, in words.
    origin  on whose behalf it works at present.
    """

    def __init__(self, who: str) -> None:
        """Make the pipe.

        Raises  OSError.
        """
        self.who = who
        self.origin: Origin | None = None
        self._reading, self._writing = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._reading, False)
        self._text = b""
        self._logged = 0  # Bytes in this period.
        self._thrown = 0
        self._period_ends_s = 0.0

    @property
    def writing_fd(self) -> int:
        """The end for the process; to be closed here once it has it."""
        return self._writing

    def close_writing(self) -> None:
        """Close the process's end here; with its own copy the pipe ends."""
        if self._writing >= 0:
            os.close(self._writing)
            self._writing = -1

    async def listen(self) -> None:
        """Log what is written until the process has closed its end, or until cancelled; `drain` then has the rest."""
        while True:
            await trio.lowlevel.wait_readable(self._reading)
            await trio.sleep(TOGETHER_S)
            if not self._read():
                self._flush()
                return
            self._tell(whole_lines=True)

    def drain(self) -> None:
        """Log what is there, without waiting: the process has ended."""
        if self._reading >= 0:
            while len(self._text) < ALLOWED_BYTES and self._read():
                pass
            self._flush()

    def close(self) -> None:
        """Close both ends."""
        self.close_writing()
        if self._reading >= 0:
            os.close(self._reading)
            self._reading = -1

    def _read(self) -> bool:
        """Read what is there; False at the end, and when nothing is."""
        try:
            data = os.read(self._reading, ALLOWED_BYTES)
        except BlockingIOError:
            return False
        self._text += data
        return bool(data)

    def _flush(self) -> None:
        self._tell(whole_lines=False)
        self._tell_thrown()

    def _tell(self, *, whole_lines: bool) -> None:
        """Log what was read; a line that is not whole yet may wait for its rest, if it is not too long."""
        end = self._text.rfind(b"\n") + 1
        if not whole_lines or len(self._text) - end > PIECE_BYTES:
            end = len(self._text)
        text, self._text = self._text[:end], self._text[end:]
        if trio.current_time() >= self._period_ends_s:
            self._tell_thrown()
            self._period_ends_s, self._logged = trio.current_time() + PERIOD_S, 0
        allowed = max(0, ALLOWED_BYTES - self._logged)
        self._thrown += len(text[allowed:])
        text = text[:allowed]
        self._logged += len(text)
        for start in range(0, len(text), PIECE_BYTES):
            piece = text[start : start + PIECE_BYTES].decode("utf-8", "backslashreplace").rstrip()
            if piece:
                log.warning("%s said on its stderr: %s", self.who, piece, extra={"origin": self.origin})

    def _tell_thrown(self) -> None:
        if self._thrown:
            log.warning("%s said %d bytes more, which are not kept", self.who, self._thrown)
            self._thrown = 0

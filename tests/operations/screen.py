"""A terminal as `imgd stat` sees it: a pseudo-terminal of some size, and the screen that was drawn there last."""

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import trio

LIMIT_S = 60.0
_SCREEN = re.compile(rb"\x1b\[H(?!\x1b\[2J)(.*?)\x1b\[J", re.DOTALL)
ENTER, LEAVE = b"\x1b[?1049h", b"\x1b[?1049l"
CURSOR_OFF, CURSOR_ON = b"\x1b[?25l", b"\x1b[?25h"


@dataclass
class Screen:
    """What came out so far."""

    process: "subprocess.Popen[bytes]"
    fd: int
    before: list[Any]
    seen: bytes = b""
    ended: bool = field(default=False)

    @property
    def count(self) -> int:
        """So many screens were drawn."""
        return len(_SCREEN.findall(self.seen))

    def lines(self) -> list[str]:
        """The screen that was drawn last."""
        drawn = _SCREEN.findall(self.seen)[-1].decode()
        return [line.rstrip("\r").removesuffix("\x1b[K") for line in drawn.split("\n")]

    def resize(self, columns: int, rows: int) -> None:
        """Be of another size, as when somebody pulls at the window."""
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def press(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self.fd, keys)

    async def until(self, is_so: Callable[[], Any]) -> None:
        """Read what is drawn until it is so."""
        with trio.fail_after(LIMIT_S):
            while not is_so():
                assert await self._read(), f"it ended: {self.seen[-2000:]!r}"

    async def end(self) -> int:
        """Read to the end; return the exit code."""
        with trio.fail_after(LIMIT_S):
            async with trio.open_nursery() as reading:
                reading.start_soon(self._read_on)
                code = await trio.to_thread.run_sync(self.process.wait, abandon_on_cancel=True)
                reading.cancel_scope.cancel()
        while select.select([self.fd], [], [], 0)[0]:  # What it wrote at last.
            self.seen += os.read(self.fd, 65_536)
        return code

    async def _read_on(self) -> None:
        while await self._read():
            pass

    async def _read(self) -> bool:
        await trio.lowlevel.wait_readable(self.fd)
        try:
            data = os.read(self.fd, 65_536)
        except OSError:  # The other end is closed.
            data = b""
        self.seen += data
        return bool(data)


def _take_terminal() -> None:
    """Have the terminal's signals, such as that of Ctrl-C."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@asynccontextmanager
async def on_terminal(columns: int, rows: int, *arguments: str) -> AsyncIterator[Screen]:
    """Run `imgd stat` on a terminal of this size."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    before = termios.tcgetattr(theirs)
    command = [sys.executable, "-m", "imgd.cli", "stat", *arguments]
    process = subprocess.Popen(  # noqa: ASYNC220  # It only forks; who waits for its end does so in a thread.
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=os.environ | {"TERM": "xterm"},
        start_new_session=True, preexec_fn=_take_terminal,  # noqa: PLW1509  # One call to the kernel, no lock.
    )  # fmt: skip
    screen = Screen(process, ours, before)
    try:
        yield screen
        assert termios.tcgetattr(theirs) == before, "the terminal is not as it was"
    finally:
        os.close(theirs)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()
        os.close(ours)

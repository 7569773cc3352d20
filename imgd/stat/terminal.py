"""A terminal that is drawn over again and again: another screen, keys as they are pressed, all put back at the end."""

import contextlib
import os
import re
import select
import signal
import sys
import termios
import tty
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Final

_ENTER: Final = b"\x1b[?1049h\x1b[?25l\x1b[H\x1b[2J"  # The other screen, without a cursor.
_LEAVE: Final = b"\x1b[?25h\x1b[?1049l"
_HOME: Final = b"\x1b[H"
_REST_OF_LINE: Final = b"\x1b[K"
_REST_OF_SCREEN: Final = b"\x1b[J"
_SPECIAL: Final = re.compile(rb"\x1b[\[O][0-9;]*[A-Za-z~]")  # Arrows and their like: none is ours.
_ENDS: Final = re.compile(rb"[qQ\x03\x04\x1b]")  # Also where Ctrl-C and Ctrl-D come as signs.


class Ended(Exception):
    """Whoever looked has had enough, or was told to end."""


class Terminal:
    """Made by `open_terminal`. Everything is written at once, over what stood there: nothing flickers."""

    def __init__(self, output_fd: int, input_fd: int | None, woken_fd: int) -> None:
        self._output_fd = output_fd
        self._input_fd = input_fd
        self._woken_fd = woken_fd

    def size(self) -> tuple[int, int]:
        """Tell columns and rows."""
        columns, rows = os.get_terminal_size(self._output_fd)
        return columns or 80, rows or 24

    def draw(self, lines: Sequence[str]) -> None:
        """Show these lines."""
        _, rows = self.size()
        drawn = [line.encode(errors="replace") + _REST_OF_LINE for line in lines[:rows]]
        _write(self._output_fd, _HOME + b"\r\n".join(drawn) + _REST_OF_SCREEN)

    def wait(self, limit_s: float) -> bool:
        """Wait so long, or until the terminal has another size; True in that case.

        Raises  Ended when `q` was pressed, or nobody can press anything any more.
        """
        inputs = [self._woken_fd] + ([self._input_fd] if self._input_fd is not None else [])
        ready, _, _ = select.select(inputs, [], [], limit_s)
        if self._input_fd in ready:
            pressed = os.read(self._input_fd, 64) if self._input_fd is not None else b""
            if not pressed or _ENDS.search(_SPECIAL.sub(b"", pressed)):
                raise Ended
        if self._woken_fd in ready:
            os.read(self._woken_fd, 512)
            return True
        return False


@contextlib.contextmanager
def open_terminal() -> Iterator[Terminal]:
    """Take the terminal over for the duration of the `with`; it is as before afterwards, however that ends."""
    output_fd = sys.stdout.fileno()
    input_fd = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else None
    woken_fd, wake_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    with contextlib.ExitStack() as undo:
        undo.callback(os.close, woken_fd)
        undo.callback(os.close, wake_fd)
        undo.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(wake_fd, warn_on_full_buffer=False))
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            undo.callback(signal.signal, number, signal.signal(number, _end))
        undo.callback(signal.signal, signal.SIGWINCH, signal.signal(signal.SIGWINCH, _wake))
        if input_fd is not None:
            before = termios.tcgetattr(input_fd)
            undo.callback(termios.tcsetattr, input_fd, termios.TCSADRAIN, before)
            tty.setcbreak(input_fd, termios.TCSADRAIN)
        undo.callback(_write, output_fd, _LEAVE)
        _write(output_fd, _ENTER)
        stopping = _Stopping(output_fd, input_fd)
        undo.callback(signal.signal, signal.SIGTSTP, signal.signal(signal.SIGTSTP, stopping.stop))
        yield Terminal(output_fd, input_fd, woken_fd)


class _Stopping:
    """Ctrl-Z: the shell gets its terminal as it was, and we take it over again when we go on."""

    def __init__(self, output_fd: int, input_fd: int | None) -> None:
        self._output_fd = output_fd
        self._input_fd = input_fd

    def stop(self, number: int, frame: FrameType | None) -> None:
        """Stop here until told to go on."""
        attributes = termios.tcgetattr(self._input_fd) if self._input_fd is not None else None
        _write(self._output_fd, _LEAVE)
        os.kill(os.getpid(), signal.SIGSTOP)
        if self._input_fd is not None and attributes is not None:
            termios.tcsetattr(self._input_fd, termios.TCSADRAIN, attributes)
        _write(self._output_fd, _ENTER)


def _end(number: int, frame: FrameType | None) -> None:
    raise Ended


def _wake(number: int, frame: FrameType | None) -> None:
    """Let the wakeup descriptor tell."""


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]

"""How children end: their statuses, also those of orphans whose template died before them."""

import ctypes
import os
from typing import Final

import trio

_PR_SET_CHILD_SUBREAPER: Final = 36


def become_subreaper() -> None:
    """Let workers become children of this process when their template dies, so that they can be reaped."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_CHILD_SUBREAPER")


POLL_S: Final = 0.02


class End:
    """How one worker ended, as far as the template has said; holds a pidfd of its own until that is known.

    pidfd  -1 if there was none to be had: its end is then asked for again and again, once the template is gone.
    """

    def __init__(self, pid: int, pidfd: int) -> None:
        self._pid = pid
        self._pidfd = pidfd
        self.known = trio.Event()
        self.signal: int | None = None
        self.exit_code: int | None = None

    def tell(self, status: int | None) -> None:
        """Note waitpid's status, None if it will never be known."""
        if status is not None:
            self.signal = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
            self.exit_code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
        if self._pidfd >= 0:
            os.close(self._pidfd)
        self.known.set()

    async def reap(self) -> None:
        """Wait for an orphan to exit, and reap it if it became our child."""
        if self._pidfd >= 0:
            await trio.lowlevel.wait_readable(self._pidfd)
            self.tell(reap_now(self._pidfd))
            return
        while not _is_gone(self._pid):  # noqa: ASYNC110  Without a pidfd nobody tells.
            await trio.sleep(POLL_S)
        self.tell(None)


def _is_gone(pid: int) -> bool:
    """Reap a child by its number if it has exited; True as well if there is no such child."""
    try:
        return os.waitpid(pid, os.WNOHANG) != (0, 0)
    except ChildProcessError:
        return True


def reap_now(pidfd: int) -> int | None:
    """Reap an exited child; its status as waitpid gives it, None if it is not our child."""
    try:
        found = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        return None
    if found is None:
        return None
    return found.si_status << 8 if found.si_code == os.CLD_EXITED else found.si_status

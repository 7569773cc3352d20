"""A worker as the daemon holds it: from the fork that was asked for to its socket, its pidfd and its end."""

import contextlib
import os
import signal
import socket
from collections.abc import Sequence
from typing import Final, Literal

import trio

from cgi_worker.wire.packets import FROM_WORKER, Bye, Drop, FromWorker, Todo, WireError
from imgd.engine import seqpacket
from imgd.engine.overheard import Overheard
from imgd.engine.reaping import End, reap_now

RETRY_S: Final = 2.0  # For what is short, and may come free at any moment.
STATUS_LIMIT_S: Final = 1.0  # How long the template may take to tell the status of a worker that has exited.


class NoWorker(Exception):
    """The template is gone or could not fork; nothing of the worker is left.

    lacking  what there is none of at present, so that to ask again at once is for nothing; "" if it is not that.
    retry_s  when to ask again then.
    """

    def __init__(
        self, text: str, lacking: Literal["", "descriptors", "processes", "template"] = "", retry_s: float = RETRY_S
    ) -> None:
        super().__init__(text)
        self.lacking = lacking
        self.retry_s = retry_s


class Forking:
    """A fork that was asked for and not answered yet."""

    def __init__(self) -> None:
        self.answered = trio.Event()
        self.pid = 0
        self.pidfd = -1  # The asker's own, to close.
        self.end: End | None = None
        self.abandoned = False
        self.lacking: Literal["", "descriptors", "processes"] = ""


class WorkerLink:
    """One worker process: its socket, its pidfd, its end. One task at a time receives, one waits for the exit.

    errors  what it writes to its stderr, for somebody to listen to.
    unread  it has ended, or was killed, without having read the last that was sent to it.
    """

    def __init__(self, forking: Forking, end: socket.socket, how: End, errors: Overheard) -> None:
        self.pid = forking.pid
        self.pidfd = forking.pidfd
        self.errors = errors
        self.unread = False
        self._socket = end
        self._how = how

    def send(self, todo: Todo | Drop | Bye, descriptors: Sequence[int] = ()) -> None:
        """Send without waiting. A worker that is gone, or that does not read, is killed: `receive` then says None."""
        if not seqpacket.send(self._socket, todo, descriptors):
            self._note_unread()
            self.kill()

    async def receive(self) -> FromWorker | None:
        """Wait for the worker's next message; None when it has closed its end.

        Raises  WireError for a packet that breaks the grammar; the caller kills this worker.
        Cancelled  without losing a message.
        """
        received = await seqpacket.receive(self._socket, self._note_unread)
        if received is None:
            return None
        packet, pidfd = received
        if pidfd >= 0:
            os.close(pidfd)
            raise WireError("a worker sends no descriptors")
        return FROM_WORKER.decode(packet)

    def _note_unread(self) -> None:
        self.unread = True

    def kill(self) -> None:
        """Kill the worker, if it is alive."""
        if self.pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    async def wait_exited(self) -> None:
        """Wait until the process is gone; from then on it has nothing mapped."""
        await trio.lowlevel.wait_readable(self.pidfd)

    async def exit_status(self) -> tuple[int | None, int | None]:
        """Tell the signal that killed it, or its exit code; (None, None) if nobody says within STATUS_LIMIT_S."""
        with trio.move_on_after(STATUS_LIMIT_S):
            await self._how.known.wait()
        return self._how.signal, self._how.exit_code

    def bury(self) -> None:
        """Close it, and reap the process if it is gone and its template died before it."""
        if self.pidfd >= 0:
            reap_now(self.pidfd)
        self.close()

    def close(self) -> None:
        """Kill the worker and close its descriptors; once is enough, twice does no harm."""
        self.kill()
        if self.pidfd >= 0:
            self._socket.close()
            self.errors.close()
            os.close(self.pidfd)
            self.pidfd = -1


def give_up(forking: Forking) -> None:
    """Kill the worker of a fork that nobody waits for any more, if it was forked."""
    if forking.pidfd >= 0:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(forking.pidfd, signal.SIGKILL)
        os.close(forking.pidfd)
        forking.pidfd = -1

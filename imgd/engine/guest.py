"""A guest: a CGI process that does its own request's todo list with the segments that it is lent."""

import contextlib
import errno
import logging
import os
import signal
import socket
from typing import Final

import trio

from cgi_worker.wire.packets import FROM_CGI, Ask, WireError
from cgi_worker.wire.talk import Talk
from imgd.core.events import WorkerEnded, WorkerId, WorkerJoined, WorkerStuck
from imgd.engine import seqpacket
from imgd.engine.desk import STUCK_LIMIT_S, Order, event_of
from imgd.engine.supervise import Floor
from imgd.model import Crashed, Outcome, Stopped

log = logging.getLogger("imgd.worker")

EXIT_LIMIT_S: Final = 2.0  # A guest that was lent segments and hung up must exit within this, or it is killed.
_SO_PEERPIDFD: Final = 77  # Linux 6.5 and later.


def pidfd_of_peer(end: socket.socket, pid: int) -> int:
    """Open a pidfd of the process that connected.

    Raises  ProcessLookupError if it is gone.
    """
    try:
        return end.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD)
    except OSError as error:
        if error.errno != errno.ENOPROTOOPT or pid <= 0:
            raise ProcessLookupError("the process that connected is gone, or not to be seen from here") from error
    return os.pidfd_open(pid)  # Older kernels: the connection is fresh, its process has not been reaped yet.


class Guest:
    """One guest's desk. Its memory is free when its process is gone, not when its connection closes."""

    def __init__(self, floor: Floor, worker: WorkerId, end: socket.socket, pidfd: int) -> None:
        self.scope = trio.CancelScope()  # Cancelled by the core: nobody wants what the guest does.
        self._floor = floor
        self.worker = worker
        self._socket = end
        self._pidfd = pidfd
        self._talk = Talk()
        self._drained = trio.Event()
        self._gone = False

    @property
    def unsent(self) -> bool:
        """False: a guest that is lost is not replaced."""
        return False

    def give(self, order: Order) -> None:
        """Send the todo list; a guest that does not read it is killed. For nothing when it is gone already."""
        if self._gone:
            return
        self._talk.give(order.todo)
        self._drained = trio.Event()
        order.on_sent()
        if not seqpacket.send(self._socket, order.todo, order.descriptors):
            self.scope.cancel()

    def drop(self, items: tuple[int, ...]) -> None:
        """Do nothing: a guest makes no tiles."""

    def dismiss(self) -> None:
        """Do nothing: a guest leaves when it has its answer."""

    async def drained(self) -> None:
        """Wait until the guest has finished its todo list, if it was given one, and holds nothing any more."""
        while self._talk.todo is not None:
            await self._drained.wait()

    async def run(
        self, owner: str, limit_s: float, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Follow the guest until it hangs up; its end is told to the core when it holds nothing any more.

        It is started when it has joined: jobs for it may be submitted from then on.
        """
        self._floor.desks[self.worker] = self
        self._floor.inbox.put(WorkerJoined(self.worker, owner))
        task_status.started()
        outcome: Outcome = Crashed()
        try:
            with self.scope, trio.move_on_after(limit_s):
                outcome = await self._follow()
        finally:
            if self._talk.held:
                with trio.CancelScope(shield=True):
                    await self._wait_gone(outcome)
            self._gone = True
            self._floor.inbox.put(WorkerEnded(self.worker, outcome))

    async def _follow(self) -> Outcome:
        try:
            while (received := await seqpacket.receive(self._socket)) is not None:
                packet, descriptor = received
                if descriptor >= 0:
                    os.close(descriptor)
                    raise WireError("a guest sends no descriptors but with its question")
                message = FROM_CGI.decode(packet)
                if isinstance(message, Ask):
                    raise WireError("a second question")
                self._talk.hear(message)
                await trio.lowlevel.checkpoint()  # Whatever it says, others have their turn.
                if (event := event_of(self.worker, message)) is not None:
                    self._floor.inbox.put(event)
                if self._talk.todo is None:
                    self._drained.set()
        except WireError as error:
            log.warning("a CGI broke the protocol: %s", error)
            return Crashed()
        return Stopped() if self._talk.todo is None else Crashed()

    async def _wait_gone(self, outcome: Outcome) -> None:
        """Wait until the process is gone: only then is nothing of ours mapped in it.

        The core is told if it does not die: its place is free then, and its memory is not.
        """
        if self.scope.cancel_called:
            self._kill()
        with trio.move_on_after(EXIT_LIMIT_S):
            await trio.lowlevel.wait_readable(self._pidfd)
            return
        self._kill()
        with trio.move_on_after(STUCK_LIMIT_S):
            await trio.lowlevel.wait_readable(self._pidfd)
            return
        log.warning("a CGI was killed, and does not die: the kernel waits for something on its behalf")
        self._floor.inbox.put(WorkerStuck(self.worker, outcome))
        await trio.lowlevel.wait_readable(self._pidfd)

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

"""The template process and the workers forked from it, as Trio sees them. Decides nothing."""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from cgi_worker.wire import packets
from cgi_worker.wire.packets import (
    FROM_TEMPLATE,
    FROM_WORKER,
    VERSION,
    Bye,
    Drop,
    Fork,
    Forked,
    FromTemplate,
    FromWorker,
    Hello,
    Identity,
    Reaped,
    Todo,
    Warmed,
    Warming,
    WireError,
)
from imgd.engine import seqpacket

STATUS_LIMIT_S: Final = 1.0  # How long the template may take to tell the status of a worker that has exited.
END_LIMIT_S: Final = 2.0  # How long the template may take to exit by itself, and then its orphans to die.
_PR_SET_CHILD_SUBREAPER: Final = 36


class NoWorker(Exception):
    """The template is gone or could not fork; nothing of the worker is left."""


@dataclass(frozen=True, slots=True)
class TemplateSettings:
    """How the template is started.

    memory_bytes  of a worker's own, beyond what it is forked with and the segments lent to it; None: no limit.
    readable      directories below which workers may open files; empty: as their identity may.
    serve, warm   "module:function" that take the place of a worker's life and of warming, for tests.
    """

    memory_bytes: int | None = None
    readable: tuple[str, ...] = ()
    serve: str = ""
    warm: str = ""


@dataclass(frozen=True, slots=True)
class TemplateStatistics:
    """pid is 0 once the template is lost."""

    pid: int
    forked: int
    alive: int


def become_subreaper() -> None:
    """Let workers become children of this process when their template dies, so that they can be reaped."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_CHILD_SUBREAPER")


class _End:
    """How one worker ended, as far as the template has said; holds a pidfd of its own until that is known."""

    def __init__(self, pidfd: int) -> None:
        self._pidfd = pidfd
        self.known = trio.Event()
        self.signal: int | None = None
        self.exit_code: int | None = None

    def tell(self, status: int | None) -> None:
        """Note waitpid's status, None if it will never be known."""
        if status is not None:
            self.signal = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
            self.exit_code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
        os.close(self._pidfd)
        self.known.set()

    async def reap(self) -> None:
        """Wait for an orphan to exit, and reap it if it became our child."""
        await trio.lowlevel.wait_readable(self._pidfd)
        self.tell(_reap_now(self._pidfd))


class _Forking:
    """A fork that was asked for and not answered yet."""

    def __init__(self) -> None:
        self.answered = trio.Event()
        self.pid = 0
        self.pidfd = -1  # The asker's own, to close.
        self.end: _End | None = None
        self.abandoned = False


class WorkerLink:
    """One worker process: its socket, its pidfd, its end. One task at a time receives, one waits for the exit."""

    def __init__(self, pid: int, pidfd: int, end: socket.socket, how: _End) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self._socket = end
        self._how = how

    def send(self, todo: Todo | Drop | Bye, descriptors: Sequence[int] = ()) -> None:
        """Send without waiting. A worker that is gone, or that does not read, is killed: `receive` then says None."""
        if not seqpacket.send(self._socket, todo, descriptors):
            self.kill()

    async def receive(self) -> FromWorker | None:
        """Wait for the worker's next message; None when it has closed its end.

        Raises  WireError for a packet that breaks the grammar; the caller kills this worker.
        Cancelled  without losing a message.
        """
        received = await seqpacket.receive(self._socket)
        if received is None:
            return None
        packet, pidfd = received
        if pidfd >= 0:
            os.close(pidfd)
            raise WireError("a worker sends no descriptors")
        return FROM_WORKER.decode(packet)

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

    def close(self) -> None:
        """Kill the worker and close its descriptors; once is enough, twice does no harm."""
        self.kill()
        if self.pidfd >= 0:
            self._socket.close()
            os.close(self.pidfd)
            self.pidfd = -1


class Template:
    """The running template. Made by `open_template`."""

    def __init__(self, end: socket.socket, process: "subprocess.Popen[bytes]") -> None:
        self._socket = end
        self._process = process
        self._pidfd = os.pidfd_open(process.pid)
        self._forking: dict[int, _Forking] = {}
        self._ends: dict[int, _End] = {}
        self._lost = trio.Event()
        self._forked = 0

    @property
    def pid(self) -> int:
        """Process id of the template."""
        return self._process.pid

    async def wait_lost(self) -> None:
        """Wait until the template is of no use any more: it died, or broke the protocol. Its workers die with it."""
        await self._lost.wait()

    def kill(self) -> None:
        """Kill the template, for instance when it does not answer; its workers die with it."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def statistics(self) -> TemplateStatistics:
        """Tell how many workers were forked, and how many of them are not reaped yet."""
        return TemplateStatistics(0 if self._lost.is_set() else self.pid, self._forked, len(self._ends))

    async def fork(self, worker: int, identity: Identity) -> WorkerLink:
        """Fork a worker, bound to this identity for life; its first message will be Hello. The caller closes the link.

        Raises  NoWorker.
        Blocks  until the template answers: set a deadline, and kill the template when it passes.
        Cancelled  a worker that comes after all is killed.
        """
        assert worker not in self._forking and worker not in self._ends, "a worker's number is used once"
        if self._lost.is_set():
            raise NoWorker("the template is gone")
        forking = _Forking()
        link: WorkerLink | None = None
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError as error:
            raise NoWorker(f"no socket for it: {error.strerror}") from error
        ours.setblocking(False)
        try:
            with theirs:
                if not seqpacket.send(self._socket, Fork(worker, identity), [theirs.fileno()]):
                    raise NoWorker("the template takes no orders")
            self._forking[worker] = forking
            await forking.answered.wait()
            if forking.end is None:
                raise NoWorker("the template could not fork, or is gone")
            link = WorkerLink(forking.pid, forking.pidfd, ours, forking.end)
            return link
        finally:
            if link is None:
                forking.abandoned = True
                ours.close()
                _give_up(forking)

    async def warm_up(self, on_warming: Callable[[Warming], None]) -> None:
        """Follow the template until it is warm.  Raises  NoWorker if it ends before, WireError if it talks nonsense."""
        while True:
            received = await self._receive()
            match received:
                case None:
                    with trio.move_on_after(END_LIMIT_S):
                        await trio.lowlevel.wait_readable(self._pidfd)
                    await self._bury()
                    raise NoWorker(f"the template ended while warming, exit code {self._process.returncode}")
                case Hello(version=version), _ if version == VERSION:
                    pass
                case Warming() as warming, _:
                    on_warming(warming)
                case Warmed(), _:
                    return
                case _:
                    raise WireError(f"{type(received[0]).__name__} from a template that is warming")

    async def hear(self) -> None:
        """Hand the template's news on until it is lost, then reap what it left."""
        try:
            while (received := await self._receive()) is not None:
                self._follow(*received)
        except WireError:
            self.kill()
        self._lose()
        await self._bury()

    async def end(self) -> None:
        """End the template and its workers, and reap all of them.  Blocks  at most about 3 * END_LIMIT_S."""
        self._lose()
        seqpacket.send(self._socket, Bye(), [])
        with trio.move_on_after(END_LIMIT_S):
            await trio.lowlevel.wait_readable(self._pidfd)
        await self._bury()
        for one in self._ends.values():
            one.tell(None)
        self._ends.clear()
        os.close(self._pidfd)

    async def _receive(self) -> tuple[FromTemplate, int] | None:
        received = await seqpacket.receive(self._socket)
        if received is None:
            return None
        packet, pidfd = received
        try:
            message = FROM_TEMPLATE.decode(packet)
            if isinstance(message, Forked) != (pidfd >= 0):
                raise WireError("a pidfd comes with Forked, and with nothing else")
        except WireError:
            if pidfd >= 0:
                os.close(pidfd)
            raise
        return message, pidfd

    def _follow(self, message: FromTemplate, pidfd: int) -> None:
        match message:
            case Forked(worker, pid) if worker in self._forking:
                forking = self._forking.pop(worker)
                forking.pid, forking.pidfd = pid, pidfd
                forking.end = self._ends[worker] = _End(os.dup(pidfd))
                self._forked += 1
                if forking.abandoned:
                    _give_up(forking)
                forking.answered.set()
            case Reaped(worker) if worker in self._forking:
                self._forking.pop(worker).answered.set()
            case Reaped(worker, status) if worker in self._ends:
                self._ends.pop(worker).tell(status)
            case _:
                if pidfd >= 0:
                    os.close(pidfd)
                raise WireError(f"{type(message).__name__} of a worker that was not asked for")

    def _lose(self) -> None:
        self._lost.set()
        for forking in self._forking.values():
            forking.answered.set()
        self._forking.clear()

    async def _bury(self) -> None:
        """Make sure that the template is dead and reaped, then its workers, which die with it."""
        self.kill()
        with trio.move_on_after(END_LIMIT_S):
            await trio.lowlevel.wait_readable(self._pidfd)
            self._process.wait()
            for worker in list(self._ends):
                await self._ends[worker].reap()
                del self._ends[worker]


@asynccontextmanager
async def open_template(
    settings: TemplateSettings, on_warming: Callable[[Warming], None] = lambda _: None
) -> AsyncIterator[Template]:
    """Start the template and wait until it is warm; on leaving, it and all its workers are gone.

    Whoever leaves early is cancelled soundly. Starting again after `wait_lost` is the caller's decision.

    Raises  NoWorker if the template ends while warming.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        ours.setblocking(False)
        with theirs:
            template = Template(ours, _start(settings, theirs.fileno()))
        try:
            await template.warm_up(on_warming)
            async with trio.open_nursery() as hearing:
                hearing.start_soon(template.hear)
                try:
                    yield template
                finally:
                    hearing.cancel_scope.cancel()
        finally:
            with trio.CancelScope(shield=True):
                await template.end()


def _start(settings: TemplateSettings, end: int) -> "subprocess.Popen[bytes]":
    """Start the process from this thread: the kernel ends it with the thread that started it, so no other will do."""
    command = [sys.executable, "-P", "-m", "cgi_worker.template", f"--socket={end}", f"--parent={os.getpid()}"]
    command += [f"--readable={path}" for path in settings.readable]
    command += [] if settings.memory_bytes is None else [f"--memory-bytes={settings.memory_bytes}"]
    command += [f"--serve={settings.serve}"] if settings.serve else []
    command += [f"--warm={settings.warm}"] if settings.warm else []
    home = str(Path(packets.__file__).parents[2])  # Where the template, too, finds cgi_worker.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH"))))}
    return subprocess.Popen(
        command, pass_fds=[end], env=environment, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip


def _reap_now(pidfd: int) -> int | None:
    """Reap an exited child; its status as waitpid gives it, None if it is not our child."""
    try:
        found = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        return None
    if found is None:
        return None
    return found.si_status << 8 if found.si_code == os.CLD_EXITED else found.si_status


def _give_up(forking: _Forking) -> None:
    """Kill the worker of a fork that nobody waits for any more, if it was forked."""
    if forking.pidfd >= 0:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(forking.pidfd, signal.SIGKILL)
        os.close(forking.pidfd)
        forking.pidfd = -1

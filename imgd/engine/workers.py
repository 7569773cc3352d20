"""The template process and the workers forked from it, as Trio sees them. Decides nothing."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from cgi_worker.wire import packets
from cgi_worker.wire.packets import (
    EXIT_NO_FORK,
    FROM_TEMPLATE,
    VERSION,
    Bye,
    Fork,
    Forked,
    FromTemplate,
    Hello,
    Identity,
    Reaped,
    Warmed,
    Warming,
    WireError,
)
from imgd.engine import seqpacket
from imgd.engine.forking import Forking, NoWorker, WorkerLink, give_up
from imgd.engine.overheard import Overheard
from imgd.engine.reaping import End

SILENT_LIMIT_S: Final = 300.0  # A template that warms says what it compiles; none of it takes nearly as long.
END_LIMIT_S: Final = 2.0  # How long the template may take to exit by itself, and then its orphans to die.


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


class Template:
    """The running template. Made by `open_template`."""

    def __init__(self, end: socket.socket, process: "subprocess.Popen[bytes]") -> None:
        self._socket = end
        self._process = process
        self._pidfd = os.pidfd_open(process.pid)
        self._forking: dict[int, Forking] = {}
        self._ends: dict[int, End] = {}
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
        forking = Forking()
        link: WorkerLink | None = None
        ours, theirs, errors = _ends_for(worker)
        try:
            with theirs:
                given = [theirs.fileno(), errors.writing_fd]
                if not seqpacket.send(self._socket, Fork(worker, identity), given):
                    raise NoWorker("the template takes no orders")
            errors.close_writing()
            self._forking[worker] = forking
            await forking.answered.wait()
            if forking.lacking == "descriptors":
                raise NoWorker("too many files are open", "descriptors")
            if forking.lacking == "processes":
                raise NoWorker("the system lets no further process start", "processes")
            if forking.end is None:
                raise NoWorker("the template is gone")
            errors.who = f"worker {worker} (pid {forking.pid})"
            link = WorkerLink(forking, ours, forking.end, errors)
            return link
        finally:
            if link is None:
                forking.abandoned = True
                ours.close()
                errors.close()
                give_up(forking)

    async def warm_up(self, on_warming: Callable[[Warming], None]) -> None:
        """Follow the template until it is warm.  Raises  NoWorker if it ends before, WireError if it talks nonsense."""
        while True:
            received: tuple[FromTemplate, int] | None = None
            with trio.move_on_after(SILENT_LIMIT_S) as patience:
                received = await self._receive()
            if patience.cancelled_caught:
                raise NoWorker(f"it has said nothing for {SILENT_LIMIT_S:g} s while warming, and was killed")
            match received:
                case None:
                    with trio.move_on_after(END_LIMIT_S):
                        await trio.lowlevel.wait_readable(self._pidfd)
                    await self._bury()
                    raise NoWorker(f"it ended while warming, {self.how_it_ended()}")
                case Hello(version=version), _ if version == VERSION:
                    pass
                case Warming() as warming, _:
                    on_warming(warming)
                case Warmed(), _:
                    return
                case _:
                    raise WireError(f"{type(received[0]).__name__} from a template that is warming")

    def how_it_ended(self) -> str:
        """Tell in words how the process ended, once it is buried."""
        code = self._process.returncode
        if code is None:
            return "and does not die"
        return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"

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
        try:
            received = await seqpacket.receive(self._socket)
        except seqpacket.Shorn as shorn:  # Here, not there, the descriptors are used up: no reason to give it up.
            message = FROM_TEMPLATE.decode(shorn.packet)
            if not isinstance(message, Forked):
                raise
            return message, -1
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
                self._take_in(self._forking.pop(worker), worker, (pid, pidfd))
            case Reaped(worker, status) if worker in self._forking:
                forking = self._forking.pop(worker)
                forking.lacking = "processes" if status == EXIT_NO_FORK << 8 else ""
                forking.answered.set()
            case Reaped(worker, status) if worker in self._ends:
                self._ends.pop(worker).tell(status)
            case _:
                if pidfd >= 0:
                    os.close(pidfd)
                raise WireError(f"{type(message).__name__} of a worker that was not asked for")

    def _take_in(self, forking: Forking, worker: int, process: tuple[int, int]) -> None:
        """Note a new worker; without a descriptor by which its end could be seen it is let go: its socket is closed."""
        forking.pid, forking.pidfd = process
        own = -1
        try:
            own = os.dup(forking.pidfd) if forking.pidfd >= 0 else -1
        except OSError:
            give_up(forking)
        if own < 0:
            forking.lacking = "descriptors"
        forking.end = self._ends[worker] = End(forking.pid, own)
        self._forked += 1
        if forking.abandoned:
            give_up(forking)
        forking.answered.set()

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
            async with trio.open_nursery() as reaping:  # One that the kernel holds keeps no other waiting.
                for worker in self._ends:
                    reaping.start_soon(self._reap, worker)

    async def _reap(self, worker: int) -> None:
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
    with ours, contextlib.closing(Overheard("the worker template")) as errors:
        ours.setblocking(False)
        with theirs:
            process = _start(settings, theirs.fileno(), errors.writing_fd)
        errors.close_writing()
        try:
            template = Template(ours, process)
        except OSError:  # No descriptor is left by which its end could be seen.
            process.kill()
            process.wait()
            raise
        failed: NoWorker | WireError | None = None
        try:
            async with trio.open_nursery() as hearing:
                hearing.start_soon(errors.listen)
                try:
                    await template.warm_up(on_warming)
                except (NoWorker, WireError) as error:
                    failed = error  # Raised outside of the nursery, which would wrap it.
                if failed is None:
                    hearing.start_soon(template.hear)
                    try:
                        yield template
                    finally:
                        hearing.cancel_scope.cancel()
                hearing.cancel_scope.cancel()
        finally:
            with trio.CancelScope(shield=True):
                await template.end()
            errors.drain()
        if failed is not None:
            raise failed


def _ends_for(worker: int) -> tuple[socket.socket, socket.socket, Overheard]:
    """Make both ends of a new worker's socket pair, ours first, and the pipe that is to be its stderr.

    Raises  NoWorker.
    """
    try:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    except OSError as error:
        raise NoWorker("too many files are open", "descriptors") from error
    ours.setblocking(False)
    try:
        return ours, theirs, Overheard(f"worker {worker}")
    except OSError as error:
        ours.close()
        theirs.close()
        raise NoWorker("too many files are open", "descriptors") from error


def _start(settings: TemplateSettings, end: int, errors: int) -> "subprocess.Popen[bytes]":
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
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors,
    )  # fmt: skip

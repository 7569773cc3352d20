"""The template: warm once, then fork workers on demand. `python -m cgi_worker.template`, started by the daemon."""

import argparse
import gc
import importlib
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from cgi_worker import confine
from cgi_worker.kernels.warm import has_compiled
from cgi_worker.link import Link
from cgi_worker.wire.packets import (
    EXIT_NO_FORK,
    EXIT_OUR_FAULT,
    TO_TEMPLATE,
    VERSION,
    Bye,
    Fork,
    Forked,
    Hello,
    Reaped,
    Warmed,
    Warming,
    WireError,
)

Serve = Callable[[int], None]
_SYSTEM_LIBRARIES = ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/etc/ld.so.cache")
# Libraries that start threads when they are imported; a process with threads cannot be forked soundly.
_ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


class Template:
    """The warmed process. It does no work and reads no frame; it outlives any of its workers."""

    def __init__(self, link: Link, serve: Serve, limits: confine.Limits) -> None:
        self._link = link
        self._serve = serve
        self._limits = limits
        self._workers: dict[int, tuple[int, int]] = {}  # pidfd -> (worker, pid)
        self._poll = select.poll()
        self._poll.register(link.fileno(), select.POLLIN)

    def run(self) -> None:
        """Fork and reap until Bye, or until the daemon is gone; the workers then end with this process."""
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor != self._link.fileno():
                    self._reap(descriptor)
                elif not self._hear():
                    return

    def _hear(self) -> bool:
        received = self._link.receive(TO_TEMPLATE)
        if received is None:
            return False
        match received:
            case Fork() as order, [end, errors]:
                self._fork(order, end, errors)
                return True
            case Bye(), []:
                return False
        raise WireError("a Fork comes with two descriptors, anything else with none")

    def _fork(self, order: Fork, end: int, errors: int) -> None:
        template = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            print(f"imgd: cannot fork a worker: {error}", file=sys.stderr, flush=True)
            self._link.send(Reaped(order.worker, EXIT_NO_FORK << 8))
            return
        finally:
            if os.getpid() == template:
                os.close(end)
                os.close(errors)
        if pid == 0:
            os.dup2(errors, 2)  # What it complains of is then known to be its own.
            os.close(errors)
            self._live(order, end, template)
        try:
            pidfd = os.pidfd_open(pid)
        except OSError as error:  # Whoever cannot be watched must not live.
            print(f"imgd: cannot watch a worker: {error}", file=sys.stderr, flush=True)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            self._link.send(Reaped(order.worker, EXIT_NO_FORK << 8))
            return
        self._workers[pidfd] = (order.worker, pid)
        self._poll.register(pidfd, select.POLLIN)
        self._link.send(Forked(order.worker, pid), [pidfd])

    def _live(self, order: Fork, end: int, template: int) -> NoReturn:
        try:
            os.close(self._link.fileno())
            for pidfd in self._workers:
                os.close(pidfd)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            confine.become(order.identity, self._limits)
            if self._limits.ruleset_fd >= 0:
                os.close(self._limits.ruleset_fd)
            confine.die_with_parent(template)  # After become: a change of identity would undo it.
            self._serve(end)
            code = 0
        except BaseException:  # The outermost frame of this process: nothing may get back into the template's loop.
            traceback.print_exc()
            code = EXIT_OUR_FAULT
        sys.stderr.flush()
        os._exit(code)

    def _reap(self, pidfd: int) -> None:
        worker, pid = self._workers.pop(pidfd)
        self._poll.unregister(pidfd)
        os.close(pidfd)
        _, status = os.waitpid(pid, 0)
        self._link.send(Reaped(worker, status))


def main(given: Sequence[str] | None = None) -> None:
    """Say Hello, warm, say Warmed, then serve forks."""
    arguments = _read_arguments(given)
    confine.die_with_parent(arguments.parent)
    for name in _ONE_THREAD:
        os.environ[name] = "1"
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with socket.socket(fileno=arguments.socket) as end:
        end.set_inheritable(False)
        link = Link(end)
        try:
            if not arguments.again:
                link.send(Hello(VERSION, os.getpid()))
            warm = load(arguments.warm)
            warm(lambda done, total, what: link.send(Warming(done, total, what)))
            if has_compiled() and not arguments.again:  # Workers would be forked with all that the compiler left.
                end.set_inheritable(True)
                os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:], "--again"])
            serve: Serve = load(arguments.serve)
            _settle()
            link.send(Warmed())
            ruleset_fd = confine.make_ruleset(readable_by_workers(arguments.readable))
            limits = confine.Limits(arguments.memory_bytes, ruleset_fd)
            Template(link, serve, limits).run()
        except (BrokenPipeError, ConnectionResetError):
            return  # The daemon is gone, and with it the reason to be.


def load(name: str) -> Any:
    """Import what "module:name" names."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def readable_by_workers(given: Sequence[str]) -> tuple[str, ...]:
    """Add to the directories of frames those of our own modules, which a library may import as late as it likes."""
    if not given:
        return ()
    home = str(Path(__file__).parents[1] / "cgi_worker")
    return tuple(dict.fromkeys((*given, home, sys.prefix, sys.base_prefix, *_SYSTEM_LIBRARIES)))


def _settle() -> None:
    """Make this process fit to be forked: one thread, and nothing that a worker's garbage collector would write to."""
    threads = os.listdir("/proc/self/task")
    assert len(threads) == 1, f"the template has {len(threads)} threads; a fork would copy locks that nobody opens"
    gc.collect()
    gc.freeze()


def _read_arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="cgi_worker.template", description=__doc__)
    parser.add_argument("--socket", type=int, required=True, help="number of the descriptor that leads to the daemon")
    parser.add_argument("--parent", type=int, required=True, help="process id of the daemon")
    parser.add_argument("--memory-bytes", type=int, help="limit of a worker's own memory")
    parser.add_argument("--readable", action="append", default=[], help="where workers may open files; repeatable")
    parser.add_argument("--again", action="store_true", help="this process has compiled, and begins again")
    parser.add_argument("--serve", default="cgi_worker.worker:serve", help="for tests: another worker's life")
    parser.add_argument("--warm", default="cgi_worker.warming:warm", help="for tests: another way to warm")
    return parser.parse_args(given)


if __name__ == "__main__":
    main()
    os._exit(0)  # Taking the interpreter down in good order would take longer than all else here, and frees nothing.

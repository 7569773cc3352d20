"""The real daemon as a process of its own: start it, talk to it, measure it by the kernel, end it."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from tests.daemon import kernel
from tests.daemon.asking import Asking
from tests.fronts.place import Certificate

PROJECT = Path(__file__).resolve().parents[2]
MARK = "RIG_FOLDER"  # In the environment of all its processes; no IMGD_ name, which would be a setting.
PROGRAM = "RIG_PROGRAM"  # Another module than the daemon's own, for a daemon that misbehaves on demand.
READY_LIMIT_S = 180.0  # The first start on a machine compiles the kernels.
END_LIMIT_S = 20.0
SETTLE_LIMIT_S = 10.0
READY_LINE = re.compile(r"imgd serves https?://([0-9.]+):(\d+)/\n")


class DaemonFailed(AssertionError):
    """The daemon did not start, or did not end, as it should; holds the end of its log."""


@dataclass(frozen=True, kw_only=True)
class RunningDaemon(Asking):
    """A daemon that serves. `folder` is a temporary one of its own, its working directory."""

    process: trio.Process
    folder: Path
    mark: str

    @property
    def pid(self) -> int:
        """Process id of the daemon itself."""
        return self.process.pid

    def processes(self) -> list[int]:
        """All processes: the daemon, its template, its workers."""
        return kernel.family(self.pid, self.mark)

    def children(self) -> list[int]:
        """All processes but the daemon itself."""
        return [pid for pid in self.processes() if pid != self.pid]

    def descriptors(self) -> int:
        """Open descriptors of all processes together."""
        return sum(map(kernel.open_descriptors, self.processes()))

    def segment_bytes(self) -> int:
        """Memory of all segments that any of the processes holds, by the kernel's figures."""
        return kernel.segment_bytes(self.processes())

    def pss_bytes(self) -> int:
        """Memory of all processes, shared pages counted once."""
        return kernel.pss_bytes(self.processes())

    def census(self) -> kernel.Census:
        """Count processes, descriptors and segment bytes."""
        return kernel.take_census(self.processes())

    def log(self) -> str:
        """Read what it wrote on stderr so far."""
        return _log_path(self.folder).read_text(errors="replace")

    async def settles(self, is_so: Callable[[], Any], limit_s: float = SETTLE_LIMIT_S) -> None:
        """Wait until `is_so()` is true.

        Raises  DaemonFailed with the log's end if it is not within `limit_s`.
        """
        with trio.move_on_after(limit_s):
            while not is_so():  # Nobody tells us: the kernel is asked.
                await trio.sleep(0.01)
            return
        raise DaemonFailed(f"not so within {limit_s} s; now {self.census()}\n{_tail(self.folder)}")

    async def until_ready(self, limit_s: float = READY_LIMIT_S) -> None:
        """Wait until pictures can be made; the first start on a machine compiles the kernels.

        Raises  DaemonFailed with the log's end if that takes longer than `limit_s`.
        """
        with trio.move_on_after(limit_s):
            while (answer := await self.get("/readyz")).status != 200:  # Another process is asked.
                await trio.sleep(0.05)
            return
        raise DaemonFailed(f"not ready within {limit_s} s: {answer.body!r}\n{_tail(self.folder)}")

    async def kill_all(self) -> None:
        """Kill every process that is left, and wait until all are gone."""
        with trio.move_on_after(END_LIMIT_S):
            while left := self.processes():
                for pid in left:
                    _kill(pid)
                await trio.sleep(0.01)
            await self.process.wait()


@asynccontextmanager
async def running_daemon(
    roots: Path | str | Sequence[Path | str], *, certificate: Certificate | None = None, **settings: object
) -> AsyncIterator[RunningDaemon]:
    """Start `imgd serve` on a free port and wait until it can draw; at the end stop it and see that nothing is left.

    roots     what to serve, each as `imgd serve` takes it: a directory, or "NAME=DIR".
    certificate  what it shows at its TCP places, which speak TLS then; so does whoever asks it here.
    settings  settings by name (`budget_bytes="64MiB"`, `workers_max=2`), handed over as IMGD_* variables. Frames are
              not looked into in the background unless `describe_pause_s` says so: figures stay what a test makes them.

    Raises  DaemonFailed if it does not start or end in time, exits with another code than 0, or leaves processes.
            A daemon that the test itself ended (its process is gone at the end) is only looked at for what it left.
            An error of the test itself gets the end of the daemon's log as a note.
    """
    async with starting_daemon(roots, certificate=certificate, **settings) as daemon:
        await daemon.until_ready()
        yield daemon


@asynccontextmanager
async def starting_daemon(
    roots: Path | str | Sequence[Path | str], *, certificate: Certificate | None = None, **settings: object
) -> AsyncIterator[RunningDaemon]:
    """Do as `running_daemon`, but only wait until it answers: its template may still be warming."""
    with tempfile.TemporaryDirectory(prefix="imgd-rig-") as name:
        folder = Path(name)
        mark = f"{MARK}={folder}"
        if certificate is not None:
            settings |= {"certfile": certificate.certfile, "keyfile": certificate.keyfile}
        process = await _start(folder, roots, settings)
        daemon: RunningDaemon | None = None
        try:
            with trio.move_on_after(READY_LIMIT_S):
                host, port = await _listening(process, folder)
                daemon = RunningDaemon(
                    process=process, host=host, port=port, certificate=certificate, folder=folder, mark=mark
                )
            if daemon is None:
                raise DaemonFailed(f"does not listen within {READY_LIMIT_S} s\n{_tail(folder)}")
            try:
                yield daemon
            except Exception as error:
                error.add_note(f"the daemon's log ends with:\n{_tail(folder)}")
                raise
            await _end(daemon)
        finally:
            with trio.CancelScope(shield=True):
                await RunningDaemon(process=process, host="", port=0, folder=folder, mark=mark).kill_all()
                assert process.stdout is not None
                await process.stdout.aclose()


async def _start(folder: Path, roots: Path | str | Sequence[Path | str], settings: dict[str, object]) -> trio.Process:
    given = [roots] if isinstance(roots, Path | str) else list(roots)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("IMGD_")}
    settings = {"describe_pause_s": 0, **settings}
    environment |= {f"IMGD_{name.upper()}": str(value) for name, value in settings.items()}
    environment.setdefault("IMGD_DATABASE", f"sqlite:{folder}/events.sqlite")
    environment |= {MARK: str(folder), "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-m", os.environ.get(PROGRAM, "imgd.cli"), "serve", *map(str, given)]
    if "bind" not in settings:
        command += ["--bind", "127.0.0.1:0"]
    with _log_path(folder).open("wb") as log:
        return await trio.lowlevel.open_process(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )


async def _listening(process: trio.Process, folder: Path) -> tuple[str, int]:
    assert process.stdout is not None
    text = ""
    while not text.endswith("\n"):
        data = await process.stdout.receive_some(4096)
        if not data:
            raise DaemonFailed(f"ended with {await process.wait()} before it was ready\n{_tail(folder)}")
        text += data.decode()
    found = READY_LINE.fullmatch(text)
    if found is None:
        raise DaemonFailed(f"said {text!r} instead of where it serves")
    return found.group(1), int(found.group(2))


async def _end(daemon: RunningDaemon) -> None:
    by_test = daemon.process.returncode is not None
    if not by_test:
        daemon.process.send_signal(signal.SIGTERM)
    with trio.move_on_after(END_LIMIT_S) as scope:
        await daemon.process.wait()
    if scope.cancelled_caught:
        raise DaemonFailed(f"still runs {END_LIMIT_S} s after SIGTERM\n{_tail(daemon.folder)}")
    if not by_test and daemon.process.returncode != 0:
        raise DaemonFailed(f"exit code {daemon.process.returncode}\n{_tail(daemon.folder)}")
    await daemon.settles(lambda: not daemon.processes())


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # It went by itself.
        os.kill(pid, signal.SIGKILL)


def _log_path(folder: Path) -> Path:
    return folder / "stderr.log"


def _tail(folder: Path) -> str:
    return "\n".join(_log_path(folder).read_text(errors="replace").splitlines()[-40:])

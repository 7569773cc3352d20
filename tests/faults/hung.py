"""A file system (FUSE) on which opening or reading blocks for ever: `python -m tests.faults.hung MOUNT FOLDER`.

It shows FOLDER, read only. Opening a file whose name begins with `open-`, and reading one that begins with `read-`,
blocks until the file `FOLDER/go` exists. Ended by SIGTERM or SIGKILL; who waits for it then gets an error.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

LIMIT_S = 20.0
POLL_S = 0.02


def serve(mount: str, folder: str) -> None:
    """Be the file system."""
    import mfusepy

    class Hanging(mfusepy.Operations):  # type: ignore[misc]
        use_ns = True

        def _wait(self, path: str, what: str) -> None:
            while Path(path).name.startswith(what) and not (Path(folder) / "go").exists():
                time.sleep(POLL_S)

        def getattr(self, path: str, fh: Any = None) -> dict[str, int]:
            try:
                found = os.lstat(folder + path)
            except OSError as error:
                raise mfusepy.FuseOSError(error.errno) from error
            names = ("st_mode", "st_nlink", "st_uid", "st_gid", "st_size")
            times = {f"st_{name}": getattr(found, f"st_{name}_ns") for name in ("atime", "mtime", "ctime")}
            return {name: getattr(found, name) for name in names} | times

        def readdir(self, path: str, fh: Any) -> Iterator[str]:
            yield from (".", "..", *os.listdir(folder + path))

        def open(self, path: str, flags: int) -> int:
            self._wait(path, "open-")
            return os.open(folder + path, os.O_RDONLY)

        def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
            self._wait(path, "read-")
            return os.pread(fh, size, offset)

        def release(self, path: str, fh: int) -> int:
            os.close(fh)
            return 0

    mfusepy.FUSE(Hanging(), mount, foreground=True, ro=True, allow_other=True, attr_timeout=0, entry_timeout=0)


@asynccontextmanager
async def hanging(mount: Path, folder: Path) -> AsyncIterator[trio.Process]:
    """Have such a file system mounted; a test without FUSE is skipped. Give its process."""
    if not (os.access("/dev/fuse", os.W_OK) and shutil.which("fusermount")):
        pytest.skip("no FUSE here: /dev/fuse or fusermount is missing")
    pytest.importorskip("mfusepy")
    mount.mkdir()
    command = [sys.executable, "-m", "tests.faults.hung", str(mount), str(folder)]
    process = await trio.lowlevel.open_process(command, stderr=subprocess.PIPE)
    try:
        with trio.move_on_after(LIMIT_S):
            while not os.path.ismount(mount):
                if process.poll() is not None:
                    assert process.stderr is not None
                    pytest.skip(f"FUSE cannot be used here: {(await process.stderr.receive_some()).decode()[-200:]}")
                await trio.sleep(POLL_S)
        yield process
    finally:
        with trio.CancelScope(shield=True):
            process.send_signal(signal.SIGCONT)
            process.kill()  # The kernel then gives everybody who waits an error.
            await process.wait()
            unmount(mount)


@contextmanager
def tmpfs(mount: Path, size: str = "64m") -> Iterator[None]:
    """Mount memory as a file system; without the right to, the test is skipped."""
    mount.mkdir(exist_ok=True)
    if complaint := mount_memory(mount, size):
        pytest.skip(f"nothing can be mounted here: {complaint}")
    try:
        yield
    finally:
        unmount(mount)


def mount_memory(mount: Path, size: str = "64m") -> str:
    """Mount memory; give the complaint, "" if it is mounted."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(mount)]
    return subprocess.run(command, capture_output=True, check=False, text=True).stderr.strip()


def unmount(mount: Path, how: str = "-l") -> bool:
    """Take a file system away, by default whoever still uses it; tell whether it is gone."""
    command = ["umount", *([how] if how else []), str(mount)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


if __name__ == "__main__":
    serve(*sys.argv[1:])

"""A private PostgreSQL: on a UNIX socket in a temporary directory, for the tests of one run."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest

START_LIMIT_S = 60.0
NUMBERS = count(1)


class PrivatePostgres:
    """A cluster of its own. Made by `private_postgres`."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id of the server."""
        assert self._process is not None, "it does not run"
        return self._process.pid

    def address(self, database: str) -> str:
        """Where a daemon finds a database of it."""
        return f"postgresql://imgd@/{database}?host={self._folder}"

    def new_database(self) -> str:
        """Make an empty database; return its address."""
        name = f"test{next(NUMBERS)}"
        self.execute("postgres", f"CREATE DATABASE {name}")  # type: ignore[arg-type]
        return self.address(name)

    def execute(self, database: str, text: LiteralString, *values: Any) -> list[Any]:
        """Run one statement in a connection of its own; `database` is a name, or an address."""
        address = database if "://" in database else self.address(database)
        with psycopg.connect(address, autocommit=True) as connection:
            cursor = connection.execute(text, values or None)
            return cursor.fetchall() if cursor.description else []

    def initialise(self) -> None:
        """Make the cluster."""
        command = [self._programs / "initdb", "-D", self._data, "-U", "imgd", "--auth=trust", "-E", "UTF8"]
        made = subprocess.run(
            [*command, "--locale=C", "--no-sync"], capture_output=True, text=True, check=False, **self._as_user()
        )
        assert made.returncode == 0, made.stderr

    def start(self) -> None:
        """Start the server, and wait until it answers; it ends with this process, whatever becomes of that."""
        assert self._process is None, "it runs"
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self._folder),
            "shared_buffers": "16MB",
            "max_connections": "60",
            "fsync": "on",
        }
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "QUIT", "--", self._programs / "postgres", "-D", self._data]
                + [f"--{name}={value}" for name, value in settings.items()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **self._as_user(),
            )
        deadline = time.monotonic() + START_LIMIT_S
        while not self._answers():
            ended = self._process.poll() is not None
            assert not ended and time.monotonic() < deadline, (self._folder / "log").read_text()
            time.sleep(0.02)  # Nobody tells us: it is asked.

    def _answers(self) -> bool:
        try:
            self.execute("postgres", "SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End the server: SIGINT as an administrator does, dropping connections; SIGQUIT without a checkpoint."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(START_LIMIT_S)
            self._process = None

    def kill(self) -> None:
        """Kill all its processes at once, as a crash of the machine would."""
        assert self._process is not None, "it does not run"
        self._process.send_signal(signal.SIGSTOP)  # It must not notice that its children die.
        children = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _parent(pid) == self.pid]
        for pid in [*children, self.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait(START_LIMIT_S)
        self._process = None

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _as_user(self) -> dict[str, Any]:
        """PostgreSQL refuses to be root."""
        if os.geteuid() != 0:
            return {"cwd": self._folder}
        user = pwd.getpwnam("postgres")
        os.chown(self._folder, user.pw_uid, user.pw_gid)
        return {"cwd": self._folder, "user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


@contextlib.contextmanager
def private_postgres() -> Iterator[PrivatePostgres]:
    """Have a private PostgreSQL that runs; nothing of it is left at the end."""
    programs = _programs()
    with tempfile.TemporaryDirectory(prefix="imgd-pg-", ignore_cleanup_errors=True) as name:
        server = PrivatePostgres(programs, Path(name))
        try:
            server.initialise()
            server.start()
            yield server
        finally:
            server.stop(signal.SIGQUIT)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PrivatePostgres]:
    """Have one private PostgreSQL for all tests of a run."""
    with private_postgres() as server:
        yield server


def _programs() -> Path:
    places = [Path(found).resolve().parent] if (found := shutil.which("postgres")) else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda place: -int(place.parent.name.split(".")[0]))
    for place in places:
        if (place / "initdb").exists():
            return place
    pytest.fail("PostgreSQL's server is not installed (Debian: postgresql); these tests start one of their own")


def _parent(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(text.rpartition(")")[2].split()[1])

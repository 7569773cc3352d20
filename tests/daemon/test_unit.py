"""What systemd is told and gives, by its own protocols and programs, and the unit files as they are delivered."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from imgd.cli import EXIT_NOT_NOW, EXIT_WRONG_SETTING
from imgd.config import Settings
from imgd.ending import TIDY_S
from imgd.events.own_database import own_database
from imgd.loading import load_settings
from imgd.notify import Notifier
from imgd.setting_kinds import Root
from imgd.web.serve import LAST_WORDS_S
from tests.daemon.http1 import Http1
from tests.daemon.rig import PROGRAM, PROJECT, running_daemon, starting_daemon
from tests.frames import make

UNITS = PROJECT / "systemd"
LIMIT_S = 60.0
EXPOSURE_MAX = 10  # Of 100: "SAFE" ends at 20.


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one frame."""
    place = tmp_path_factory.mktemp("frames")
    make.write(place / "a.fits", make.image_hdu(make.star_field(120, 160)))
    return place


class Supervisor:
    """Hears what the daemon tells: the other end of sd_notify, which is a datagram socket."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._heard: list[str] = []

    def read(self) -> list[str]:
        """Take what has been told since the last look."""
        new: list[str] = []
        while True:
            try:
                new.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                self._heard += new
                return new

    async def until_quiet(self, quiet_s: float) -> None:
        """Wait until nothing has been told for so long."""
        with trio.fail_after(LIMIT_S):
            since_s = trio.current_time()
            self._heard.clear()
            while trio.current_time() < since_s + quiet_s:
                if self.read():
                    since_s = trio.current_time()
                await trio.sleep(0.01)

    async def until(self, *words: str) -> str:
        """Wait until something is told that has all of these words in it; what was told before that is done with."""
        with trio.fail_after(LIMIT_S):
            while True:
                self.read()
                while self._heard:
                    text = self._heard.pop(0)
                    if all(word in text for word in words):
                        return text
                await trio.sleep(0.01)


@pytest.fixture
def supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    """A supervisor that wants a sign of life each second and a half."""
    address = f"{tmp_path}/notify"
    made = Supervisor(address)
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    monkeypatch.setenv("WATCHDOG_USEC", "1500000")
    with made.socket:
        yield made


async def test_the_supervisor_is_told_how_the_daemon_is(
    folder: Path, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PROGRAM, "tests.rig.stubborn")
    monkeypatch.setenv("HOLD_S", "4")
    async with running_daemon(f"f={folder}") as daemon:
        await supervisor.until("READY=1")
        await supervisor.until("STATUS=serving f; ")
        for pid in daemon.children():
            assert b"NOTIFY_SOCKET" not in Path(f"/proc/{pid}/environ").read_bytes()
        await supervisor.until("WATCHDOG=1")
        os.kill(daemon.pid, signal.SIGUSR1)  # Its loop is held up, which is what a supervisor is to notice.
        await supervisor.until_quiet(2.0)
        await supervisor.until("WATCHDOG=1")
        os.kill(daemon.pid, signal.SIGHUP)
        reloading = await supervisor.until("RELOADING=1")
        assert int(re.findall(r"MONOTONIC_USEC=(\d+)", reloading)[0]) > 0
        await supervisor.until("READY=1")
        os.kill(daemon.pid, signal.SIGTERM)
        await supervisor.until("STOPPING=1")
        assert await daemon.process.wait() == 0


async def test_a_daemon_that_is_aborted_says_where_it_was(folder: Path) -> None:
    async with starting_daemon(f"f={folder}") as daemon:
        os.kill(daemon.pid, signal.SIGABRT)
        assert await daemon.process.wait() == -signal.SIGABRT
        assert "Fatal Python error: Aborted" in daemon.log()
        await daemon.settles(lambda: not daemon.processes())


@pytest.mark.parametrize("kind", ["path", "abstract", "gone"])
def test_notices_never_fail(kind: str, tmp_path: Path) -> None:
    address = f"@imgd-test-{os.getpid()}" if kind == "abstract" else f"{tmp_path}/notify"
    environ = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid()), "ELSE": "x"}
    notifier = Notifier(environ)
    assert (environ, notifier.watchdog_s) == ({"ELSE": "x"}, 3.0)
    if kind == "gone":
        notifier.ready()
        return
    with Supervisor(address).socket as heard:
        notifier.status("two\nlines")
        notifier.status("two lines")
        notifier.ready()
        assert [heard.recv(100), heard.recv(100)] == [b"STATUS=two lines", b"READY=1"]


def test_what_must_be_known_is_said_again(tmp_path: Path) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": f"{tmp_path}/notify"})
    notifier.status("early")
    notifier.ready()  # Nobody is there, or does not read just now.
    with Supervisor(f"{tmp_path}/notify").socket as heard:
        notifier.alive()
        notifier.status("early")
        assert [heard.recv(100), heard.recv(100)] == [b"READY=1\nWATCHDOG=1", b"STATUS=early"]


def test_signs_of_life_that_another_process_owes_are_not_ours() -> None:
    assert Notifier({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}).watchdog_s == 0
    assert Notifier({"WATCHDOG_USEC": "1000"}).watchdog_s == 0


async def test_given_sockets_take_the_place_of_our_own(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PROGRAM, "tests.rig.given")
    monkeypatch.setenv("GIVEN", str(tmp_path))
    own = tmp_path / "own.sock"
    async with running_daemon(f"f={folder}", bind=f"unix:{own}", cgi_socket=f"{tmp_path}/own-cgi.sock") as daemon:
        assert (await daemon.get("/img?frame=f/a.fits")).status == 200
        stream = await trio.open_unix_socket(tmp_path / "web.sock")
        async with Http1(stream, "imgd.test") as client:
            assert (await client.get("/img?frame=f/a.fits")).status == 200
        environment = os.environ | {"IMGD_SOCKET": f"{tmp_path}/cgi.sock", "QUERY_STRING": "frame=f/a.fits"}
        environment |= {"GATEWAY_INTERFACE": "CGI/1.1", "REQUEST_METHOD": "GET", "PYTHONPATH": str(PROJECT)}
        command = [sys.executable, "-m", "cgi_worker.cli"]
        done = await trio.run_process(command, env=environment, capture_stdout=True)
        assert done.stdout.startswith(b"Status: 200 OK\r\n")
        assert not own.exists() and not (tmp_path / "own-cgi.sock").exists()
        for pid in daemon.children():
            assert b"LISTEN_" not in Path(f"/proc/{pid}/environ").read_bytes()
    assert (tmp_path / "web.sock").exists(), "what systemd listens at is not the daemon's to remove"


async def test_systemd_starts_it_with_the_first_connection(folder: Path, tmp_path: Path) -> None:
    program = shutil.which("systemd-socket-activate")
    if program is None:
        pytest.skip("systemd-socket-activate is not installed")
    path = tmp_path / "web.sock"
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "IMGD_DATABASE": f"sqlite:{tmp_path}/events.sqlite"}
    passed = [f"-E{name}={environment[name]}" for name in ("PATH", "PYTHONPATH", "IMGD_DATABASE")]
    command = [program, "-l", str(path), *passed, sys.executable, "-m", "imgd.cli", "serve", f"f={folder}"]
    with (tmp_path / "log").open("wb") as log:
        process = await trio.lowlevel.open_process(command, stdout=log, stderr=log, env=environment)
    try:
        with trio.fail_after(LIMIT_S):
            while not path.exists():
                await trio.sleep(0.01)
            async with Http1(
                await trio.open_unix_socket(path), "imgd.test"
            ) as client:  # It waits while the daemon begins.
                assert (await client.get("/healthz")).status == 200
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0, (tmp_path / "log").read_text()
        assert path.exists()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_descriptor_that_is_no_listening_socket_is_refused(folder: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "LISTEN_FDS": "1", "PYTHONPATH": str(PROJECT)}
    words = f"import os; os.environ['LISTEN_PID'] = str(os.getpid()); os.dup2(1, 3); from imgd.cli import main; main(['serve', 'f={folder}'])"  # noqa: E501
    done = await trio.run_process(
        [sys.executable, "-c", words], env=environment, capture_stdout=True, capture_stderr=True, check=False
    )
    assert done.stderr.startswith(b"imgd: descriptor 3, given by the supervisor, is no listening socket")


# The files themselves


def values(unit: str, name: str) -> list[str]:
    """All values of one directive."""
    return re.findall(rf"^{name}=(.*)$", (UNITS / unit).read_text(), re.MULTILINE)


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The unit files in a folder, as they are but for the program, which is not installed here."""
    for unit in UNITS.iterdir():
        (tmp_path / unit.name).write_text(unit.read_text().replace("/opt/imgd/bin/imgd", sys.executable))
    return tmp_path


def analyze(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Ask systemd-analyze."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("unit", ["imgd.service", "imgd.socket", "imgd@.service", "imgd@.socket"])
def test_units_are_right(unit: str, units: Path) -> None:
    done = analyze("verify", "--man=no", str(units / unit))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("unit", ["imgd.service", "imgd@.service"])
def test_units_may_do_little(unit: str, units: Path) -> None:
    done = analyze("security", "--offline=yes", f"--threshold={EXPOSURE_MAX}", "--no-pager", str(units / unit))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("unit", ["imgd.service", "imgd@.service"])
def test_units_fit_the_daemon(unit: str) -> None:
    settings = Settings(roots=(Root("f", Path("/")),))
    [stop_s] = values(unit, "TimeoutStopSec")
    assert float(stop_s) > settings.shutdown_s + LAST_WORDS_S + TIDY_S, "systemd would kill what is still draining"
    assert values(unit, "ExecStart") == ["/opt/imgd/bin/imgd serve --config /etc/imgd/imgd.toml"]
    assert (values(unit, "Type"), values(unit, "KillMode")) == (["notify"], ["mixed"])
    page = (PROJECT / "docs/systemd.md").read_text()
    for place in ("/opt/imgd", "/etc/imgd/imgd.toml"):
        assert place in page


@pytest.mark.parametrize("unit", ["imgd.service", "imgd@.service"])
def test_what_cannot_be_had_now_is_tried_again_and_what_is_wrong_is_not(unit: str) -> None:
    """And nothing spins: a socket with waiting connections starts a daemon that ended again, however it ended."""
    [refused] = values(unit, "RestartPreventExitStatus")
    assert refused == str(EXIT_WRONG_SETTING) != str(EXIT_NOT_NOW)
    [pause_s], [limit_s], [starts] = (
        values(unit, name) for name in ("RestartSec", "StartLimitIntervalSec", "StartLimitBurst")
    )
    assert float(pause_s) * (int(starts) - 1) > float(limit_s), "systemd would give up what is tried again at its pace"


def test_each_daemon_keeps_its_events_where_it_may_write() -> None:
    """With the settings as they are delivered, which all units share."""
    found = []
    for unit, name in (("imgd.service", ""), ("imgd@.service", "a"), ("imgd@.service", "b")):
        assert values(unit, "ProtectSystem") == ["strict"] and not values(unit, "ReadWritePaths")
        [state] = values(unit, "StateDirectory")
        environ = {"STATE_DIRECTORY": f"/var/lib/{state.replace('%i', name)}"}
        environ |= dict(each.partition("=")[::2] for each in values(unit, "Environment"))
        settings = load_settings({}, environ, str(UNITS / "imgd.toml"))
        place = settings.database.removeprefix("sqlite:") or str(own_database(settings.roots, environ))
        assert place == f"{environ['STATE_DIRECTORY']}/events.sqlite"
        found.append(place)
    assert len(set(found)) == 3


def test_sockets_are_those_of_the_fronts() -> None:
    [web], [cgi] = values("imgd.socket", "ListenStream"), values("imgd.socket", "ListenSequentialPacket")
    assert f"unix:{web}" in (PROJECT / "nginx/imgd-site.conf").read_text()
    lighttpd = (PROJECT / "lighttpd/imgd-site.conf").read_text()
    assert f'"{web}"' in lighttpd and f'"{cgi}"' in lighttpd
    [each] = values("imgd@.socket", "ListenStream")
    assert f"unix:{each.replace('%i', 'a')}" in (PROJECT / "nginx/upstreams.conf").read_text()


def test_what_is_left_out_says_why() -> None:
    """Each hardening that the analysis misses is named in the file, with its reason."""
    text = (UNITS / "imgd.service").read_text()
    for name in ("MemoryDenyWriteExecute", "PrivateUsers", "ProcSubset", "RootDirectory", "~@resources"):
        assert re.search(rf"^#.*{name}.*\S", text, re.MULTILINE), name

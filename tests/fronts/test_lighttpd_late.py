"""A CGI whose connection closes while it still has memory of the daemon's mapped: nothing is free before it is gone."""

import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from tests.daemon import kernel
from tests.daemon.figures import metrics, until_free
from tests.daemon.http1 import Http1, Response, connect
from tests.daemon.rig import PROJECT, RunningDaemon, running_daemon
from tests.daemon.test_crowd import alone_bytes
from tests.frames import make
from tests.fronts.lighttpd import running_lighttpd_cgi
from tests.fronts.place import Certificate, Place, make_certificate

BUDGET_BYTES = 16 << 20
SIZE = (1_000, 1_500)  # Its picture takes more than half of the budget: the next one has to have the same memory.
LIMIT_S = 30.0  # Against hanging.
LOOKS = 50


def query(name: str) -> str:
    return f"frame=f/{name}.fits&size=max&format=png"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "frames"
    place.mkdir()
    for seed, name in enumerate(("late", "next", "third", "fourth")):
        make.write(place / f"{name}.fits", make.image_hdu(make.star_field(*SIZE, seed)))
    return place


@asynccontextmanager
async def asking(place: Place, certificate: Certificate, target: str) -> AsyncIterator[Http1]:
    async with connect(place.host, place.tls_port, context=certificate.client_context("http/1.1")) as browser:
        await browser.send("GET", target)
        yield browser


async def get(place: Place, certificate: Certificate, target: str) -> Response:
    async with connect(place.host, place.tls_port, context=certificate.client_context("http/1.1")) as browser:
        return await browser.get(target)


async def until(found: Path) -> int:
    """Wait for the late one's note: its process id."""
    with trio.fail_after(LIMIT_S):
        while not found.exists() or not found.read_text():
            await trio.sleep(0.01)
    return int(found.read_text())


def late_program(folder: Path, note: Path) -> Path:
    """Write a CGI program that is late with one frame, and as any other with all others."""
    program = folder / "late-cgi"
    program.write_text(
        f"#!{sys.executable}\n"
        "import os, sys\n"
        f"sys.path.insert(0, {str(PROJECT)!r})\n"
        f"os.environ['LATE_NOTE'] = {str(note)!r}\n"
        "if 'late' in os.environ['QUERY_STRING']:\n"
        "    from tests.rig.late_cgi import main\n"
        "else:\n"
        "    from cgi_worker.cli import main\n"
        "sys.exit(main())\n"
    )
    program.chmod(0o755)
    return program


async def memory_is_held(daemon: RunningDaemon) -> None:
    """Check that the late one's memory is still its own, and too much of it for another picture."""
    figures = await metrics(daemon)
    held = figures["imgd_engine_leased_bytes"] + figures["imgd_engine_reserved_bytes"]
    assert held > BUDGET_BYTES / 2, f"{held} bytes are held: the next picture has room beside them"


@dataclass(frozen=True)
class Late:
    """A daemon and a lighttpd, and the process id of the CGI that hung up after a browser had asked for it."""

    daemon: RunningDaemon
    place: Place
    certificate: Certificate
    pid: int

    @property
    def is_there(self) -> bool:
        """True while the process lives, stopped or not."""
        return self.pid in kernel.family(self.pid)


@asynccontextmanager
async def one_is_late(folder: Path, tmp_path: Path, sent: signal.Signals | None = None) -> AsyncIterator[Late]:
    """Have a CGI hang up in the middle of its work, its browser leave, and lighttpd tell it so.

    sent  what is sent to it before the browser leaves.
    """
    certificate, note = make_certificate(tmp_path), tmp_path / "late"
    web, cgi = tmp_path / "web.sock", tmp_path / "cgi.sock"
    program = str(late_program(tmp_path, note))
    settings = {"budget_bytes": BUDGET_BYTES, "workers_max": 2, "worker_threads": 1, "memory_wait_s": 60}
    async with (
        running_daemon(f"f={folder}", bind=f"127.0.0.1:0,unix:{web}", cgi_socket=cgi, **settings) as daemon,
        running_lighttpd_cgi(tmp_path / "l", cgi, web, certificate, cgi_mode="attach", cgi_program=program) as place,
    ):
        for name in ("late", "next"):
            await daemon.get(f"/frame/f/{name}.fits")  # What is lent is for the pictures alone.
        async with asking(place, certificate, f"/img?{query('late')}") as browser:
            late = await until(note)
            await memory_is_held(daemon)
            if sent is not None:
                os.kill(late, sent)
            await browser.leave()
        yield Late(daemon, place, certificate, late)
        assert not kernel.family(late)
        await until_free(daemon)


@pytest.mark.parametrize("next_one", ["a worker of the daemon", "a CGI that attaches"])
async def test_memory_is_not_given_on_while_somebody_who_hung_up_writes_to_it(
    folder: Path, tmp_path: Path, next_one: str
) -> None:
    async with one_is_late(folder, tmp_path) as late:
        with trio.fail_after(LIMIT_S):
            if next_one == "a CGI that attaches":
                following = await get(late.place, late.certificate, f"/img?{query('next')}")
            else:
                following = await late.daemon.get(f"/img?{query('next')}")
        assert not late.is_there, "its memory was given on while it lived"
        assert following.status == 200
        assert following.body == alone_bytes(folder, pairs("next")), "somebody else's writing is in the picture"


async def test_one_that_is_stopped_writes_into_nothing_when_it_goes_on(folder: Path, tmp_path: Path) -> None:
    """Stopped it does not hear SIGTERM, and is not gone: the next picture has to wait until the daemon has ended it."""
    async with one_is_late(folder, tmp_path, signal.SIGSTOP) as late:
        with trio.fail_after(LIMIT_S):
            following = await late.daemon.get(f"/img?{query('next')}")
        expected = alone_bytes(folder, pairs("next"))
        assert following.body == expected
        with contextlib.suppress(ProcessLookupError):  # It is gone, as it should be.
            os.kill(late.pid, signal.SIGCONT)
        for _ in range(LOOKS):
            kept = (await late.daemon.get(f"/img?{query('next')}")).body
            assert kept == expected, "what is kept was written over"
            if not late.is_there:
                break


def pairs(name: str) -> list[tuple[str, str]]:
    return [("frame", f"f/{name}.fits"), ("size", "max"), ("format", "png")]

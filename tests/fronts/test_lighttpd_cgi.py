"""What lighttpd/imgd-cgi.conf promises: pictures by a program, past the daemon; who leaves takes all along."""

import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import trio

import cgi_worker
from cgi_worker.cgi_question import NAMES
from cgi_worker.wire.question import QUESTIONS
from tests.daemon import kernel
from tests.daemon.figures import metrics, until_free
from tests.daemon.http1 import Http1, Response, connect
from tests.daemon.http2 import connect2
from tests.daemon.rig import RunningDaemon, running_daemon
from tests.daemon.test_crowd import alone_bytes
from tests.daemon.test_faults import BIG
from tests.frames import make
from tests.fronts.lighttpd import FILES, errors_of, pid_of, running_lighttpd_cgi
from tests.fronts.place import Certificate, Place, make_certificate

LIMIT_S = 30.0  # Against hanging.
WORLD = [
    make.card("CTYPE1", "RA---TAN"), make.card("CTYPE2", "DEC--TAN"), make.card("CRPIX1", 750.0),
    make.card("CRPIX2", 500.0), make.card("CRVAL1", 83.6), make.card("CRVAL2", -5.4), make.card("CDELT1", -3e-4),
    make.card("CDELT2", 3e-4),
]  # fmt: skip
PICTURE = "frame=f/a.fits&size=max&format=png"
PAIRS = [("frame", "f/a.fits"), ("size", "max"), ("format", "png")]
LONG_WORK = "/img?frame=f/big.fits&size=max&format=png&levels=0.1,0.9"
ASKED = {
    "img": "size=300,", "thumbnail": "", "pixel": "x=3&y=4", "profile": "line=1,1,40,30",
    "region": "shape=circle&numbers=50,50,9", "stats": "", "histogram": "bins=32", "stars": "count=5", "wcs": "",
    "export": "region=0,0,64,32&format=npy",
}  # fmt: skip


@dataclass(frozen=True)
class Site:
    """A daemon with lighttpd before it."""

    daemon: RunningDaemon
    place: Place
    certificate: Certificate

    @asynccontextmanager
    async def browser(self, receive_buffer_bytes: int = 0) -> AsyncIterator[Http1]:
        """Open a connection by HTTP/1.1."""
        context = self.certificate.client_context("http/1.1")
        async with connect(self.place.host, self.place.tls_port, receive_buffer_bytes, context) as browser:
            yield browser

    async def get(self, target: str, **headers: str) -> Response:
        """Ask once."""
        with trio.fail_after(LIMIT_S):
            async with self.browser() as browser:
                return await browser.get(target, **headers)

    def programs(self) -> list[int]:
        """Find the CGI programs that run."""
        lighttpd = pid_of(self.place)
        return [pid for pid in kernel.family(lighttpd) if pid != lighttpd]


@asynccontextmanager
async def cgi_site(folder: Path, frames: Path, mode: str = "hand-over") -> AsyncIterator[Site]:
    certificate = make_certificate(folder)
    web, cgi = folder / "web.sock", folder / "cgi.sock"
    bind = f"127.0.0.1:0,unix:{web}"
    async with (
        running_daemon(f"f={frames}", bind=bind, cgi_socket=cgi, worker_threads=1, workers_max=1) as daemon,
        running_lighttpd_cgi(folder / "l", cgi, web, certificate, cgi_mode=mode) as place,
    ):
        yield Site(daemon, place, certificate)


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a frame, and one that takes long."""
    place = tmp_path_factory.mktemp("frames")
    make.write(place / "a.fits", make.image_hdu(make.star_field(1_000, 1_500), cards=WORLD))
    sky = np.tile(make.star_field(BIG[0] // 10, BIG[1] // 10), (10, 10))
    make.write(place / "big.fits", make.image_hdu(sky))
    return place


def test_the_files_name_all_that_a_cgi_answers() -> None:
    assert set(NAMES) == {"img", "thumbnail", *QUESTIONS} == set(ASKED)
    conf = (FILES / "imgd-cgi.conf").read_text()
    assert set(re.findall(r'"/(\w+)" => imgd_cgi_program', conf)) == set(NAMES)
    found = re.search(r'"\^/\(([\w|]+)\)\$"', conf)
    assert found is not None
    assert found[1].split("|") == list(NAMES)


async def test_handed_over(frames: Path, tmp_path: Path) -> None:
    """One daemon for all: its start takes longer than what is tested."""
    async with cgi_site(tmp_path, frames) as site:
        await every_answer_is_the_daemons(site, NAMES)
        await a_picture_does_not_pass_through_the_daemon(site, frames)
        await a_slow_reader_keeps_no_worker_from_its_work(site, frames)
        await who_leaves_takes_the_program_and_its_work_along(site)
        stopped = (await metrics(site.daemon))["imgd_engine_stopped_total"]
        assert stopped >= 5, "a worker was not stopped, but worked to its end"
        await lighttpd_that_ends_leaves_nothing_running(site)


async def test_attached(frames: Path, tmp_path: Path) -> None:
    async with cgi_site(tmp_path, frames, "attach") as site:
        await every_answer_is_the_daemons(site, ("img", "stats"))
        await who_leaves_takes_the_program_and_its_work_along(site)


async def every_answer_is_the_daemons(site: Site, names: Sequence[str]) -> None:
    for name in names:
        query = f"frame=f/a.fits&{ASKED[name]}".removesuffix("&")
        answer, own = await site.get(f"/{name}?{query}"), await site.daemon.get(f"/{name}?{query}")
        assert (answer.status, answer.body) == (own.status, own.body), (name, answer.body[:300])
        assert answer.status == 200, (name, answer.body)
        for header in ("etag", "content-type", "cache-control", "content-length", "content-disposition"):
            assert answer.headers.get(header) == own.headers.get(header), (name, header)
    for target, status in (("/stats?frame=f/none.fits", 404), ("/pixel?frame=f/a.fits", 400), ("/img?u=x", 404)):
        answer, own = await site.get(target), await site.daemon.get(target)
        assert answer.status == own.status == status
        assert answer.headers["content-type"] == own.headers["content-type"] == "application/problem+json"
    assert (await site.get("/healthz")).status == 200  # By the proxy, as all else.
    await until_free(site.daemon)
    assert "Traceback" not in errors_of(site.place)


async def a_picture_does_not_pass_through_the_daemon(site: Site, frames: Path) -> None:
    """By the kernel's counts of what each process wrote to anything that is no socket: lighttpd's pipe is none."""
    answers = (await metrics(site.daemon))["imgd_web_answers_total"]
    daemon_before = written_bytes(site.daemon.pid)
    body = (await site.get(f"/img?{PICTURE}")).body
    assert body == alone_bytes(frames, PAIRS)
    assert len(body) > 500_000
    workers = [written_bytes(pid) for pid in site.daemon.children()]
    assert max(workers) >= len(body), "no worker wrote it"
    assert written_bytes(site.daemon.pid) - daemon_before < len(body) / 4, "the daemon wrote it"
    assert (await metrics(site.daemon))["imgd_web_answers_total"] == answers


async def a_slow_reader_keeps_no_worker_from_its_work(site: Site, frames: Path) -> None:
    async with site.browser(4_096) as slow:
        await slow.send("GET", f"/img?{PICTURE}")
        assert (await slow.response()).status == 200
        with trio.fail_after(LIMIT_S):
            await until_free(site.daemon)  # While its reader has hardly begun.
            assert (await site.get("/img?frame=f/a.fits&size=100,")).status == 200
            body = b"".join([piece async for piece in slow.body()])
        assert body == alone_bytes(frames, PAIRS)


async def who_leaves_takes_the_program_and_its_work_along(site: Site) -> None:
    await site.daemon.get("/frame/f/big.fits")
    for way in ("fin", "rst", "h2 fin", "h2 rst", "h2 stream"):
        await ask_and_leave(site, way)
        with trio.fail_after(LIMIT_S):
            await until_free(site.daemon)
            while site.programs():  # The kernel is asked.
                await trio.sleep(0.01)
    assert (await site.get("/img?frame=f/a.fits&size=100,")).status == 200


async def ask_and_leave(site: Site, way: str) -> None:
    """Ask for what takes long, wait until it is being made, and leave in this way."""
    context = site.certificate.client_context("h2" if way.startswith("h2") else "http/1.1")
    opened = connect2 if way.startswith("h2") else connect
    async with opened(site.place.host, site.place.tls_port, context=context) as browser:
        number = await browser.send("GET", LONG_WORK)
        with trio.fail_after(LIMIT_S):
            while not (await metrics(site.daemon))["imgd_engine_leased_bytes"]:
                await trio.sleep(0.005)
        assert site.programs()
        if way == "h2 stream":
            await browser.reset(number)  # type: ignore[union-attr]
            await until_free(site.daemon)
        else:
            await browser.leave(reset=way.endswith("rst"))


async def lighttpd_that_ends_leaves_nothing_running(site: Site) -> None:
    await site.daemon.get("/frame/f/big.fits")
    async with site.browser() as browser:
        await browser.send("GET", LONG_WORK)
        with trio.fail_after(LIMIT_S):
            while not (await metrics(site.daemon))["imgd_engine_leased_bytes"]:
                await trio.sleep(0.005)
        programs = site.programs()
        os.kill(pid_of(site.place), 15)
        with trio.fail_after(LIMIT_S):
            while any(kernel.family(pid) for pid in programs):
                await trio.sleep(0.01)
    await until_free(site.daemon)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can have lighttpd become somebody else")
async def test_lighttpd_runs_as_a_user_of_its_own(frames: Path) -> None:
    python = shutil.which("python3", path="/usr/bin")
    if python is None:
        pytest.skip("there is no Python in /usr/bin, where other users may look")
    target = "/img?frame=f/a.fits&size=300,"
    with tempfile.TemporaryDirectory(prefix="imgd-www-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        certificate = make_certificate(folder)
        web, cgi = folder / "web.sock", folder / "cgi.sock"
        program = program_of_its_own(folder, python)
        more = {"bind": f"127.0.0.1:0,unix:{web}", "cgi_socket": cgi, "cgi_users": "www-data", "workers_max": 1}
        async with running_daemon(f"f={frames}", **more) as daemon:
            web.chmod(0o666)
            own = await daemon.get(target)
            for user, status in (("www-data", 200), ("nobody", 503)):
                place_of_front = folder / user
                place_of_front.mkdir()
                number = pwd.getpwnam(user)
                os.chown(place_of_front, number.pw_uid, number.pw_gid)
                values = {"cgi_program": str(program), "user": user}
                async with running_lighttpd_cgi(place_of_front, cgi, web, certificate, **values) as place:
                    assert os.stat(f"/proc/{pid_of(place)}").st_uid == number.pw_uid
                    site = Site(daemon, place, certificate)
                    assert (await site.get("/healthz")).status == 200
                    answer = await site.get(target)
                    assert answer.status == status, (user, answer.body, errors_of(place))
                    assert (answer.body == own.body) == (status == 200)
            assert f"user {number.pw_uid} may not ask (see cgi_users)" in daemon.log()


def program_of_its_own(folder: Path, python: str) -> Path:
    """Write the program for a user who may not go where this Python lies; what only asks needs nothing else of ours."""
    ours = folder / "ours" / "cgi_worker"
    ours.mkdir(parents=True)
    package = Path(next(iter(cgi_worker.__path__)))
    for name in ("__init__", "cli", "cgi", "cgi_answer", "cgi_question"):
        shutil.copy(package / f"{name}.py", ours)
    program = folder / "imgd-cgi"
    text = f"#!{python} -IS\nimport sys\nsys.path += [{str(ours.parent)!r}]\nfrom cgi_worker.cli import main\n"
    program.write_text(text + "sys.exit(main())\n")
    program.chmod(0o755)
    assert subprocess.run(["/usr/bin/env", "-i", program], capture_output=True, check=False).returncode != 126
    return program


def written_bytes(pid: int) -> int:
    """Tell how much a process has written by write(), by the kernel's count; 0 when it is gone."""
    try:
        text = Path(f"/proc/{pid}/io").read_text()
    except OSError:
        return 0
    return int(re.findall(r"^wchar: (\d+)$", text, re.MULTILINE)[0])

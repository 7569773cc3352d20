"""nginx before the daemon, with the project's own files: a main file and a site file are all that is the tests'."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.daemon.asking import Asking
from tests.daemon.figures import until_free
from tests.daemon.rig import RunningDaemon, running_daemon
from tests.fronts.place import Certificate, Place, make_certificate

PROJECT = Path(__file__).resolve().parents[2]
FILES = PROJECT / "nginx"
PAGE = PROJECT / "imgd" / "web" / "page"
MODULES = Path("/usr/lib/nginx/modules")
HOST = "127.0.0.1"
BEGIN_LIMIT_S = 20.0
END_LIMIT_S = 20.0
FREE_LIMIT_S = 20.0  # Against hanging, on a machine that has much else to do.

MAIN = """
{user}
daemon off;
worker_processes {workers};
worker_shutdown_timeout 2s;
worker_rlimit_nofile 8192;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
{modules}
events {{ worker_connections 4096; }}
http {{
    default_type application/octet-stream;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include imgd/imgd.conf;
}}
"""

SITE = """
{upstream}
proxy_cache_path {folder}/cache levels=1:2 keys_zone=imgd:16m max_size=256m inactive=1d use_temp_path=off;
map $remote_addr $imgd_client {{ default {counted}; }}
geo $imgd_monitor {{ default "{monitor}"; }}
server {{
    listen {host}:{tls_port} ssl http2 so_keepalive=30s:8s:3;
    server_name localhost;
    ssl_certificate {certfile};
    ssl_certificate_key {keyfile};
    root {page};
    access_log {folder}/access.log imgd;
    {authorisation}
    include imgd/imgd-server.conf;
    {more}
}}
{beside}
server {{
    listen {host}:{plain_port};
    server_name localhost;
    access_log off;
    return 308 https://{host}:{tls_port}$request_uri;
}}
"""

ALL_MAY = "location = /imgd-auth { internal; return 204; }"
ONE_DAEMON = "upstream imgd {{ server unix:{socket}; keepalive 256; keepalive_timeout 10s; }}"


@dataclass(frozen=True)
class Site:
    """What a test's site file says besides ports, certificate and folders.

    upstream       the `upstream imgd`; "": the one daemon.
    authorisation  the location that is asked who may.
    more           further lines of the `server`.
    beside         further lines beside it; {folder} in them and in `more` is nginx's own folder.
    monitor        "1": /metrics is open.
    is_counted     the limit of requests at the same time of one client holds for the tests' address as well.
    modules        names of modules to load, such as "brotli_static".
    """

    upstream: str = ""
    authorisation: str = ALL_MAY
    more: str = ""
    beside: str = ""
    monitor: str = ""
    is_counted: bool = False
    modules: Sequence[str] = ()
    workers: int = 2


class NginxFailed(AssertionError):
    """nginx did not start or end as it should; holds the end of its log."""


@asynccontextmanager
async def running_nginx(
    folder: Path, daemon_socket: Path, certificate: Certificate, *, site: Site | None = None
) -> AsyncIterator[Place]:
    """Start nginx in `folder` before the daemon at `daemon_socket`; at the end stop it and see that nothing is left.

    Skips the test where there is no nginx.

    Raises  NginxFailed if it does not start or end in time, or leaves processes.
    """
    program = nginx_program()
    folder.mkdir(parents=True, exist_ok=True)
    with _listening() as tls, _listening() as plain:
        place = Place(HOST, tls.getsockname()[1], plain.getsockname()[1], (folder / "error.log", folder / "access.log"))
        write_files(folder, daemon_socket, certificate, place, site or Site())
        with (folder / "stderr.log").open("wb") as log:
            process = await trio.lowlevel.open_process(
                [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # nginx takes sockets that are open already, by this name: no port can be lost to another test.
                env={**os.environ, "NGINX": f"{tls.fileno()};{plain.fileno()};"},
                pass_fds=(tls.fileno(), plain.fileno()),
                start_new_session=True,
            )
    try:
        await _until_ready(process, place, folder)
        yield place
        await _end(process, folder)
    finally:
        with trio.CancelScope(shield=True):
            await _kill(process)


@asynccontextmanager
async def daemon_behind_nginx(
    folder: Path, roots: str, site: Site | None = None, **settings: object
) -> AsyncIterator["Fronted"]:
    """Start a daemon, and nginx before it, in a folder of the test's."""
    certificate, at = make_certificate(folder), folder / "daemon.sock"
    async with (
        running_daemon(roots, bind=f"127.0.0.1:0,unix:{at}", **settings) as daemon,
        running_nginx(folder / "nginx", at, certificate, site=site) as place,
    ):
        yield Fronted(daemon, Asking(host=place.host, port=place.tls_port, certificate=certificate), place)


@dataclass(frozen=True)
class Fronted:
    """A daemon, and whom its readers ask."""

    daemon: RunningDaemon
    front: Asking
    place: Place

    async def until_free(self) -> None:
        """Wait until the daemon makes nothing, and nothing is leased."""
        await until_free(self.daemon, FREE_LIMIT_S)

    async def access(self, **named: str) -> dict[str, Any]:
        """Read the last line of the log of requests with these values; it may be written after the answer is read."""
        with trio.fail_after(FREE_LIMIT_S):
            while True:
                for line in reversed(self.accesses()):
                    if named.items() <= line.items():
                        return line
                await trio.sleep(0.001)

    def accesses(self) -> list[dict[str, Any]]:
        """Read the log of requests."""
        return [json.loads(line) for line in self.place.logs[1].read_text().splitlines()]


def nginx_program() -> str:
    """Find nginx; skip the test where there is none."""
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        pytest.skip("nginx is not installed")
    return program


def write_files(folder: Path, daemon_socket: Path, certificate: Certificate, place: Place, site: Site) -> None:
    """Write the main file and the site file into `folder`, beside links to the project's files."""
    links = folder / "imgd"
    links.mkdir(exist_ok=True)
    for path in FILES.glob("*.conf"):
        if path.name != "imgd-site.conf" and not (links / path.name).exists():
            (links / path.name).symlink_to(path)
    modules = "\n".join(f"load_module {MODULES}/ngx_http_{name}_module.so;" for name in site.modules)
    (folder / "nginx.conf").write_text(
        MAIN.format(
            folder=folder, modules=modules, workers=site.workers, user="user root;" if os.geteuid() == 0 else ""
        )
    )
    (links / "imgd-site.conf").write_text(
        SITE.format(
            folder=folder,
            host=place.host,
            tls_port=place.tls_port,
            plain_port=place.plain_port,
            certfile=certificate.certfile,
            keyfile=certificate.keyfile,
            page=PAGE,
            upstream=site.upstream or ONE_DAEMON.format(socket=daemon_socket),
            authorisation=site.authorisation,
            more=site.more.replace("{folder}", str(folder)),
            beside=site.beside.replace("{folder}", str(folder)),
            monitor=site.monitor,
            counted="$binary_remote_addr" if site.is_counted else '""',
        )
    )


@contextlib.contextmanager
def _listening() -> Iterator[socket.socket]:
    """Listen at a free port, for nginx to take over."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((HOST, 0))
        sock.listen(511)
        sock.setblocking(False)  # nginx takes it as it is, and two of its workers may wake for one client.
        yield sock


async def _until_ready(process: trio.Process, place: Place, folder: Path) -> None:
    """Wait for an answer from the plain port."""
    with trio.move_on_after(BEGIN_LIMIT_S):
        while process.poll() is None:
            with contextlib.suppress(OSError, trio.BrokenResourceError):
                async with await trio.open_tcp_stream(place.host, place.plain_port) as stream:
                    await stream.send_all(b"GET / HTTP/1.0\r\n\r\n")
                    if await stream.receive_some(1):
                        return
            await trio.sleep(0.02)
    raise NginxFailed(f"does not start\n{_tail(folder)}")


async def _end(process: trio.Process, folder: Path) -> None:
    """Have it answer what is open, then end; `worker_shutdown_timeout` bounds that."""
    if process.poll() is None:
        process.send_signal(signal.SIGQUIT)
    with trio.move_on_after(END_LIMIT_S) as limit:
        code = await process.wait()
        while members(process.pid):
            await trio.sleep(0.01)
    if limit.cancelled_caught:
        raise NginxFailed(f"still there {END_LIMIT_S} s after SIGQUIT: {members(process.pid)}\n{_tail(folder)}")
    if code != 0:
        raise NginxFailed(f"exit code {code}\n{_tail(folder)}")


async def _kill(process: trio.Process) -> None:
    """Leave nothing, whatever has happened."""
    for pid in members(process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    with trio.move_on_after(END_LIMIT_S):
        await process.wait()


def members(session: int) -> list[int]:
    """Tell the living processes of a session: nginx and its workers."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, _, its_session = path.read_text().rsplit(")", 1)[1].split()[:4]
            if int(its_session) == session and state != "Z":
                found.append(int(path.parent.name))
    return sorted(found)


def reload(place: Place) -> set[int]:
    """Have nginx read its files anew; tell the workers that are to go for it."""
    master = _master(place)
    older = set(members(master)) - {master}
    os.kill(master, signal.SIGHUP)
    return older


def is_reloaded(place: Place, older: set[int]) -> bool:
    """Tell whether those that `reload` told are gone, and others there."""
    master = _master(place)
    found = set(members(master)) - {master}
    return bool(found) and not found & older


def _master(place: Place) -> int:
    return int((place.logs[0].parent / "nginx.pid").read_text())


def _tail(folder: Path) -> str:
    logs = [log for log in (folder / "stderr.log", folder / "error.log") if log.exists()]
    lines = [line for log in logs for line in log.read_text(errors="replace").splitlines()]
    return "\n".join([line for line in lines if not re.search(r"\[notice\]|\[info\]", line)][-20:])

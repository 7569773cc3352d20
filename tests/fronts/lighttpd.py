"""Start the real lighttpd before a daemon, with the very files that users get and a site file of the test's own."""

import contextlib
import grp
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
import trio

from cgi_worker.command import launcher
from tests.daemon.rig import PROJECT
from tests.fronts.place import Certificate, Place

FILES: Final = PROJECT / "lighttpd"
PACKAGED: Final = Path("/etc/lighttpd/lighttpd.conf")  # The main file as Debian gives it.
HOST: Final = "127.0.0.1"
START_LIMIT_S: Final = 20.0
END_LIMIT_S: Final = 20.0
TRIES: Final = 5  # A free port may be taken by another between being found and being listened at.


class FrontFailed(AssertionError):
    """lighttpd did not start, or did not end; holds what it said."""


@asynccontextmanager
async def running_lighttpd(
    folder: Path, daemon_socket: Path, certificate: Certificate, **site: str
) -> AsyncIterator[Place]:
    """Run lighttpd with lighttpd/imgd.conf before the daemon at `daemon_socket`.

    folder  a temporary one of the caller's; configuration, logs and temporary files go there.
    site    further values of the site file, by the names of its variables without "imgd_"; `user` is whom it becomes;
            `main` is the text of a main file, in which @PORT@ is the plain port.
    """
    values = {"socket": str(daemon_socket), **site}
    async with _running(folder, "imgd.conf", certificate, values) as place:
        yield place


@asynccontextmanager
async def running_lighttpd_cgi(
    folder: Path, cgi_socket: Path, daemon_socket: Path | None, certificate: Certificate, **site: str
) -> AsyncIterator[Place]:
    """Run lighttpd with lighttpd/imgd-cgi.conf: pictures by `imgd-cgi`, which asks at `cgi_socket`.

    daemon_socket  where the daemon answers all else; None: nobody does.
    site           as above; `cgi_mode="attach"` lets the CGI do the work itself.
    """
    values = {"socket": str(daemon_socket or folder / "nobody.sock"), "cgi_socket": str(cgi_socket), **site}
    async with _running(folder, "imgd-cgi.conf", certificate, values) as place:
        yield place


def pid_of(place: Place) -> int:
    """Tell the process id of a running lighttpd."""
    return int((place.logs[0].parent / "lighttpd.pid").read_text())


def errors_of(place: Place) -> str:
    """Read what lighttpd said of errors."""
    return place.logs[0].read_text(errors="replace")


def accesses_of(place: Place) -> str:
    """Read lighttpd's lines about requests that are over."""
    return place.logs[1].read_text(errors="replace")


@asynccontextmanager
async def _running(
    folder: Path, conf: str, certificate: Certificate, values: Mapping[str, str]
) -> AsyncIterator[Place]:
    folder.mkdir(parents=True, exist_ok=True)
    process, place = await _start(folder, conf, certificate, values)
    try:
        yield place
    finally:
        with trio.CancelScope(shield=True):
            await _end(process, place)


async def _start(
    folder: Path, conf: str, certificate: Certificate, values: Mapping[str, str]
) -> tuple[trio.Process, Place]:
    said = ""
    for _ in range(TRIES):
        place = Place(HOST, *_free_ports(), (folder / "error.log", folder / "access.log"))
        main = _write_files(folder, conf, certificate, place, values)
        with (folder / "stderr.log").open("wb") as log:
            process = await trio.lowlevel.open_process(
                ["/usr/sbin/lighttpd", "-D", "-f", str(main)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
                start_new_session=True,
            )
        try:
            if await _listens(process, place):
                return process, place
        except BaseException:
            with trio.CancelScope(shield=True):
                process.kill()
                await process.wait()
            raise
        said = "".join(log.read_text(errors="replace") for log in (folder / "stderr.log", *place.logs) if log.exists())
    raise FrontFailed(f"lighttpd does not start:\n{said}")


def packaged_main(folder: Path) -> str:
    """Read Debian's main file, with its folders in `folder` and its port as @PORT@; skip the test without one."""
    if not PACKAGED.exists() or "create-mime.conf.pl" not in (text := PACKAGED.read_text()):
        pytest.skip(f"{PACKAGED} is not there, or is not Debian's")
    (folder / "enabled").mkdir(parents=True, exist_ok=True)
    for path in PACKAGED.parent.glob("conf-enabled/*.conf"):
        shutil.copy(path, folder / "enabled")
    for told, own in (
        (r'"/var/www/html"', f'"{folder}/empty"'),
        (r'"/var/cache/lighttpd/uploads"', f'"{folder}/passing"'),
        (r'"/var/log/lighttpd/', f'"{folder}/'),
        (r'"/run/lighttpd.pid"', f'"{folder}/lighttpd.pid"'),
        (r'"/etc/lighttpd/conf-enabled/', f'"{folder}/enabled/'),
        (r"server.port +=.*", "server.port = @PORT@"),
        (r"server.(user|group)name +=.*", ""),
    ):
        text, count = re.subn(told, own, text)
        assert count, told
    return text


def checked(folder: Path, conf: str, certificate: Certificate, **site: str) -> str:
    """Have lighttpd read its files as at a start; tell what it says of them, "" if all is well."""
    folder.mkdir(parents=True, exist_ok=True)
    place = Place(HOST, *_free_ports(), (folder / "error.log", folder / "access.log"))
    main = _write_files(folder, conf, certificate, place, {"socket": str(folder / "nobody.sock"), **site})
    command = ["/usr/sbin/lighttpd", "-tt", "-f", str(main)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=START_LIMIT_S)
    return done.stdout + done.stderr + (f"exit code {done.returncode}" if done.returncode else "")


def _write_files(folder: Path, conf: str, certificate: Certificate, place: Place, values: Mapping[str, str]) -> Path:
    """Write the main file and the site file; the project's own is read from where it lies."""
    site = {
        "https": f"{HOST}:{place.tls_port}",
        "http": f"{HOST}:{place.plain_port}",
        "https_suffix": f":{place.tls_port}",
        "certificate": str(certificate.certfile),
        "key": str(certificate.keyfile),
        "folder": str(FILES),
        "access_log": str(place.logs[1]),
        "cgi_program": str(_cgi_program(folder)),
        "cgi_socket": str(folder / "nobody-cgi.sock"),
        "cgi_mode": "hand-over",
        **values,
    }
    user, text = site.pop("user", ""), site.pop("main", "")
    (folder / "imgd-site.conf").write_text("".join(f'var.imgd_{name} = "{value}"\n' for name, value in site.items()))
    for name in ("empty", "passing"):
        (folder / name).mkdir(exist_ok=True)
        if user:
            shutil.chown(folder / name, user, _group_of(user))
    main = folder / "lighttpd.conf"
    if text:
        main.write_text(f'{text.replace("@PORT@", str(place.plain_port))}\ninclude "{FILES}/{conf}"\n')
        return main
    main.write_text(
        f'server.document-root = "{folder}/empty"\n'
        f'server.bind = "{HOST}"\n'
        f"server.port = {place.plain_port}\n"
        f'server.errorlog = "{place.logs[0]}"\n'
        + (f'server.username = "{user}"\nserver.groupname = "{_group_of(user)}"\n' if user else "")
        + f'server.pid-file = "{folder}/lighttpd.pid"\n'
        f'server.upload-dirs = ("{folder}/passing")\n'
        f'include "{FILES}/{conf}"\n'
    )
    return main


def _group_of(user: str) -> str:
    return grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name


def _cgi_program(folder: Path) -> Path:
    """Write the program that users are told to write for their web server."""
    program = folder / "imgd-cgi"
    program.write_text(launcher())
    program.chmod(0o755)
    return program


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind((HOST, 0))
        other.bind((HOST, 0))
        return one.getsockname()[1], other.getsockname()[1]


async def _listens(process: trio.Process, place: Place) -> bool:
    """Wait until lighttpd listens at both ports; False if it ended instead."""
    pid_file = place.logs[0].parent / "lighttpd.pid"
    with trio.fail_after(START_LIMIT_S):
        while process.poll() is None:
            # Its own pid in the file: not another's port, nor an earlier file.
            if pid_file.exists() and pid_file.read_text().strip() == str(process.pid):
                with contextlib.suppress(OSError):
                    for port in (place.tls_port, place.plain_port):
                        await (await trio.open_tcp_stream(HOST, port)).aclose()
                    return True
            await trio.sleep(0.01)  # It tells nobody when it is there.
    return False


async def _end(process: trio.Process, place: Place) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    with trio.move_on_after(END_LIMIT_S) as limit:
        await process.wait()
    if limit.cancelled_caught:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        await process.wait()
        raise FrontFailed(f"lighttpd does not end:\n{errors_of(place)}")

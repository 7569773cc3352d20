"""Whether each place to listen at can be had, who has it else, and how the daemon there does."""

import errno
import os
import re
import socket
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from imgd.config import Settings
from imgd.doctor.finding import Finding, bad, ok, warn
from imgd.errors import ConfigError
from imgd.reaching import NotReached, Place, ask
from imgd.setting_kinds import TcpBind, UnixBind, parse_bind

LIMIT_S: Final = 3.0
EXPIRES_WARN_S: Final = 21 * 86_400.0
_LISTENING: Final = "0A"
Expiry = Callable[[str, str], float]
"""Load a certificate and its key; tell when it expires. Raises ConfigError."""


def check_network(settings: Settings, expiry: Expiry, *, is_given: bool = False) -> list[Finding]:
    """Look at all places, and at the certificate.

    is_given  True if systemd gives the sockets, so that the daemon makes none.
    """
    is_secure = bool(settings.certfile)
    findings = []
    if not is_given:
        findings += [finding for bind in settings.bind for finding in check_bind(bind, certfile=settings.certfile)]
        for bind in settings.redirect_bind:
            findings += check_bind(bind, redirects=True)
    if settings.cgi_socket and not is_given:
        findings.append(_socket_place("cgi_socket", settings.cgi_socket))
    return findings + (check_certificate(settings, expiry) if is_secure else [])


def check_bind(text: str, *, certfile: str = "", redirects: bool = False) -> list[Finding]:
    """Look at one place."""
    name = f"bind {text}"
    match parse_bind(text):
        case UnixBind(path):
            answered = daemon_at(Place(path=path)) if _is_socket(path) else None
            return [_told(name, answered)] if answered else [_socket_place(name, path)]
        case TcpBind(host, port):
            findings = [_tcp(name, host, port, certfile)]
            if not (certfile or redirects) and not _is_local(host):
                found = f"{host} can be reached from outside, without TLS"
                change = 'certfile and keyfile, or bind = "unix:/run/imgd/web.sock" behind nginx (docs/fronts.md)'
                findings.append(warn(name, found, change))
            return findings


def check_certificate(settings: Settings, expiry: Expiry) -> list[Finding]:
    """Judge certificate and key."""
    try:
        left_s = expiry(settings.certfile, settings.keyfile) - time.time()
    except ConfigError as error:
        change = "openssl x509 -in CERTFILE -noout -text; openssl pkey -in KEYFILE -check -noout; renew it"
        return [bad("certificate", str(error), change)]
    findings = []
    key = settings.keyfile or settings.certfile
    if os.stat(key).st_mode & (stat.S_IROTH | stat.S_IWGRP | stat.S_IWOTH):
        findings.append(bad("certificate", f"others may read or change the key {key}", f"chmod 640 {key}"))
    days = left_s / 86_400
    if left_s <= 0:
        findings.append(bad("certificate", f"{settings.certfile} has expired", "renew it, then systemctl reload imgd"))
    elif left_s < EXPIRES_WARN_S:
        change = "renew it, then systemctl reload imgd"
        findings.append(warn("certificate", f"{settings.certfile} expires in {days:.0f} days", change))
    else:
        findings.append(ok("certificate", f"{settings.certfile} is valid for {days:.0f} days; the key is its own"))
    return findings


def _tcp(name: str, host: str, port: int, certfile: str) -> Finding:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        return bad(name, f"{host} is no address: {error.strerror}", "an address of this machine: ip -brief address")
    family, kind, _, _, address = found[0]
    with socket.socket(family, kind) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(address)
        except OSError as error:
            return _not_bound(name, (host, port), error, certfile)
    return ok(name, "is free")


def _not_bound(name: str, place: tuple[str, int], error: OSError, certfile: str) -> Finding:
    host, port = place
    match error.errno:
        case errno.EADDRINUSE:
            at = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
            if answered := daemon_at(Place(at, port, secure=bool(certfile), cafile=certfile)):
                return _told(name, answered)
            who = _listener(port) or "a program of another user (`ss -ltnp` as root tells)"
            return bad(name, f"is taken by {who}", f'end that one, or bind = "{host}:{port + 1}"')
        case errno.EACCES:
            change = f"ListenStream={port} in imgd.socket (systemd listens in its place), or a port from 1024"
            return bad(name, f"user {os.geteuid()} may not listen at port {port}", change)
        case errno.EADDRNOTAVAIL:
            change = "ip -brief address; if it comes later: sysctl -w net.ipv4.ip_nonlocal_bind=1"
            return bad(name, f"{host} is no address of this machine", change)
    return bad(name, str(error.strerror), "look at the address")


def daemon_at(place: Place) -> str:
    """Tell how the daemon there does: "ok", or what is the matter; "" if none of ours answers."""
    try:
        status, answer = ask(place, "/readyz", limit_s=LIMIT_S)
    except NotReached as error:
        if "mismatch" in str(error):
            return "ok"  # The certificate is the one that we name; only it is of another name than the loopback's.
        return "it speaks TLS, with a certificate that is not trusted here" if "not trusted" in str(error) else ""
    if status == 200 and answer.get("status") == "ok":
        return "ok" if answer.get("events", "ok") == "ok" else f"ready, but events: {answer['events']}"
    return f"not ready: {answer['detail']}" if "detail" in answer else ""


def _told(name: str, answered: str) -> Finding:
    if answered == "ok":
        return ok(name, "a daemon of ours listens there already, and is ready")
    change = "what it logs: journalctl -u imgd -n 100; imgd stat"
    return warn(name, f"a daemon of ours listens there already: {answered}", change)


def _socket_place(name: str, path: str) -> Finding:
    folder = Path(path).parent
    if not folder.is_dir():
        change = f"imgd.socket makes it (docs/systemd.md); without systemd: install -d -o USER {folder}"
        return bad(name, f"{folder} is not there", change)
    if not os.access(folder, os.W_OK | os.X_OK):
        return bad(name, f"user {os.geteuid()} may not write into {folder}", f"chown USER {folder}")
    if os.path.lexists(path) and not _is_socket(path):
        return bad(name, f"{path} is there and no socket", f"rm {path}, if nobody needs it")
    if _is_socket(path) and is_heard(path):
        return bad(name, f"{path} is taken by a program that is none of ours", "ss -lxp tells who; name another path")
    left = "; a socket that an earlier daemon left there is removed" if _is_socket(path) else ""
    return ok(name, f"can be made{left}")


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False


def is_heard(path: str) -> bool:
    """Tell whether anybody takes connections there, of either kind."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
        with socket.socket(socket.AF_UNIX, kind) as probe:
            try:
                probe.connect(path)
                return True
            except OSError:
                continue
    return False


def _is_local(host: str) -> bool:
    return host == "localhost" or host.startswith("127.") or host == "::1"


def _listener(port: int) -> str:
    """Find the process that listens at a port, if it may be seen."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            words = line.split()
            if words[3] == _LISTENING and int(words[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{words[9]}]")
    for folder in Path("/proc").iterdir():
        if not re.fullmatch(r"\d+", folder.name):
            continue
        try:
            if any(os.readlink(each) in inodes for each in (folder / "fd").iterdir()):
                return f"{(folder / 'comm').read_text().strip()} (process {folder.name})"
        except OSError:
            continue
    return ""

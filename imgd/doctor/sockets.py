"""Sockets at which a daemon is to be reached: whether they are there, who may connect, and whether it answers."""

import grp
import os
import pwd
import stat
from collections.abc import Sequence

from imgd.config import Settings
from imgd.doctor.finding import Finding, bad, ok, warn
from imgd.doctor.network import daemon_at, is_heard
from imgd.doctor.unit import Unit
from imgd.reaching import Place
from imgd.setting_kinds import TcpBind, UnixBind, parse_bind


def check_units(units: Sequence[Unit], settings: Settings) -> list[Finding]:
    """Look at the services and sockets that are installed."""
    findings = []
    for unit in units:
        findings.append(_service(unit))
        for bind in unit.streams:
            findings.append(_stream(unit, bind))
        findings += [look_at_socket(f"{unit.socket_unit} {path}", path, unit, speaks_http=False)
                     for path in unit.packets]  # fmt: skip
    if units and units[0].streams and settings.bind != Settings().bind:
        found = f"{', '.join(settings.bind)}: nobody listens there, since {units[0].socket_unit} gives other places"
        findings.append(warn("bind", found, f"leave it out, or ListenStream= in {units[0].socket_unit}"))
    return findings


def places_of(units: Sequence[Unit], settings: Settings) -> list[str]:
    """Tell all places where the daemon listens, or will, as `bind` has them."""
    streams = [bind for unit in units for bind in unit.streams] or list(settings.bind)
    packets = [path for unit in units for path in unit.packets] or [settings.cgi_socket]
    return streams + [f"unix:{path}" for path in packets if path]


def look_at_socket(name: str, path: str, unit: Unit, *, speaks_http: bool = True) -> Finding:
    """Judge one. A socket of a service that does not run is not asked: that would start it."""
    owner = unit.socket_unit
    try:
        status = os.stat(path)
    except PermissionError:
        return warn(name, f"user {os.geteuid()} may not look there", "run it as root")
    except OSError as error:
        return bad(name, f"{error.strerror}", f"systemctl enable --now {owner}")
    if not stat.S_ISSOCK(status.st_mode):
        return bad(name, "is there and no socket", f"rm {path}, then systemctl restart {owner}")
    who = _who(status)
    if unit.is_active is False:
        return ok(name, f"{who}; who does so starts {unit.name}")
    if not os.access(path, os.W_OK):
        return ok(name, f"{who}; user {os.geteuid()} may not, so it was not asked (root may)")
    if not speaks_http:
        return ok(name, f"{who}; somebody listens") if is_heard(path) else _silent(name, who, unit)
    answered = daemon_at(Place(path=path))
    return _answered(name, who, answered, unit)


def may_connect(path: str, user: str) -> bool:
    """Tell whether a user has the right, by owner, group and mode; True where it cannot be told."""
    try:
        known, status = pwd.getpwnam(user), os.stat(path)
    except (KeyError, OSError):
        return True
    if known.pw_uid in (0, status.st_uid):
        return bool(not known.pw_uid or status.st_mode & stat.S_IWUSR)
    if status.st_gid in os.getgrouplist(user, known.pw_gid):
        return bool(status.st_mode & stat.S_IWGRP)
    return bool(status.st_mode & stat.S_IWOTH)


def _service(unit: Unit) -> Finding:
    if unit.is_active is False:
        change = f"systemctl enable --now {unit.socket_unit} {unit.name}; journalctl -u {unit.name} -n 100"
        return warn(unit.name, "is installed, and does not run", change)
    state = "runs" if unit.is_active else "is installed (systemd is not to be asked, so its files were read)"
    return ok(unit.name, f"{state}; its limits, variables and sockets are what counts here, not those of this shell")


def _stream(unit: Unit, bind: str) -> Finding:
    name = f"{unit.socket_unit} {bind.removeprefix('unix:')}"
    match parse_bind(bind):
        case UnixBind(path):
            return look_at_socket(name, path, unit)
        case TcpBind(host, port):
            if unit.is_active is False:
                return ok(name, f"who connects starts {unit.name}")
            at = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
            return _answered(name, "", daemon_at(Place(at, port)), unit)


def _answered(name: str, who: str, answered: str, unit: Unit) -> Finding:
    lead = f"{who}; " if who else ""
    if answered == "ok":
        return ok(name, f"{lead}a daemon of ours answers, and is ready")
    if answered:
        return warn(name, f"{lead}a daemon of ours answers: {answered}", "journalctl -u imgd -n 100; imgd stat")
    return _silent(name, who, unit)


def _silent(name: str, who: str, unit: Unit) -> Finding:
    found = f"{who}; no daemon of ours answers" if who else "no daemon of ours answers"
    return bad(name, found, f"systemctl restart {unit.name}; journalctl -u {unit.name} -n 100")


def _who(status: os.stat_result) -> str:
    """Tell who may connect: on Linux that is who may write."""
    mode = stat.S_IMODE(status.st_mode)
    if mode & stat.S_IWOTH:
        return f"everybody may connect ({mode:04o})"
    group = f" and group {_group(status.st_gid)}" if mode & stat.S_IWGRP else ""
    return f"{_user(status.st_uid)}{group} may connect ({mode:04o})"


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)

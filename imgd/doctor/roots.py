"""Whether each root can be read and watched as it is, and what its file system wants."""

import os
from pathlib import Path
from typing import Final

from imgd.config import Settings
from imgd.doctor.bounded import TookTooLong, within
from imgd.doctor.finding import Finding, bad, ok, warn
from imgd.doctor.rooms import FUSE, NETWORK, OVERLAY, WALK_S, Room, look_around

_TIMES_MIN: Final = 20  # Files, before their times say anything about the clock's grain.
_AHEAD_S: Final = 2.0
_WATCH_BYTES: Final = 1_080  # Of the kernel's memory for each watched directory, on a 64-bit machine.


def check_roots(settings: Settings) -> list[Finding]:
    """Look through all roots."""
    if not settings.roots:
        return [
            bad("roots", "none is named: there is nothing to serve", "imgd doctor DIR..., or roots = [...] in the file")
        ]
    found: list[Finding] = []
    rooms: dict[str, Room] = {}
    for root in settings.roots:
        name = f"root {root.name}"
        try:
            rooms[root.name] = within(WALK_S + settings.lookup_limit_s, lambda at=root.directory: look_around(at))  # type: ignore[misc]  # mypy does not infer lambdas with defaults.
        except TookTooLong:
            change = "look at its server and `mount`; a soft mount (or a FUSE with a timeout) fails instead of hanging"
            found.append(bad(name, f"{root.directory} does not answer", change))
            continue
        except OSError as error:
            change = f"mount it or make it: {root.directory}; the daemon waits for it, and finds it when it comes"
            found.append(warn(name, f"{root.directory}: {error.strerror}", change))
            continue
        found += check_room(name, rooms[root.name], settings)
    found += check_nesting(rooms)
    directories = sum(room.directories for room in rooms.values())
    return [*found, check_watches(directories, _watches_max(), settings.poll_s)]


def check_room(name: str, room: Room, settings: Settings) -> list[Finding]:
    """Judge one."""
    user = f"user {os.geteuid()}"
    if not room.entered:
        change = (
            f"setfacl -R -m u:{os.geteuid()}:rX {room.real}, or run the daemon as a user, or with a group, that may"
        )
        return [bad(name, f"{room.real} may not be read by {user}", change)]
    counted = f"{room.files} files in {room.directories} directories" + ("" if room.whole else " and more")
    where = f"{room.path}, a link to {room.real}" if room.path.is_symlink() else f"{room.real}"
    findings = [ok(name, f"{where} ({room.kind}{', read only' if room.read_only else ''}): {counted}")]
    findings += _of_file_system(name, room, settings)
    if room.unreadable:
        found = f"{room.unreadable} files or directories may not be read by {user}, such as {room.unreadable_example}"
        findings.append(
            warn(name, found, f"setfacl -R -m u:{os.geteuid()}:rX {room.real}, and a default ACL (-d) for new ones")
        )
    if room.leading_out:
        found = f"{room.leading_out} links lead out of it, such as {room.leading_out_example}: they are answered 404"
        findings.append(
            warn(name, found, "make the directories that they lead to roots of their own, if they are to be seen")
        )
    if room.largest > settings.scan_max:
        found = f"a directory has {room.largest} names; a listing shows {settings.scan_max} of them"
        findings.append(warn(name, found, f"scan_max = {room.largest * 2}, or a directory for each night"))
    if room.newest_s > room.now_s + _AHEAD_S:
        found = f"its newest file is {room.newest_s - room.now_s:.0f} s in the future: the clocks differ"
        findings.append(warn(name, found, "synchronise both machines: chronyc tracking, timedatectl set-ntp true"))
    if room.broken_names:
        found = f"{room.broken_names} names are not UTF-8: they can be opened, but are shown with signs in their place"
        findings.append(warn(name, found, "convmv -f latin1 -t utf8 -r --notest (look at what it would do first)"))
    return findings


def _of_file_system(name: str, room: Room, settings: Settings) -> list[Finding]:
    kind = room.kind
    found = []
    if kind in NETWORK or kind.startswith(FUSE) or kind in OVERLAY:
        why = f"{kind} tells nobody of changes made elsewhere"
        if settings.poll_s:
            found.append(ok(f"{name}: changes", f"{why}; it is read through each {settings.poll_s:g} s (poll_s)"))
        else:
            seconds = 5 if room.files < 10_000 else 60
            found.append(
                warn(f"{name}: changes", f"{why}, and poll_s is 0: new frames are not seen", f"poll_s = {seconds}")
            )
    if room.files >= _TIMES_MIN and room.whole_second_times == room.files:
        why = "its times have whole seconds: a frame that is rewritten within one with the same size may look unchanged"
        found.append(
            warn(f"{name}: times", why, "write frames under another name and rename them, or mount it with finer times")
        )
    return found


def check_nesting(rooms: dict[str, Room]) -> list[Finding]:
    """Say which roots lie in another one."""
    found = []
    for name, room in rooms.items():
        for other, around in rooms.items():
            if name != other and (room.real == around.real or around.real in room.real.parents):
                what = f"lies in root {other}: its frames are seen under two names, and announced twice"
                found.append(warn(f"root {name}", what, "leave one of them out"))
    return found


def check_watches(directories: int, most: int, poll_s: float) -> Finding:
    """Judge whether the kernel has watches enough."""
    found = f"{directories} directories to watch of {most} (fs.inotify.max_user_watches)"
    if poll_s:
        return ok("watches", f"poll_s is set: none is needed ({found})")
    if directories > most * 0.8:
        change = f"sysctl -w fs.inotify.max_user_watches={max(2 * directories, 524_288)}"
        kib = 2 * directories * _WATCH_BYTES // 1024
        return warn(
            "watches", f"{found}: what is over is read through each 10 s instead", f"{change}  (about {kib} KiB)"
        )
    return ok("watches", found)


def _watches_max() -> int:
    try:
        return int(Path("/proc/sys/fs/inotify/max_user_watches").read_text())
    except (OSError, ValueError):
        return 0

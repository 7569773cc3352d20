"""What a directory tree is like: its file system, and what can be seen by walking through it for a while."""

import os
import stat
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

WALK_S: Final = 5.0
NETWORK: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "lustre", "beegfs", "gpfs", "afs"})
OVERLAY: Final = frozenset({"overlay", "aufs", "ecryptfs"})  # Changes below them are told to nobody.
FUSE: Final = ("fuse.", "fuseblk", "fuse")


@dataclass(slots=True)
class Room:
    """What was found. kind: of the file system. whole: the walk came to its end.

    unreadable  files and directories that this user may not read, one of them as example.
    leading_out  links whose end lies outside of the tree.
    whole_second_times  of the files seen, so many had a time without fraction.
    """

    path: Path
    real: Path
    kind: str = ""
    read_only: bool = False
    entered: bool = False
    directories: int = 0
    files: int = 0
    largest: int = 0
    whole: bool = True
    newest_s: float = 0.0
    whole_second_times: int = 0
    unreadable: int = 0
    unreadable_example: str = ""
    leading_out: int = 0
    leading_out_example: str = ""
    broken_names: int = 0
    now_s: float = field(default_factory=time.time)


def look_around(path: Path, limit_s: float = WALK_S) -> Room:
    """Walk through a directory tree for at most so long.

    Raises  OSError if it is not there.
    Blocks  as long as its file system does: call it by `within`.
    """
    real = path.resolve(strict=True)
    os.stat(real)
    room = Room(path, real, kind=kind_of(real), read_only=bool(os.statvfs(real).f_flag & os.ST_RDONLY))
    room.entered = os.access(real, os.R_OK | os.X_OK)
    until_s = time.monotonic() + limit_s
    waiting = [real]
    while waiting:
        folder = waiting.pop()
        if time.monotonic() > until_s:
            room.whole = False
            break
        room.directories += 1
        try:
            with os.scandir(folder) as entries:
                count = sum(_note(room, entry, waiting) for entry in entries)
        except OSError:
            room.unreadable += 1
            room.unreadable_example = room.unreadable_example or str(folder)
            continue
        room.largest = max(room.largest, count)
    return room


def kind_of(path: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str:
    """Tell the kind of a file system by the mount that holds a path; the last of several at one place is the one."""
    best, kind = -1, ""
    for line in mounts.read_text(errors="surrogateescape").splitlines():
        before, _, after = line.partition(" - ")
        place = before.split(" ")[4].encode().decode("unicode_escape") if "\\" in before else before.split(" ")[4]
        inside = place == "/" or str(path) == place or str(path).startswith(f"{place}/")
        if inside and len(place) >= best:
            best, kind = len(place), after.split(" ")[0]
    return kind


def _note(room: Room, entry: "os.DirEntry[str]", waiting: list[Path]) -> int:
    try:
        entry.name.encode()
    except UnicodeEncodeError:
        room.broken_names += 1
    try:
        if entry.is_symlink():
            _note_link(room, entry)
        elif entry.is_dir(follow_symlinks=False):
            waiting.append(Path(entry.path))
        else:
            _note_file(room, entry)
    except OSError:
        pass  # It went while we looked.
    return 1


def _note_link(room: Room, entry: "os.DirEntry[str]") -> None:
    end = os.path.realpath(entry.path)
    if os.path.exists(end) and not (end == str(room.real) or end.startswith(f"{room.real}/")):
        room.leading_out += 1
        room.leading_out_example = room.leading_out_example or entry.path


def _note_file(room: Room, entry: "os.DirEntry[str]") -> None:
    facts = entry.stat(follow_symlinks=False)
    if not stat.S_ISREG(facts.st_mode):
        return
    room.files += 1
    room.whole_second_times += facts.st_mtime_ns % 1_000_000_000 == 0
    room.newest_s = max(room.newest_s, facts.st_mtime)
    if not os.access(entry.path, os.R_OK):
        room.unreadable += 1
        room.unreadable_example = room.unreadable_example or entry.path

"""The units by which systemd starts a daemon here: their sockets, limits and variables, in place of the shell's."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from imgd.doctor.machine import UNLIMITED, Machine

FOLDERS: Final = tuple(
    Path(each) for each in ("/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system",
                            "/usr/lib/systemd/system", "/lib/systemd/system")
)  # fmt: skip
LIMIT_S: Final = 3.0
Values = dict[str, list[str]]
Show = Callable[[str], Values]

_UNITS_BYTES: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE: Final = re.compile(r"(\d+)([KMGT]?)")
_LISTEN: Final = re.compile(r"(\S+) \((\w+)\)")
_ARGUMENTS: Final = re.compile(r"argv\[\]=(.*?) ;")
_MADE_BELOW: Final = {"StateDirectory": Path("/var/lib"), "CacheDirectory": Path("/var/cache")}
_NOFILE_ELSE: Final = "524288"  # What systemd gives where no unit says anything.


@dataclass(frozen=True)
class Unit:
    """A service that is installed, and its sockets.

    streams, packets  where it is reached over HTTP, as `bind` has it, and by CGI programs.
    is_active    None if nobody could tell.
    program, config  of its ExecStart. directories: those that systemd makes for it.
    limits       by their names in the unit; only those that are told.
    """

    name: str
    streams: tuple[str, ...] = ()
    packets: tuple[str, ...] = ()
    is_active: bool | None = None
    user: str = ""
    program: str = "imgd"
    config: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    directories: tuple[Path, ...] = ()
    limits: dict[str, int] = field(default_factory=dict)

    @property
    def socket_unit(self) -> str:
        """Name the unit that holds its sockets."""
        return self.name.replace(".service", ".socket")

    def makes(self, folder: Path) -> bool:
        """Tell whether systemd makes a folder for it, or one above it, before it starts."""
        return any(each == folder or each in folder.parents for each in self.directories)


def installed_units(folders: Sequence[Path] = FOLDERS, show: Show | None = None) -> list[Unit]:
    """Find imgd.service, and the instances of imgd@.service that are enabled.

    show  asks systemd what it knows of a unit; where it knows nothing, the files are read.
    """
    enabled = {each.stem for folder in folders for each in folder.glob("*.wants/imgd@?*.*")}
    found = []
    for name in ("imgd", *sorted(enabled)):
        if any((folder / f"{_file_of(name)}.{kind}").is_file() for folder in folders for kind in ("service", "socket")):
            known = [
                told if (told := (show or ask_systemd)(f"{name}.{kind}")) else read_unit(f"{name}.{kind}", folders)
                for kind in ("service", "socket")
            ]
            found.append(_unit(f"{name}.service", *known))
    return found


def ask_systemd(name: str) -> Values:
    """Have systemctl tell a unit as it is in force; nothing if it is not to be had, or does not know the unit."""
    program = shutil.which("systemctl", path="/usr/bin:/bin:/usr/local/bin")
    if program is None:
        return {}
    command = [program, "show", "--no-pager", name]
    try:
        done = subprocess.run(command, capture_output=True, timeout=LIMIT_S, check=False, text=True)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return read_shown(done.stdout) if done.returncode == 0 else {}


def read_shown(text: str) -> Values:
    """Read what `systemctl show` prints, as if it stood in the unit's file."""
    values: Values = {}
    for line in text.splitlines():
        name, is_value, value = line.partition("=")
        if is_value:
            values.setdefault(name, []).append(value)
    for listen in values.pop("Listen", []):
        if found := _LISTEN.fullmatch(listen):
            values.setdefault(f"Listen{found[2]}", []).append(found[1])
    if values.get("ExecStart"):
        started = _ARGUMENTS.search(values["ExecStart"][0])
        values["ExecStart"] = [started[1]] if started else []
    return values if values.get("LoadState") == ["loaded"] else {}


def read_unit(name: str, folders: Sequence[Path] = FOLDERS) -> Values:
    """Read a unit's file and what was added to it (NAME.d), in the order in which systemd does."""
    file_name = f"{_file_of(name.rpartition('.')[0])}.{name.rpartition('.')[2]}"
    main = next((folder / file_name for folder in folders if (folder / file_name).is_file()), None)
    added: dict[str, Path] = {}
    for folder in folders:
        for owner in dict.fromkeys((name, file_name)):
            for path in folder.glob(f"{owner}.d/*.conf"):
                added.setdefault(path.name, path)
    values: Values = {}
    instance = name.rpartition(".")[0].partition("@")[2]
    for path in (*([main] if main else ()), *(added[each] for each in sorted(added))):
        for line in re.sub(r"\\\n", " ", path.read_text(errors="replace")).splitlines():
            key, is_value, value = line.replace("%i", instance).partition("=")
            if not is_value or line.lstrip().startswith(("#", ";")):
                continue
            known = values.setdefault(key.strip(), [])
            known.append(value.strip())
            if not value.strip():
                known.clear()
    return values


def machine_of(machine: Machine, unit: Unit) -> Machine:
    """Put the unit's limits in the place of the shell's. What bounds a group above both stays."""
    limits = unit.limits
    return replace(
        machine, limits_of=unit.name, nofile=limits["LimitNOFILE"],
        nproc=limits.get("LimitNPROC", UNLIMITED), fsize_bytes=limits.get("LimitFSIZE", UNLIMITED),
        as_bytes=limits.get("LimitAS", UNLIMITED),
        cgroup_memory_bytes=min(machine.cgroup_memory_bytes, limits.get("MemoryMax", UNLIMITED)),
        cgroup_pids=min(machine.cgroup_pids, limits.get("TasksMax", UNLIMITED)),
    )  # fmt: skip


def _unit(name: str, service: Values, sockets: Values) -> Unit:
    def last(key: str, otherwise: str = "") -> str:
        return (service.get(key) or [otherwise])[-1]

    started = shlex.split(last("ExecStart"))
    config = "".join(started[started.index("--config") + 1 :][:1]) if "--config" in started else ""
    given = [pair for line in service.get("Environment", []) for pair in shlex.split(line)]
    directories = {
        key: tuple(below / each for each in last(key).split()) for key, below in _MADE_BELOW.items() if last(key)
    }
    environment = dict(pair.split("=", 1) for pair in given if "=" in pair)
    if state := directories.get("StateDirectory"):
        environment["STATE_DIRECTORY"] = ":".join(map(str, state))
    limits = {key: _limit(last(key)) for key in ("LimitNPROC", "LimitFSIZE", "LimitAS", "MemoryMax", "TasksMax")}
    limits["LimitNOFILE"] = _limit(last("LimitNOFILE", _NOFILE_ELSE))
    return Unit(
        name, tuple(map(_bind, sockets.get("ListenStream", []))), tuple(sockets.get("ListenSequentialPacket", [])),
        last("ActiveState") == "active" if "ActiveState" in service else None, last("User"),
        started[0] if started else "imgd", config, environment, sum(directories.values(), ()),
        {key: limit for key, limit in limits.items() if limit is not None},
    )  # fmt: skip


def _file_of(name: str) -> str:
    return re.sub(r"@.*", "@", name)


def _bind(listen: str) -> str:
    if listen.startswith("/"):
        return f"unix:{listen}"
    return f"[::]:{listen}" if listen.isdigit() else listen


def _limit(text: str) -> int | None:
    """Read a limit; of SOFT:HARD the hard one. None where it is not told, or a share of something."""
    hard = text.rpartition(":")[2]
    if hard == "infinity":
        return UNLIMITED
    found = _SIZE.fullmatch(hard)
    return int(found[1]) * _UNITS_BYTES[found[2]] if found else None

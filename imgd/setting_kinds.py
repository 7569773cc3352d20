"""What kinds of settings there are: how each is read from text or TOML, and what is known about it."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

KIB: Final = 1024
MIB: Final = 1024**2
GIB: Final = 1024**3
UNITS: Final = {"": 1, "B": 1, "KiB": KIB, "MiB": MIB, "GiB": GIB, "TiB": 1024**4}
ROOT_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_DATABASE: Final = re.compile(r"sqlite:/[^/]|postgres(ql)?://")
_SIZE: Final = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,6})?) ?(B|KiB|MiB|GiB|TiB|)")


@dataclass(frozen=True, slots=True)
class Root:
    """A directory tree that is served, and the name under which it is known."""

    name: str
    directory: Path


@dataclass(frozen=True, slots=True)
class TcpBind:
    """Listen at a TCP port; 0: any free one."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class UnixBind:
    """Listen at a UNIX socket."""

    path: str


@dataclass(frozen=True, slots=True)
class Doc:
    """What is known about one setting besides its value.

    read  makes the value from text, or from what TOML holds; raises ValueError with words that follow "must be".
    low   smallest value allowed, None: not a number. zero  what 0 means, "" when it is a number like the others.
    live  another value is taken up by SIGHUP.
    """

    reason: str
    unit: str
    read: Callable[[Any], Any]
    low: float | None = None
    high: float | None = None
    zero: str = ""
    flags: tuple[str, ...] = ()
    default_text: str = ""
    many: bool = False
    live: bool = False


def read_whole(raw: Any) -> int:
    """Read a whole number."""
    if isinstance(raw, str) and re.fullmatch(r"[0-9]{1,18}", raw):
        return int(raw)
    if isinstance(raw, int) and not isinstance(raw, bool):
        return raw
    raise ValueError("a whole number")


def read_seconds(raw: Any) -> float:
    """Read a number of seconds."""
    if isinstance(raw, str) and re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", raw):
        return float(raw)
    if isinstance(raw, int | float) and not isinstance(raw, bool):
        return float(raw)
    raise ValueError("a number of seconds")


def read_size(raw: Any) -> int:
    """Read a size in bytes, such as 512MiB."""
    if isinstance(raw, str) and (match := _SIZE.fullmatch(raw)):
        return int(float(match[1]) * UNITS[match[2]]) if "." in match[1] else int(match[1]) * UNITS[match[2]]
    if isinstance(raw, int) and not isinstance(raw, bool):
        return raw
    raise ValueError("a size such as 512MiB")


def read_text(raw: Any) -> str:
    """Read text."""
    if isinstance(raw, str) and "\0" not in raw:
        return raw
    raise ValueError("text")


def read_database(raw: Any) -> str:
    """Read where events are kept."""
    if raw == "" or (isinstance(raw, str) and "\0" not in raw and _DATABASE.match(raw)):
        return str(raw)
    raise ValueError("sqlite:/absolute/path or postgresql://...")


def read_level(raw: Any) -> str:
    """Read a level of logging."""
    if raw in ("debug", "info", "warning", "error"):
        return str(raw)
    raise ValueError("one of debug, info, warning, error")


def read_log(raw: Any) -> Literal["stderr", "syslog", "journal"]:
    """Read where the log goes."""
    match raw:
        case "stderr":
            return "stderr"
        case "syslog":
            return "syslog"
        case "journal":
            return "journal"
    raise ValueError("stderr, syslog or journal")


def read_log_lines(raw: Any) -> Literal["auto", "text", "json"]:
    """Read what lines of the log look like."""
    match raw:
        case "auto":
            return "auto"
        case "text":
            return "text"
        case "json":
            return "json"
    raise ValueError("auto, text or json")


def read_switch(raw: Any) -> Literal["on", "off"]:
    """Read whether something is to be."""
    match raw:
        case "on" | True:
            return "on"
        case "off" | False:
            return "off"
    raise ValueError("on or off")


def read_rows(raw: Any) -> Literal["up", "down"]:
    """Read which way up rows are stored."""
    match raw:
        case "up":
            return "up"
        case "down":
            return "down"
    raise ValueError("up or down")


def read_texts(raw: Any) -> tuple[str, ...]:
    """Read a list of texts; in one text they are separated by commas."""
    items = raw.split(",") if isinstance(raw, str) else raw
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) and item for item in items):
        raise ValueError("a list of texts")
    return tuple(items)


def read_binds(raw: Any) -> tuple[str, ...]:
    """Read places to listen at."""
    binds = read_texts(raw)
    for bind in binds:
        parse_bind(bind)
    return binds


def read_roots(raw: Any) -> tuple[Root, ...]:
    """Read roots, from a list or from a TOML table of names."""
    items = [f"{name}={directory}" for name, directory in raw.items()] if isinstance(raw, dict) else raw
    return parse_roots(read_texts(items))


def parse_bind(text: str) -> TcpBind | UnixBind:
    """Read "HOST:PORT", "[HOST]:PORT" or "unix:/path".

    Raises  ValueError with words that follow "must be".
    """
    if text.startswith("unix:"):
        if not text.startswith("unix:/") or "\0" in text or len(os.fsencode(text)) > 112:
            raise ValueError("unix:/path, at most 107 bytes long")
        return UnixBind(text.removeprefix("unix:"))
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        colon = ""
    if not (host and colon and re.fullmatch(r"[0-9]{1,5}", port) and int(port) < 65_536):
        raise ValueError("HOST:PORT, [IPV6]:PORT or unix:/path")
    return TcpBind(host, int(port))


def parse_roots(texts: tuple[str, ...]) -> tuple[Root, ...]:
    """Read "DIR" or "NAME=DIR" each; a name not given is the directory's last component, made unique.

    Raises  ValueError with words that follow "must be", for a bad or repeated name, or what is no directory (but one
            with a name may be missing).
    """
    named: list[tuple[str, str]] = []
    for text in texts:
        name, equals, rest = text.partition("=")
        named.append((name, rest) if equals and ROOT_NAME.fullmatch(name) else ("", text))
    taken = [name for name, _ in named if name]
    if len(set(taken)) < len(taken):
        raise ValueError("different names, one for each root")
    roots: list[Root] = []
    for given, text in named:
        directory = Path(text).expanduser().absolute()
        if not directory.is_dir() and (directory.exists() or not given):  # What has a name may come later.
            raise ValueError(f"directories; {text!r} is not one")
        name = given or _free_name(directory, {*taken, *(root.name for root in roots)})
        if name in (".", ".."):
            raise ValueError(f"names other than {name!r}")
        roots.append(Root(name, directory))
    return tuple(roots)


def _free_name(directory: Path, taken: set[str]) -> str:
    stem = re.sub(r"[^A-Za-z0-9._-]", "_", Path(os.path.normpath(directory)).name)[:60].strip(".") or "root"
    name, number = stem, 1
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    return name


def _setting(default: Any, doc: Doc) -> Any:
    if callable(default):
        return field(default_factory=default, metadata={"doc": doc})
    return field(default=default, metadata={"doc": doc})


def count_setting(default: Any, low: int, high: int, reason: str, **more: Any) -> Any:
    """Declare a setting that counts."""
    return _setting(default, Doc(reason, more.pop("unit", ""), read_whole, low, high, **more))


def seconds_setting(default: float, low: float, high: float, reason: str, **more: Any) -> Any:
    """Declare a setting that is a time."""
    return _setting(default, Doc(reason, "s", read_seconds, low, high, **more))


def size_setting(default: int, low: int, high: int, reason: str, **more: Any) -> Any:
    """Declare a setting that is a size."""
    return _setting(default, Doc(reason, "bytes", read_size, low, high, **more))


def text_setting(default: Any, read: Callable[[Any], Any], reason: str, **more: Any) -> Any:
    """Declare a setting that is text, or made from it."""
    return _setting(default, Doc(reason, more.pop("unit", ""), read, **more))


def cores() -> int:
    """Count the cores that this process may use."""
    return max(1, len(os.sched_getaffinity(0)))

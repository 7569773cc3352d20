"""What a check found: a verdict, and what to change if it is not a good one."""

from dataclasses import dataclass
from typing import Final, Literal

Verdict = Literal["ok", "warn", "bad"]
EXIT_CODES: Final[dict[Verdict, int]] = {"ok": 0, "warn": 1, "bad": 2}


@dataclass(frozen=True, slots=True)
class Finding:
    """One check.

    change      the command, or the setting, that makes it good; "" if it is.
    looked_at   False for what holds by the way the daemon is made, whatever this machine is.
    """

    name: str
    verdict: Verdict
    found: str
    change: str = ""
    looked_at: bool = True


def ok(name: str, found: str) -> Finding:
    """Say that all is well."""
    return Finding(name, "ok", found)


def always(name: str, found: str) -> Finding:
    """Say what holds on every machine, so that nothing was looked at."""
    return Finding(name, "ok", found, looked_at=False)


def warn(name: str, found: str, change: str) -> Finding:
    """Say that it works, but not as well or not for as long as it might."""
    return Finding(name, "warn", found, change)


def bad(name: str, found: str, change: str) -> Finding:
    """Say that it does not work."""
    return Finding(name, "bad", found, change)


def size_words(size_bytes: float) -> str:
    """Write a size for people."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size_bytes < 1024:
            return f"{size_bytes:.0f} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:.1f} TiB"

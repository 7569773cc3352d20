"""wrk and h2load, from Debian: as many requests as a service answers, and how long each took."""

import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.turns import Missing

THREADS: Final = 2
_UNITS: Final = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}
_SCRIPT: Final = """
local targets = {{}}
for line in io.lines("{path}") do targets[#targets + 1] = line end
local thread_number = 0
function setup(thread) thread:set("at", thread_number * {apart}); thread_number = thread_number + 1 end
function request()
    at = at + 1
    return wrk.format("GET", targets[(at - 1) % #targets + 1])
end
"""


@dataclass(frozen=True)
class Hammered:
    """What came of it. errors: answers that are none of 2xx and 3xx, and connections that broke or were too slow."""

    rate: float
    median_ms: float
    p99_ms: float
    errors: int


def wrk(base_url: str, targets: Sequence[str], connections: int, seconds: float) -> Hammered:
    """Ask for these in turn by HTTP/1.1, each thread from elsewhere in the list.

    Raises  Missing if there is no wrk.
    """
    with tempfile.TemporaryDirectory(prefix="imgd-wrk-") as name:
        listed, script = Path(name) / "targets", Path(name) / "script.lua"
        listed.write_text("\n".join(targets) + "\n")
        script.write_text(_SCRIPT.format(path=listed, apart=len(targets) // THREADS))
        command = ["wrk", f"-t{THREADS}", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--latency"]
        text = _run([*command, "--timeout", "30s", "-s", str(script), base_url])
    return Hammered(
        rate=float(_found(r"Requests/sec:\s+([\d.]+)", text)),
        median_ms=_ms(_found(r"50%\s+([\d.]+[a-z]+)", text)),
        p99_ms=_ms(_found(r"99%\s+([\d.]+[a-z]+)", text)),
        errors=sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", text)))
        + sum(sum(map(int, re.findall(r"\d+", line))) for line in re.findall(r"Socket errors: (.*)", text)),
    )


def h2load(base_url: str, targets: Sequence[str], connections: int, seconds: float) -> Hammered:
    """Ask for these in turn by HTTP/2, eight at a time in each connection.

    Raises  Missing if there is no h2load.
    """
    with tempfile.TemporaryDirectory(prefix="imgd-h2load-") as name:
        listed = Path(name) / "targets"
        listed.write_text("\n".join(f"{base_url}{target}" for target in targets) + "\n")
        command = ["h2load", f"-t{THREADS}", f"-c{connections}", "-m8", f"-D{max(1, round(seconds))}", f"-i{listed}"]
        text = _run(command)
    failed = _found(r"(\d+) failed", text)
    wrong = re.findall(r"(\d+) 4xx, (\d+) 5xx", text)
    times = _found(r"time for request:\s+\S+\s+\S+\s+(\S+)", text)
    return Hammered(
        rate=float(_found(r"finished in [\d.]+\w+, ([\d.]+) req/s", text)),
        median_ms=_ms(times), p99_ms=float("nan"), errors=int(failed) + sum(map(int, wrong[0] if wrong else ())),
    )  # fmt: skip


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except FileNotFoundError as error:
        raise Missing(f"{command[0]} is not installed") from error
    return done.stdout


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    if found is None:
        raise Missing(f"no {pattern!r} in what it said: {text[-500:]}")
    return found[1]


def _ms(text: str) -> float:
    found = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text)
    if found is None:
        raise Missing(f"{text!r} is no time")
    return float(found[1]) * _UNITS[found[2]]

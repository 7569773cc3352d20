"""nginx and lighttpd on this machine: what can be known of them from outside."""

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from imgd.config import Settings
from imgd.doctor.finding import Finding, ok, warn

LIMIT_S: Final = 5.0
_NGINX_MIN: Final = (1, 18)
_LIGHTTPD_MIN: Final = (1, 4, 56)
_WHERE: Final = {"nginx": Path("/etc/nginx"), "lighttpd": Path("/etc/lighttpd")}
_VERSION: Final = re.compile(r"(?:nginx|lighttpd)/(\d+(?:\.\d+)*)")
FILE_BYTES_MAX: Final = 1 << 20


def check_fronts(settings: Settings) -> list[Finding]:
    """Look at those that are installed."""
    findings = []
    for program, least in (("nginx", _NGINX_MIN), ("lighttpd", _LIGHTTPD_MIN)):
        version = _version(program)
        if version:
            findings.append(_judge_version(program, version, least))
            findings += check_files(program, _texts(_WHERE[program]), settings)
    return findings or [ok("fronts", "neither nginx nor lighttpd is installed here; browsers may connect directly")]


def check_files(program: str, texts: Sequence[tuple[str, str]], settings: Settings) -> list[Finding]:
    """Judge configuration files that name us.

    texts  path and contents of each.
    """
    findings = []
    places = [_place(bind) for bind in settings.bind]
    for path, raw in texts:
        text = re.sub(r"(?m)#.*$", "", raw)
        if not any(place.search(text) for place in places):
            continue
        name = f"{program} {path}"
        if "imgd-" in text and "include" in text:
            findings.append(ok(name, "includes the files that come with imgd"))
            continue
        wanting = list(_wanting(program, text))
        if wanting:
            change = f"use {program}/imgd.conf of the project as it is (docs/fronts.md)"
            findings.append(warn(name, "; ".join(wanting), change))
        else:
            findings.append(ok(name, "forwards to this daemon, and has what that needs"))
    return findings


def _place(bind: str) -> re.Pattern[str]:
    """Recognise a place as nginx writes it, or lighttpd."""
    if bind.startswith("unix:"):
        return re.compile(re.escape(bind.removeprefix("unix:")))
    port = bind.rpartition(":")[2]
    return re.compile(rf"{re.escape(bind)}\b|\"port\"\s*=>\s*\"?{port}\b")


def _wanting(program: str, text: str) -> Iterator[str]:
    if program == "nginx":
        if not re.search(r"proxy_buffering\s+off", text):
            yield "proxy_buffering is not off: pictures come whole, not as they are made"
        if not re.search(r"proxy_set_header\s+Upgrade", text, re.IGNORECASE):
            yield "no websockets: proxy_set_header Upgrade is missing"
        if not re.search(r"proxy_set_header\s+X-(Forwarded-For|Real-IP)", text, re.IGNORECASE):
            yield "no X-Forwarded-For: /admin is open to everybody who reaches it (admin = off closes it)"
    else:
        if "server.stream-response-body" not in text:
            yield "server.stream-response-body is not set: pictures come whole, not as they are made"
        if not re.search(r"\"upgrade\"\s*=>\s*\"enable\"", text):
            yield 'no websockets: proxy.header has no "upgrade" => "enable"'
    if "/admin" not in text:
        yield "/admin and /metrics are not closed to outside"


def _judge_version(program: str, version: str, least: tuple[int, ...]) -> Finding:
    numbers = tuple(map(int, version.split(".")))
    if numbers < least:
        wanted = ".".join(map(str, least))
        return warn(
            program,
            f"{version} is old: HTTP/2 and websockets are known to work from {wanted}",
            f"apt install {program}",
        )
    return ok(program, version)


def _version(program: str) -> str:
    path = shutil.which(program, path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/sbin")
    if path is None:
        return ""
    try:
        done = subprocess.run([path, "-v"], capture_output=True, timeout=LIMIT_S, check=False, text=True)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = _VERSION.search(done.stdout + done.stderr)
    return found[1] if found else ""


def _texts(folder: Path) -> list[tuple[str, str]]:
    texts = []
    for path in sorted(folder.rglob("*.conf")) + sorted(folder.glob("sites-enabled/*")):
        try:
            if path.is_file() and path.stat().st_size <= FILE_BYTES_MAX:
                texts.append((str(path), path.read_text(errors="replace")))
        except OSError:
            continue
    return texts

"""nginx and lighttpd on this machine: what can be known of them from outside."""

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from imgd.doctor.finding import Finding, bad, ok, warn
from imgd.doctor.network import daemon_at
from imgd.doctor.sockets import may_connect
from imgd.reaching import Place

LIMIT_S: Final = 5.0
NGINX_MIN: Final = (1, 22)  # As docs/fronts.md says.
LIGHTTPD_MIN: Final = (1, 4, 69)
_WHERE: Final = {"nginx": Path("/etc/nginx"), "lighttpd": Path("/etc/lighttpd")}
_VERSION: Final = re.compile(r"(?:nginx|lighttpd)/(\d+(?:\.\d+)*)")
_USER: Final = {
    "nginx": re.compile(r"(?m)^\s*user\s+([^\s;]+)"),
    "lighttpd": re.compile(r"(?m)^\s*server\.username\s*=\s*\"([^\"]+)"),
}
_SOCKET: Final = {
    "nginx": re.compile(r"\bserver\s+unix:([^\s;]+)"),
    "lighttpd": re.compile(r"\bvar\.imgd_(?:cgi_)?socket\s*=\s*\"([^\"]+)"),
}
_NEAR: Final = frozenset({"127.0.0.1", "localhost", "[::1]", "0.0.0.0", "[::]"})
FILE_BYTES_MAX: Final = 1 << 20


def check_fronts(places: Sequence[str], where: Mapping[str, Path] = _WHERE) -> list[Finding]:
    """Look at those that are installed.

    places  where the daemon listens, as `bind` has them. where  each has its configuration.
    """
    findings = []
    for program, least in (("nginx", NGINX_MIN), ("lighttpd", LIGHTTPD_MIN)):
        version = _version(program)
        if version:
            findings.append(_judge_version(program, version, least))
            findings += check_files(program, _texts(where[program]), places)
    return findings or [ok("fronts", "neither nginx nor lighttpd is installed here; browsers may connect directly")]


def check_files(program: str, texts: Sequence[tuple[str, str]], places: Sequence[str]) -> list[Finding]:
    """Judge configuration files that name us.

    texts   path and contents of each.
    places  where the daemon listens, as `bind` has them.
    """
    findings = []
    patterns = [_place(bind) for bind in places]
    texts = [(path, re.sub(r"(?m)#.*$", "", raw)) for path, raw in texts]
    user = next((found[1] for _, text in texts if (found := _USER[program].search(text))), "")
    has_cgi = any("imgd-cgi.conf" in path or "imgd-cgi.conf" in text for path, text in texts)
    for path, text in texts:
        name = f"{program} {path}"
        named = [found for found in _SOCKET[program].finditer(text) if has_cgi or "cgi" not in found[0]]
        if _is_ours(path, text) and named:
            findings += [_site_socket(name, found[1], places, user) for found in named]
            continue
        if not any(pattern.search(text) for pattern in patterns):
            continue
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


def _is_ours(path: str, text: str) -> bool:
    """Tell whether a file is the project's site file, under whatever name."""
    return Path(path).name.startswith("imgd-") or bool(re.search(r"\bupstream\s+imgd\b|\bvar\.imgd_socket\b", text))


def _site_socket(name: str, path: str, places: Sequence[str], user: str) -> Finding:
    """Judge a socket that a site file names: whether the daemon listens there, and lets the web server in."""
    if f"unix:{path}" not in places:
        there = ", ".join(place.removeprefix("unix:") for place in places)
        answers = "a daemon of ours answers" if daemon_at(Place(path=path)) else "no daemon of ours answers"
        found = f"leads to {path}, where {answers}, and which is none of the places of these settings"
        return warn(name, found, f"lead to {there}, or let the daemon listen where this leads (docs/systemd.md)")
    if user and not may_connect(path, user):
        found = f"leads to {path}, where {user} may not connect"
        return bad(name, found, f"SocketGroup= a group of {user} in imgd.socket (systemctl edit imgd.socket)")
    return ok(name, f"leads to {path}" + (f", where {user} may connect" if user and Path(path).exists() else ""))


def _place(bind: str) -> re.Pattern[str]:
    """Recognise a place as nginx writes it, or lighttpd."""
    if bind.startswith("unix:"):
        return re.compile(re.escape(bind.removeprefix("unix:")) + r"(?![\w.-])")
    host, _, port = bind.rpartition(":")
    hosts = {host, "127.0.0.1", "localhost", "[::1]"} if host in _NEAR else {host}
    either = "|".join(map(re.escape, sorted(hosts)))
    return re.compile(rf"(?<![\w.])(?:{either}):{port}\b|\"port\"\s*=>\s*\"?{port}\b")


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

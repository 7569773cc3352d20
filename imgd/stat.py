"""`imgd stat`: show who is connected to a daemon of this machine and what each has open, or end some of it."""

import http.client
import json
import socket
import sys
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlsplit

from imgd.errors import ConfigError

EXIT_OK: Final = 0
EXIT_REFUSED: Final = 1
DEFAULT_URL: Final = "http://127.0.0.1:8765/"
LIMIT_S: Final = 10.0
ANSWER_BYTES: Final = 64 * 1024 * 1024


class Refused(Exception):
    """It cannot be done; the text says why."""


@dataclass(frozen=True)
class Place:
    """Where a daemon is. path: of a UNIX socket, "" for TCP. below: the path before `/admin`."""

    host: str = "localhost"
    port: int = 80
    path: str = ""
    below: str = ""
    secure: bool = False


@dataclass(frozen=True)
class Wish:
    """What is to be done: nothing but to show it, or to end one session, one runner, or all sessions."""

    place: Place
    as_json: bool = False
    session: str | None = None
    runner: int | None = None
    all: bool = False


def place_of(text: str) -> Place:
    """Read a daemon's address: http, https, HOST:PORT, or unix:/path.

    Raises  ConfigError.
    """
    try:
        if not (text.isascii() and text.isprintable()) or " " in text:
            raise ValueError
        if text.startswith("unix:/"):
            return Place(path=text.removeprefix("unix:"))
        parts = urlsplit(text if "://" in text else f"http://{text}")
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise ValueError
    except ValueError as error:
        raise ConfigError(f"{text!r:.200} is no address of a daemon, such as {DEFAULT_URL}") from error
    secure = parts.scheme == "https"
    return Place(parts.hostname, parts.port or (443 if secure else 80), "", parts.path.rstrip("/"), secure)


def run(wish: Wish) -> int:
    """Do it; print what came of it; return the exit code."""
    try:
        answer = _ask(wish)
        text = json.dumps(answer, indent=2) if wish.as_json else _table(answer)
        print(text, flush=True)
    except Refused as error:
        print(f"imgd stat: {_plain(str(error))}", file=sys.stderr)
        return EXIT_REFUSED
    return EXIT_OK


def _ask(wish: Wish) -> dict[str, Any]:
    method, target = "POST", f"{wish.place.below}/admin"
    if wish.all:
        target += "/sessions/end"
    elif wish.session is not None:
        target += f"/sessions/{quote(wish.session, safe='')}/end"
    elif wish.runner is not None:
        target += f"/runners/{wish.runner}/end"
    else:
        method = "GET"
    connection = _connection(wish.place)
    try:
        connection.request(method, target, headers={"Accept": "application/json"})
        response = connection.getresponse()
        body = response.read(ANSWER_BYTES)
        answer = json.loads(body)
    except (OSError, http.client.HTTPException) as error:
        raise Refused(f"cannot ask the daemon: {error or type(error).__name__}") from error
    except ValueError as error:
        raise Refused(f"status {response.status}, and no answer that a daemon of ours gives") from error
    finally:
        connection.close()
    if not isinstance(answer, dict) or (response.status == 200 and not answer.keys() & {"ended", "sessions"}):
        raise Refused("the answer is none that a daemon of ours gives")
    if response.status != 200:
        raise Refused(f"status {response.status}: {answer.get('detail') or answer.get('title') or 'no reason given'}")
    return answer


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a UNIX socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=LIMIT_S)
        self._path = path

    def connect(self) -> None:
        """Connect."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(LIMIT_S)
        self.sock.connect(self._path)


def _connection(place: Place) -> http.client.HTTPConnection:
    if place.path:
        return _UnixConnection(place.path)
    kind = http.client.HTTPSConnection if place.secure else http.client.HTTPConnection
    return kind(place.host, place.port, timeout=LIMIT_S)


def _table(answer: dict[str, Any]) -> str:
    """Write the answer for people: sessions, and below each the runners that it holds."""
    if "ended" in answer:
        return f"ended {answer['ended']}"
    runners = {each["number"]: each for each in answer["runners"]}
    lines = []
    for session in answer["sessions"]:
        state = "connected" if session["connected"] else "away"
        lines.append(f"{session['name']}  {session['owner']}  {state}  {_age(session['age_s'])}")
        lines += ["  " + _line(runners[number], session["name"]) for number in session["runners"] if number in runners]
    figures = answer["statistics"]
    names = ("sessions", "sessions_parked", "runners", "runs", "runs_begun_total", "runs_failed_total")
    lines.append(", ".join(f"{name} {figures[name]}" for name in names))
    return "\n".join(_plain(line) for line in lines)


def _line(runner: dict[str, Any], session: str) -> str:
    states = [name for name in ("running", "paused", "pending") if runner[name]] or ["idle"]
    words = [f"#{runner['number']}", ",".join(states), f"turn {runner['turn']}"]
    if runner["follow"] is not None:
        words.append(f"follows {runner['follow']} (skipped {runner['skipped']})")
    words.append(runner["view"] or "-")
    if others := [name for name in runner["sessions"] if name != session]:
        words.append(f"(also {', '.join(others)})")
    return "  ".join(words)


def _age(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min"


def _plain(text: str) -> str:
    """Keep names from giving orders to the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)

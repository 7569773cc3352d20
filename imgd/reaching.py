"""Reaching a daemon of this machine: its address, and one question over HTTP, with a limit."""

import http.client
import json
import socket
import ssl
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from imgd.errors import ConfigError
from imgd.trust import client_context, tls_trouble

DEFAULT_URL: Final = "http://127.0.0.1:8765/"
LIMIT_S: Final = 10.0
ANSWER_BYTES: Final = 64 * 1024 * 1024
_CANNOT: Final = "cannot ask the daemon: "


class NotReached(Exception):
    """Nobody answers, or nothing that a daemon of ours says; the text says why."""


@dataclass(frozen=True)
class Place:
    """Where a daemon is. path: of a UNIX socket, "" for TCP. below: the path before `/admin`.

    cafile  authorities to trust over https, in place of the system's; "": those.
    """

    host: str = "localhost"
    port: int = 80
    path: str = ""
    below: str = ""
    secure: bool = False
    cafile: str = ""


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


def url_of(place: Place) -> str:
    """Write a place as it is given."""
    if place.path:
        return f"unix:{place.path}"
    host = f"[{place.host}]" if ":" in place.host else place.host
    return f"{'https' if place.secure else 'http'}://{host}:{place.port}{place.below}/"


USUAL_PLACES: Final = (place_of(DEFAULT_URL), place_of("unix:/run/imgd/web.sock"))
"""Where a daemon is if nobody says otherwise: started by hand, and by its unit (systemd/imgd.socket)."""


def usual_place() -> Place:
    """Find the first usual place at which a daemon answers.

    Raises  NotReached, with what is the matter at each.
    """
    troubles = []
    for place in USUAL_PLACES:
        try:
            ask(place, "/readyz")
            return place
        except NotReached as error:
            troubles.append(f"{url_of(place)}: {str(error).removeprefix(_CANNOT)}")
    raise NotReached(f"no daemon is reached at the usual places: {'; '.join(troubles)}")


def ask(place: Place, target: str, method: str = "GET", *, limit_s: float = LIMIT_S) -> tuple[int, dict[str, Any]]:
    """Ask one question; return the status and the answer, which is a JSON object.

    Raises  NotReached.
    """
    try:
        connection = _connection(place, limit_s)
    except ConfigError as error:
        raise NotReached(str(error)) from error
    try:
        connection.request(method, place.below + target, headers={"Accept": "application/json"})
        response = connection.getresponse()
        answer = json.loads(response.read(ANSWER_BYTES))
    except ssl.SSLError as error:
        raise NotReached(f"{_CANNOT}{tls_trouble(error)}") from error
    except PermissionError as error:
        raise NotReached(f"{_CANNOT}{error.strerror} (root may, and who is in the socket's group)") from error
    except (OSError, http.client.HTTPException) as error:
        raise NotReached(f"{_CANNOT}{error or type(error).__name__}") from error
    except ValueError as error:
        raise NotReached(f"status {response.status}, and no answer that a daemon of ours gives") from error
    finally:
        connection.close()
    if not isinstance(answer, dict):
        raise NotReached("the answer is none that a daemon of ours gives")
    return response.status, answer


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a UNIX socket."""

    def __init__(self, path: str, limit_s: float) -> None:
        super().__init__("localhost", timeout=limit_s)
        self._path = path

    def connect(self) -> None:
        """Connect."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _connection(place: Place, limit_s: float) -> http.client.HTTPConnection:
    if place.path:
        return _UnixConnection(place.path, limit_s)
    if not place.secure:
        return http.client.HTTPConnection(place.host, place.port, timeout=limit_s)
    context = client_context(place.cafile)
    return http.client.HTTPSConnection(place.host, place.port, timeout=limit_s, context=context)

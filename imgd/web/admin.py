"""`/admin`: who is there, what each has open, and the order to leave; only for who sits at the daemon's machine."""

import ipaddress
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import msgspec
import trio

from imgd.core.roll import WorkerRecord
from imgd.core.sessions.events import EndOrdered, Event
from imgd.core.sessions.figures import Overview, SessionStatistics
from imgd.errors import ImgdError, NoSuchRunner, NotYours, RequestError
from imgd.web.api import Figures
from imgd.web.problems import Headers, send_body, send_problem, send_status
from imgd.web.seam import Engine, Receive, Scope, Send

_HEADERS: Final[Headers] = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
_FORWARDED: Final = (
    b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-server", b"x-real-ip",
    b"via",
)  # fmt: skip


class NoSuchSession(RequestError):
    """There is no such session."""

    status, title = 404, "No such session"


class Watched(Protocol):
    """What the sessions' state machine tells an operator."""

    def statistics(self) -> SessionStatistics:
        """Count."""

    def overview(self) -> Overview:
        """Tell who is there."""


class Sessions(Protocol):
    """The sessions, and whoever carries out what follows from an event."""

    @property
    def sessions(self) -> Watched:
        """The state machine itself."""

    def handle(self, event: Event) -> None:
        """Let something happen."""


class Admin:
    """Answer `/admin` and what is below it.

    Only a client of the same machine is answered: it comes over the loopback or a UNIX socket, nobody has forwarded its
    request, it asks for the machine by a name of the loopback, and it is no page of another origin.
    """

    def __init__(self, live: Sessions, engine: Engine, figures: Figures) -> None:
        self._live = live
        self._engine = engine
        self._figures = figures
        self._began_s = trio.current_time()

    async def answer(self, scope: Scope, _: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            _check_asker(scope)
            parts = scope["path"].split("/")[2:]
            order = _order_of(parts)
            if parts and order is None:
                await send_status(send, 404, "there is nothing here")
                return
            allowed = "GET" if order is None else "POST"
            if scope["method"] != allowed:
                await send_status(send, 405, f"only {allowed}", [(b"allow", allowed.encode())])
                return
            answer = await self._overview() if order is None else {"ended": self._end(order)}
        except ImgdError as error:
            await send_problem(send, error)
            return
        await send_body(send, 200, _HEADERS, msgspec.json.encode(answer))

    async def _overview(self) -> dict[str, Any]:
        await self._figures.look()
        now_s, found, crew = trio.current_time(), self._live.sessions.overview(), self._engine.crew()
        return {
            "at_s": now_s,
            "up_s": round(now_s - self._began_s, 1),
            "state": crew.state,
            "events_down": self._figures.down(),
            "workers": [_worker(record, pid, crew.at_s) for record, pid in crew.workers],
            "waiting": asdict(crew.waiting),
            "figures": {name: _plain(owner()) for name, owner in self._figures.owners.items()},
            "statistics": asdict(self._live.sessions.statistics()),
            "sessions": [_aged(asdict(each), now_s) for each in found.sessions],
            "runners": [_aged(asdict(each), now_s) for each in found.runners],
        }

    def _end(self, order: EndOrdered) -> int:
        found = self._live.sessions.overview()
        if order.number is not None:
            ended = sum(each.number == order.number for each in found.runners)
            if not ended:
                raise NoSuchRunner("there is no such runner", "runner")
        else:
            ended = sum(order.session in (None, each.name) for each in found.sessions)
            if not ended and order.session is not None:
                raise NoSuchSession("there is no such session", "session")
        self._live.handle(order)
        return ended


def _worker(record: WorkerRecord, pid: int, now_s: float) -> dict[str, Any]:
    known = _aged(asdict(record), now_s)
    if not pid and not record.external:
        known["state"] = "starting"
    return {**known, "pid": pid}


def _plain(record: Any) -> Any:
    return [asdict(each) for each in record] if isinstance(record, Sequence) else asdict(record)


def _aged(record: dict[str, Any], now_s: float) -> dict[str, Any]:
    """Tell for how long, in place of since when by a clock that nobody else has."""
    since_s = record.pop("since_s")
    return {**record, "age_s": round(now_s - since_s, 1)}


def _order_of(parts: list[str]) -> EndOrdered | None:
    at_s = trio.current_time()
    match parts:
        case ["sessions", "end"]:
            return EndOrdered(at_s=at_s)
        case ["sessions", name, "end"]:
            return EndOrdered(name, at_s=at_s)
        case ["runners", number, "end"] if number.isascii() and number.isdigit() and len(number) <= 10:
            return EndOrdered(number=int(number), at_s=at_s)
        case _:
            return None


def _check_asker(scope: Scope) -> None:
    """Look whether who asks sits at this machine.

    Raises  NotYours.
    """
    headers: dict[bytes, bytes] = dict(scope["headers"])
    client = scope.get("client")
    if client is not None and not _is_loopback(client[0]):
        raise NotYours("only for clients of the daemon's own machine")
    if any(name in headers for name in _FORWARDED):
        raise NotYours("not for requests that were forwarded")
    host = headers.get(b"host", b"").decode("latin-1")
    if not _is_loopback(_hostname(f"//{host}")):
        raise NotYours("only under a name of the loopback, such as localhost", "host")
    origin = headers.get(b"origin", b"").decode("latin-1")
    if origin and _place(origin) != host.lower():
        raise NotYours("not for pages of another origin", "origin")
    if headers.get(b"sec-fetch-site", b"none") not in (b"none", b"same-origin"):
        raise NotYours("not for pages of another origin", "origin")


def _hostname(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def _place(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""  # No origin that a browser would send.


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)

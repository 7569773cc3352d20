"""Origin: on whose behalf something is done now: a request, a session, a run. Lines of the log and problems name it."""

import ipaddress
import re
import secrets
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Final

_GIVEN: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")
HEADER: Final = b"x-request-id"


class Origin:
    """One request, session or run; what it causes is done in its name. None of the names is a secret.

    request  of a request: its id, made when it is first asked for. run: what of its runs goes on.
    """

    __slots__ = ("_client", "_headers", "_made", "run", "session")

    def __init__(
        self,
        headers: Iterable[tuple[bytes, bytes]] | None = None,
        client: tuple[str, int] | None = None,
        *,
        session: str = "",
        run: str = "",
    ) -> None:
        """Begin one.

        headers  of the request; None: it is no request.
        client   its address, None: of a UNIX socket.
        """
        self._headers = headers
        self._client = client
        self._made = ""
        self.session = session
        self.run = run

    @property
    def request(self) -> str:
        """Tell the request's id: the one that a front of this machine gave it, or one made here."""
        if not self._made and self._headers is not None:
            self._made = _given(self._headers, self._client) or secrets.token_hex(8)
        return self._made


ORIGIN: Final[ContextVar[Origin | None]] = ContextVar("imgd.origin", default=None)


def origin() -> Origin | None:
    """Tell on whose behalf the present task works; None: on the daemon's own."""
    return ORIGIN.get()


def request_id() -> str:
    """Tell the id of the request that the present task answers; "" if it answers none."""
    found = ORIGIN.get()
    return found.request if found is not None else ""


def note_session(session: str) -> None:
    """Say which session the present task is for from now on."""
    found = ORIGIN.get()
    if found is not None:
        found.session = session


def note_run(run: str) -> None:
    """Say which run the present task carries out from now on."""
    found = ORIGIN.get()
    if found is not None:
        found.run = run


def _given(headers: Iterable[tuple[bytes, bytes]], client: tuple[str, int] | None) -> str:
    """Find the id that a front gave; one from elsewhere could put words of others into our log."""
    if client is not None and not _is_near(client[0]):
        return ""
    given = next((value for name, value in headers if name == HEADER), b"")
    return given.decode() if _GIVEN.fullmatch(given) else ""


def _is_near(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

"""Listen, and serve an ASGI application on hypercorn's protocols until told to stop."""

import contextlib
import logging
import os
import socket
import stat
import sys
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, cast

import h2.exceptions
import h11
import trio
import wsproto.utilities
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.logging import Logger
from hypercorn.trio.worker_context import WorkerContext
from priority.priority import PriorityError

from imgd.config import Settings
from imgd.errors import NotNow
from imgd.notify import NO_SOCKETS, GivenSockets
from imgd.setting_kinds import TcpBind, UnixBind, parse_bind
from imgd.web.accepting import Shortage, accept_all
from imgd.web.calm import Calm
from imgd.web.connection import Connection
from imgd.web.redirect import redirect_to
from imgd.web.seam import App, Receive, Scope, Send
from imgd.web.tls import Certificate, Handshakes, NoHandshake, SecureStream

BACKLOG: Final = 256
LAST_WORDS_S: Final = 1.0  # For what is told to those whose answers have not begun within `shutdown_s`.
_REQUESTS_ANY: Final = 1 << 62  # Of one connection; hypercorn would break off open answers of HTTP/2 after a thousand.
# What hypercorn 0.18 lets escape when a peer's bytes break the grammar (hypercorn's issues 197, 203, 225, 329): the
# end of that connection, never of the daemon. Errors of the application do not come this way.
PEER_CAUSED: Final = (
    LookupError, ValueError, AttributeError, NameError,
    h11.ProtocolError, h2.exceptions.H2Error, PriorityError, wsproto.utilities.ProtocolError,
)  # fmt: skip


class PeerWireError(Exception):
    """The client's bytes broke the grammar while it was being answered: nobody is left to answer."""


_log = logging.getLogger("imgd.web")
ReportBug = Callable[[BaseException], None]
ServeStream = Callable[..., Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Listening:
    """Open listeners, and the addresses to reach them by: URLs, or "unix:/path".

    redirects  those that only say where the same is by https.
    """

    listeners: tuple[trio.SocketListener, ...]
    addresses: tuple[str, ...]
    redirects: tuple[trio.SocketListener, ...] = ()


@dataclass(slots=True)
class ConnectionCounts:
    """Figures of the connections."""

    connections: int = 0
    connections_total: int = 0
    connections_refused_total: int = 0
    connections_stalled_total: int = 0
    streams_stalled_total: int = 0
    connections_broken_total: int = 0
    handshakes: int = 0
    handshakes_failed_total: int = 0
    certificate_expiry_timestamp_seconds: float = 0.0  # Since 1970; 0: there is none.
    sent_bytes_total: int = 0
    accept_paused: int = 0
    accept_paused_total: int = 0


@contextlib.contextmanager
def open_listeners(
    binds: tuple[str, ...],
    ping_s: float,
    *,
    redirects: tuple[str, ...] = (),
    is_secure: bool = False,
    given: GivenSockets = NO_SOCKETS,
) -> Iterator[Listening]:
    """Listen at all places, for the duration of the `with`.

    given      by a supervisor: they take the place of `binds`, or of `redirects`.
    is_secure  say https in addresses: the TCP places are going to speak it.

    Raises  NotNow if one of them cannot be had; none is open then.
    """
    with contextlib.ExitStack() as opened:
        sockets = _taken(given.http, opened, ping_s) or _listen_all("bind", binds, opened, ping_s)
        redirecting = _taken(given.redirects, opened, ping_s) or _listen_all("redirect_bind", redirects, opened, ping_s)
        addresses = [_address(each, "https" if is_secure else "http") for each in sockets]
        yield Listening(_listeners(sockets), tuple(addresses), _listeners(redirecting))


def _listeners(sockets: list[socket.socket]) -> tuple[trio.SocketListener, ...]:
    return tuple(trio.SocketListener(trio.socket.from_stdlib_socket(each)) for each in sockets)


def _listen_all(
    setting: str, binds: tuple[str, ...], opened: contextlib.ExitStack, ping_s: float
) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    for text in binds:
        try:
            sockets += _listen(parse_bind(text), opened, ping_s)
        except OSError as error:
            raise NotNow(f"{setting}: cannot listen at {text}: {error.strerror or error}") from error
    return sockets


def _taken(given: tuple[socket.socket, ...], opened: contextlib.ExitStack, ping_s: float) -> list[socket.socket]:
    """Prepare sockets that somebody else listens at as well."""
    for sock in given:
        opened.enter_context(sock)
        if sock.family != socket.AF_UNIX:
            for level, option, value in _keep_alive(ping_s):
                sock.setsockopt(level, option, value)
    return list(given)


def _listen(bind: TcpBind | UnixBind, opened: contextlib.ExitStack, ping_s: float) -> list[socket.socket]:
    if isinstance(bind, UnixBind):
        with contextlib.suppress(FileNotFoundError):
            _clear_stale(bind.path)
        sock = opened.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        sock.bind(bind.path)
        opened.callback(_unlink, bind.path, os.stat(bind.path).st_ino)
        places = [sock]
    else:
        places = []
        found = socket.getaddrinfo(bind.host, bind.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, _, _, address in dict.fromkeys(found):
            sock = opened.enter_context(socket.socket(family, kind))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            for level, option, value in _keep_alive(ping_s):
                sock.setsockopt(level, option, value)  # Accepted sockets inherit it.
            sock.bind(address)
            places.append(sock)
    for sock in places:
        sock.listen(BACKLOG)
        sock.setblocking(False)
    return places


def _keep_alive(ping_s: float) -> tuple[tuple[int, int, int], ...]:
    """Have a client that is gone without a word noticed within twice this time, whether or not it is sent something."""
    return (
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, round(ping_s)),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, int(ping_s / 4))),
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(ping_s * 1000)),  # While something is not acknowledged.
    )


def _clear_stale(path: str) -> None:
    """Remove a socket that nobody listens at any more; a living one makes the bind fail, as it should."""
    if not stat.S_ISSOCK(os.stat(path).st_mode):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)


def _unlink(path: str, inode: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        if os.stat(path).st_ino == inode:  # Not one that a newer daemon put in its place.
            os.unlink(path)


def _address(sock: socket.socket | trio.socket.SocketType, scheme: str) -> str:
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return f"unix:{name}"
    host = f"[{name[0]}]" if sock.family == socket.AF_INET6 else name[0]
    return f"{scheme}://{host}:{name[1]}/"


def is_tcp(listener: trio.SocketListener) -> bool:
    """Tell whether it listens at a port."""
    return listener.socket.family != socket.AF_UNIX


def port_of(listener: trio.SocketListener) -> int:
    """Tell its port."""
    port: int = listener.socket.getsockname()[1]
    return port


class _HttpLog(Logger):
    """Hypercorn's log into ours, without a line for each request: UIDs stand in addresses, and UIDs are keys."""

    def __init__(self, report_bug: ReportBug) -> None:
        self.access_logger = None
        self.error_logger = _log
        self._report_bug = report_bug

    async def exception(self, message: str, *args: Any, **kwargs: Any) -> None:
        """Hand on what escaped from the application: hypercorn would answer 500 and go on."""
        error = sys.exception()
        assert error is not None
        self._report_bug(error)


class _HttpConfig(Config):
    """Hypercorn's configuration, from ours."""

    def __init__(self, settings: Settings, report_bug: ReportBug) -> None:
        self._log = _HttpLog(report_bug)
        self.include_server_header = False
        self.h11_max_incomplete_size = settings.request_head_bytes
        self.h2_max_header_list_size = settings.request_head_bytes
        self.h2_max_concurrent_streams = settings.streams_max
        self.keep_alive_timeout = settings.keep_alive_s
        self.keep_alive_max_requests = _REQUESTS_ANY
        self.websocket_max_message_size = settings.message_bytes


def _told_apart(app: App) -> App:
    """Keep what the server's `send` raises, which is the client's doing, apart from the application's own bugs."""
    lines = Calm(burst=20, per_s=0.1)

    async def answering(scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: MutableMapping[str, Any]) -> None:
            try:
                await send(message)
            except PEER_CAUSED as error:
                raise PeerWireError(str(error)) from error

        try:
            await app(scope, receive, sending)
        except* PeerWireError as errors:
            if not lines.is_lost(1):
                _log.warning("a client broke its connection while it was answered", exc_info=errors)

    return answering


class HttpServer:
    """Serves one application. `counts` is for metrics."""

    def __init__(self, app: App, settings: Settings, certificate: Certificate | None = None) -> None:
        """Make it.

        certificate  TCP places speak TLS with it; UNIX sockets, at which only this machine's fronts are, never do.
        """
        self._app = ASGIWrapper(cast(Any, _told_apart(app)))
        self._config = _HttpConfig(settings, self._report_bug)
        self._settings = settings
        self._certificate = certificate
        self._handshakes = Handshakes(settings.handshake_s, settings.handshakes_max)
        self._shortage = Shortage()
        self._lines = Calm(burst=20, per_s=0.1)
        self._open: set[Connection] = set()
        self._all_gone = trio.Event()
        self._bugs: list[BaseException] = []
        self._bug_found = trio.Event()
        self.counts = ConnectionCounts()

    def take(self, settings: Settings) -> None:
        """Take up other settings, for connections that come from now on."""
        self._settings = settings
        self._config = _HttpConfig(settings, self._report_bug)
        self._handshakes.take(settings.handshake_s, settings.handshakes_max)

    async def serve(self, listening: Listening, stopping: trio.Event) -> None:
        """Serve until `stopping`, then take no more and give open answers `shutdown_s` to finish.

        Raises  what escaped from the application: it is a bug, and ends the daemon.
        Cancelled at once; no connection outlives this call.
        """
        context = WorkerContext(None)
        async with trio.open_nursery() as connections:
            try:
                connections.start_soon(self._raise_bug)
                async with trio.open_nursery() as accepting:
                    for listener, serving in self._serving(listening, context):
                        accepting.start_soon(accept_all, listener, serving, connections, self._shortage)
                    await stopping.wait()
                    accepting.cancel_scope.cancel()
                await context.terminated.set()  # Idle connections end, and those under way after their answer.
                with trio.move_on_after(self._settings.shutdown_s + LAST_WORDS_S):
                    while self._open:
                        self._all_gone = trio.Event()
                        await self._all_gone.wait()
            finally:
                for connection in tuple(self._open):
                    connection.abort()
            connections.cancel_scope.cancel()

    def _serving(
        self, listening: Listening, context: WorkerContext
    ) -> Iterator[tuple[trio.SocketListener, ServeStream]]:
        """Tell what is done with each listener's connections."""
        ports = [port_of(each) for each in listening.listeners if is_tcp(each)]
        for listener in listening.listeners:
            plain = partial(self._serve_one, self._app, context)
            is_secure = self._certificate is not None and is_tcp(listener)
            yield listener, partial(self._serve_secure, plain) if is_secure else plain
        for listener in listening.redirects:
            _log.info("http at %s leads to https", _address(listener.socket, "http"))
            app = ASGIWrapper(cast(Any, _told_apart(redirect_to(ports[0]))))
            yield listener, partial(self._serve_one, app, context)

    async def _serve_secure(self, serve: ServeStream, stream: trio.SocketStream) -> None:
        assert self._certificate is not None
        if not self._has_room():
            self.counts.connections_refused_total += 1
            return
        try:
            secure = await self._handshakes.secure(stream, self._certificate)
        except NoHandshake as error:
            self.counts.handshakes_failed_total += 1
            _log.debug("a client's TLS handshake failed: %s", error)
            return
        try:
            await serve(secure)
        finally:
            vars(secure).clear()  # It holds itself: its 50 kB would wait for the collector of cycles.

    def _has_room(self) -> bool:
        """Tell whether there may be one more; a handshake gives way to it, else a flood of them would lock all out."""
        if len(self._open) + len(self._handshakes) >= self._settings.connections_max:
            self._handshakes.give_way()
        return len(self._open) + len(self._handshakes) < self._settings.connections_max

    async def _serve_one(
        self, app: ASGIWrapper, context: WorkerContext, stream: trio.SocketStream | SecureStream
    ) -> None:
        if not self._has_room():
            self.counts.connections_refused_total += 1
            return
        connection = Connection(cast(Any, app), self._config, context, stream)
        connection.send_limit_s = self._settings.send_limit_s
        self._open.add(connection)
        self.counts.connections_total += 1
        try:
            await connection
        except* PEER_CAUSED as errors:
            self.counts.connections_broken_total += 1
            if not self._lines.is_lost(1):  # Who does it again and again does not fill the log.
                _log.warning("a client broke its connection", exc_info=errors)
        finally:
            self.counts.connections_stalled_total += connection.stalled
            self.counts.streams_stalled_total += connection.streams_stalled
            self.counts.sent_bytes_total += connection.sent_bytes
            self._open.discard(connection)
            if not self._open:
                self._all_gone.set()

    def statistics(self) -> ConnectionCounts:
        """Tell the figures of now."""
        certificate = self._certificate
        return replace(
            self.counts,
            connections=len(self._open),
            handshakes=len(self._handshakes),
            certificate_expiry_timestamp_seconds=certificate.expires_at if certificate else 0.0,
            streams_stalled_total=self.counts.streams_stalled_total + sum(each.streams_stalled for each in self._open),
            sent_bytes_total=self.counts.sent_bytes_total + sum(each.sent_bytes for each in self._open),
            accept_paused=int(self._shortage.is_paused),
            accept_paused_total=self._shortage.pauses,
        )

    def _report_bug(self, error: BaseException) -> None:
        self._bugs.append(error)
        self._bug_found.set()

    async def _raise_bug(self) -> None:
        await self._bug_found.wait()
        raise self._bugs[0]

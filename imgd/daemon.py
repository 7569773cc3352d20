"""The daemon: build everything, nest it in the order in which it must end, and run it until told to stop."""

import contextlib
import faulthandler
import gc
import logging
import os
import resource
import signal
import socket
import stat
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import metadata

import trio

from imgd.access.roots import Roots
from imgd.config import Settings
from imgd.core.uids import Uids
from imgd.ending import AT_ONCE_S, TIDY_S, Guard
from imgd.engine.reaping import become_subreaper
from imgd.engine.render import Engine, open_engine
from imgd.entry import rfc3339
from imgd.errors import ConfigError, NotNow, first_of
from imgd.events.catalogue import Catalogue
from imgd.events.event import Draft
from imgd.events.log import Log, open_log
from imgd.events.opening import open_store
from imgd.events.own_database import made_own_database
from imgd.events.store import Store
from imgd.logs import LineQueue, open_log_lines
from imgd.notify import GivenSockets, Notifier, take_sockets
from imgd.reload import Parts, Reloading, template_of
from imgd.watching import cataloguing
from imgd.watching.cataloguing import Cataloguing
from imgd.watching.describing import describe_by
from imgd.watching.noting import insist
from imgd.watching.root import RootWatch
from imgd.watching.state import WatchSettings, WatchStatistics
from imgd.watching.watches import Watches
from imgd.web.app import make_app
from imgd.web.cgi import CgiDesk, serve_cgi, user_ids
from imgd.web.metrics import Owner
from imgd.web.serve import LAST_WORDS_S, ConnectionCounts, HttpServer, Listening, open_listeners
from imgd.web.tls import Certificate

log = logging.getLogger("imgd")

CONNECTIONS_ANY = 1_000_000
EXIT_OK = 0
EXIT_OUR_BUG = 70  # EX_SOFTWARE: a supervisor is to start it again.
GARBAGE_MIN = 5_000  # Objects made and not gone, before the young ones are looked at.
CGI_PLACES = 64  # CGI programs answered at the same time; the web server starts no more of them than it has slots for.
STATUS_S = 5.0


def run(settings: Settings, again: Callable[[], Settings]) -> int:
    """Run the daemon until SIGTERM or SIGINT; return the exit code.

    again  reads the settings anew, at SIGHUP.

    Raises  ConfigError for a wrong setting, NotNow for what cannot be had now, such as an address in use.
    """
    signal.signal(signal.SIGHUP, _not_yet)
    notifier = Notifier(os.environ)
    try:
        given = take_sockets(os.environ)
        with open_log_lines(settings.log, settings.log_lines, settings.log_level) as lines:
            faulthandler.enable()  # A supervisor that misses our signs of life sends SIGABRT: it is told where we were.
            become_subreaper()
            connections_most = _raise_descriptor_limit()
            settings = _bounded(settings, connections_most)
            reloading = Reloading(settings, lambda: _bounded(again(), connections_most), notifier)
            return _run(_Start(settings, reloading, notifier, given, lines))
    except ConfigError as error:
        notifier.status(str(error))
        raise


def _bounded(settings: Settings, connections_most: int) -> Settings:
    return replace(settings, connections_max=min(settings.connections_max, connections_most))


def _not_yet(number: int, frame: object) -> None:
    """Do not end at SIGHUP while the daemon is only beginning: its settings are fresh anyhow."""


@dataclass(frozen=True)
class _Start:
    """What the daemon begins with."""

    settings: Settings
    reloading: Reloading
    notifier: Notifier
    given: GivenSockets
    lines: LineQueue


def _run(start: _Start) -> int:
    exit_code = EXIT_OK
    try:
        trio.run(_main, start)
    except* ConfigError as errors:
        raise first_of(errors) from None
    except* Exception:
        log.critical("imgd has met a bug of its own and ends", exc_info=True)
        exit_code = EXIT_OUR_BUG
    return exit_code


@dataclass
class _Ending:
    """How the daemon is told to end.

    stopping  it is to take nothing more, and to answer what it has.
    serving   it answers, so that there may be something to be finished; before that it can end at once.
    """

    start: _Start
    guard: Guard
    stopping: trio.Event = field(default_factory=trio.Event)
    serving: bool = False

    async def hear(self, signals: AsyncIterator[int], whole: trio.CancelScope) -> None:
        """Do what signals say; the second one that says to end is obeyed at once."""
        async for number in signals:
            name = signal.Signals(number).name
            if number == signal.SIGHUP:
                self.start.reloading.ask()
            elif self.stopping.is_set() or not self.serving:
                log.info("%s: ending at once", name)
                self.start.notifier.stopping()
                self.guard.arm(AT_ONCE_S)
                whole.cancel()
            else:
                log.info("%s: ending", name)
                self.start.notifier.stopping()
                self.start.reloading.end()
                self.guard.arm(self.start.reloading.settings.shutdown_s + LAST_WORDS_S + TIDY_S)
                self.stopping.set()


async def _main(start: _Start) -> None:
    """Hear signals from the first moment to the last."""
    ending = _Ending(start, Guard(start.lines.close))
    signals = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    with trio.open_signal_receiver(*signals) as heard:
        async with trio.open_nursery() as whole:
            whole.start_soon(ending.hear, heard, whole.cancel_scope)
            await _live(start, ending)
            whole.cancel_scope.cancel()


@dataclass(frozen=True)
class _House:
    """What is open while the daemon serves."""

    start: _Start
    roots: Roots
    listening: Listening
    engine: Engine
    log: Log
    certificate: Certificate | None
    desk: CgiDesk

    @property
    def settings(self) -> Settings:
        """Those that it was started with."""
        return self.start.settings


async def _live(start: _Start, ending: _Ending) -> None:
    """Nest, outermost first: sockets, roots, events, memory and workers, connections; they end the other way."""
    settings = start.settings
    users = user_ids(settings.cgi_users)
    certificate = Certificate(settings.certfile, settings.keyfile) if settings.certfile else None
    engine: Engine | None = None
    with (
        open_listeners(
            settings.bind, settings.ping_s, redirects=settings.redirect_bind, is_secure=certificate is not None,
            given=start.given,
        ) as listening,
        _open_cgi_socket(settings, start.given.cgi) as cgi_socket,
    ):  # fmt: skip
        roots = Roots(settings)
        try:
            async with (
                open_store(settings.database or _own_database(settings)) as store,
                open_log(store, settings) as events,
                open_engine(settings, roots.open, template_of(settings)) as engine,
            ):
                roots.tell_news(engine.renew_workers)
                desk = CgiDesk(
                    engine, Uids(settings.sessions_max, settings.session_uids_max), users, settings.step_limit_s
                )
                house = _House(start, roots, listening, engine, events, certificate, desk)
                async with trio.open_nursery() as nursery:
                    answered = trio.Event()
                    nursery.start_soon(_serve_cgi, cgi_socket, desk, ending.stopping, answered)
                    watching = _watch(house, store)
                    nursery.start_soon(watching.watches.run)
                    nursery.start_soon(watching.cataloguing.run)
                    nursery.start_soon(watching.catalogue.run)
                    nursery.start_soon(_tell_start, events)
                    await _serve_http(house, watching, ending, answered)
                    nursery.cancel_scope.cancel()
        except* Exception:
            if engine is not None:
                _tell_story(engine)
            raise


@dataclass(frozen=True)
class _Watching:
    """What sees the changes below each root, and what is known of all frames."""

    watches: Watches
    cataloguing: Cataloguing
    catalogue: Catalogue


def _watch(house: _House, store: Store) -> _Watching:
    settings, engine = house.settings, house.engine
    describe = describe_by(engine.header)
    how = WatchSettings(settle_s=settings.settle_s, poll_s=settings.poll_s)
    watches = Watches(lambda root: RootWatch(root, store, describe, how, tell=house.log.tell), settings.roots)
    in_passing = describe_by(engine.header, cataloguing.ASKER)
    background = Cataloguing(store, watches, in_passing, engine.at_rest, pause_s=settings.describe_pause_s)
    return _Watching(
        watches, background, Catalogue(store, lambda: [watch.seen for watch in watches], lambda: house.log.down)
    )


async def _tell_start(events: Log) -> None:
    """Note that the daemon has begun, as soon as the store takes it."""
    draft = Draft(at=rfc3339(time.time_ns()), type="daemon.started", detail={"version": metadata.version("imgd")})
    await insist(partial(events.publish, [draft]))


def _own_database(settings: Settings) -> str:
    """Name the SQLite file that is kept for these roots; make its directory.

    Raises  NotNow.
    """
    return made_own_database(settings.roots, os.environ)


async def _serve_cgi(listener: socket.socket | None, desk: CgiDesk, stopping: trio.Event, answered: trio.Event) -> None:
    """Answer CGI programs, if there is a socket for them; say when all that came before the end are answered."""
    if listener is not None:
        await serve_cgi(listener, desk, CGI_PLACES, stopping)
    answered.set()


async def _serve_http(house: _House, watching: _Watching, ending: _Ending, answered: trio.Event) -> None:
    """Serve until told to end; then let open answers finish within their limit."""
    start, reloading = house.start, house.start.reloading

    def roots() -> list[WatchStatistics]:
        return [watch.statistics() for watch in watching.watches]

    def connections() -> ConnectionCounts:
        return server.statistics()

    owners: dict[str, Owner] = {
        "root": roots, "desk": house.engine.tiles.statistics, "catalogue": watching.catalogue.statistics,
        "cataloguing": watching.cataloguing.statistics, "log": start.lines.statistics,
        "settings": reloading.statistics, "http": connections,
    }  # fmt: skip
    app = make_app(
        house.settings, house.engine, house.roots, house.desk.sessions, log=house.log, owners=owners,
        catalogue=watching.catalogue,
    )  # fmt: skip
    server = HttpServer(app, house.settings, house.certificate)
    parts = Parts(
        house.roots, house.engine, house.log, watching.watches, watching.cataloguing, house.desk, app, server,
        house.certificate,
    )  # fmt: skip

    def words() -> str:
        return _status(house, reloading, ending, server)

    async def drain() -> None:
        await ending.stopping.wait()
        app.end_sessions()
        await trio.sleep(reloading.settings.shutdown_s)
        app.tell_to_retry()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(app.runs.serve)
        nursery.start_soon(reloading.run, parts)
        _collect_seldom()
        nursery.start_soon(drain)
        ending.serving = True
        nursery.start_soon(_give_signs, start.notifier, words)
        _announce(house.listening)
        start.notifier.ready()
        await server.serve(house.listening, ending.stopping)
        with trio.move_on_after(reloading.settings.shutdown_s):
            await answered.wait()
        nursery.cancel_scope.cancel()


async def _give_signs(notifier: Notifier, words: Callable[[], str]) -> None:
    """Give the supervisor signs of life from the event loop, so that one that hangs is noticed; say what is done."""
    each_s = min(notifier.watchdog_s / 3 or STATUS_S, STATUS_S)
    while True:
        notifier.alive()
        notifier.status(words())
        await trio.sleep(each_s)


def _status(house: _House, reloading: Reloading, ending: _Ending, server: HttpServer) -> str:
    """Say in one line how the daemon is."""
    connections = f"{server.statistics().connections} connections"
    if ending.stopping.is_set():
        return f"draining: {connections} are still answered"
    if reloading.wrong:
        return f"the settings were kept as they were: {reloading.wrong}"
    if why_not := house.engine.ready():
        return why_not
    names = " ".join(root.name for root in reloading.settings.roots)
    return f"serving {names}; {connections}"


def _collect_seldom() -> None:
    """Look for dead cycles less often, and never in what is there for good: with hundreds of sessions each look at all
    objects would keep everybody waiting, and so does one at very many young ones (each connection leaves some)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_MIN, 5, 40)


def _announce(listening: Listening) -> None:
    """Print one line, the URL: whoever started us may be waiting for it."""
    urls = [address for address in listening.addresses if address.startswith("http")]
    with contextlib.suppress(OSError):  # Nobody has to read it.
        print(f"imgd serves {(urls or list(listening.addresses))[0]}", flush=True)
    for address in listening.addresses:
        log.info("listening at %s", address)


def _raise_descriptor_limit() -> int:
    """Take all the descriptors that there are to be had; return how many connections they are enough for."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    connections: int = CONNECTIONS_ANY if most == resource.RLIM_INFINITY else max(8, (most - 256) // 12)
    return connections


@contextlib.contextmanager
def _open_cgi_socket(settings: Settings, given: socket.socket | None) -> Iterator[socket.socket | None]:
    """Listen for CGI programs, if there is to be a socket for them; one that a supervisor gave goes before ours."""
    path = settings.cgi_socket
    if given is not None:
        with given:
            yield given
        return
    if not path:
        yield None
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        try:
            if stat.S_ISSOCK(os.stat(path).st_mode):
                os.unlink(path)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise NotNow(f"cgi_socket: {path}: {error.strerror}") from error
        try:
            listener.bind(path)
            os.chmod(path, 0o666)  # Who may ask is checked by user, see cgi_users.
        except OSError as error:
            raise NotNow(f"cgi_socket: cannot listen at {path}: {error.strerror}") from error
        listener.listen(CGI_PLACES)
        listener.setblocking(False)
        try:
            yield listener
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)


def _tell_story(engine: Engine) -> None:
    """Write down the last events and commands of the core: a bug report that can be replayed."""
    for line in engine.floor.story.lines():
        log.error("story: %s", line)

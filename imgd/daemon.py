"""The daemon: build everything, nest it in the order in which it must end, and run it until told to stop."""

import contextlib
import gc
import hashlib
import logging
import os
import resource
import signal
import socket
import stat
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from importlib import metadata
from pathlib import Path

import trio

from imgd.access.roots import Roots
from imgd.config import Settings
from imgd.core.uids import Uids
from imgd.engine.render import Engine, open_engine
from imgd.engine.workers import TemplateSettings, become_subreaper
from imgd.entry import rfc3339
from imgd.errors import ConfigError
from imgd.events.catalogue import Catalogue
from imgd.events.event import Draft
from imgd.events.log import Log, open_log
from imgd.events.opening import open_store
from imgd.events.store import Store
from imgd.watching import cataloguing
from imgd.watching.cataloguing import Cataloguing
from imgd.watching.describing import describe_by
from imgd.watching.noting import insist
from imgd.watching.root import RootWatch
from imgd.watching.state import WatchSettings, WatchStatistics
from imgd.web.app import make_app
from imgd.web.cgi import CgiDesk, serve_cgi, user_ids
from imgd.web.metrics import Owner
from imgd.web.serve import ConnectionCounts, HttpServer, Listening, open_listeners

log = logging.getLogger("imgd")

CONNECTIONS_ANY = 1_000_000
EXIT_OK = 0
EXIT_OUR_BUG = 70  # EX_SOFTWARE: a supervisor is to start it again.
GARBAGE_MIN = 20_000  # Objects made and not gone, before the young ones are looked at.
CGI_PLACES = 64  # CGI programs answered at the same time; the web server starts no more of them than it has slots for.


def run(settings: Settings) -> int:
    """Run the daemon until SIGTERM or SIGINT; return the exit code.

    Raises  ConfigError for what cannot be had, such as an address in use.
    """
    _log_to_stderr(settings.log_level)
    become_subreaper()
    settings = replace(settings, connections_max=min(settings.connections_max, _raise_descriptor_limit()))
    exit_code = EXIT_OK
    try:
        trio.run(_main, settings)
    except* ConfigError as errors:
        raise errors.exceptions[0] from None
    except* Exception:
        log.critical("imgd has met a bug of its own and ends", exc_info=True)
        exit_code = EXIT_OUR_BUG
    return exit_code


@dataclass(frozen=True)
class _House:
    """What is open while the daemon serves."""

    settings: Settings
    roots: Roots
    listening: Listening
    engine: Engine
    log: Log


async def _main(settings: Settings) -> None:
    """Nest, outermost first: sockets, roots, events, memory and workers, connections; they end the other way."""
    users = user_ids(settings.cgi_users)
    engine: Engine | None = None
    with (
        open_listeners(settings.bind, settings.ping_s) as listening,
        _open_cgi_socket(settings) as cgi_socket,
    ):
        roots = Roots(settings)
        template = TemplateSettings(
            memory_bytes=settings.worker_memory_bytes or None,
            readable=tuple(str(root.directory) for root in settings.roots),
        )
        try:
            async with (
                open_store(settings.database or _own_database(settings)) as store,
                open_log(store, settings) as events,
                open_engine(settings, roots.open, template) as engine,
            ):
                roots.tell_news(engine.renew_workers)
                house = _House(settings, roots, listening, engine, events)
                sessions = Uids(settings.sessions_max, settings.session_uids_max)
                desk = CgiDesk(engine, sessions, users, settings.step_limit_s)
                async with trio.open_nursery() as nursery:
                    if cgi_socket is not None:
                        nursery.start_soon(serve_cgi, cgi_socket, desk, CGI_PLACES)
                    watching = _watch(house, store)
                    for watch in watching.watches:
                        nursery.start_soon(watch.run)
                    nursery.start_soon(watching.cataloguing.run)
                    nursery.start_soon(_tell_start, events)
                    await _serve_http(house, desk, watching)
                    nursery.cancel_scope.cancel()
        except* Exception:
            if engine is not None:
                _tell_story(engine)
            raise


@dataclass(frozen=True)
class _Watching:
    """What sees the changes below each root, and what is known of all frames."""

    watches: list[RootWatch]
    cataloguing: Cataloguing
    catalogue: Catalogue


def _watch(house: _House, store: Store) -> _Watching:
    settings, engine = house.settings, house.engine
    describe = describe_by(engine.header)
    how = WatchSettings(settle_s=settings.settle_s, poll_s=settings.poll_s)
    watches = [RootWatch(root, store, describe, how, tell=house.log.tell) for root in settings.roots]
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

    Raises  ConfigError.
    """
    given = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]  # By systemd.
    home = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    folder = Path(given or os.path.join(home, "imgd")).absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"database: cannot make {folder}: {error.strerror}; say where events are kept") from error
    of = "\0".join(sorted(f"{root.name}={root.directory.absolute()}" for root in settings.roots))
    return f"sqlite:{folder}/events-{hashlib.sha256(os.fsencode(of)).hexdigest()[:12]}.sqlite"


async def _serve_http(house: _House, desk: CgiDesk, watching: _Watching) -> None:
    """Serve until a signal; then let open answers finish within their limit."""
    stopping = trio.Event()

    def connections() -> ConnectionCounts:
        return server.statistics()

    def roots() -> list[WatchStatistics]:
        return [watch.statistics() for watch in watching.watches]

    tiles = house.engine.tiles.statistics
    owners: dict[str, Owner] = {"http": connections, "root": roots, "desk": tiles}
    owners |= {"catalogue": watching.catalogue.statistics, "cataloguing": watching.cataloguing.statistics}
    app = make_app(
        house.settings, desk.engine, house.roots, desk.sessions, log=house.log, owners=owners,
        catalogue=watching.catalogue,
    )  # fmt: skip
    server = HttpServer(app, house.settings)
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(app.runs.serve)
            _collect_seldom()
            nursery.start_soon(_stop_at_signal, signals, stopping, app.end_sessions)
            _announce(house.listening)
            await server.serve(house.listening, stopping)
            nursery.cancel_scope.cancel()


def _collect_seldom() -> None:
    """Look for dead cycles less often, and never in what is there for good: with hundreds of sessions each look at all
    objects would keep everybody waiting."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_MIN, 20, 50)


async def _stop_at_signal(signals: AsyncIterator[int], stopping: trio.Event, end_sessions: Callable[[], None]) -> None:
    async for number in signals:
        log.info("%s: ending", signal.Signals(number).name)
        stopping.set()
        end_sessions()


def _announce(listening: Listening) -> None:
    """Print one line, the URL: whoever started us may be waiting for it."""
    urls = [address for address in listening.addresses if address.startswith("http")]
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
def _open_cgi_socket(settings: Settings) -> Iterator[socket.socket | None]:
    """Listen for CGI programs, if there is to be a socket for them."""
    path = settings.cgi_socket
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
            raise ConfigError(f"cgi_socket: {path}: {error.strerror}") from error
        try:
            listener.bind(path)
            os.chmod(path, 0o666)  # Who may ask is checked by user, see cgi_users.
        except OSError as error:
            raise ConfigError(f"cgi_socket: cannot listen at {path}: {error.strerror}") from error
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


def _log_to_stderr(level: str) -> None:
    logging.basicConfig(
        stream=sys.stderr, level=level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )

"""A daemon behind each of the fronts: opened by its name, asked in the same way, watched past the front."""

import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, get_args

import trio

from tests.daemon.asking import Asking
from tests.daemon.rig import RunningDaemon, running_daemon
from tests.fronts.lighttpd import running_lighttpd, running_lighttpd_cgi
from tests.fronts.nginx import running_nginx
from tests.fronts.place import Certificate, Place, make_certificate

Kind = Literal["direct", "tls", "nginx", "lighttpd", "lighttpd-cgi"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
STARTS_LIMIT_S: Final = 240.0
ENDS_LIMIT_S: Final = 120.0


@dataclass(frozen=True, kw_only=True)
class Front(Asking):
    """A way to the daemon.

    daemon      the daemon behind it: for its figures, and for what it answers past the front.
    plain_port  where plain HTTP is sent on to TLS; 0: nowhere.
    logs        the front's own.
    serve       starts such a daemon at a port.
    """

    kind: Kind
    daemon: RunningDaemon
    plain_port: int = 0
    logs: tuple[Path, ...] = ()
    serve: Callable[..., AbstractAsyncContextManager[RunningDaemon]] = field(repr=False)

    @property
    def is_server(self) -> bool:
        """Whether a web server stands before the daemon."""
        return self.kind not in ("direct", "tls")

    @property
    def is_cgi(self) -> bool:
        """Whether pictures come from CGI programs."""
        return self.kind == "lighttpd-cgi"

    def start_again(self, **settings: object) -> AbstractAsyncContextManager[RunningDaemon]:
        """Start a daemon in the place of the one behind it, which must have ended; with further settings of its own."""
        return self.serve(self.daemon.port, **settings)


@asynccontextmanager
async def open_front(
    kind: Kind, roots: Path | str | Sequence[Path | str], folder: Path, **settings: object
) -> AsyncIterator[Front]:
    """Start a daemon, and a front before it.

    folder    a temporary one of the caller's, with a short name: sockets lie in it.
    settings  as for `running_daemon`.
    """
    certificate = make_certificate(folder)
    settings = {"cgi_socket": folder / "c.sock", **settings}

    def serve(port: int, **more: object) -> AbstractAsyncContextManager[RunningDaemon]:
        shown = certificate if kind == "tls" else None
        places = f"127.0.0.1:{port},unix:{folder / 'd.sock'}"
        return running_daemon(roots, certificate=shown, bind=places, **{**settings, **more})

    async with serve(0) as daemon, _before(kind, daemon, folder, certificate) as place:
        yield Front(
            host=place.host,
            port=place.tls_port or daemon.port,
            certificate=None if kind == "direct" else certificate,
            kind=kind,
            daemon=daemon,
            plain_port=place.plain_port,
            logs=place.logs,
            serve=serve,
        )


@contextlib.contextmanager
def standing_front(
    kind: Kind, roots: Path | str | Sequence[Path | str], folder: Path, **settings: object
) -> Iterator[Front]:
    """Keep a front open in a thread with a Trio of its own, so that all tests of a module can use it.

    What belongs to that thread alone is the daemon's `process`: a test may send signals, and ask for all else.
    """
    standing = _Standing()

    async def stand() -> None:
        async with open_front(kind, roots, folder, **settings) as front:
            standing.front, standing.token = front, trio.lowlevel.current_trio_token()
            standing.is_there.set()
            await standing.leaves.wait()

    def run() -> None:
        try:
            trio.run(stand)
        except BaseException as error:
            standing.failed = error
        finally:
            standing.is_there.set()

    thread = threading.Thread(target=run, name=f"front {kind}", daemon=True)
    thread.start()
    standing.is_there.wait(STARTS_LIMIT_S)
    if standing.front is not None and standing.token is not None:
        try:
            yield standing.front
        finally:
            with contextlib.suppress(trio.RunFinishedError):  # It failed by itself.
                standing.token.run_sync_soon(standing.leaves.set)
            thread.join(ENDS_LIMIT_S)
    if standing.failed is not None:
        raise standing.failed
    assert standing.front is not None and not thread.is_alive(), f"{kind} did not start or end in time"


class _Standing:
    """What a thread and a test tell each other."""

    def __init__(self) -> None:
        self.is_there = threading.Event()
        self.leaves = trio.Event()
        self.front: Front | None = None
        self.token: trio.lowlevel.TrioToken | None = None
        self.failed: BaseException | None = None


@asynccontextmanager
async def _before(kind: Kind, daemon: RunningDaemon, folder: Path, certificate: Certificate) -> AsyncIterator[Place]:
    web, cgi = folder / "d.sock", folder / "c.sock"
    match kind:
        case "direct" | "tls":
            yield Place(daemon.host, 0, 0)
        case "nginx":
            async with running_nginx(folder / "n", web, certificate) as place:
                yield place
        case "lighttpd":
            async with running_lighttpd(folder / "l", web, certificate) as place:
                yield place
        case "lighttpd-cgi":
            async with running_lighttpd_cgi(folder / "l", cgi, web, certificate) as place:
                yield place

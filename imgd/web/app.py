"""The ASGI application: which part answers what."""

from dataclasses import dataclass

from imgd.access.roots import Roots
from imgd.config import Settings
from imgd.core.uids import Uids
from imgd.events.catalogue import Catalogue
from imgd.events.log import Log
from imgd.origin import ORIGIN, Origin
from imgd.web.addresses import head_bytes_of
from imgd.web.admin import Admin
from imgd.web.api import Figures, make_api
from imgd.web.dzi import DeepZoom
from imgd.web.feeds import Feeds
from imgd.web.gone import UntilGone, secured
from imgd.web.iiif import Iiif
from imgd.web.images import BY_PATH, Images
from imgd.web.live import Live
from imgd.web.metrics import Owner
from imgd.web.pages import load_pages, send_page
from imgd.web.problems import send_status
from imgd.web.processes import Processes, build_info, members_of
from imgd.web.reply import Answers
from imgd.web.requests import Requests
from imgd.web.run_answers import RunAnswers
from imgd.web.runs import Runs
from imgd.web.seam import App, Engine, Receive, Scope, Send
from imgd.web.tile_cache import Addresses
from imgd.web.tiles import Tiles, TileServer


@dataclass(frozen=True)
class _Parts:
    """Who answers what."""

    sessions: Uids
    iiif: Iiif
    images: Images
    tile_server: TileServer
    tiles: dict[str, App]
    live: Live
    feeds: Feeds
    runs: Runs
    run_answers: RunAnswers
    admin: Admin | None
    api: App
    requests: Requests


class WebApp:
    """The application. It stores nothing but what its parts count; `runs.serve` has to run beside it."""

    def __init__(self, parts: "_Parts", body_max: int, head_max: int) -> None:
        self._head_max = head_max
        self._sessions = parts.sessions
        self._iiif = parts.iiif
        self.runs = parts.runs
        self._images = parts.images
        self._tile_server = parts.tile_server
        self._tiles = parts.tiles
        self._live = parts.live
        self._feeds = parts.feeds
        self._run_answers = parts.run_answers
        self._admin = parts.admin
        self._api = parts.api
        self._requests = parts.requests
        self._pages = load_pages()
        self._answer_until_gone = UntilGone(self._answer, body_max)
        self._is_ending = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or serve one websocket."""
        match scope["type"]:
            case "http" if (hit := self._tile_server.hit(scope)) is not None:
                self._requests.kept_total += 1
                await self._tile_server.send_hit(hit, scope, send)
            case "http":
                ORIGIN.set(Origin(scope["headers"], scope.get("client")))  # Of this task, which answers nothing else.
                await self._requests.answer(self._answer_until_gone, scope, receive, secured(send))
            case "websocket" if scope["path"] == "/live":
                ORIGIN.set(Origin(scope["headers"], scope.get("client")))
                await self._live.serve(scope, receive, send)
            case "websocket":
                await send({"type": "websocket.close"})
            case _:
                await self._api(scope, receive, send)

    def take(self, settings: Settings) -> None:
        """Take up other settings, for what begins from now on; all sessions stay."""
        self._iiif.budget_bytes = settings.budget_bytes
        self._tile_server.addresses.resize(settings.tile_cache_bytes)
        self._answer_until_gone.body_max = settings.message_bytes
        self._sessions.change_limits(settings.sessions_max, settings.session_uids_max)
        for part in (self._live, self.runs, self._feeds, self._run_answers):
            part.take(settings)

    def tell_to_retry(self) -> None:
        """Tell all clients whose answer has not begun to come again: the daemon waits for nothing any more."""
        self._answer_until_gone.tell_to_retry()

    def end_sessions(self) -> None:
        """Tell all websockets to leave, and end all feeds: the daemon is ending."""
        self._is_ending = True
        self._live.end_sessions()
        self._feeds.end()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if path == "/readyz" and self._is_ending:
            await send_status(send, 503, "draining: the daemon is ending")
        elif head_bytes_of(scope) > self._head_max:
            text = f"the head of the request is longer than {self._head_max} bytes (setting request_head_bytes)"
            await send_status(send, 431, text)
        elif path == "/img":
            await self._images.picture(scope, receive, send)
        elif path in BY_PATH:
            await self._images.by_path(scope, receive, send)
        elif path == "/runs":
            await self._run_answers.answer(scope, receive, send)
        elif self._admin is not None and (path == "/admin" or path.startswith("/admin/")):
            await self._admin.answer(scope, receive, send)
        elif path == "/events":
            await self._feeds.answer(scope, receive, send)
        elif path.startswith("/frame/"):
            await self._images.header(scope, receive, send)
        elif (tiles := self._tiles.get(path[1:].partition("/")[0])) is not None:
            await tiles(scope, receive, send)
        elif (page := self._pages.get(path)) is not None:
            await send_page(page, scope, send)
        else:
            # The server leaves the body out; what is answered to HEAD is otherwise what GET would be.
            as_get = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
            await self._api(as_get, receive, send)


def make_app(  # noqa: PLR0913  # One for each part.
    settings: Settings,
    engine: Engine,
    roots: Roots,
    sessions: Uids,
    *,
    log: Log,
    owners: dict[str, Owner] | None = None,
    catalogue: Catalogue | None = None,
) -> WebApp:
    """Make the application.

    owners  further `statistics()` for /metrics, by the name they get there.
    """
    answers = Answers(engine)
    images = Images(answers, sessions)
    tiles_bytes = settings.tile_cache_bytes
    addresses = Addresses(engine.kept_tile, lambda frame, _: roots.serves(frame), tiles_bytes=tiles_bytes)
    tile_server = TileServer(answers, addresses, settings.rows)
    iiif = Iiif(tile_server, settings.budget_bytes)
    tiles: dict[str, App] = {
        "tiles": Tiles(tile_server).answer,
        "dzi": DeepZoom(tile_server).answer,
        "iiif": iiif.answer,
    }
    runs = Runs(engine, roots, log, settings)
    live = Live(sessions, runs, log, settings)
    feeds = Feeds(log, settings)
    live.tell_ends(images.end_session)
    requests = Requests()
    processes = Processes(members_of(engine))
    all_owners: dict[str, Owner] = {
        "build": build_info,
        "engine": engine.statistics,
        "sessions": sessions.statistics,
        "live": runs.statistics,
        "events": log.statistics,
        "web": lambda: answers.counts,
        "tiles": addresses.statistics,
        "requests": requests.counts,
        "first_byte": requests.first_bytes,
        "busy": requests.busy,
        "processes": processes.statistics,
        "descriptors": processes.descriptors,
        **(owners or {}),
    }
    figures = Figures(all_owners, lambda: log.down, processes.look)
    api = make_api(engine, roots, figures, catalogue=catalogue)
    admin = Admin(runs, engine, figures) if settings.admin == "on" else None
    parts = _Parts(
        sessions, iiif, images, tile_server, tiles, live, feeds, runs, RunAnswers(engine, settings), admin,
        api, requests,
    )  # fmt: skip
    return WebApp(parts, settings.message_bytes, settings.request_head_bytes)

"""The ASGI application: which part answers what."""

from imgd.access.roots import Roots
from imgd.config import Settings
from imgd.core.uids import Uids
from imgd.events.log import Log
from imgd.web.api import Figures, make_api
from imgd.web.feeds import Feeds
from imgd.web.gone import secured, until_gone
from imgd.web.images import BY_PATH, Images
from imgd.web.live import Live
from imgd.web.metrics import Owner
from imgd.web.pages import load_pages, send_page
from imgd.web.seam import App, Engine, Receive, Scope, Send


class WebApp:
    """The application. It stores nothing but what its parts count."""

    def __init__(self, images: Images, live: Live, feeds: Feeds, api: App) -> None:
        self._images = images
        self._live = live
        self._feeds = feeds
        self._api = api
        self._pages = load_pages()
        self._answer_until_gone = until_gone(self._answer)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or serve one websocket."""
        match scope["type"]:
            case "http":
                await self._answer_until_gone(scope, receive, secured(send))
            case "websocket" if scope["path"] == "/live":
                await self._live.serve(scope, receive, send)
            case "websocket":
                await send({"type": "websocket.close"})
            case _:
                await self._api(scope, receive, send)

    def end_sessions(self) -> None:
        """Tell all websockets to leave, and end all feeds: the daemon is ending."""
        self._live.end_sessions()
        self._feeds.end()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if path == "/img":
            await self._images.picture(scope, receive, send)
        elif path in BY_PATH:
            await self._images.by_path(scope, receive, send)
        elif path == "/events":
            await self._feeds.answer(scope, receive, send)
        elif path.startswith("/frame/"):
            await self._images.header(scope, receive, send)
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
) -> WebApp:
    """Make the application.

    owners  further `statistics()` for /metrics, by the name they get there.
    """
    images = Images(engine, sessions, settings.send_limit_s)
    live = Live(sessions, log, settings)
    feeds = Feeds(log, settings)
    live.tell_ends(images.end_session)
    all_owners: dict[str, Owner] = {
        "engine": engine.statistics,
        "sessions": sessions.statistics,
        "events": log.statistics,
        "web": lambda: images.counts,
        **(owners or {}),
    }
    api = make_api(settings, engine, roots, Figures(all_owners, lambda: log.down))
    return WebApp(images, live, feeds, api)

"""The browser's files: read once at the start, answered from memory."""

import hashlib
from dataclasses import dataclass
from importlib import resources
from typing import Final

from imgd.web.problems import Headers, send_body, send_status
from imgd.web.reply import send_body_less
from imgd.web.seam import Scope, Send

_FILES: Final = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/docs": ("docs.html", "text/html; charset=utf-8"),
    "/ui/viewer.js": ("viewer.js", "text/javascript; charset=utf-8"),
    "/ui/docs.js": ("docs.js", "text/javascript; charset=utf-8"),
    "/ui/style.css": ("style.css", "text/css; charset=utf-8"),
    "/ui/icon.svg": ("icon.svg", "image/svg+xml"),
}


@dataclass(frozen=True, slots=True)
class Page:
    """A file of the browser's."""

    media_type: bytes
    etag: bytes
    body: bytes


def load_pages() -> dict[str, Page]:
    """Read all files of the browser's, by path."""
    folder = resources.files("imgd.web") / "ui"
    pages: dict[str, Page] = {}
    for path, (name, media_type) in _FILES.items():
        body = (folder / name).read_bytes()
        etag = f'"{hashlib.sha256(body).hexdigest()[:24]}"'
        pages[path] = Page(media_type.encode(), etag.encode(), body)
    return pages


async def send_page(page: Page, scope: Scope, send: Send) -> None:
    """Answer with a page, or with 304 if the browser has it."""
    headers: Headers = [(b"etag", page.etag), (b"cache-control", b"no-cache")]
    if scope["method"] not in ("GET", "HEAD"):
        await send_status(send, 405, "only GET and HEAD", [(b"allow", b"GET, HEAD")])
    elif any(name == b"if-none-match" and page.etag in value for name, value in scope["headers"]):
        await send_body_less(send, 304, headers)
    else:
        await send_body(send, 200, [*headers, (b"content-type", page.media_type)], page.body)

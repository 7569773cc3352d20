"""The browser's files, as they were built: read once at the start, answered from memory, packed to who takes that."""

import hashlib
import mimetypes
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final

from imgd.web.problems import Headers, send_body, send_status
from imgd.web.reply import send_body_less
from imgd.web.seam import Scope, Send

_AT: Final = {"/index.html": "/", "/docs.html": "/docs"}
_NAMED_BY_CONTENTS: Final = re.compile(r"-[\w-]{8}\.\w+$")  # As the bundler names what it makes.
_MEDIA_TYPES: Final = {".js": "text/javascript; charset=utf-8", ".html": "text/html; charset=utf-8"}
_TAKES_GZIP: Final = re.compile(rb"(^|[\s,])(gzip|\*)\s*(;(?!\s*q=0(\.0*)?\s*(,|$))|,|$)")


@dataclass(frozen=True, slots=True)
class Page:
    """A file of the browser's.

    mark    names its contents; packed has a tag of its own that holds the same mark.
    packed  the same by gzip, if there is that.
    """

    media_type: bytes
    mark: bytes
    cache: bytes
    body: bytes
    packed: bytes | None = None


class NotBuilt(RuntimeError):
    """The page was never built."""


def page_folder() -> Traversable:
    """Tell where the browser's files are.

    Raises  NotBuilt when they are not there.
    """
    folder = resources.files("imgd.web") / "page"
    if not (folder / "index.html").is_file():
        raise NotBuilt("the browser's page has not been built: install imgd with pip, or run scripts/build_page.py")
    return folder


def load_pages() -> dict[str, Page]:
    """Read all files of the browser's, by path.

    Raises  NotBuilt when there are none.
    """
    files = dict(_files(page_folder(), ""))
    return {
        _AT.get(path, path): _page(path, body, files.get(f"{path}.gz"))
        for path, body in files.items()
        if not path.endswith((".gz", ".br"))  # A web server in front gives those by brotli.
    }


def _files(folder: Traversable, path: str) -> Iterator[tuple[str, bytes]]:
    for child in folder.iterdir():
        if child.is_dir():
            yield from _files(child, f"{path}/{child.name}")
        elif not child.name.startswith("."):
            yield f"{path}/{child.name}", child.read_bytes()


def _page(path: str, body: bytes, packed: bytes | None) -> Page:
    suffix = path[path.rindex(".") :]
    media_type = _MEDIA_TYPES.get(suffix) or mimetypes.guess_type(path)[0] or "application/octet-stream"
    mark = hashlib.sha256(body).hexdigest()[:24]
    cache = b"public, max-age=31536000, immutable" if _NAMED_BY_CONTENTS.search(path) else b"no-cache"
    return Page(media_type.encode(), mark.encode(), cache, body, packed)


async def send_page(page: Page, scope: Scope, send: Send) -> None:
    """Answer with a page, or with 304 if the browser has it."""
    gives_packed = page.packed is not None and _takes_gzip(scope)
    tag = b'"%b-gz"' % page.mark if gives_packed else b'"%b"' % page.mark
    headers: Headers = [(b"etag", tag), (b"cache-control", page.cache), (b"vary", b"accept-encoding")]
    if scope["method"] not in ("GET", "HEAD"):
        await send_status(send, 405, "only GET and HEAD", [(b"allow", b"GET, HEAD")])
    elif any(name == b"if-none-match" and page.mark in value for name, value in scope["headers"]):
        await send_body_less(send, 304, headers)
    elif page.packed is not None and gives_packed:
        headers += [(b"content-encoding", b"gzip"), (b"content-type", page.media_type)]
        await send_body(send, 200, headers, page.packed)
    else:
        await send_body(send, 200, [*headers, (b"content-type", page.media_type)], page.body)


def _takes_gzip(scope: Scope) -> bool:
    return any(name == b"accept-encoding" and _TAKES_GZIP.search(value.lower()) for name, value in scope["headers"])

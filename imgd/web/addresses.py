"""Addresses: how a request's own looks from outside, and how those of tiles are taken apart."""

import re
from typing import Final

from imgd.errors import NoSuchTile
from imgd.web.seam import Scope

IIIF_PATH: Final = b"/iiif/3/"
DIGITS_MAX: Final = 9
_HOST: Final = re.compile(r"[A-Za-z0-9._\-]{1,255}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?")


def base_url(scope: Scope) -> str:
    """Tell the address of the service as the client has it: behind a proxy that ends TLS, by `X-Forwarded-Proto`."""
    scheme, host = scope.get("scheme", "http"), ""
    for name, value in scope["headers"]:
        if name == b"host":
            host = value.decode("latin-1")
        elif name == b"x-forwarded-proto" and value in (b"http", b"https"):
            scheme = value.decode()
    if not _HOST.fullmatch(host):
        server = scope.get("server") or ("localhost", None)
        host = f"{server[0]}:{server[1]}" if server[1] else server[0]
    return f"{scheme}://{host}{scope.get('root_path', '')}"


def address_of(scope: Scope) -> bytes:
    """Tell what an answer depends on, other than the frame and who asks: the path and the query; of IIIF, whose answers
    name their own address, that too."""
    raw_path: bytes = scope["raw_path"]
    query: bytes = scope["query_string"]
    if raw_path.startswith(IIIF_PATH):
        return raw_path + b"?" + query + b" " + base_url(scope).encode()
    return raw_path + b"?" + query


def number_of(text: bytes) -> int:
    """Read a whole number of an address.

    Raises  NoSuchTile.
    """
    if not (text.isdigit() and len(text) <= DIGITS_MAX):
        raise NoSuchTile("there is no such tile: its place is told by whole numbers")
    return int(text)

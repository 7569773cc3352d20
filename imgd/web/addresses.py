"""Addresses: whose request it is, how its own address looks from outside, and how those of tiles are taken apart."""

import re
from typing import Final

from imgd.errors import NoSuchTile
from imgd.web.seam import Scope

IIIF_PATH: Final = b"/iiif/3/"
DIGITS_MAX: Final = 9
_IP: Final = re.compile(rb"[0-9A-Fa-f:.]{2,45}")
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


def client_of(scope: Scope) -> str:
    """Tell the address of the client itself; "" if nothing tells it.

    A front on this machine says for whom it asks: the last address of `X-Forwarded-For`. What stands before that is
    only what its client claims, and who asks from elsewhere is not believed at all.
    """
    client = scope.get("client")
    peer: str = client[0] if client else ""
    if peer and not (peer.startswith("127.") or peer == "::1"):
        return peer
    given = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
    told = given[-1].rpartition(b",")[2].strip() if given else b""
    return told.decode() if _IP.fullmatch(told) else peer


def head_bytes_of(scope: Scope) -> int:
    """Tell how large the head of a request is: the server bounds what it collects of one, but not to the byte."""
    lines = sum(len(name) + len(value) + 4 for name, value in scope["headers"])
    return lines + len(scope.get("raw_path") or b"") + len(scope["query_string"])


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

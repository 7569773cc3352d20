"""Plain HTTP that only says where the same thing is by https."""

import re
from typing import Final

from imgd.web.problems import send_status
from imgd.web.seam import App, Receive, Scope, Send

HTTPS_PORT: Final = 443
_NAME: Final = rb"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST: Final = re.compile(rb"(?P<host>%s(?:\.%s)*\.?|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?" % (_NAME, _NAME))
_PLAIN: Final = re.compile(rb"/[!-~]*")
_NAME_MAX: Final = 260


def redirect_to(port: int) -> App:
    """Make the application that answers each request with 308: the same host, path and query, by https at `port`.

    The host is the one that the client itself named, and only a name or an address is one: nothing else that a request
    holds can come to stand before the path. Nothing is served here, challenges of an authority (ACME) neither.
    """
    at = b"" if port == HTTPS_PORT else b":%d" % port

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
            return
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        found = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 and len(hosts[0]) <= _NAME_MAX else None
        if found is None:
            await send_status(send, 400, "the Host header names no host")
            return
        query: bytes = scope["query_string"]
        target: bytes = scope["raw_path"] + (b"?" + query if query else b"")
        if _PLAIN.fullmatch(target) is None:
            await send_status(send, 400, "that is no path")
            return
        location = b"https://" + found["host"] + at + target
        headers = [(b"location", location), (b"content-length", b"0"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 308, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    return answer

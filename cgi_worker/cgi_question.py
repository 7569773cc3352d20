"""What a web server asks by CGI/1.1, and how the daemon is asked for it. It imports nothing slow: see `cgi`."""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

# The same as in `wire.packets`, which may not be imported here; a test holds them together.
VERSION = 1
PICTURE = "img"
NAMES = ("img", "thumbnail", "pixel", "profile", "region", "stats", "histogram", "stars", "wcs", "export")
_ESCAPES = {octet: f"\\u{octet:04x}" for octet in range(32)} | {34: '\\"', 92: "\\\\"}


class Question:
    """What the web server was asked, as text that is ASCII.

    name   what kind of answer, as the daemon's addresses name them: "img", "stats".
    query  the view, or the question's parameters, as they came.
    tag    the If-None-Match header.
    """

    def __init__(self, environ: "Mapping[str, str]") -> None:
        self.method = environ.get("REQUEST_METHOD", "GET")
        self.head_only = self.method == "HEAD"
        self.name = _name(environ.get("SCRIPT_NAME", ""), environ.get("PATH_INFO", ""))
        self.query = _ascii(environ.get("QUERY_STRING", ""))
        self.tag = _ascii(environ.get("HTTP_IF_NONE_MATCH", ""))

    def packet(self, hand_over: bool) -> bytes:
        """Write it as `wire.packets.Ask`."""
        texts = {"query": self.query, "if_none_match": self.tag, "name": self.name}
        told = "".join(f',"{field}":"{text.translate(_ESCAPES)}"' for field, text in texts.items())
        truths = {"hand_over": hand_over, "head_only": self.head_only}
        told += "".join(f',"{field}":{"true" if truth else "false"}' for field, truth in truths.items())
        return f'{{"say":"ask","version":{VERSION}{told}}}'.encode("ascii")


def _name(script: str, more: str) -> str:
    """Tell what kind of answer is asked for: by the path after the program's, or the program's own if it is one."""
    if more.strip("/"):
        return _ascii(more.strip("/"))
    last = script.rpartition("/")[2]
    return last if last in NAMES else PICTURE


def _ascii(text: str) -> str:
    """Percent-encode what is not ASCII, as it should have been."""
    if text.isascii():
        return text
    return "".join(chr(octet) if octet < 128 else f"%{octet:02X}" for octet in os.fsencode(text))

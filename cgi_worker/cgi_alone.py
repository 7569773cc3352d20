"""A CGI/1.1 request answered without any daemon: the frame is opened beneath its root, here."""

import hashlib
import os
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from cgi_worker import alone, confine
from cgi_worker.cgi import answer_problem, answer_with
from cgi_worker.process import open_source
from cgi_worker.steps.work import StepFailed
from cgi_worker.wire.packets import Ask, FailureCode, Identity
from cgi_worker.wire.view import View, ViewError, view_from_pairs

LIMIT_BYTES: Final = 1 << 30  # Of all buffers together; a web server may run several of this process at once.
_STATUS: Final[Mapping[FailureCode, int]] = {
    "bad_frame": 422, "changed": 503, "forbidden": 403, "too_big": 413, "sink_gone": 500,
}  # fmt: skip


class Refused(Exception):
    """The answer is a problem instead of a picture."""

    def __init__(self, status: int, text: str, parameter: str = "") -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.parameter = parameter


def answer(ask: Ask, roots: str) -> int:
    """Answer on standard output; return the exit code."""
    try:
        head, body = _picture(ask, _roots(roots))
    except Refused as no:
        return answer_problem(no.status, no.text, parameter=no.parameter, head_only=ask.head_only)
    return answer_with(head, b"" if ask.head_only else body)


def _picture(ask: Ask, roots: Mapping[str, str]) -> tuple[str, bytes]:
    try:
        pairs = parse_qsl(ask.query, keep_blank_values=True, strict_parsing=bool(ask.query), errors="surrogateescape")
    except ValueError:
        raise Refused(400, "the query is malformed") from None
    if "u" in dict(pairs):
        raise Refused(503, "a UID is known to the daemon alone, which cannot be reached", "u")
    try:
        view = view_from_pairs(pairs)
        path_fd = _open_frame(view, roots)
        try:
            confine.become(Identity())
            with open_source(path_fd) as source_fd:
                made = alone.render(source_fd, view, len(os.sched_getaffinity(0)), LIMIT_BYTES)
        finally:
            os.close(path_fd)
    except ViewError as error:
        raise Refused(400, error.text, error.parameter) from None
    except StepFailed as error:
        raise Refused(_STATUS[error.code], error.text, "frame") from None
    etag = f'"{hashlib.sha256(made.key.encode()).hexdigest()[:32]}"'
    if _matches(ask.if_none_match, etag):
        return f"Status: 304 Not Modified\r\nETag: {etag}\r\n\r\n", b""
    head = f"Status: 200 OK\r\nContent-Type: {made.media_type}\r\nContent-Length: {len(made.octets)}\r\n"
    return head + f"ETag: {etag}\r\nCache-Control: no-cache\r\n\r\n", made.octets


def _open_frame(view: View, roots: Mapping[str, str]) -> int:
    name, _, path = view.frame.partition("/")
    missing = Refused(404, "there is no such frame", "frame")
    if name not in roots or any(part in ("", ".", "..") for part in path.split("/")):
        raise missing
    try:
        root_fd = os.open(roots[name], os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        raise missing from None
    try:
        return confine.open_beneath(root_fd, path)
    except PermissionError:
        raise Refused(403, "this frame is not yours to read", "frame") from None
    except OSError:
        raise missing from None
    finally:
        os.close(root_fd)


def _roots(text: str) -> dict[str, str]:
    pairs = [one.partition("=") for one in text.split(":") if one]
    return {name: directory for name, _, directory in pairs if name and directory}


def _matches(if_none_match: str, etag: str) -> bool:
    """Compare weakly, as If-None-Match does.  Source: RFC 9110, 13.1.2."""
    given = [one.strip().removeprefix("W/") for one in if_none_match.split(",")]
    return etag in given or given == ["*"]

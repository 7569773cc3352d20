"""A CGI/1.1 request answered without any daemon: the frame is opened beneath its root, here."""

import hashlib
import os
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from cgi_worker import confine
from cgi_worker.cgi_answer import answer_problem, answer_with
from cgi_worker.cgi_question import Question
from cgi_worker.formats.fits import walk
from cgi_worker.source import check_source, open_source, source_of
from cgi_worker.steps.parse import fit_facts
from cgi_worker.wire.failure import StepFailed
from cgi_worker.wire.grammar import ViewError
from cgi_worker.wire.packets import FailureCode, Identity
from cgi_worker.wire.recipe import picture_recipe
from cgi_worker.wire.view import View, view_from_pairs

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


def answer(question: Question, roots: str) -> int:
    """Answer on standard output; return the exit code."""
    try:
        head, body = _picture(question, _roots(roots))
    except Refused as no:
        return answer_problem(no.status, no.text, parameter=no.parameter, head_only=question.head_only)
    return answer_with(head, b"" if question.head_only else body)


def _picture(question: Question, roots: Mapping[str, str]) -> tuple[str, bytes]:
    try:
        pairs = parse_qsl(
            question.query, keep_blank_values=True, strict_parsing=bool(question.query), errors="surrogateescape"
        )
    except ValueError:
        raise Refused(400, "the query is malformed") from None
    if "u" in dict(pairs):
        raise Refused(503, "a UID is known to the daemon alone, which cannot be reached", "u")
    try:
        view = view_from_pairs(pairs)
        path_fd = open_frame(view, roots)
        try:
            from cgi_worker import alone  # noqa: PLC0415 A wrong request must not wait for numba to hear so.

            confine.become(Identity(), confine.Limits(ruleset_fd=confine.make_ruleset(())))
            with open_source(path_fd) as source_fd:
                source = source_of(source_fd)
                etag = _etag(source_fd, view)
                if _matches(question.tag, etag):
                    return f"Status: 304 Not Modified\r\nETag: {etag}\r\n\r\n", b""
                threads = len(os.sched_getaffinity(0))
                octets, media_type, _ = alone.render(source_fd, view, threads, limit_bytes=LIMIT_BYTES)
                check_source(source_fd, source)
        finally:
            os.close(path_fd)
    except ViewError as error:
        raise Refused(400, error.text, error.parameter) from None
    except StepFailed as error:
        raise Refused(_STATUS[error.code], error.text, "frame") from None
    head = f"Status: 200 OK\r\nContent-Type: {media_type}\r\nContent-Length: {len(octets)}\r\n"
    return head + f"ETag: {etag}\r\nCache-Control: no-cache\r\nAccept-Ranges: none\r\n\r\n", octets


def _etag(source_fd: int, view: View) -> str:
    """Make the validator that the daemon would give this picture: from the result's key, before it is made."""
    recipe = picture_recipe(view, fit_facts(walk(source_fd).facts), source_of(source_fd))
    return f'"{hashlib.sha256(recipe.buffers[recipe.result].key.encode()).hexdigest()[:32]}"'


def open_frame(view: View, roots: Mapping[str, str]) -> int:
    """Find a frame below its root; an O_PATH descriptor, the caller's to close.

    Raises  Refused.
    """
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

"""Problems (RFC 9457): the one form of every answer that is not the one asked for."""

import math
from http import HTTPStatus
from typing import Final

import msgspec

from imgd.errors import Busy, ImgdError
from imgd.origin import request_id
from imgd.web.seam import Send

MEDIA_TYPE: Final = "application/problem+json"
REASON: Final = "imgd.reason"  # In a request's scope: what was short, if it is answered 503.
Headers = list[tuple[bytes, bytes]]


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """The document.

    parameter  names the request's parameter at fault, if it is one.
    request    id of the request, under which it stands in the log.
    """

    title: str
    status: int
    detail: str
    parameter: str = ""
    type: str = "about:blank"
    request: str = ""


class _Document(msgspec.Struct, frozen=True):
    type: str
    title: str
    status: int
    detail: str
    parameter: str
    request: str


def plain_text(text: str) -> str:
    """Make text fit for UTF-8: lone surrogates, from names that are not, become U+FFFD."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def body_of(problem: Problem) -> bytes:
    """Write the document."""
    return msgspec.json.encode(
        _Document(
            problem.type,
            problem.title,
            problem.status,
            plain_text(problem.detail),
            plain_text(problem.parameter),
            request_id(),
        )
    )


def problem_of(error: ImgdError) -> Problem:
    """Put an error into the document's form."""
    return Problem(error.title, error.status, error.text, error.parameter)


def problem_of_status(status: int, detail: str) -> Problem:
    """Make the document for what is no error of ours, such as a path that leads nowhere."""
    return Problem(HTTPStatus(status).phrase, status, detail)


def headers_of(error: ImgdError) -> Headers:
    """Tell the headers that go with an error."""
    headers: Headers = [(b"content-type", MEDIA_TYPE.encode()), (b"cache-control", b"no-store")]
    if isinstance(error, Busy):
        headers.append((b"retry-after", str(max(1, math.ceil(error.retry_after_s))).encode()))
    return headers


async def send_problem(send: Send, error: ImgdError) -> None:
    """Answer with an error."""
    await send_body(send, error.status, headers_of(error), body_of(problem_of(error)))


async def send_status(send: Send, status: int, detail: str, more: Headers | None = None) -> None:
    """Answer with what is no error of ours."""
    headers: Headers = [(b"content-type", MEDIA_TYPE.encode()), (b"cache-control", b"no-store"), *(more or [])]
    await send_body(send, status, headers, body_of(problem_of_status(status, detail)))


async def send_body(send: Send, status: int, headers: Headers, body: bytes) -> None:
    """Answer with a body that is there already."""
    headers = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

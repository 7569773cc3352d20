"""`/catalogue`: what is asked of the catalogue of frames, read strictly, and its place in the OpenAPI document."""

from typing import Any, Final, cast, get_args

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel

from imgd.access.lookup import parts_of
from imgd.errors import BadRequest, Busy, NoSuchFrame
from imgd.events.catalogue import Asked, Catalogue
from imgd.events.catalogue_query import Named, Order
from imgd.web import describe_values as values
from imgd.web.describe import Parameters, problem_responses, query_parameters
from imgd.web.query import read_known

LIMIT_MAX: Final = 500
OFFSET_MAX: Final = 10**9
_ORDERS: Final[tuple[str, ...]] = get_args(Order)
PARAMETERS: Final[Parameters] = {
    "search": (
        "string",
        "Words that must all occur, in the name or in a value of the header, and terms such as `FILTER=Ha`, "
        '`OBJECT="M 31"`, `EXPTIME>=60`, `date>=2026-11-01` (DATE-OBS, else the time of the file).',
    ),
    "dir": ("string", "`<root name>/<relative path>`: only what lies below; empty: all roots."),
    "order": (values.words(*_ORDERS), ", ".join(f"`{order}`" for order in _ORDERS) + "; `newest` is the default."),
    "offset": (values.whole(0, OFFSET_MAX), "Rows to pass over."),
    "limit": (values.whole(1, LIMIT_MAX), f"Rows of this page, 1..{LIMIT_MAX}; 100 if it is not given."),
    "at": ("string", "`<root name>/<relative path>` of a frame: the answer's `at` says how many rows come before it."),
}


class CatalogueRow(BaseModel):
    """A frame. `hdu` holds what lists show of its header, and the keywords that were searched for; `described` is
    false if it was not looked into yet, and `why` says what is wrong with one that could not be read."""

    ref: str
    name: str
    path: str
    root: str
    modified: str | None
    size_bytes: int
    hdu: dict[str, str | int | float | bool]
    described: bool
    why: str | None


class CataloguePage(BaseModel):
    """A page. `total` match; of `frames` that lie there in all, `described` have been looked into. `complete` is false
    while a root is still looked through for the first time since the start; `down` says why the index may be behind.
    `at` is the place of the frame that was asked for, from 0; null if it does not match, or none was."""

    total: int
    offset: int
    rows: list[CatalogueRow]
    frames: int
    described: int
    complete: bool
    down: str | None
    at: int | None


def add_catalogue(api: FastAPI, catalogue: Catalogue | None) -> None:
    """Add the endpoint; without a catalogue it says that there is none."""

    @api.get(
        "/catalogue",
        summary="Frames of all roots, with fields of their headers",
        tags=["frames"],
        response_model=CataloguePage,
        responses=cast(Any, problem_responses("400", "404", "503")),
        openapi_extra={"parameters": query_parameters(PARAMETERS)},
    )
    async def frames(request: Request) -> Response:
        asked = read_asked(request.scope["query_string"])
        if catalogue is None:
            raise Busy("no index of frames is kept", 60.0, "store")
        page = await catalogue.page(asked)
        return Response(page, media_type="application/json", headers={"cache-control": "no-store"})


def read_asked(query: bytes) -> Asked:
    """Read the parameters.

    Raises  BadRequest naming the one at fault; NoSuchFrame for a directory's name that could lead elsewhere.
    """
    given = read_known(query, tuple(PARAMETERS))
    order = given.get("order", "") or "newest"
    if order not in _ORDERS:
        raise BadRequest(f"must be one of {', '.join(_ORDERS)}", "order")
    root, below = "", b""
    if directory := given.get("dir", "").rstrip("/"):
        try:
            root, below = parts_of(directory)
        except NoSuchFrame as error:
            raise NoSuchFrame("there is no such directory", "dir") from error
    return Asked(
        search=given.get("search", ""),
        root=root,
        below=below,
        order=cast(Order, order),
        offset=_whole(given.get("offset", ""), "offset", 0, OFFSET_MAX, default=0),
        limit=_whole(given.get("limit", ""), "limit", 1, LIMIT_MAX, default=100),
        at=_named(given.get("at", "")),
    )


def _named(name: str) -> Named | None:
    try:
        return Named(*parts_of(name)) if name else None
    except NoSuchFrame:
        return None  # No list has it.


def _whole(text: str, name: str, low: int, high: int, *, default: int) -> int:
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and low <= int(text) <= high):
        raise BadRequest(f"must be a whole number from {low} to {high}", name)
    return int(text)

"""The JSON endpoints, as FastAPI knows them, and the OpenAPI document of all endpoints."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from imgd.access.listing import Order
from imgd.access.roots import Roots
from imgd.errors import BadRequest, ImgdError
from imgd.events.catalogue import Catalogue
from imgd.web.catalogue import add_catalogue
from imgd.web.describe import LISTING_PARAMETERS, PROBLEM, plain_paths, problem_responses, query_parameters
from imgd.web.describe_tiles import tile_paths
from imgd.web.metrics import Owner, metrics_text, registry_of
from imgd.web.problems import MEDIA_TYPE, REASON, body_of, headers_of, problem_of, problem_of_status
from imgd.web.query import read_known
from imgd.web.seam import Engine

METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_ORDERS: Final[dict[str, Order]] = {"": "name", "name": "name", "newest": "newest"}
_NOT_KEPT: Final = {"cache-control": "no-store"}


class ListedEntry(BaseModel):
    """A name in a directory; `ref` goes into addresses as it is, after `frame=` or `dir=`."""

    name: str
    ref: str
    kind: Literal["dir", "frame", "other"]
    size_bytes: int
    modified: str | None


class ListedPage(BaseModel):
    """A page of a directory; `after` leads to the next one. `whole` is false if the directory holds too many names."""

    dir: str
    entries: list[ListedEntry]
    after: str | None
    whole: bool


class Health(BaseModel):
    """The daemon answers."""

    status: Literal["ok"]


class Readiness(BaseModel):
    """Pictures can be made. `events` is `ok`, or says why the log takes or gives none: pictures go on without it."""

    status: Literal["ok"]
    events: str


@dataclass(frozen=True)
class Figures:
    """What those who run the daemon look at.

    owners  `statistics()` for /metrics, by the name they get there.
    down    says why the log of events is down; "" if it is not.
    look    has what changes without us looked at anew, before figures are told.
    """

    owners: dict[str, Owner]
    down: Callable[[], str]
    look: Callable[[], Awaitable[None]]


def make_api(engine: Engine, roots: Roots, figures: Figures, *, catalogue: Catalogue | None = None) -> FastAPI:
    """Make the part of the application that FastAPI serves."""
    api = FastAPI(
        title="imgd", version="1", summary="Scientific frames as pictures", docs_url=None, redoc_url=None,
        openapi_url="/openapi.json", redirect_slashes=False, servers=[{"url": "."}],
    )  # fmt: skip
    _answer_problems(api)
    _add_listing(api, roots)
    add_catalogue(api, catalogue)
    _add_health(api, engine, figures)
    api.openapi = _describe_all(api, api.openapi)  # type: ignore[method-assign]  # FastAPI's documented way.
    return api


def _add_listing(api: FastAPI, roots: Roots) -> None:
    @api.get(
        "/frames",
        summary="Frames and folders of a directory",
        tags=["frames"],
        response_model=ListedPage,
        responses=cast(Any, problem_responses("400", "404", "503")),
        openapi_extra={"parameters": query_parameters(LISTING_PARAMETERS)},
    )
    async def frames(request: Request) -> Response:
        given = read_known(request.scope["query_string"], tuple(LISTING_PARAMETERS))
        order = _ORDERS.get(given.get("order", ""))
        if order is None:
            raise BadRequest("must be name or newest", "order")
        limit = _limit(given.get("limit", ""), roots.listing_max)
        listing = await roots.list(given.get("dir", ""), order, limit, given.get("after", ""))
        return Response(msgspec.json.encode(listing), media_type="application/json", headers=_NOT_KEPT)


def _limit(text: str, highest: int) -> int:
    if not text:
        return highest
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= highest):
        raise BadRequest(f"must be a whole number from 1 to {highest}", "limit")
    return int(text)


def _add_health(api: FastAPI, engine: Engine, figures: Figures) -> None:
    registry = registry_of(figures.owners, process=True)

    @api.get("/healthz", summary="Is the daemon alive?", tags=["operation"], response_model=Health)
    async def healthz() -> Response:
        return Response(b'{"status":"ok"}', media_type="application/json", headers=_NOT_KEPT)

    @api.get(
        "/readyz",
        summary="Can pictures be made already?",
        tags=["operation"],
        response_model=Readiness,
        responses=cast(Any, problem_responses("503")),
    )
    async def readyz() -> Response:
        why_not = engine.ready()
        if not why_not:
            told = Readiness(status="ok", events=figures.down() or "ok").model_dump_json()
            return Response(told, media_type="application/json", headers=_NOT_KEPT)
        body = body_of(problem_of_status(503, why_not))
        return Response(body, 503, {"retry-after": "1", **_NOT_KEPT}, MEDIA_TYPE)

    @api.get("/metrics", summary="Figures for Prometheus", tags=["operation"], response_class=Response)
    async def metrics() -> Response:
        await figures.look()
        return Response(metrics_text(registry), media_type=METRICS_TYPE, headers=_NOT_KEPT)


def _answer_problems(api: FastAPI) -> None:
    """Give every error the one form."""

    async def ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, ImgdError)
        request.scope[REASON] = error.reason
        headers = {name.decode(): value.decode() for name, value in headers_of(error)}
        return Response(body_of(problem_of(error)), error.status, headers, MEDIA_TYPE)

    async def theirs(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        body = body_of(problem_of_status(error.status_code, str(error.detail)))
        return Response(body, error.status_code, {**(error.headers or {}), **_NOT_KEPT}, MEDIA_TYPE)

    async def malformed(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        return await ours(request, BadRequest(str(first["msg"]), str(first["loc"][-1])))

    api.add_exception_handler(ImgdError, ours)
    api.add_exception_handler(HTTPException, theirs)
    api.add_exception_handler(RequestValidationError, malformed)


def _describe_all(api: FastAPI, described_by_fastapi: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    def describe() -> dict[str, Any]:
        if api.openapi_schema is None:
            document = described_by_fastapi()
            document["paths"] = {**plain_paths(), **tile_paths(), **document["paths"]}
            document.setdefault("components", {}).setdefault("schemas", {})["Problem"] = PROBLEM
            api.openapi_schema = document
        return api.openapi_schema

    return describe

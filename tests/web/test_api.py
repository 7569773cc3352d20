"""Listing, health, metrics, the description of all of it, and the pages: one form of error everywhere."""

import gzip
import json
import os
import re
from pathlib import Path

import pytest

from imgd.web.describe_tiles import tile_paths
from imgd.web.images import BY_PATH
from imgd.web.pages import load_pages
from tests.web.rig import MemoryEngine, Script, get, made


async def test_listing(tmp_path: Path) -> None:
    (tmp_path / "a.fits").write_bytes(b"1234")
    (tmp_path / "sub").mkdir()
    os.close(os.open(os.fsencode(tmp_path) + b"/\xff.fits", os.O_CREAT))
    with made(tmp_path, MemoryEngine()) as served:
        roots = json.loads((await get(served.app, "/frames")).body)
        page = json.loads((await get(served.app, "/frames?dir=night&order=name")).body)
        engine = served.engine
        odd = next(entry for entry in page["entries"] if entry["name"] == "\ufffd.fits")
        await get(served.app, "/img?frame=" + odd["ref"])
    assert [(entry["name"], entry["kind"]) for entry in roots["entries"]] == [("night", "dir")]
    first = page["entries"][0]
    assert (first["name"], first["kind"], first["size_bytes"]) == ("a.fits", "frame", 4)
    assert getattr(engine.asked[0][0], "frame") == "night/\udcff.fits"  # noqa: B009


@pytest.mark.parametrize(
    ("query", "status", "parameter"),
    [
        ("dir=night&dir=night", 400, "dir"),
        ("folder=night", 400, "folder"),
        ("order=size", 400, "order"),
        ("limit=0", 400, "limit"),
        ("limit=1e3", 400, "limit"),
        ("limit=1001", 400, "limit"),
        ("dir=night&order=newest&after=x", 400, "after"),
        ("dir=%zz", 400, "dir"),
        ("dir=day", 404, "frame"),
        ("dir=night/..", 404, "frame"),
        ("dir=/etc", 404, "frame"),
    ],
)
async def test_a_bad_listing(tmp_path: Path, query: str, status: int, parameter: str) -> None:
    with made(tmp_path, MemoryEngine()) as served:
        reply = await get(served.app, "/frames?" + query)
    assert (reply.status, json.loads(reply.body)["parameter"]) == (status, parameter)


@pytest.mark.parametrize(
    ("method", "target", "status"), [("GET", "/no", 404), ("POST", "/frames", 405), ("PUT", "/", 405)]
)
async def test_every_error_is_a_problem(tmp_path: Path, method: str, target: str, status: int) -> None:
    with made(tmp_path, MemoryEngine()) as served:
        reply = await get(served.app, target, method=method)
    assert (reply.status, json.loads(reply.body)["status"]) == (status, status)
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.headers["x-content-type-options"] == "nosniff"


async def test_health_and_readiness(tmp_path: Path) -> None:
    engine = MemoryEngine(Script(not_ready="compiling kernels 3 of 12"))
    with made(tmp_path, engine) as served:
        assert (await get(served.app, "/healthz")).status == 200
        not_yet = await get(served.app, "/readyz")
        engine.script.not_ready = ""
        assert (await get(served.app, "/readyz")).status == 200
        assert (await get(served.app, "/readyz", method="HEAD")).status == 200
    assert (not_yet.status, json.loads(not_yet.body)["detail"]) == (503, "compiling kernels 3 of 12")
    assert not_yet.headers["retry-after"] == "1"


async def test_metrics_follow_the_records(tmp_path: Path) -> None:
    with made(tmp_path, MemoryEngine()) as served:
        await get(served.app, "/img?frame=night/a")
        text = (await get(served.app, "/metrics")).body.decode()
    for line in (
        "imgd_engine_budget_bytes 1000.0",
        "imgd_engine_ratio 0.5",
        "# TYPE imgd_engine_renders_total counter",
        "imgd_engine_renders_total 1.0",
        "imgd_sessions_sessions 0.0",
        "imgd_web_answers_total 1.0",
    ):
        assert line in text.splitlines()
    assert "imgd_engine_note" not in text


async def test_the_description_has_all_endpoints(tmp_path: Path) -> None:
    with made(tmp_path, MemoryEngine()) as served:
        document = json.loads((await get(served.app, "/openapi.json")).body)
    assert set(document["paths"]) == {
        "/events", "/runs", *tile_paths(),
        "/img", "/frame/{frame}", "/live", "/frames", "/catalogue", "/healthz", "/readyz", "/metrics", *BY_PATH,
    }  # fmt: skip
    parameters = {each["name"] for each in document["paths"]["/frames"]["get"]["parameters"]}
    assert parameters == {"dir", "order", "limit", "after"}
    references = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert references <= set(document["components"]["schemas"])


async def test_pages_come_from_here_alone(tmp_path: Path) -> None:
    pages = load_pages()
    assert {"/", "/docs", "/ui/icon.svg"} < set(pages)
    with made(tmp_path, MemoryEngine()) as served:
        for path, page in pages.items():
            reply = await get(served.app, path)
            assert (reply.status, reply.body) == (200, page.body)
            again = await get(served.app, path, ("if-none-match", reply.headers["etag"]))
            assert (again.status, again.body) == (304, b"")
            if path.endswith((".svg", "/", "/docs")):
                outside = re.findall(rb"""(?:src|href|import|url\()\s*=?\s*["'(]?(https?:|//|/)""", page.body)
                assert outside == [], f"{path} is not relative, or comes from elsewhere"


@pytest.mark.parametrize(
    ("accepts", "packed"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("*", True),
        ("gzip;q=0", False),
        ("gzip;q=0.0, br", False),
        ("br", False),
    ],
)
async def test_pages_are_packed_for_who_takes_that(tmp_path: Path, accepts: str, packed: bool) -> None:
    with made(tmp_path, MemoryEngine()) as served:
        path, page = next((path, page) for path, page in load_pages().items() if path.endswith(".js"))
        reply = await get(served.app, path, ("accept-encoding", accepts))
        assert (reply.headers.get("content-encoding") == "gzip") is packed
        assert (gzip.decompress(reply.body) if packed else reply.body) == page.body
        plain = await get(served.app, path)
        assert (plain.headers["etag"] == reply.headers["etag"]) is not packed
        assert (await get(served.app, path, ("if-none-match", reply.headers["etag"]))).status == 304


async def test_what_is_named_by_its_contents_is_kept_for_ever_and_nothing_else(tmp_path: Path) -> None:
    with made(tmp_path, MemoryEngine()) as served:
        kept = {path for path in load_pages() if "immutable" in (await get(served.app, path)).headers["cache-control"]}
    assert kept and all(path.startswith("/ui/index-") for path in kept)
    html = load_pages()["/"].body.decode()
    assert all(f".{path}" in html for path in kept), "a page that is asked for anew names them"

"""`/img` and `/frame/...`: what is understood, what is refused, what is told about the answer."""

import json
from pathlib import Path

import pytest

from cgi_worker.wire import view
from cgi_worker.wire.question import QUESTIONS, Pixel, Sky
from cgi_worker.wire.tiles import NOT_OF_TILES, TileView
from imgd.core.uids import Wanted
from imgd.errors import BadFrame, Busy, NoSuchFrame, NotYours, PlanTooBig, WorkerTimedOut
from imgd.web.describe import PICTURE_PARAMETERS, QUESTION_PARAMETERS, TILE_PARAMETERS
from tests.web.rig import MemoryEngine, Script, get, made

LOOK = "/img?frame=night/a.fits"


async def test_a_picture_and_what_is_told_about_it(tmp_path: Path) -> None:
    engine = MemoryEngine()
    with made(tmp_path, engine) as served:
        reply = await get(served.app, LOOK + "&size=1200,&levels=0.05,0.999&stretch=asinh")
    assert (reply.status, reply.body, reply.complete) == (200, b"picture", True)
    assert reply.headers["content-type"] == "image/jpeg"
    assert reply.headers["etag"] == '"e1"'
    assert reply.headers["content-length"] == "7"
    assert reply.headers["cache-control"] == "private, no-cache"
    assert reply.headers["accept-ranges"] == "none"
    assert json.loads(reply.headers["x-imgd-levels"]) == {"levels": [1.5, 20.0]}
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["referrer-policy"] == "no-referrer"
    assert reply.headers["content-security-policy"].startswith("default-src 'self';")
    asked, asker = engine.asked[0]
    assert isinstance(asked, view.View)
    assert (asked.frame, asked.size, asked.stretch) == ("night/a.fits", view.Size(1200), "asinh")
    assert (asker.session, asker.runner) == ("http 127.0.0.1", "")


async def test_of_unknown_length_has_no_content_length(tmp_path: Path) -> None:
    with made(tmp_path, MemoryEngine(Script(chunks=(b"a", b"b"), size_known=False))) as served:
        reply = await get(served.app, LOOK)
    assert (reply.body, reply.complete) == (b"ab", True)
    assert "content-length" not in reply.headers


@pytest.mark.parametrize(
    ("target", "parameter"),
    [
        ("/img", "frame"),
        (LOOK + "&frame=night/b", "frame"),
        (LOOK + "&colour=mono", "colour"),
        (LOOK + "&size=100000,", "size"),
        (LOOK + "&levels=0,1&cut=1,2", "cut"),
        (LOOK + "&quality=", "quality"),
        (LOOK + "&invert", "invert"),
        (LOOK + "&flip=%zz", "flip"),
        (LOOK + "&%zz=1", "%zz"),
        (LOOK + "&fl%C3%BCp=1", "flüp"),
        (LOOK + "&u=1", "u"),
        ("/img?u=1&u=1", "u"),
        ("/img?frame=night/%00", "frame"),
        ("/frame/night/a.fits?hdu=1", "hdu"),
    ],
)
async def test_bad_grammar_names_the_parameter(tmp_path: Path, target: str, parameter: str) -> None:
    engine = MemoryEngine()
    with made(tmp_path, engine) as served:
        reply = await get(served.app, target)
    assert reply.status == 400
    assert reply.headers["content-type"] == "application/problem+json"
    problem = json.loads(reply.body)
    assert (problem["parameter"], problem["status"], problem["type"]) == (parameter, 400, "about:blank")
    assert engine.asked == []


async def test_names_keep_their_bytes(tmp_path: Path) -> None:
    engine = MemoryEngine()
    with made(tmp_path, engine) as served:
        await get(served.app, "/img?frame=night/%ff+b%2Bc%26")
        await get(served.app, "/frame/night/%ff%20b+c%3F")
    assert [what if isinstance(what, str) else what.frame for what, _ in engine.asked] == [
        "night/\udcff b+c&",
        "night/\udcff b+c?",
    ]


async def test_by_uid(tmp_path: Path) -> None:
    engine = MemoryEngine()
    with made(tmp_path, engine) as served:
        served.sessions.open("ws1")
        served.sessions.src(Wanted(view.View("night/b"), "ws1", "ws1/main"), "abc")
        assert (await get(served.app, "/img?u=abc")).status == 200
        served.sessions.close("ws1")
        gone = await get(served.app, "/img?u=abc")
    asked, asker = engine.asked[0]
    assert asked == view.View("night/b")
    assert (asker.session, asker.runner) == ("ws1", "ws1/main")
    assert (gone.status, json.loads(gone.body)["parameter"]) == (404, "u")


@pytest.mark.parametrize("asked", ['"e1"', 'W/"e1"', '"other", "e1"', "*"])
async def test_not_modified_makes_nothing(tmp_path: Path, asked: str) -> None:
    engine = MemoryEngine()
    with made(tmp_path, engine) as served:
        reply = await get(served.app, LOOK, ("if-none-match", asked))
    assert (reply.status, reply.body, reply.complete) == (304, b"", True)
    assert reply.headers["etag"] == '"e1"'
    assert (engine.asked, engine.qualified) == ([], 1)


async def test_modified_is_made(tmp_path: Path) -> None:
    with made(tmp_path, MemoryEngine()) as served:
        assert (await get(served.app, LOOK, ("if-none-match", '"e0"'))).body == b"picture"
        header = await get(served.app, "/frame/night/a", ("if-none-match", '"e1"'))
    assert (header.status, header.body) == (304, b"")


async def test_head_makes_nothing(tmp_path: Path) -> None:
    engine = MemoryEngine()
    with made(tmp_path, engine) as served:
        reply = await get(served.app, LOOK, method="HEAD")
        refused = await get(served.app, LOOK, method="POST")
    assert (reply.status, reply.body, reply.headers["content-type"]) == (200, b"", "image/jpeg")
    assert engine.asked == []
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "error",
    [NoSuchFrame("x"), NotYours("x"), PlanTooBig("x"), BadFrame("is a FIFO", "frame"), WorkerTimedOut("x")],
)
async def test_errors_keep_their_status(tmp_path: Path, error: NoSuchFrame) -> None:
    with made(tmp_path, MemoryEngine(Script(fail_before=error))) as served:
        for target in (LOOK, "/frame/night/a"):
            reply = await get(served.app, target)
            problem = json.loads(reply.body)
            assert (reply.status, problem["title"], problem["detail"]) == (error.status, error.title, error.text)


async def test_busy_tells_when_to_come_again(tmp_path: Path) -> None:
    with made(tmp_path, MemoryEngine(Script(fail_before=Busy("full", 1.2)))) as served:
        reply = await get(served.app, LOOK)
    assert (reply.status, reply.headers["retry-after"]) == (503, "2")


async def test_a_failure_before_the_first_byte_is_a_problem(tmp_path: Path) -> None:
    with made(tmp_path, MemoryEngine(Script(fail_at=0))) as served:
        reply = await get(served.app, LOOK)
    assert (reply.status, reply.complete, reply.headers["content-type"]) == (500, True, "application/problem+json")


@pytest.mark.parametrize(
    ("facts", "header"),
    [("{}", None), ("", None), ('{"a":"' + "x" * 3000 + '"}', None), ('{"a":"ü"}', '{"a":"\\u00fc"}')],
)
async def test_levels_fit_into_a_header(tmp_path: Path, facts: str, header: str | None) -> None:
    with made(tmp_path, MemoryEngine(Script(facts=facts))) as served:
        assert (await get(served.app, LOOK)).headers.get("x-imgd-levels") == header


def test_all_parameters_are_described() -> None:
    assert set(PICTURE_PARAMETERS) == {*view.PARAMETERS, "u"}
    assert set(TILE_PARAMETERS) == {*view.PARAMETERS, "level", "x", "y"} - set(NOT_OF_TILES)
    for name, (_, readers, _) in QUESTIONS.items():
        assert set(QUESTION_PARAMETERS[name]) == {"frame", "hdu", "plane", *readers}


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        ("/pixel?frame=night/a&x=3&y=4", Pixel(frame="night/a", x=3, y=4)),
        ("/wcs?frame=night/a&sky=10,-5", Sky(frame="night/a", sky=(10.0, -5.0))),
        ("/tile?frame=night/a&level=2&x=1&y=0&quality=7", TileView(view.View("night/a", quality=7), 2, 1, 0)),
        (
            "/thumbnail?frame=night/a&side=64",
            view.View("night/a", size=view.Size(64, 64), exact=False, quality=view.THUMBNAIL_QUALITY),
        ),
    ],
)
async def test_each_path_asks_for_what_it_is_called(tmp_path: Path, target: str, wanted: object) -> None:
    engine = MemoryEngine()
    with made(tmp_path, engine) as served:
        reply = await get(served.app, target)
        same = await get(served.app, target, ("if-none-match", '"e1"'))
        refused = await get(served.app, target + "&more=1")
    assert (reply.status, reply.body, same.status) == (200, b"picture", 304)
    assert [what for what, _ in engine.asked] == [wanted]
    assert (refused.status, json.loads(refused.body)["parameter"]) == (400, "more")


@pytest.mark.parametrize("name", sorted(QUESTIONS))
async def test_a_question_without_a_frame_is_refused(tmp_path: Path, name: str) -> None:
    with made(tmp_path, MemoryEngine()) as served:
        reply = await get(served.app, f"/{name}")
    assert (reply.status, json.loads(reply.body)["parameter"]) == (400, "frame")


async def test_an_export_has_a_name_to_be_saved_under(tmp_path: Path) -> None:
    with made(tmp_path, MemoryEngine()) as served:
        reply = await get(served.app, "/export?frame=night/M%2031%22%0d.fits.fz&format=npy")
    assert reply.headers["content-disposition"] == 'attachment; filename="M_31__-cutout.npy"'
    assert reply.headers["content-type"] == "application/octet-stream"

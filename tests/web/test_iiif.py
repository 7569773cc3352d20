"""`/iiif/3/...`: what its addresses mean to the engine, and what its answers say of themselves."""

import json
from pathlib import Path

import msgspec
import pytest

from cgi_worker.wire.facts import Facts, Hdu, Source
from cgi_worker.wire.tiles import TileView
from cgi_worker.wire.view import Cut, Region, Size, View
from imgd.errors import NoSuchFrame, PlanTooBig
from imgd.web.pyramids import version_of
from tests.web.rig import MemoryEngine, Script, get, made

FRAME = "/iiif/3/night%2Fa.fits"
NOW = version_of(Script().source, "up")
LOOK = View("night/a.fits", rows="up", levels_from="plane")


async def test_the_base_address_leads_to_the_document(tmp_path: Path) -> None:
    with made(tmp_path, MemoryEngine()) as served:
        reply = await get(served.app, FRAME + ";stretch=log")
        secure = await get(served.app, FRAME, ("x-forwarded-proto", "https"))
    assert (reply.status, reply.headers["location"]) == (303, "http://h" + FRAME + ";stretch=log/info.json")
    assert secure.headers["location"] == "https://h" + FRAME + "/info.json"


async def test_the_document(tmp_path: Path) -> None:
    with made(tmp_path, MemoryEngine(), budget_bytes=1 << 30) as served:
        reply = await get(served.app, FRAME + ";turn=90/info.json")
        again = await get(served.app, FRAME + ";turn=90/info.json", ("if-none-match", reply.headers["etag"]))
        linked = await get(served.app, FRAME + "/info.json", ("accept", "application/ld+json, */*;q=0.1"))
    info = json.loads(reply.body)
    assert info["@context"] == "http://iiif.io/api/image/3/context.json"
    assert (info["id"], info["type"]) == ("http://h" + FRAME + ";turn=90", "ImageService3")
    assert (info["protocol"], info["profile"]) == ("http://iiif.io/api/image", "level2")
    assert (info["width"], info["height"]) == (3000, 5000)
    assert info["tiles"] == [{"width": 256, "height": 256, "scaleFactors": [1, 2, 4, 8, 16, 32]}]
    assert info["sizes"][0] == {"width": 94, "height": 157} and info["sizes"][-1] == {"width": 3000, "height": 5000}
    assert (info["maxWidth"], info["maxHeight"], info["maxArea"]) == (16_383, 16_383, (1 << 30) // 25)
    assert info["extraFormats"] == ["webp"] and "rights" not in info
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["link"] == '<http://iiif.io/api/image/3/level2.json>;rel="profile"'
    assert (reply.headers["vary"], again.status) == ("Accept", 304)
    assert linked.headers["content-type"] == f'application/ld+json;profile="{info["@context"]}"'


async def test_scripts_of_any_origin_may_read_all_of_it(tmp_path: Path) -> None:
    with made(tmp_path, MemoryEngine()) as served:
        for rest in (
            "",
            "/info.json",
            "/full/max/0/default.jpg",
            "/full/max/7/default.jpg",
            "/x",
            "/0,0,1,1/max/0/color.png",
        ):
            reply = await get(served.app, FRAME + rest)
            assert reply.headers["access-control-allow-origin"] == "*", rest
            assert reply.headers["cross-origin-resource-policy"] == "cross-origin"
            assert reply.headers["x-content-type-options"] == "nosniff"
        first = await get(served.app, "/iiif/3/x", method="OPTIONS")
        assert (first.status, first.headers["access-control-allow-methods"]) == (204, "GET, HEAD")
        other = await get(served.app, "/frame/night/a")
    assert other.headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize(
    ("rest", "wanted"),
    [
        ("/full/max/0/default.jpg", {"size": Size(5000, 3000, True)}),
        ("/full/100,/0/default.png", {"size": Size(100, 60, True), "format": "png"}),
        ("/full/100,100/90/default.jpg", {"size": Size(100, 100, True), "turn": 90}),
        ("/full/100,/270/default.jpg", {"size": Size(60, 100, True), "turn": 270}),
        ("/full/100,/!0/color.jpg", {"size": Size(100, 60, True), "flip": "h"}),
        ("/full/100,/0/gray.jpg", {"size": Size(100, 60, True), "subsampling": "400"}),
        ("/full/100,/0/bitonal.webp", {"size": Size(100, 60, True), "subsampling": "bitonal", "format": "webp"}),
        ("/10,20,30,40/max/0/default.jpg", {"size": Size(30, 40, True), "region": Region(10, 20, 30, 40)}),
        ("/4990,20,30,40/^60,/0/default.jpg", {"size": Size(60, 240, True), "region": Region(4990, 20, 10, 40)}),
        ("%3Bcut=1,1e%2B5/full/100,/0/default.jpg", {"frame": "night/a.fits;cut=1,1e+5", "size": Size(100, 60, True)}),
        (";cut=1,1e+5;stretch=log/full/100,/0/default.jpg",
         {"size": Size(100, 60, True), "levels": Cut(1, 100_000), "stretch": "log"}),
        (";turn=90/full/60,/0/default.jpg", {"size": Size(60, 100, True), "turn": 90}),
        (";turn=90/full/60,/90/default.jpg", {"size": Size(100, 60, True), "turn": 180}),
        (";turn=90/full/60,/!90/default.jpg", {"size": Size(100, 60, True), "turn": 0, "flip": "h"}),
        (";turn=90;flip=hv/full/60,/!0/default.jpg", {"size": Size(60, 100, True), "turn": 270, "flip": "v"}),
        (";flip=h/10,20,30,40/max/0/default.jpg",
         {"size": Size(30, 40, True), "region": Region(4960, 20, 30, 40), "flip": "h"}),
        (";turn=90/10,20,30,40/max/0/default.jpg",
         {"size": Size(30, 40, True), "region": Region(20, 2960, 40, 30), "turn": 90}),
    ],
)  # fmt: skip
async def test_what_is_no_tile_is_a_view(tmp_path: Path, rest: str, wanted: dict[str, object]) -> None:
    engine = MemoryEngine()
    with made(tmp_path, engine) as served:
        reply = await get(served.app, FRAME + rest)
        assert (reply.status, reply.body) == (200, b"picture"), reply.body
        assert reply.headers["etag"] == '"e1"'
        same = await get(served.app, FRAME + rest, ("if-none-match", '"e1"'))
        head = await get(served.app, FRAME + rest, method="HEAD")
    assert [what for what, _ in engine.asked] == [msgspec.structs.replace(LOOK, **wanted)]
    assert (same.status, head.status, head.body) == (304, 200, b"")
    assert same.headers["link"] == head.headers["link"] == reply.headers["link"]


@pytest.mark.parametrize(
    ("rest", "place"),
    [
        ("/0,0,256,256/max/0/default.jpg", (0, 0, 0)),
        ("/256,512,256,256/256,/0/default.jpg", (0, 1, 2)),
        ("/4864,2816,136,184/136,184/0/color.jpg", (0, 19, 11)),
        ("/4096,2048,904,952/226,238/0/default.jpg", (2, 4, 2)),
        ("/4096,2048,904,952/226,/0/default.jpg", (2, 4, 2)),
        ("/full/157,94/0/default.jpg", (5, 0, 0)),
        ("/full/157,/0/default.jpg", (5, 0, 0)),
        ("/0,0,5000,3000/40,24/0/default.jpg", (7, 0, 0)),
    ],
)
async def test_what_is_a_tile_is_that_tile(tmp_path: Path, rest: str, place: tuple[int, int, int]) -> None:
    engine = MemoryEngine()
    with made(tmp_path, engine) as served:
        reply = await get(served.app, FRAME + rest)
        level, column, row = place
        tile = await get(served.app, f"/tiles/night/a.fits/{5 - level}/{column}/{row}.jpg") if level <= 5 else reply
    assert (reply.status, reply.body, tile.body) == (200, b"picture", b"picture")
    assert {what for what, _ in engine.asked} == {TileView(View("night/a.fits", rows="up"), *place)}


@pytest.mark.parametrize(
    ("rest", "canonical"),
    [
        ("/full/max/0/default.jpg", "/full/max/0/default.jpg"),
        ("/0,0,5000,3000/5000,/360/default.jpg", "/full/max/0/default.jpg"),
        ("/pct:0,0,10,10/pct:50/!90.0/gray.png", "/0,0,500,300/250,150/!90/gray.png"),
        ("/square/^6000,/0/default.webp", "/1000,0,3000,3000/^6000,6000/0/default.webp"),
        ("/0,0,256,256/256,/0/default.jpg", "/0,0,256,256/max/0/default.jpg"),
    ],
)
async def test_each_picture_has_one_canonical_address(tmp_path: Path, rest: str, canonical: str) -> None:
    with made(tmp_path, MemoryEngine(), budget_bytes=1 << 34) as served:
        reply = await get(served.app, FRAME + rest)
        again = await get(served.app, FRAME + canonical)
    links = f'<http://h{FRAME}{canonical}>;rel="canonical", <http://iiif.io/api/image/3/level2.json>;rel="profile"'
    assert reply.headers["link"] == again.headers["link"] == links


@pytest.mark.parametrize(
    ("target", "status", "parameter"),
    [
        ("/iiif/3/", 404, ""),
        ("/iiif/2/night%2Fa.fits/info.json", 404, ""),
        ("/iiif/3/night/a.fits", 404, ""),
        ("/iiif/3/night/a.fits/full/max/0/default.jpg", 404, ""),
        (FRAME + "/info.xml", 404, ""),
        (FRAME + "/", 404, ""),
        (FRAME + "/full/max/0", 404, ""),
        (FRAME + "/info.json?x=1", 400, "x"),
        ("/iiif/3/[frob]/info.json", 400, "identifier"),
        (FRAME + ";a&b=1/info.json", 400, "identifier"),
        (FRAME + ";size=1,/info.json", 400, "size"),
        (FRAME + ";frame=x/info.json", 400, "frame"),
        (FRAME + ";stretch/info.json", 400, "stretch"),
        (FRAME + "/full/full/0/default.jpg", 400, "size"),
        (FRAME + "/full/6000,/0/default.jpg", 400, "size"),
        (FRAME + "/9,9/max/0/default.jpg", 400, "region"),
        (FRAME + "/full/max/400/default.jpg", 400, "rotation"),
        (FRAME + "/full/max/45/default.jpg", 501, "rotation"),
        (FRAME + "/full/max/0/native.jpg", 400, "quality"),
        (FRAME + "/full/max/0/default", 400, "quality"),
        (FRAME + "/full/max/0/default.tif", 400, "format"),
    ],
)
async def test_errors_are_as_the_specification_has_them(
    tmp_path: Path, target: str, status: int, parameter: str
) -> None:
    engine = MemoryEngine()
    with made(tmp_path, engine) as served:
        reply = await get(served.app, target)
    assert (reply.status, json.loads(reply.body)["parameter"]) == (status, parameter)
    assert engine.asked == []


async def test_errors_of_the_frame_keep_their_status(tmp_path: Path) -> None:
    with made(tmp_path, MemoryEngine(script=Script(fail_before=NoSuchFrame("x", "frame")))) as served:
        for rest in ("/info.json", "/full/max/0/default.jpg"):
            assert (await get(served.app, FRAME + rest)).status == 404
    with made(tmp_path, MemoryEngine(script=Script(fail_before=PlanTooBig("x")))) as served:
        assert (await get(served.app, FRAME + "/full/max/0/default.jpg")).status == 413


async def test_a_version_in_the_identifier_is_kept_to(tmp_path: Path) -> None:
    engine = MemoryEngine()
    with made(tmp_path, engine) as served:
        targets = [
            f"{FRAME};v={NOW}{rest}"
            for rest in ("/info.json", "/full/max/0/default.jpg", "/0,0,256,256/max/0/gray.png")
        ]
        for target in targets:
            reply = await get(served.app, target)
            assert (reply.status, reply.headers["cache-control"]) == (200, "public, max-age=31536000, immutable")
        before = len(engine.asked)
        again = await get(served.app, targets[2])
        assert (again.headers, again.body, len(engine.asked)) == (reply.headers, reply.body, before)
        elsewhere = await get(served.app, targets[2], ("host", "other"), ("x-forwarded-proto", "https"))
        assert "https://other/iiif/3/" in elsewhere.headers["link"], "the links are those of who asks"
        engine.script.source = Source(1, 2, 3, 5)
        assert [(await get(served.app, target)).status for target in targets[:2]] == [404, 404]
        assert (await get(served.app, f"{FRAME}/full/max/0/default.jpg")).status == 200


async def test_a_colour_picture_may_be_smaller_for_the_same_memory(tmp_path: Path) -> None:
    bayer = Facts("fits", (Hdu(0, "", "image", (6000, 6000), "i2", cfa="RGGB"),), 0)
    with made(tmp_path, MemoryEngine(script=Script(known=bayer)), budget_bytes=75 << 20) as served:
        info = json.loads((await get(served.app, FRAME + "/info.json")).body)
        whole = await get(served.app, FRAME + "/full/max/0/default.jpg")
        refused = await get(served.app, FRAME + "/full/1100,/0/default.jpg")
    assert info["maxArea"] == 1 << 20
    assert max(size["width"] for size in info["sizes"]) == 750
    assert (whole.status, refused.status) == (200, 400)

"""Tiles by HTTP: what their addresses mean, which version they are of, and what needs nobody to answer."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest
import trio

from cgi_worker.wire.facts import Facts, Hdu, Source
from cgi_worker.wire.tiles import TileView
from cgi_worker.wire.view import View
from imgd.errors import NoSuchFrame
from imgd.web.app import WebApp
from imgd.web.pyramids import version_of
from tests.web.rig import MemoryEngine, Script, get, made

TILES = "/tiles/night/a.fits"
DZI = "/dzi/night/a.fits"
NOW = version_of(Script().source, "up")
REWRITTEN = Source(1, 2, 3, 5)
IMMUTABLE = "public, max-age=31536000, immutable"


async def document(app: WebApp, target: str) -> dict[str, Any]:
    reply = await get(app, target)
    assert reply.status == 200, reply.body
    found: dict[str, Any] = json.loads(reply.body)
    return found


def places(engine: MemoryEngine) -> list[tuple[int, int, int]]:
    wanted = [what for what, _ in engine.asked]
    assert all(isinstance(what, TileView) for what in wanted)
    return [(what.level, what.column, what.row) for what in wanted if isinstance(what, TileView)]


async def test_the_document_leads_to_the_tiles(tmp_path: Path) -> None:
    engine = MemoryEngine()
    with made(tmp_path, engine) as served:
        told = await document(served.app, "/tiles/night/%ff%20%7B.fits/tiles.json?stretch=log&format=png")
        assert (told["width"], told["height"], told["tile_size"], told["levels"]) == (5000, 3000, 256, 6)
        assert told["version"] == NOW
        for z in range(told["levels"]):
            target = told["template"].replace("{z}", str(z)).replace("{x}", "0").replace("{y}", "0")
            reply = await get(served.app, target)
            assert (reply.status, reply.body, reply.headers["content-type"]) == (200, b"picture", "image/png")
    assert places(engine) == [(5 - z, 0, 0) for z in range(6)]
    assert all(isinstance(what, TileView) and what.frame == "night/\udcff {.fits" for what, _ in engine.asked)
    assert all(isinstance(what, TileView) and what.view.stretch == "log" for what, _ in engine.asked)


@pytest.mark.parametrize(
    ("side", "levels"), [(1, 1), (256, 1), (257, 2), (512, 2), (513, 3), (65_536, 9), (65_537, 10)]
)
async def test_all_of_the_picture_is_one_tile_at_the_first_level(tmp_path: Path, side: int, levels: int) -> None:
    engine = MemoryEngine(script=Script(known=Facts("fits", (Hdu(0, "", "image", (side, 1), "i2"),), 0)))
    with made(tmp_path, engine) as served:
        assert (await document(served.app, TILES + "/tiles.json"))["levels"] == levels
        assert (await get(served.app, TILES + "/0/0/0.jpg")).status == 200
        assert (await get(served.app, TILES + "/0/0/1.jpg")).status == 404
        last = (side - 1) // 256
        assert (await get(served.app, f"{TILES}/{levels - 1}/0/{last}.jpg")).status == 200
        assert (await get(served.app, f"{TILES}/{levels - 1}/0/{last + 1}.jpg")).status == 404
        assert (await get(served.app, f"{TILES}/{levels}/0/0.jpg")).status == 404


async def test_a_tile_and_what_is_told_about_it(tmp_path: Path) -> None:
    engine = MemoryEngine()
    with made(tmp_path, engine, rows="down") as served:
        reply = await get(served.app, TILES + "/5/19/11.webp?flip=h")
    assert (reply.status, reply.body, reply.complete) == (200, b"picture", True)
    assert (reply.headers["content-type"], reply.headers["content-length"]) == ("image/webp", "7")
    assert reply.headers["cache-control"] == "private, no-cache"
    assert json.loads(reply.headers["x-imgd-levels"]) == {"levels": [1.5, 20.0]}
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert engine.asked[0][0] == TileView(View("night/a.fits", flip="h", rows="down", format="webp"), 0, 19, 11)


@pytest.mark.parametrize(
    ("target", "status", "parameter"),
    [
        (TILES + "/6/0/0.jpg", 404, ""),
        (TILES + "/5/20/0.jpg", 404, ""),
        (TILES + "/5/0/12.jpg", 404, ""),
        (TILES + "/-1/0/0.jpg", 404, ""),
        (TILES + "/0/0/a.jpg", 404, ""),
        (TILES + "/0/0/" + "9" * 30 + ".jpg", 404, ""),
        (TILES + "/0/0/0", 404, ""),
        ("/tiles/0/0.jpg", 404, ""),
        ("/tiles/", 404, ""),
        (TILES + "/0/0/0.gif", 400, "format"),
        (TILES + "/0/0/0.jpg?format=png", 400, "format"),
        (TILES + "/0/0/0.jpg?size=100,", 400, "size"),
        (TILES + "/0/0/0.jpg?level=1", 400, "level"),
        (TILES + "/0/0/0.jpg?frame=night/b", 400, "frame"),
        (TILES + "/0/0/0.jpg?v=1&v=1", 400, "v"),
        (TILES + "/0/0/0.jpg?v=%2e", 400, "v"),
        (TILES + "/0/0/0.jpg?v=", 400, "v"),
        (TILES + "/0/0/0.jpg?hdu=3", 400, "hdu"),
        (TILES + "/tiles.json?format=gif", 400, "format"),
        (DZI + "_files/14/0_0.jpg", 404, ""),
        (DZI + "_files/13/20_0.jpg", 404, ""),
        (DZI + "_files/13/0_12.jpg", 404, ""),
        (DZI + "_files/13/0-0.jpg", 404, ""),
        (DZI + "/13/0_0.jpg", 404, ""),
        (DZI + "_files/13/0_0.tif", 400, "format"),
        ("/dzi/x", 404, ""),
    ],
)
async def test_what_there_is_not_is_said_in_words(tmp_path: Path, target: str, status: int, parameter: str) -> None:
    engine = MemoryEngine()
    with made(tmp_path, engine) as served:
        reply = await get(served.app, target)
    problem = json.loads(reply.body)
    assert (reply.status, problem["parameter"]) == (status, parameter)
    assert reply.headers["content-type"] == "application/problem+json"
    assert engine.asked == []


async def test_errors_of_the_frame_keep_their_status(tmp_path: Path) -> None:
    with made(tmp_path, MemoryEngine(script=Script(fail_before=NoSuchFrame("x", "frame")))) as served:
        for target in (TILES + "/0/0/0.jpg", TILES + "/tiles.json", DZI + ".dzi", DZI + "_files/0/0_0.jpg"):
            assert (await get(served.app, target)).status == 404
        assert (await get(served.app, TILES + "/0/0/0.jpg", method="POST")).status == 405


async def test_deep_zoom_counts_from_one_pixel_up(tmp_path: Path) -> None:
    engine = MemoryEngine()
    with made(tmp_path, engine) as served:
        reply = await get(served.app, DZI + ".dzi?turn=90")
        image = ElementTree.fromstring(reply.body)
        assert reply.headers["content-type"] == "application/xml"
        assert image.attrib == {"Format": "jpg", "Overlap": "0", "TileSize": "256"}
        assert image[0].attrib == {"Width": "3000", "Height": "5000"}
        for level in (0, 8, 13):
            assert (await get(served.app, f"{DZI}_files/{level}/0_0.jpg")).status == 200
        png = await get(served.app, DZI + ".dzi?format=png")
        assert ElementTree.fromstring(png.body).attrib["Format"] == "png"
    assert places(engine) == [(13, 0, 0), (5, 0, 0), (0, 0, 0)]


@pytest.mark.parametrize("target", [TILES + "/3/1/2.jpg?invert=1&v=", DZI + "_files/12/1_2.jpg?v="])
async def test_an_address_with_the_version_is_answered_once_and_for_all(tmp_path: Path, target: str) -> None:
    engine = MemoryEngine()
    with made(tmp_path, engine) as served:
        first = await get(served.app, target + NOW)
        second = await get(served.app, target + NOW)
        head = await get(served.app, target + NOW, method="HEAD")
        same = await get(served.app, target + NOW, ("if-none-match", first.headers["etag"]))
        assert (len(engine.asked), engine.looks) == (1, 1)
        engine.script.source = REWRITTEN
        kept = await get(served.app, target + NOW)
        assert (await get(served.app, target + NOW, method="POST")).status == 405
    assert first.headers["cache-control"] == IMMUTABLE
    assert (second.headers, second.body, second.complete) == (first.headers, first.body, True)
    assert (head.status, head.body, head.headers) == (200, b"", first.headers)
    assert (same.status, same.body, same.headers["cache-control"]) == (304, b"", IMMUTABLE)
    assert "content-length" not in same.headers
    assert kept.body == first.body, "it is still what that version was"
    assert (len(engine.asked), engine.looks) == (1, 1)


@pytest.mark.parametrize("target", [TILES + "/3/1/2.jpg?v=", DZI + "_files/12/1_2.jpg?v="])
async def test_who_has_a_version_needs_no_look_at_the_disk(tmp_path: Path, target: str) -> None:
    with made(tmp_path, MemoryEngine()) as served:
        etag = (await get(served.app, target + NOW)).headers["etag"]
    engine = MemoryEngine()  # Another daemon, which knows nothing yet.
    with made(tmp_path, engine) as served:
        same = await get(served.app, target + NOW, ("if-none-match", f'"x", W/{etag}'))
        assert (same.status, same.headers["etag"], engine.looks, engine.asked) == (304, etag, 0, [])
        other = await get(served.app, target.replace("1_2", "1_1").replace("1/2", "1/1") + NOW, ("if-none-match", etag))
        anything = await get(served.app, target + NOW, ("if-none-match", '"x"'))
    assert (other.status, anything.status) == (200, 200)


@pytest.mark.parametrize(
    "target", [TILES + "/3/1/2.jpg", TILES + "/tiles.json", DZI + ".dzi", DZI + "_files/12/1_2.jpg"]
)
async def test_tiles_of_two_exposures_never_meet(tmp_path: Path, target: str) -> None:
    engine = MemoryEngine()
    with made(tmp_path, engine) as served:
        assert (await get(served.app, f"{target}?v={NOW}")).status == 200
        engine.script.source = REWRITTEN
        other = await get(served.app, f"{target}?v={NOW}&invert=1")
        problem = json.loads(other.body)
        assert (other.status, problem["title"], problem["parameter"]) == (404, "Another version", "v")
        assert version_of(REWRITTEN, "up") in problem["detail"]
        assert other.headers["cache-control"] == "no-store"
        assert (await get(served.app, f"{target}?v={version_of(REWRITTEN, 'up')}")).status == 200
        assert (await get(served.app, target)).status == 200


async def test_a_frame_that_is_rewritten_under_a_version_that_was_looked_at_is_noticed(tmp_path: Path) -> None:
    engine = MemoryEngine()
    with made(tmp_path, engine) as served:
        await get(served.app, f"{TILES}/3/1/2.jpg?v={NOW}")
        engine.script.source = REWRITTEN
        engine.script.chunks = (b"another",)
        reply = await get(served.app, f"{TILES}/3/1/1.jpg?v={NOW}")
        assert (reply.status, engine.looks) == (404, 1)
        assert (await get(served.app, f"{TILES}/3/1/1.jpg?v={NOW}", method="HEAD")).status == 404
        assert (await get(served.app, f"{TILES}/3/1/1.jpg")).body == b"another"


class Rewritten(MemoryEngine):
    """A frame that is another one each time its picture is made, so many times."""

    times = 1

    def render(self, wanted: Any, asker: Any) -> Any:
        if self.times:
            self.times -= 1
            self.script.source = msgspec.structs.replace(self.script.source, inode=100 + self.times)
        return super().render(wanted, asker)


@pytest.mark.parametrize(
    "target", [TILES + "/3/1/2.jpg", DZI + "_files/9/0_0.jpg", "/iiif/3/night%2Fa.fits/0,0,9,9/max/0/default.jpg"]
)
async def test_a_frame_that_is_rewritten_meanwhile_is_looked_at_again(tmp_path: Path, target: str) -> None:
    engine = Rewritten()
    with made(tmp_path, engine) as served:
        assert (await get(served.app, target)).status == 200
        assert engine.looks == 2
        engine.times = 100
        inverted = target.replace(".fits/0,", ".fits;invert=1/0,") if "iiif" in target else target + "?invert=1"
        busy = await get(served.app, inverted)
    assert (busy.status, busy.headers["retry-after"]) == (503, "1")


async def test_without_a_version_the_frame_is_looked_at_each_time(tmp_path: Path) -> None:
    engine = MemoryEngine()
    with made(tmp_path, engine) as served:
        first = await get(served.app, TILES + "/3/1/2.jpg")
        second = await get(served.app, TILES + "/3/1/2.jpg")
        same = await get(served.app, TILES + "/3/1/2.jpg", ("if-none-match", first.headers["etag"]))
        head = await get(served.app, TILES + "/3/1/2.jpg", method="HEAD")
        assert (first.status, second.status, same.status, head.status) == (200, 200, 304, 200)
        assert same.headers["etag"] == head.headers["etag"] == first.headers["etag"]
        assert (engine.looks, len(engine.asked)) == (4, 2)
        engine.script.source = REWRITTEN
        changed = await get(served.app, TILES + "/3/1/2.jpg", ("if-none-match", first.headers["etag"]))
    assert (changed.status, len(engine.asked)) == (200, 3)
    assert changed.headers["etag"] != first.headers["etag"]


async def test_different_tiles_and_looks_have_different_validators(tmp_path: Path) -> None:
    queries = ["", "?invert=1", "?turn=90", "?rows=down"]
    places = [(x, y, form) for x in (0, 1) for y in (0, 1) for form in ("jpg", "png")]
    targets = [f"{TILES}/3/{x}/{y}.{form}{query}" for x, y, form in places for query in queries]
    with made(tmp_path, MemoryEngine()) as served:
        etags = [(await get(served.app, target)).headers["etag"] for target in targets]
        default = (await get(served.app, TILES + "/3/0/0.jpg?rows=up")).headers["etag"]
    assert len(set(etags)) == len(targets)
    assert default == etags[0]


async def test_a_tile_that_is_no_longer_kept_is_made_again(tmp_path: Path) -> None:
    engine = MemoryEngine()
    with made(tmp_path, engine) as served:
        for _ in range(2):
            assert (await get(served.app, f"{TILES}/5/0/0.jpg?v={NOW}")).status == 200
        engine.kept.clear()
        for _ in range(2):
            assert (await get(served.app, f"{TILES}/5/0/0.jpg?v={NOW}")).status == 200
    assert len(engine.asked) == 2


async def test_a_frame_that_was_just_written_is_waited_for(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    engine = MemoryEngine(script=Script(source=Source(1, 2, 3, 4, salt=7)))

    async def settle() -> None:
        await trio.sleep(0.05)
        engine.script.source = Source(1, 2, 3, 4)

    with made(tmp_path, engine) as served:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(settle)
            told = await document(served.app, TILES + "/tiles.json")
    assert told["version"] == NOW

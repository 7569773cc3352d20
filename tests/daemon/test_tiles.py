"""Tiles by HTTP, as the whole daemon makes them: the same pixels whichever way they are asked for."""

import io
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import trio
from numpy.typing import NDArray
from PIL import Image

from tests.daemon.figures import metrics
from tests.daemon.http1 import Response
from tests.daemon.rig import RunningDaemon, running_daemon
from tests.frames import make

HEIGHT, WIDTH = 700, 1100
LOOK = "stretch=asinh&turn=90&format=png"


def pixels(answer: Response) -> NDArray[np.uint8]:
    assert answer.status == 200, answer.body
    return np.asarray(Image.open(io.BytesIO(answer.body)))


async def told(daemon: RunningDaemon, target: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((await daemon.get(target)).body)
    return found


async def test_a_tile_is_the_same_by_every_address(tmp_path: Path) -> None:
    make.write(tmp_path / "a b.fits", make.image_hdu(make.star_field(HEIGHT, WIDTH)))
    async with running_daemon(f"f={tmp_path}") as daemon:
        document = await told(daemon, f"/tiles/f/a%20b.fits/tiles.json?{LOOK}")
        info = await told(daemon, "/iiif/3/f%2Fa%20b.fits;stretch=asinh;turn=90/info.json")
        deep = ElementTree.fromstring((await daemon.get(f"/dzi/f/a%20b.fits.dzi?{LOOK}")).body)
        assert (document["width"], document["height"], document["levels"]) == (HEIGHT, WIDTH, 4)
        assert (info["width"], info["height"]) == (HEIGHT, WIDTH)
        assert (deep[0].attrib["Width"], deep[0].attrib["Height"]) == (str(HEIGHT), str(WIDTH))
        for level in range(document["levels"]):
            width, height = -(-HEIGHT >> level), -(-WIDTH >> level)
            for x, y in {(0, 0), ((width - 1) // 256, (height - 1) // 256)}:
                own = await daemon.get(f"/tile?frame=f/a%20b.fits&{LOOK}&level={level}&x={x}&y={y}")
                z = document["levels"] - 1 - level
                template = document["template"].replace("{z}", str(z)).replace("{x}", str(x)).replace("{y}", str(y))
                span = 256 << level
                part = [x * span, y * span, min(span, HEIGHT - x * span), min(span, WIDTH - y * span)]
                size = f"{-(-part[2] >> level)},{-(-part[3] >> level)}"
                targets = [
                    template,
                    f"/tiles/f/a%20b.fits/{z}/{x}/{y}.png?stretch=asinh&turn=90",
                    f"/dzi/f/a%20b.fits_files/{11 - level}/{x}_{y}.png?{LOOK}",
                    f"/iiif/3/f%2Fa%20b.fits;stretch=asinh;turn=90/{','.join(map(str, part))}/{size}/0/default.png",
                ]
                for target in targets:
                    assert (await daemon.get(target)).body == own.body, target
                assert pixels(own).shape == (min(256, height - y * 256), min(256, width - x * 256))
        small = pixels(await daemon.get(f"/dzi/f/a%20b.fits_files/0/0_0.png?{LOOK}"))
        assert small.shape == (1, 1)


async def test_a_name_that_is_not_utf_8_and_a_file_without_an_image_are_answered_like_any_other(tmp_path: Path) -> None:
    sky = make.image_hdu(make.star_field(300, 300))
    make.write(tmp_path / "x\udcff.fits", sky)
    make.write(tmp_path / "plain.fits", sky)
    make.write(tmp_path / "table.fits", make.empty_hdu(), make.table_hdu())
    async with running_daemon(f"f={tmp_path}", workers_max=1, worker_threads=1) as daemon:
        for target in (
            "/tiles/f/{}.fits/0/0/0.jpg",
            "/dzi/f/{}.fits_files/0/0_0.jpg",
            "/iiif/3/f%2F{}.fits/0,0,256,256/max/0/default.jpg",
            "/tile?frame=f/{}.fits&level=0&x=0&y=0",
        ):
            odd, plain = await daemon.get(target.format("x%FF")), await daemon.get(target.format("plain"))
            assert (odd.status, odd.body) == (200, plain.body)
            assert (await daemon.get(target.format("table"))).status == 422


async def test_iiif_regions_are_parts_of_the_picture_as_it_is_seen(tmp_path: Path) -> None:
    make.write(tmp_path / "a.fits", make.image_hdu(make.star_field(HEIGHT, WIDTH)))
    async with running_daemon(f"f={tmp_path}", rows="up") as daemon:
        for look in ("", ";turn=90", ";flip=h;turn=270", ";rows=down", ";flip=v;turn=180"):
            base = f"/iiif/3/f%2Fa.fits{look}"
            whole = pixels(await daemon.get(f"{base}/full/max/0/default.png"))
            plain = pixels(await daemon.get(f"/img?frame=f/a.fits&format=png&size=max{look.replace(';', '&')}"))
            assert np.array_equal(whole, plain)
            part = pixels(await daemon.get(f"{base}/101,52,203,304/max/0/default.png"))
            assert np.array_equal(part, whole[52 : 52 + 304, 101 : 101 + 203]), look
            turned = pixels(await daemon.get(f"{base}/101,52,203,304/max/!90/default.png"))
            assert np.array_equal(turned, np.rot90(part[:, ::-1], -1)), look
            tile = pixels(await daemon.get(f"{base}/256,256,256,256/256,/0/default.png"))
            assert np.array_equal(tile, whole[256:512, 256:512]), look


async def test_a_version_that_is_known_costs_no_worker_and_never_lies(tmp_path: Path) -> None:
    path = make.write(tmp_path / "a.fits", make.image_hdu(make.star_field(HEIGHT, WIDTH)))
    async with running_daemon(f"f={tmp_path}") as daemon:
        document = await told(daemon, "/tiles/f/a.fits/tiles.json")
        targets = [document["template"].format(z=3, x=x, y=y) for x in range(5) for y in range(3)]
        bodies = [(await daemon.get(target)).body for target in targets]
        before = await metrics(daemon)
        async with daemon.connect() as connection:
            for target, body in zip(targets, bodies, strict=True):
                answer = await connection.get(target)
                assert (answer.status, answer.body) == (200, body)
                same = await connection.get(target, if_none_match=answer.headers["etag"])
                assert (same.status, same.body) == (304, b"")
                head = await connection.head(target)
                assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(body)))
        async with daemon.connect2() as second:
            assert (await second.get(targets[0])).body == bodies[0]
        after = await metrics(daemon)
        assert after["imgd_engine_submitted_total"] == before["imgd_engine_submitted_total"]
        assert after["imgd_tiles_hits_total"] >= before["imgd_tiles_hits_total"] + 2 * len(targets)
        make.write(path, make.image_hdu(make.star_field(HEIGHT, WIDTH, seed=9)))
        fresh = await told(daemon, "/tiles/f/a.fits/tiles.json")
        assert fresh["version"] != document["version"]
        assert (await daemon.get(targets[0] + "&invert=1")).status == 404
        now = await daemon.get(fresh["template"].format(z=3, x=0, y=0))
        assert now.status == 200 and now.body != bodies[0]
        assert (await daemon.get("/tiles/f/a.fits/3/0/0.jpg")).body == now.body


async def test_a_plane_may_be_more_than_one_of_the_colours(tmp_path: Path) -> None:
    first, second = (make.star_field(HEIGHT, WIDTH, seed=seed) for seed in (3, 9))
    make.write(tmp_path / "a.fits", make.image_hdu(first), make.image_hdu(second, primary=False))
    async with running_daemon(f"f={tmp_path}") as daemon:
        for rgb in ("0:0,1:0,1:0", "1:0,1:0,0:0", "1:0,1:0,1:0"):
            look = f"frame=f/a.fits&rgb={rgb}&format=png"
            whole = pixels(await daemon.get(f"/img?{look}&size=max"))
            assert np.array_equal(pixels(await daemon.get(f"/tile?{look}&level=0&x=1&y=1")), whole[256:512, 256:512])
            assert pixels(await daemon.get(f"/tile?{look}&level=3&x=0&y=0")).shape == (88, 138, 3)
            part = await daemon.get(f"/img?{look}&region=256,256,256,256&size=max&levels_from=plane&rows=down")
            down = pixels(await daemon.get(f"/img?{look}&size=max&rows=down"))
            assert np.array_equal(pixels(part), down[256:512, 256:512])


async def test_many_tiles_at_once_are_all_right(tmp_path: Path) -> None:
    make.write(tmp_path / "a.fits", make.image_hdu(make.star_field(2000, 3000)))
    async with running_daemon(f"f={tmp_path}") as daemon:
        whole = pixels(await daemon.get("/img?frame=f/a.fits&size=max&format=png"))
        template = (await told(daemon, "/tiles/f/a.fits/tiles.json?format=png"))["template"]
        wrong: list[tuple[int, int]] = []

        async def look(x: int) -> None:
            async with daemon.connect() as connection:
                for y in range(8):
                    tile = pixels(await connection.get(template.format(z=4, x=x, y=y)))
                    if not np.array_equal(tile, whole[y * 256 : y * 256 + 256, x * 256 : x * 256 + 256]):
                        wrong.append((x, y))

        async with trio.open_nursery() as nursery:
            for x in range(12):
                nursery.start_soon(look, x)
    assert wrong == []

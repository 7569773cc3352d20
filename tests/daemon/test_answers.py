"""Answers besides pictures: the daemon gives the same bytes as a worker alone, and tells when nothing is new."""

import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cgi_worker import alone
from cgi_worker.wire.question import question_from_pairs
from cgi_worker.wire.tiles import tile_from_pairs
from cgi_worker.wire.view import thumbnail_from_pairs, view_from_pairs
from tests.daemon.rig import RunningDaemon, running_daemon
from tests.frames import make

WCS = [
    make.card("CTYPE1", "RA---TAN"), make.card("CTYPE2", "DEC--TAN"), make.card("CRPIX1", 150.5),
    make.card("CRPIX2", 100.5), make.card("CRVAL1", 10.0), make.card("CRVAL2", 41.0), make.card("CDELT1", -0.0003),
    make.card("CDELT2", 0.0003),
]  # fmt: skip
ASKED = [
    "/pixel?x=3&y=4&box=5", "/profile?line=1,1,300,200&width=3", "/region?shape=circle&numbers=150,100,20",
    "/region?shape=annulus&numbers=150,100,20,30", "/stats?", "/histogram?bins=64&low=0.01&high=0.99",
    "/stars?threshold=4", "/wcs?at=1,1", "/wcs?sky=10,41", "/wcs?", "/export?format=fits&region=10,20,100,90",
    "/export?format=png", "/export?format=tiff", "/export?format=npy", "/thumbnail?side=64",
    "/tile?level=0&x=1&y=0&format=png", "/tile?level=4&x=0&y=0&levels=zscale", "/tile?level=1&x=0&y=0&cut=900,2000",
    "/img?levels=zscale&map=viridis&bad=red&turn=90&format=png", "/img?pool=max&size=100,&format=avif",
]  # fmt: skip


def write_frames(folder: Path) -> None:
    sky = make.star_field(200, 300)
    make.write(folder / "plain.fits", make.image_hdu(sky, cards=WCS))
    make.write_gzip(folder / "packed.fits.gz", make.image_hdu(sky, cards=WCS))
    make.write_compressed(folder / "tiled.fits", sky, "RICE")


def alone_answers(path: Path, target: str) -> tuple[bytes, str]:
    name, _, query = target.removeprefix("/").partition("?")
    pairs = [("frame", "f/x"), *(pair.split("=") for pair in query.split("&") if pair)]
    read: dict[str, Any] = {"thumbnail": thumbnail_from_pairs, "tile": tile_from_pairs, "img": view_from_pairs}
    wanted = read[name](pairs) if name in read else question_from_pairs(name, pairs)
    source_fd = os.open(path, os.O_RDONLY)
    try:
        octets, media_type, _ = alone.render(source_fd, wanted)
    finally:
        os.close(source_fd)
    return octets, media_type


async def ask(daemon: RunningDaemon, frame: str, target: str, **headers: str) -> Any:
    joint = "" if target.endswith("?") else "&"
    return await daemon.get(f"{target}{joint}frame=f/{frame}", **headers)


@pytest.mark.parametrize("frame", ["plain.fits", "packed.fits.gz", "tiled.fits"])
async def test_each_answer_is_what_a_worker_alone_makes(tmp_path: Path, frame: str) -> None:
    write_frames(tmp_path)
    async with running_daemon(f"f={tmp_path}") as daemon:
        for target in ASKED:
            if frame == "tiled.fits" and target.startswith("/wcs"):
                assert (await ask(daemon, frame, target)).status == 400  # It has no such cards.
                continue
            answer = await ask(daemon, frame, target)
            assert answer.status == 200, (target, answer.body)
            octets, media_type = alone_answers(tmp_path / frame, target)
            assert answer.body == octets, target
            assert answer.headers["content-type"] == media_type
            if media_type == "application/json":
                assert json.loads(answer.body)["coordinates"] == "FITS pixels, 1-based, at pixel centres"
            again = await ask(daemon, frame, target, **{"if-none-match": answer.headers["etag"]})
            assert (again.status, again.body) == (304, b"")


async def test_what_cannot_be_answered_is_said_and_named(tmp_path: Path) -> None:
    write_frames(tmp_path)
    async with running_daemon(f"f={tmp_path}") as daemon:
        for target, status, parameter in (
            ("/pixel?x=301&y=1", 400, "x"), ("/wcs?hdu=3", 400, "hdu"), ("/tile?level=0&x=9&y=0", 400, "x"),
            ("/export?region=300,0,5,5", 400, "region"), ("/stars?plane=2", 400, "plane"),
            ("/stats?more=1", 400, "more"),
        ):  # fmt: skip
            answer = await ask(daemon, "plain.fits", target)
            assert (answer.status, json.loads(answer.body)["parameter"]) == (status, parameter), target
        assert (await ask(daemon, "none.fits", "/stats?")).status == 404


@pytest.mark.parametrize("turn", [0, 90])
async def test_tiles_put_together_are_the_picture(tmp_path: Path, turn: int) -> None:
    pixels = np.random.default_rng(1).integers(900, 2000, (600, 700)).astype(np.uint16)
    make.write(tmp_path / "a.fits", make.image_hdu(pixels))
    look = f"cut=900,2000&stretch=linear&format=png&turn={turn}"
    async with running_daemon(f"f={tmp_path}") as daemon:
        whole = np.asarray(Image.open(io.BytesIO((await ask(daemon, "a.fits", f"/img?{look}&size=max")).body)))
        rows = []
        for y in range(3):
            tiles = [await ask(daemon, "a.fits", f"/tile?{look}&level=0&x={x}&y={y}") for x in range(3)]
            rows.append(np.hstack([np.asarray(Image.open(io.BytesIO(tile.body))) for tile in tiles]))
        assert np.array_equal(np.vstack(rows), whole)
        direct = np.asarray(Image.open(io.BytesIO((await ask(daemon, "a.fits", f"/img?{look}&size=44,44")).body)))
        level = np.asarray(Image.open(io.BytesIO((await ask(daemon, "a.fits", f"/tile?{look}&level=4&x=0&y=0")).body)))
        assert level.shape == ((44, 38) if turn else (38, 44))
        inner = (slice(2, 37), slice(2, 37))
        assert direct.shape == level.shape
        assert abs(level[inner].astype(int).mean() - direct[inner].astype(int).mean()) < 1


async def test_the_setting_says_which_way_up_frames_are_that_do_not(tmp_path: Path) -> None:
    gradient = np.repeat(np.arange(100, dtype=np.uint16)[:, None], 80, axis=1)
    make.write(tmp_path / "a.fits", make.image_hdu(gradient))
    make.write(tmp_path / "b.fits", make.image_hdu(gradient, cards=[make.card("ROWORDER", "BOTTOM-UP")]))
    tops = {}
    async with running_daemon(f"f={tmp_path}", rows="down") as daemon:
        for frame in ("a.fits", "b.fits"):
            for rows in ("", "&rows=up"):
                answer = await ask(daemon, frame, f"/img?cut=0,99&stretch=linear&format=png{rows}")
                picture = np.asarray(Image.open(io.BytesIO(answer.body)))
                tops[frame[0] + rows] = bool(picture[0, 0] < picture[-1, 0])
    assert tops == {"a": True, "a&rows=up": False, "b": False, "b&rows=up": False}

"""A glance of the real daemon: a huge plane is seen, coarse, before its tiles; never when these are there at once."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from imgd.web.frames_out import GLANCE, NO_LEVEL, TILE
from tests.daemon.rig import running_daemon
from tests.frames import make
from tests.web.sitting import Shown, Sitter

SHAPE = (12_288, 16_384)  # 201 Mpx: so many are glanced at even while nobody else wants anything.
BAND = slice(3_000, 6_000)  # Rows that are bright; the others are holes.
PART = {"fit": [1400, 900], "dpr": 1, "glance": True}


def put_huge(path: Path) -> None:
    """Write a frame of 400 MB that takes 98 MB of the disk."""
    header = make.header([make.card("SIMPLE", True), *make.structure(16, (SHAPE[1], SHAPE[0]))])
    with path.open("wb") as file:
        file.write(header)
        file.seek(len(header) + BAND.start * SHAPE[1] * 2)
        file.write(np.full((BAND.stop - BAND.start, SHAPE[1]), 9_000, ">i2").tobytes())
        file.truncate(-(-(len(header) + SHAPE[0] * SHAPE[1] * 2) // 2880) * 2880)


async def opened(sitter: Sitter, frame: str, **more: object) -> list[Shown]:
    """Open a frame and hear its run to the end; return what was shown of it."""
    before = len(sitter.shown)
    ends = sitter.ops().count("completed")
    await sitter.open(f"frame={frame}&cut=0,10000&mid=0.5&rows=down", viewport={**PART, **more})
    await sitter.until("completed", count=ends + 1)
    return sitter.shown[before:]


async def test_a_huge_plane_is_seen_before_its_tiles_and_once_only(tmp_path: Path) -> None:
    put_huge(tmp_path / "huge.fits")
    make.write(tmp_path / "small.fits", make.image_hdu(make.star_field(400, 300)))
    async with running_daemon(f"night={tmp_path}") as daemon, daemon.websocket("/live") as connection:
        sitter = Sitter(connection)
        cold = await opened(sitter, "night/huge.fits")
        assert [each.kind for each in cold] == [GLANCE] + [TILE] * (len(cold) - 1) and len(cold) > 10
        assert len({each.level for each in cold[1:]}) == 1, "no tile that shows less than the glance"
        seen = cold[0]
        assert (seen.level, seen.column, seen.row, seen.turn, seen.number) == (NO_LEVEL, 0, 0, 1, cold[1].number)
        assert (seen.width_px, seen.height_px) == (600, 450)
        greys = np.asarray(Image.open(io.BytesIO(seen.body)).convert("L"), float)
        assert greys.shape == (450, 600)
        first, last = BAND.start * 450 // SHAPE[0], BAND.stop * 450 // SHAPE[0]
        inside, above, below = greys[first + 3 : last - 2], greys[: first - 2], greys[last + 3 :]
        assert abs(inside.mean() - 255 * 0.9) < 2 and inside.std() < 2
        assert above.max() < 8 and below.max() < 8
        result = sitter.told[-1]["result"]
        assert len(result["tiles"]) == len(cold) - 1 and "glance" not in result["steps"]
        assert not any(each["op"] == "levels" and each["document"].get("coarse") for each in sitter.told)
        warm = await opened(sitter, "night/huge.fits", dpr=2)
        assert [each.kind for each in warm] == [TILE] * len(warm)
        small = await opened(sitter, "night/small.fits")
        assert [each.kind for each in small] == [TILE] * len(small)


async def test_who_does_not_ask_for_one_is_shown_none(tmp_path: Path) -> None:
    put_huge(tmp_path / "huge.fits")
    async with running_daemon(f"night={tmp_path}") as daemon, daemon.websocket("/live") as connection:
        cold = await opened(Sitter(connection), "night/huge.fits", glance=False)
        assert {each.kind for each in cold} == {TILE}

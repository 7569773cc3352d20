"""The page in a real browser: a newcomer sees a real frame, and the right pixels of it."""

import os
from pathlib import Path

import numpy as np
import pytest
import trio

from tests.daemon.browser import Page, browsing
from tests.daemon.rig import running_daemon
from tests.frames import make

SIZES = [(1400, 900, 1.0), (390, 844, 2.0)]
SHOWN = "Boolean(document.getElementById('stage')?.classList.contains('loaded'))"
# Draws the picture on a canvas and gives the grey values of some of its pixels.
PIXELS = """(() => {
  const image = document.getElementById('picture');
  const canvas = document.createElement('canvas');
  Object.assign(canvas, {width: image.naturalWidth, height: image.naturalHeight});
  const drawing = canvas.getContext('2d');
  drawing.drawImage(image, 0, 0);
  const at = (x, y) => drawing.getImageData(x * canvas.width | 0, y * canvas.height | 0, 1, 1).data[0];
  return [canvas.width, canvas.height, at(0.25, 0.25), at(0.75, 0.25), at(0.25, 0.75), at(0.75, 0.75)];
})()"""


def screenshots(tmp_path: Path) -> Path:
    """Where pictures of the page are kept."""
    return Path(os.environ.get("TEST_SCREENSHOTS", tmp_path))


@pytest.fixture(name="folder")
def folder_of_frames(tmp_path: Path) -> Path:
    """Four known quarters, a sky, and a frame that is none."""
    place = tmp_path / "night"
    place.mkdir()
    quarters = np.full((400, 600), 1000, np.uint16)  # Rows from the bottom, as FITS has them.
    quarters[200:, :300] = 2000  # top left
    quarters[200:, 300:] = 3000  # top right
    quarters[:200, 300:] = 4000  # bottom right
    make.write(place / "a.fits", make.image_hdu(quarters))
    make.write(place / "b.fits", make.image_hdu(make.star_field(900, 1200)))
    (place / "c.fits").write_bytes(b"not FITS at all")
    return place


@pytest.mark.parametrize(("width", "height", "ratio"), SIZES)
async def test_a_newcomer_sees_a_frame(folder: Path, tmp_path: Path, width: int, height: int, ratio: float) -> None:
    async with running_daemon(f"night={folder}") as daemon, browsing("about:blank") as page:
        await page.resize(width, height, ratio)
        await page.call("Page.navigate", url=daemon.base_url + "/")
        await page.until(SHOWN)
        await page.screenshot(screenshots(tmp_path) / f"page-{width}x{height}-a.png")
        drawn_width, drawn_height, *greys = await page.value(PIXELS)
        top_left, top_right, bottom_left, bottom_right = greys
        assert bottom_left < top_left < top_right < bottom_right, "a quarter is not where it belongs"
        assert drawn_width / drawn_height == pytest.approx(1.5, rel=0.01)
        box = await page.value("['clientWidth', 'clientHeight'].map((n) => document.getElementById('stage')[n])")
        fitted = min(1.0, box[0] * ratio / 600, box[1] * ratio / 400)
        assert drawn_width == pytest.approx(600 * fitted, abs=1), "the picture does not fit the window"
        await next_frame(page, "b.fits")
        await page.until(SHOWN)
        await page.screenshot(screenshots(tmp_path) / f"page-{width}x{height}-b.png")
        await next_frame(page, "c.fits")
        await page.until("document.getElementById('words').textContent.includes('FITS')")
        make.write(folder / "d.fits", make.image_hdu(make.star_field(100, 100)))
        await page.until("document.getElementById('frames').textContent.includes('d.fits')")
        assert {url.split("/")[2] for url in page.requests if url.startswith("http")} == {daemon.base_url[7:]}
        assert [error for error in page.errors if "422" not in error] == []


async def next_frame(page: Page, name: str) -> None:
    """Press the arrow key, and see that the title follows."""
    for kind in ("keyDown", "keyUp"):
        await page.call("Input.dispatchKeyEvent", type=kind, key="ArrowRight", code="ArrowRight")
    await page.until(f"document.getElementById('title').textContent === '{name}'")


async def test_leaving_the_page_ends_its_session(folder: Path) -> None:
    async with running_daemon(f"night={folder}") as daemon:
        async with browsing(daemon.base_url + "/") as page:
            await page.until(SHOWN)
            assert b"imgd_sessions_sessions 1.0" in (await daemon.get("/metrics")).body
        with trio.fail_after(10):
            while b"imgd_sessions_sessions 0.0" not in (await daemon.get("/metrics")).body:
                await trio.sleep(0.05)


async def test_a_new_frame_is_listed_and_followed_without_waiting_for_the_next_look(folder: Path) -> None:
    async with running_daemon(f"night={folder}") as daemon, browsing(daemon.base_url + "/") as page:
        await page.until(SHOWN)
        await page.value("document.getElementById('follow').checked = true")
        for name in ("new.fits", "newer.fits"):  # The page looks by itself every ten seconds; two looks take longer.
            with trio.fail_after(4):
                make.write(folder / name, make.image_hdu(make.star_field(100, 100)))
                await page.until(f"document.getElementById('frames').textContent.includes('{name}')")
                await page.until(f"document.getElementById('title').textContent === '{name}'")

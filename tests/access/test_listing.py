"""Listings: pages in order, by name or newest first, that never tell of anything outside the root."""

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest

from imgd.access.listing import Listing, Order
from imgd.access.roots import Roots
from imgd.config import Settings
from imgd.errors import BadRequest, NoSuchFrame
from imgd.setting_kinds import Root


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Roots]:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    for age, name in enumerate(
        ("b.fits", "a.fits", "c.FIT.gz", "d.fits.fz", "notes.txt", ".hidden.fits", "e f+g.fits")
    ):
        (root / name).write_bytes(b"x" * (age + 1))
        os.utime(root / name, ns=(0, (1_000_000_000 - age) * 10**9))
    (tmp_path / "secret.fits").write_bytes(b"secret")
    (root / "out.fits").symlink_to("../secret.fits")
    (root / "sub" / "link.fits").symlink_to("../a.fits")
    os.utime(root / "sub", ns=(0, 0))
    return Roots(Settings(roots=(Root("night", root), Root("day", root)), listing_max=100, scan_max=100))


async def all_pages(night: Roots, order: Order, limit: int) -> list[str]:
    names: list[str] = []
    after: str | None = ""
    while after is not None:
        page = await night.list("night", order, limit, after)
        assert len(page.entries) <= limit
        names += [entry.name for entry in page.entries]
        after = page.after
    return names


async def test_roots(night: Roots) -> None:
    listing = await night.list("", "name", 10, "")
    assert [(entry.name, entry.ref, entry.kind, entry.modified) for entry in listing.entries] == [
        ("day", "day", "dir", None),
        ("night", "night", "dir", None),
    ]


async def test_entries(night: Roots) -> None:
    listing = await night.list("night", "name", 100, "")
    told = {entry.name: (entry.kind, entry.size_bytes, entry.modified) for entry in listing.entries}
    assert told.pop("sub")[0] == "dir"
    assert told == {
        "a.fits": ("frame", 2, "2001-09-09T01:46:39.000Z"),
        "b.fits": ("frame", 1, "2001-09-09T01:46:40.000Z"),
        "c.FIT.gz": ("frame", 3, "2001-09-09T01:46:38.000Z"),
        "d.fits.fz": ("frame", 4, "2001-09-09T01:46:37.000Z"),
        "e f+g.fits": ("frame", 7, "2001-09-09T01:46:34.000Z"),
        "notes.txt": ("other", 5, "2001-09-09T01:46:36.000Z"),
    }
    assert (listing.dir, listing.after, listing.whole) == ("night", None, True)


async def test_a_link_inside_is_told_as_what_it_leads_to(night: Roots) -> None:
    (link,) = (await night.list("night/sub", "name", 100, "")).entries
    assert (link.name, link.ref, link.size_bytes) == ("link.fits", "night/sub/link.fits", 2)


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_pages_join_without_gap(night: Roots, limit: int) -> None:
    names = ["a.fits", "b.fits", "c.FIT.gz", "d.fits.fz", "e f+g.fits", "notes.txt", "sub"]
    assert await all_pages(night, "name", limit) == names
    newest = ["b.fits", "a.fits", "c.FIT.gz", "d.fits.fz", "notes.txt", "e f+g.fits", "sub"]
    assert await all_pages(night, "newest", limit) == newest


async def test_refs_open_what_they_name(night: Roots, tmp_path: Path) -> None:
    os.close(os.open(os.fsencode(tmp_path) + b"/root/\xfe%&.fits", os.O_CREAT))
    listing: Listing = await night.list("night", "name", 100, "")
    for entry in listing.entries:
        if entry.kind == "frame":
            name = unquote_to_bytes(entry.ref).decode("utf-8", "surrogateescape")
            async with night.open(name) as found:
                assert found.source.size_bytes == entry.size_bytes
    assert "\ufffd%&.fits" in [entry.name for entry in listing.entries]


async def test_too_many_names_are_said(night: Roots, tmp_path: Path) -> None:
    few = Roots(Settings(roots=(Root("night", tmp_path / "root"),), listing_max=3, scan_max=3))
    page = await few.list("night", "name", 50, "")
    assert not page.whole
    assert len(page.entries) <= 3


@pytest.mark.parametrize("directory", ["night/..", "night/no", "evening", "night/a.fits", "night/out.fits", "/"])
async def test_what_is_no_directory(night: Roots, directory: str) -> None:
    with pytest.raises(NoSuchFrame):
        await night.list(directory, "name", 10, "")


async def test_a_cursor_of_the_other_order(night: Roots) -> None:
    with pytest.raises(BadRequest) as caught:
        await night.list("night", "newest", 10, "a.fits")
    assert caught.value.parameter == "after"

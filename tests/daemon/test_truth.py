"""The next request sees the truth: whatever became of the file meanwhile, and whatever it never was."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import trio

from tests.daemon.figures import metrics
from tests.daemon.rig import RunningDaemon, running_daemon
from tests.daemon.test_crowd import alone_bytes
from tests.frames import make


def view(frame: str, *more: tuple[str, str]) -> list[tuple[str, str]]:
    """A small exact view of a frame."""
    return [("frame", frame), ("format", "png"), ("size", "max"), *more]


def target(pairs: list[tuple[str, str]]) -> str:
    """The same as a request."""
    return "/img?" + "&".join(f"{name}={value}" for name, value in pairs)


async def shows(daemon: RunningDaemon, folder: Path, frame: str) -> None:
    """See that a frame is shown as it is on disk now."""
    pairs = view(frame)
    answer = await daemon.get(target(pairs))
    assert answer.status == 200, answer.body
    assert answer.body == alone_bytes(folder, pairs)


async def test_a_frame_that_changes_is_shown_as_it_is_now(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    other = tmp_path / "other.fits"
    skies = [make.star_field(200, 300, seed=seed) for seed in range(5)]
    async with running_daemon(f"f={tmp_path}") as daemon:
        assert (await daemon.get(target(view("f/a.fits")))).status == 404
        make.write(path, make.image_hdu(skies[0]))
        await shows(daemon, tmp_path, "f/a.fits")  # Created after a 404.
        make.write(path, make.image_hdu(skies[1]))
        await shows(daemon, tmp_path, "f/a.fits")  # Rewritten in place, same size.
        with path.open("r+b") as file:
            file.seek(2880 * 2)
            file.write(os.urandom(2880))
        await shows(daemon, tmp_path, "f/a.fits")  # One block of it.
        make.write(other, make.image_hdu(skies[2]))
        os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
        other.rename(path)
        await shows(daemon, tmp_path, "f/a.fits")  # Replaced by rename, with the same size and time.
        path.unlink()
        assert (await daemon.get(target(view("f/a.fits")))).status == 404
        make.write(path, make.image_hdu(skies[3]))
        await shows(daemon, tmp_path, "f/a.fits")
        assert (await metrics(daemon))["imgd_engine_template_starts_total"] == 1


async def test_a_frame_rewritten_all_the_time_is_never_shown_torn(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    flats = {level: make.image_hdu(np.full((1500, 2000), level, np.uint16)) for level in (1000, 3000)}
    make.write(path, flats[1000])
    seen: set[bytes] = set()
    async with running_daemon(f"f={tmp_path}") as daemon:
        statuses: list[int] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(rewrite, path, list(flats.values()))
            for number in range(60):
                answer = await daemon.get(target([*view("f/a.fits")[:2], ("size", "500,"), ("cut", f"{number},4000")]))
                statuses.append(answer.status)
                if answer.status == 200:
                    seen.add(bytes(uniform(answer.body)))
            nursery.cancel_scope.cancel()
        assert set(statuses) <= {200, 503, 422}
        assert statuses.count(200) > 10
        assert all(len(set(row)) == 1 for row in seen), "a picture of half the one and half the other"


def uniform(png: bytes) -> bytes:
    """All values of a grey picture, once each."""
    import io

    from PIL import Image

    with Image.open(io.BytesIO(png)) as picture:
        return bytes(sorted(set(np.asarray(picture).ravel().tolist())))


async def rewrite(path: Path, contents: list[bytes]) -> None:
    """Write a file anew, in place, all the time."""
    number = 0
    while True:
        number += 1
        await trio.to_thread.run_sync(path.write_bytes, contents[number % 2])
        await trio.sleep(0.25)


async def test_what_is_no_frame_is_told_in_words_and_service_goes_on(tmp_path: Path) -> None:
    make.write(tmp_path / "good.fits", make.image_hdu(make.star_field(100, 100)))
    (tmp_path / "empty.fits").touch()
    (tmp_path / "text.fits").write_text("this is no FITS file\n" * 500)
    os.mkfifo(tmp_path / "fifo.fits")
    (tmp_path / "folder.fits").mkdir()
    huge = make.header([make.card("SIMPLE", True), *make.structure(16, (60_000, 60_000))])
    make.write(tmp_path / "huge.fits", huge)
    make.write(tmp_path / "cut.fits", make.image_hdu(make.star_field(100, 100)))
    make.cut(tmp_path / "cut.fits", 2880 + 50 * 200)
    expected = {"empty": 422, "text": 422, "fifo": 422, "folder": 422, "huge": 413, "absent": 404, "cut": 200}
    async with running_daemon(f"f={tmp_path}", workers_max=1) as daemon:
        assert (await daemon.get("/img?frame=f/good.fits")).status == 200
        for name, status in expected.items():
            with trio.fail_after(10):
                answer = await daemon.get(f"/img?frame=f/{name}.fits")
            assert answer.status == status, (name, answer.status, answer.body)
            if status != 200:
                assert answer.headers["content-type"] == "application/problem+json"
                assert str(tmp_path).encode() not in answer.body
        before = daemon.segment_bytes()
        assert (await daemon.get("/img?frame=f/huge.fits&size=max")).status == 413
        assert daemon.segment_bytes() == before, "something was allocated for a header's claim"
        assert b"cut short: the file ends after" in (await daemon.get("/frame/f/cut.fits")).body
        assert (await daemon.get("/img?frame=f/good.fits&size=50,")).status == 200


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a device")
async def test_a_device_is_not_opened(tmp_path: Path) -> None:
    os.mknod(tmp_path / "null.fits", 0o666 | 0o020000, os.makedev(1, 3))
    async with running_daemon(f"f={tmp_path}") as daemon:
        assert (await daemon.get("/img?frame=f/null.fits")).status == 422


NAMES = [
    "/etc/passwd", "f//etc/passwd", "f/../secret.fits", "f/sub/../../secret.fits", "f/%2e%2e/secret.fits",
    "../f/a.fits", "f/link.fits", "f/linkdir/secret.fits", "f/a.fits%00.jpg", "f/a.fits[0]", "f/a.fits(copy.fits)",
    "f/-", "-", "f/|ls", "f/http://127.0.0.1:9/a.fits", "http://127.0.0.1:9/a.fits", "f/mem://",
    "f/stdin", "f/shmem://h1", "f/ftp://x/a.fits",
    "f/a.fits[1][col x]", "f/!a.fits", "f", "f/", "", ".", "f/.", "f/./../secret.fits", "g/a.fits",
]  # fmt: skip


async def test_a_name_never_leaves_its_root(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    make.write(root / "a.fits", make.image_hdu(make.star_field(50, 50)))
    shutil.copy(root / "a.fits", tmp_path / "secret.fits")
    (tmp_path / "treasure").touch()
    (root / "link.fits").symlink_to(tmp_path / "secret.fits")
    (root / "linkdir").symlink_to(tmp_path)
    async with running_daemon(f"f={root}", workers_max=1) as daemon:
        assert (await daemon.get("/img?frame=f/a.fits")).status == 200
        for name in NAMES:
            quoted = name.replace("[", "%5B").replace("]", "%5D").replace("|", "%7C").replace(" ", "%20")
            answer = await daemon.get(f"/img?frame={quoted}&format=png")
            assert 400 <= answer.status < 500, (name, answer.status)
            assert answer.headers["content-type"] == "application/problem+json"
            assert b"treasure" not in (await daemon.get(f"/frames?dir={quoted}")).body
            assert 400 <= (await daemon.get(f"/frame/{quoted}")).status < 500
        forked = (await metrics(daemon))["imgd_engine_submitted_total"]
        assert forked == 2, "a worker was asked to open something"

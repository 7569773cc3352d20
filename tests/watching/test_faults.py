"""What goes wrong around a watched root: lost notices, roots that go and come, no watches, a store that is down."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from imgd.events.opening import open_store
from imgd.watching import inotify, noting, place, walking
from imgd.watching.drafts import Fact
from imgd.watching.inotify import Inotify, WatchesExhausted
from imgd.watching.presence import Presence
from tests.watching.rig import QUIET_S, age, appending, frame_bytes, watching
from tests.watching.test_root import TREE, folder, make_tree

__all__ = ["folder"]


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """An empty directory on another file system."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        yield Path(directory)


def overflow(directory: Path) -> None:
    """Let more happen than the kernel keeps; nobody reads meanwhile, for this does not let the loop run."""
    for _ in range(int(Path("/proc/sys/fs/inotify/max_queued_events").read_text()) // 2):
        (directory / "x.txt").touch()
        (directory / "x.txt").unlink()


async def test_nothing_is_lost_when_the_queue_overflows(folder: Path) -> None:
    make_tree(folder / "root", 30)
    async with watching(folder) as night:
        overflow(night.directory)
        night.write("new.fits")
        night.write("0.fits", frame_bytes(1500))
        (night.directory / "4.fits").unlink()
        (night.directory / "sub").rename(night.directory / "moved")
        (night.directory / "a").rename(folder / "outside")
        (night.directory / "deeper/still").mkdir(parents=True)
        night.write("deeper/still/a.fits")
        words = ["frame.arrived new.fits", "frame.rewritten 0.fits", "frame.gone 4.fits"]
        words += ["frame.arrived deeper/still/a.fits"]
        for name in TREE[:30]:
            if name.startswith("sub/"):
                words += [f"frame.gone {name}", f"frame.arrived {name.replace('sub/', 'moved/')}"]
            elif name.startswith("a/"):
                words += [f"frame.gone {name}"]
        await night.tells(*words, quiet_s=2 * QUIET_S)
        assert night.figures.overflows_total >= 1
        assert night.figures.directories == 5
        night.write("moved/deep/b.fits")
        await night.tells(*words, "frame.arrived moved/deep/b.fits", quiet_s=QUIET_S)


async def test_a_root_that_vanishes_and_comes_back_is_two_facts_and_the_differences(folder: Path) -> None:
    make_tree(folder / "root", 30)
    async with watching(folder) as night:
        night.directory.rename(folder / "away")
        await night.tells("root.vanished", quiet_s=QUIET_S)
        assert (night.figures.present, night.figures.directories) == (0, 0)
        (folder / "away/new.fits").write_bytes(frame_bytes())
        (folder / "away/0.fits").unlink()
        (folder / "away").rename(night.directory)
        words = ["root.vanished", "root.appeared", "frame.arrived new.fits", "frame.gone 0.fits"]
        await night.tells(*words, quiet_s=QUIET_S)
        night.write("sub/again.fits")
        await night.tells(*words, "frame.arrived sub/again.fits")
        assert night.asked == ["night/new.fits", "night/sub/again.fits"]


async def test_another_directory_in_its_place_is_looked_through(folder: Path) -> None:
    make_tree(folder / "root", 8)
    shutil.copytree(folder / "root", folder / "other")
    (folder / "other/0.fits").unlink()
    async with watching(folder, presence_s=10.0) as night:
        night.directory.rename(folder / "away")
        (folder / "other").rename(night.directory)
        await night.tells("root.vanished", "root.appeared", "frame.gone 0.fits", quiet_s=QUIET_S)
        (folder / "away/late.fits").write_bytes(frame_bytes())
        night.write("new.fits")
        words = ["root.vanished", "root.appeared", "frame.gone 0.fits", "frame.arrived new.fits"]
        await night.tells(*words, quiet_s=QUIET_S)


@pytest.mark.parametrize("poll_s", [0.0, 0.05])
async def test_an_empty_place_where_it_was_mounted_is_not_a_flood(
    tmp_path: Path, elsewhere: Path, poll_s: float
) -> None:
    make_tree(tmp_path / "disk", 30)
    (tmp_path / "root").symlink_to("disk")  # As good as a mount: another directory of another device.
    async with watching(tmp_path, poll_s=poll_s) as night:
        put_link(night.directory, elsewhere)
        await night.tells("root.vanished", quiet_s=QUIET_S)
    async with watching(tmp_path, scanned=False, poll_s=poll_s) as night:  # Not by a restart either.
        await night.tells("root.vanished", quiet_s=QUIET_S)
        put_link(night.directory, tmp_path / "disk")
        await night.tells("root.vanished", "root.appeared", quiet_s=QUIET_S)
        await night.until(lambda: night.figures.frames == 30)


def put_link(link: Path, target: Path) -> None:
    link.with_name("link").symlink_to(target)
    link.with_name("link").rename(link)


async def test_a_root_that_is_not_there_at_the_start(tmp_path: Path) -> None:
    async with watching(tmp_path, scanned=False) as night:
        await night.tells("root.vanished", quiet_s=QUIET_S)
        make_tree(tmp_path / "later", 30)
        (tmp_path / "later").rename(night.directory)
        await night.tells("root.vanished", "root.appeared", "root.scanned", quiet_s=QUIET_S)
        assert night.figures.frames == 30


async def test_without_watches_left_the_root_is_polled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_tree(folder / "root", 8)
    add = Inotify.add
    left = 2

    def add_some(self: Inotify, directory_fd: int) -> int:
        nonlocal left
        left -= 1
        if left < 0:
            raise WatchesExhausted("no space left on device")
        return add(self, directory_fd)

    monkeypatch.setattr(Inotify, "add", add_some)
    async with watching(folder, fallback_s=0.05) as night:
        await night.until(lambda: night.figures.polling and night.figures.frames == 8)
        night.before = (await night.store.head()).last
        night.write("sub/deep/new.fits")
        await night.tells("frame.arrived sub/deep/new.fits", quiet_s=2 * QUIET_S)


def test_the_kernel_says_when_no_inotify_is_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with Inotify() as watches:
        monkeypatch.setattr(inotify, "_WANTED", 0)
        fd = os.open(tmp_path, os.O_RDONLY)
        try:
            with pytest.raises(OSError, match="Invalid argument"):
                watches.add(fd)
        finally:
            os.close(fd)


async def test_polling_sees_all_that_inotify_would(folder: Path) -> None:
    make_tree(folder / "root", 12)
    async with watching(folder, poll_s=0.05) as night:
        night.write("new.fits")
        night.write("0.fits", frame_bytes(1500))
        (night.directory / "4.fits").unlink()
        (night.directory / "a").rename(night.directory / "b")
        words = ["frame.arrived new.fits", "frame.rewritten 0.fits", "frame.gone 4.fits"]
        for name in TREE[:12]:
            if name.startswith("a/"):
                words += [f"frame.gone {name}", f"frame.arrived b/{name[2:]}"]
        await night.tells(*words, quiet_s=3 * QUIET_S)
        asked = len(night.asked)
        await night.tells(*words, quiet_s=QUIET_S)
        assert len(night.asked) == asked


async def test_polling_tells_a_frame_in_pieces_once(folder: Path) -> None:
    async with watching(folder, poll_s=0.03) as night:
        data = frame_bytes(4000)
        for start in range(0, 4000, 500):
            with appending(night.directory / "a.fits") as write:
                write(data[start : start + 500])
            await trio.sleep(QUIET_S / 3)
        night.write("b.fits", frame_bytes(4000)[:10])
        await night.tells("frame.arrived a.fits", "frame.arrived b.fits", quiet_s=2 * QUIET_S)
        assert {draft.path: draft.detail for draft in await night.drafts()} == {
            "a.fits": {},
            "b.fits": {"incomplete": True},
        }


async def test_what_was_seen_while_the_store_was_down_is_told_when_it_is_back(folder: Path) -> None:
    make_tree(folder / "root", 8)
    async with watching(folder) as night:
        night.store.down = "the disk is full"
        night.write("a.fits")
        night.write("b.fits")
        (night.directory / "0.fits").unlink()
        (night.directory / "a").rename(folder / "outside")
        await night.until(lambda: night.figures.unnoted == 3)
        (night.directory / "b.fits").unlink()
        await trio.sleep(QUIET_S)
        assert await night.told() == []
        night.store.down = ""
        words = ["frame.arrived a.fits", "frame.gone 0.fits"]
        words += [f"frame.gone {name}" for name in TREE[:8] if name.startswith("a/")]
        told = "frame.arrived b.fits"  # Told, and told of as gone, if it was on its way to the store already.
        await night.until(lambda: not night.figures.unnoted and night.figures.events_total >= 4)
        if told in await night.told():
            words += [told, "frame.gone b.fits"]
        await night.tells(*words, quiet_s=QUIET_S)


async def test_more_than_can_be_kept_while_the_store_is_down_is_found_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(noting, "FACTS_MAX", 10)
    make_tree(folder / "root", 8)
    async with watching(folder) as night:
        night.store.down = "no server"
        for number in range(35):
            night.write(f"new{number}.fits")
        (night.directory / "0.fits").unlink()
        await night.until(lambda: not night.figures.unsettled and len(night.asked) >= 35)
        assert night.figures.unnoted <= 35
        night.store.down = ""
        words = [f"frame.arrived new{number}.fits" for number in range(35)]
        await night.tells(*words, "frame.gone 0.fits", quiet_s=QUIET_S)


async def test_a_reply_that_was_lost_tells_nothing_twice(folder: Path) -> None:
    async with watching(folder) as night:
        night.store.lost_replies = 2
        night.write("a.fits")
        await night.tells("frame.arrived a.fits", quiet_s=QUIET_S)
        assert len(night.store.notes) == 3


async def test_a_directory_that_may_not_be_read_is_not_taken_for_an_empty_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_tree(folder / "root", 12)
    async with watching(folder):
        pass
    add = Inotify.add
    locked = (folder / "root/sub").stat().st_ino

    def refuse(self: Inotify, directory_fd: int) -> int:
        if os.fstat(directory_fd).st_ino == locked:
            raise PermissionError(13, "Permission denied")
        return add(self, directory_fd)

    look = place.look_beneath

    def look_outside(root_fd: int, path: bytes) -> place.Sighting | None:
        if path.startswith(b"sub/"):
            raise PermissionError(13, "Permission denied")
        return look(root_fd, path)

    monkeypatch.setattr(Inotify, "add", refuse)
    monkeypatch.setattr(place, "look_beneath", look_outside)
    (folder / "root/0.fits").unlink()
    async with watching(folder, scanned=False) as night:
        await night.tells("frame.gone 0.fits", quiet_s=QUIET_S)


async def test_old_frames_that_come_by_a_rename_are_told(folder: Path) -> None:
    async with watching(folder) as night:
        (folder / "old.fits").write_bytes(frame_bytes())
        age(folder / "old.fits")
        (folder / "old.fits").rename(night.directory / "old.fits")
        await night.tells("frame.arrived old.fits", quiet_s=QUIET_S)


async def test_a_frame_that_comes_back_while_it_is_missed_is_not_told_as_gone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_tree(folder / "root", 8)
    async with watching(folder):
        pass
    (folder / "root/0.fits").unlink()
    look = Presence.look

    async with watching(folder, scanned=False) as night:

        async def look_slowly(self: Presence, *paths: bytes) -> list[place.Sighting | OSError | None]:
            seen = await look(self, *paths)
            if seen == [None]:
                monkeypatch.undo()
                night.write("0.fits")
                await night.until(lambda: night.figures.events_total == 1)
            return seen

        monkeypatch.setattr(Presence, "look", look_slowly)
        await night.tells("frame.rewritten 0.fits", quiet_s=QUIET_S)


async def test_polling_looks_again_when_a_frame_changed_while_it_was_described(folder: Path) -> None:
    async with watching(folder, poll_s=0.05) as night:

        async def meddle() -> None:
            if len(night.asked) == 1:
                night.write("a.fits", frame_bytes(1500))

        night.gate = meddle
        night.write("a.fits")
        await night.tells("frame.arrived a.fits", quiet_s=3 * QUIET_S)
        (draft,) = await night.drafts()
        assert draft.frame is not None
        assert draft.frame.size_bytes == 1500


async def test_without_descriptors_it_is_looked_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_tree(folder / "root", 12)
    async with watching(folder) as night:
        failures = 3
        opened = walking.open_beneath

        def fail(root_fd: int, path: bytes, flags: int) -> int:
            nonlocal failures
            failures -= 1
            if failures >= 0:
                raise OSError(errno.EMFILE, "Too many open files")
            return opened(root_fd, path, flags)

        monkeypatch.setattr(walking, "open_beneath", fail)
        (folder / "new").mkdir()
        (folder / "new/a.fits").write_bytes(frame_bytes())
        (folder / "new").rename(night.directory / "new")
        await night.tells("frame.arrived new/a.fits", quiet_s=QUIET_S)
        assert failures < 0


@contextmanager
def deep_down(top: Path) -> Iterator[int]:
    """Make directories with a path of 4045 bytes in all, and give the descriptor of the last."""
    fd = os.open(top, os.O_RDONLY)
    try:
        for name in ["d" * 200] * 20 + ["e" * 25]:
            os.mkdir(name, dir_fd=fd)
            fd, before = os.open(name, os.O_RDONLY, dir_fd=fd), fd
            os.close(before)
        yield fd
    finally:
        os.close(fd)


async def test_a_path_too_long_to_be_opened_is_no_frame_and_no_crash(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    name = "f" * 200 + ".fits"
    async with watching(folder) as night:
        with deep_down(night.directory) as fd:
            await night.until(lambda: night.figures.directories == 22)
            for each in (name, "g" + name):
                os.close(os.open(each, os.O_WRONLY | os.O_CREAT, dir_fd=fd))
            os.unlink(name, dir_fd=fd)
            os.rename("g" + name, name, src_dir_fd=fd, dst_dir_fd=fd)
        night.write("a.fits")
        await night.tells("frame.arrived a.fits", quiet_s=2 * QUIET_S)
        assert caplog.text.count("paths of more than 4095 bytes") == 1
    (folder / "events.db").unlink()
    async with watching(folder, scanned=False) as night:
        await night.tells("root.scanned")
        assert night.figures.frames == 1


async def test_one_fact_that_no_store_takes_does_not_keep_the_others_out(folder: Path) -> None:
    async with open_store(f"sqlite:{folder}/events.db") as store, trio.open_nursery() as nursery:
        noted: list[bytes] = []
        outbox = noting.Outbox("night", store, lambda fact, _told: noted.append(fact.path), lambda: None)
        for path in (b"a.fits", b"b" * 5000, b"c.fits"):
            outbox.put(Fact(path, "1:1", "1:1", 0))
        await outbox.fill(lambda: {b"d.fits": "1:1", b"e" * 5000: "1:1"})
        nursery.start_soon(outbox.run)
        with trio.fail_after(5):
            while len(noted) < 2:
                await trio.sleep(0.005)
        assert noted == [b"a.fits", b"c.fits"]
        assert [path async for page in store.index("night") for path, _ in page] == [b"a.fits", b"c.fits", b"d.fits"]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("poll_s", [0.0, 0.05])
async def test_what_is_not_so_any_more_when_it_is_to_be_stored_is_not_told(folder: Path, poll_s: float) -> None:
    make_tree(folder / "root", 4)
    async with watching(folder, poll_s=poll_s) as night:
        outbox = night.watch._state.outbox
        facts = (folder / "root/0.fits").stat()
        before = f"{facts.st_size + 1}:{facts.st_mtime_ns}"
        outbox.put(Fact(b"0.fits", None, "", 0))  # As if this daemon had been stopped with it in its hand.
        outbox.put(Fact(b"4.fits", "5:5", "5:5", 0))
        outbox.put(Fact(b"a/1.fits", before, before, 0))
        await night.tells(quiet_s=3 * QUIET_S)
        night.write("new.fits")
        await night.tells("frame.arrived new.fits", quiet_s=QUIET_S)

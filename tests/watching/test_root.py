"""Real files below a real root: each change is told once, when it has settled, and what is not known is not told."""

import os
import shutil
import time
from pathlib import Path

import pytest
import trio

from imgd.errors import BadFrame, Busy, NoSuchFrame
from imgd.events.store import Store
from imgd.watching import telling
from imgd.watching.presence import Presence
from tests.watching.rig import LIMIT_S, QUIET_S, age, appending, frame_bytes, watching


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path


async def test_a_frame_is_told_when_it_is_closed_and_looks_like_an_answer(folder: Path) -> None:
    async with watching(folder) as night:
        night.write("a b.fits")
        await night.tells("frame.arrived a b.fits", quiet_s=2 * QUIET_S)
        (draft,) = await night.drafts()
        assert draft.frame is not None
        assert (draft.frame.name, draft.frame.ref, draft.frame.size_bytes) == ("a b.fits", "night/a%20b.fits", 1000)
        assert (draft.root, draft.hdu, draft.detail) == ("night", {"EXPTIME": 2.5}, {})
        assert draft.thumbnail == "thumbnail?frame=night/a%20b.fits&side=256"
        assert night.asked == ["night/a b.fits"]


async def test_what_is_no_frame_is_not_seen(folder: Path) -> None:
    async with watching(folder) as night:
        for name in (".hidden.fits", "notes.txt", "fits"):
            night.write(name)
        (night.directory / ".dark").mkdir()
        night.write(".dark/a.fits")
        night.write("b.fts.gz")
        await night.tells("frame.arrived b.fts.gz", quiet_s=2 * QUIET_S)


async def test_a_frame_written_in_pieces_is_told_once(folder: Path) -> None:
    async with watching(folder, settle_s=1.0) as night:
        data = frame_bytes(5000)
        for start in range(0, 5000, 1000):
            with appending(night.directory / "a.fits") as write:
                write(data[start : start + 1000])
            await trio.sleep(0.05)
            assert await night.told() == [] or start == 4000
        await night.tells("frame.arrived a.fits", quiet_s=0.2)
        assert (await night.drafts())[0].detail == {}


async def test_a_frame_that_stays_open_is_told_when_it_is_quiet(folder: Path) -> None:
    async with watching(folder) as night:
        with appending(night.directory / "a.fits") as write:
            for piece in (frame_bytes(900)[:300], b"y" * 300, b"y" * 300):
                write(piece)
                await trio.sleep(QUIET_S / 2)
                assert await night.told() == []
            await night.tells("frame.arrived a.fits")
        await night.tells("frame.arrived a.fits", quiet_s=2 * QUIET_S)


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (frame_bytes(2000)[:500], {"incomplete": True}),
        (b"", {"incomplete": True}),
        (b"rubbish", {"why": "no frame at all"}),
    ],
)
async def test_what_is_not_complete_is_told_as_such_when_it_is_quiet(
    folder: Path, data: bytes, detail: dict[str, object]
) -> None:
    async with watching(folder) as night:
        night.write("a.fits", data)
        began = trio.current_time()
        await night.tells("frame.arrived a.fits", quiet_s=QUIET_S)
        assert (await night.drafts())[0].detail == detail
        assert trio.current_time() - began > QUIET_S


async def test_a_rename_into_place_is_told_under_the_last_name_only(folder: Path) -> None:
    async with watching(folder) as night:
        night.write("a.fits.part").rename(night.directory / "a.fits")
        await night.tells("frame.arrived a.fits", quiet_s=QUIET_S)
        night.write("b.part", frame_bytes(1500)).rename(night.directory / "a.fits")
        await night.tells("frame.arrived a.fits", "frame.rewritten a.fits", quiet_s=QUIET_S)


async def test_links_are_told_without_anybody_closing_them(folder: Path) -> None:
    async with watching(folder, settle_s=5.0) as night:
        source = night.write("a.part")
        (folder / "secret.fits").write_bytes(frame_bytes())
        os.link(source, night.directory / "hard.fits")
        (night.directory / "soft.fits").symlink_to("a.part")
        (night.directory / "out.fits").symlink_to("../secret.fits")
        began = trio.current_time()
        await night.tells("frame.arrived hard.fits", "frame.arrived soft.fits", quiet_s=QUIET_S)
        assert trio.current_time() - began < 2.5


async def test_rewritten_deleted_and_written_again(folder: Path) -> None:
    async with watching(folder) as night:
        path = night.write("a.fits")
        await night.tells("frame.arrived a.fits")
        night.write("a.fits", frame_bytes(1200))
        await night.tells("frame.arrived a.fits", "frame.rewritten a.fits", quiet_s=QUIET_S)
        path.unlink()
        words = ["frame.arrived a.fits", "frame.rewritten a.fits", "frame.gone a.fits"]
        await night.tells(*words)
        gone = (await night.drafts())[-1].frame
        assert gone is not None
        assert gone.size_bytes == 1200
        night.write("a.fits", frame_bytes(1200))
        await night.tells(*words, "frame.arrived a.fits", quiet_s=QUIET_S)
        assert night.figures.frames == 1


async def test_opened_for_writing_and_left_as_it_was_costs_nothing(folder: Path) -> None:
    async with watching(folder) as night:
        path = night.write("a.fits")
        await night.tells("frame.arrived a.fits")
        with path.open("r+b"):
            pass
        await night.is_calm()
        await night.tells("frame.arrived a.fits", quiet_s=QUIET_S)
        assert len(night.asked) == 1


async def test_a_copy_that_gets_its_originals_time_is_known_as_it_ends(folder: Path) -> None:
    original = folder / "original.fits"
    original.write_bytes(frame_bytes())
    age(original)
    async with watching(folder) as night:
        for number in range(5):
            shutil.copy2(original, night.directory / f"{number}.fits")
        await night.until(lambda: night.figures.events_total >= 5)
        os.utime(night.directory / "0.fits", (1_000_000_000, 1_000_000_000))
        touched = f"{original.stat().st_size}:{1_000_000_000 * 10**9}"
        with trio.fail_after(LIMIT_S):
            while (index := await known(night.store)).get(b"0.fits") != touched:
                await trio.sleep(0.005)
        await night.is_calm()
        index = await known(night.store)
    stored = {path: os.stat(folder / "root" / os.fsdecode(path)) for path in index}
    assert index == {path: f"{facts.st_size}:{facts.st_mtime_ns}" for path, facts in stored.items()}
    assert len(index) == 5


async def known(store: Store) -> dict[bytes, str]:
    """The index, without the watcher's marks."""
    return {path: each async for page in store.index("night") for path, each in page if path[:1] != b"\0"}


async def test_deleted_before_it_settles_it_was_never_there(folder: Path) -> None:
    async with watching(folder) as night:
        path = night.write("a.fits", frame_bytes(2000)[:100])
        await night.until(lambda: night.asked)
        path.unlink()
        night.write("b.fits")
        await night.tells("frame.arrived b.fits", quiet_s=3 * QUIET_S)


async def test_a_name_of_any_bytes(folder: Path) -> None:
    async with watching(folder) as night:
        name = b"caf\xe9 %.fits"
        night.write(name)
        await night.tells("frame.arrived caf\ufffd %.fits")
        (draft,) = await night.drafts()
        assert draft.frame is not None
        assert draft.frame.ref == "night/caf%E9%20%25.fits"
        assert night.asked == ["night/caf\udce9 %.fits"]
        os.unlink(os.fsencode(night.directory) + b"/" + name)
        await night.tells("frame.arrived caf\ufffd %.fits", "frame.gone caf\ufffd %.fits")


async def test_directories_made_and_filled_at_once(folder: Path) -> None:
    async with watching(folder) as night:
        words = []
        for number in range(5):
            deep = night.directory / f"{number}/x/y"
            deep.mkdir(parents=True)
            (deep / "a.fits").write_bytes(frame_bytes())
            (deep.parent / "b.fits").write_bytes(frame_bytes())
            words += [f"frame.arrived {number}/x/y/a.fits", f"frame.arrived {number}/x/b.fits"]
        await night.tells(*words, quiet_s=QUIET_S)
        assert night.figures.directories == 16
        (night.directory / "3/x/y/c.fits").write_bytes(frame_bytes())
        await night.tells(*words, "frame.arrived 3/x/y/c.fits")


async def test_a_directory_deleted_is_told_frame_by_frame(folder: Path) -> None:
    make_tree(folder / "root/run", 12)
    async with watching(folder) as night:
        shutil.rmtree(night.directory / "run")
        await night.tells(*(f"frame.gone run/{each}" for each in TREE[:12]), quiet_s=QUIET_S)
        assert night.figures.directories == 1
        assert night.asked == []


async def test_a_tree_moved_out_in_and_within(folder: Path) -> None:
    make_tree(folder / "root/run", 12)
    async with watching(folder) as night:
        words = [f"frame.gone run/{each}" for each in TREE[:12]]
        (night.directory / "run").rename(folder / "outside")
        await night.tells(*words, quiet_s=QUIET_S)
        (folder / "outside/0.fits").write_bytes(frame_bytes(1100))  # Nobody looks there now.
        (folder / "outside").rename(night.directory / "back")
        words += [f"frame.arrived back/{each}" for each in TREE[:12]]
        await night.tells(*words, quiet_s=QUIET_S)
        (night.directory / "back").rename(night.directory / "run")
        words += [f"frame.gone back/{each}" for each in TREE[:12]] + [f"frame.arrived run/{each}" for each in TREE[:12]]
        await night.tells(*words, quiet_s=QUIET_S)
        (night.directory / "run/sub/new.fits").write_bytes(frame_bytes())
        await night.tells(*words, "frame.arrived run/sub/new.fits", quiet_s=QUIET_S)


async def test_the_first_look_is_silent_and_an_unchanged_tree_costs_nothing_after_it(folder: Path) -> None:
    make_tree(folder / "root", 5000)
    async with watching(folder, scanned=False) as night:
        await night.tells("root.scanned")
        assert (await night.drafts())[0].detail == {"frames": 5000}
        assert (night.asked, night.figures.frames) == ([], 5000)
    async with watching(folder, scanned=False) as night:
        await night.until(lambda: night.figures.frames == 5000)
        await night.is_calm()
        await night.tells(quiet_s=QUIET_S)
        assert night.asked == []
        assert night.figures.describes_total == 0
        assert night.store.notes == []


async def test_a_look_through_thousands_tells_how_far_it_has_come(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "EACH_S", 0.0)
    make_tree(folder / "root", 5000)
    async with watching(folder, scanned=False) as night:
        await night.tells("root.scanned")  # And nothing of the rest is stored.
        details = [draft.detail for draft in night.progress]
        assert details[0] == {"scanned": 0}
        assert details[-1] == {"scanned": 5000, "done": True}
        counts = [detail["scanned"] for detail in details]
        assert counts == sorted(counts)  # type: ignore[type-var]
        assert len(set(counts)) > 4
        assert {(draft.type, draft.root) for draft in night.progress} == {("root.scanning", "night")}


async def test_polling_a_small_root_again_and_again_tells_of_the_first_look_only(folder: Path) -> None:
    make_tree(folder / "root", 30)
    async with watching(folder, poll_s=0.05) as night:
        await night.until(lambda: night.figures.scans_total > 5)
        assert [draft.detail for draft in night.progress] == [{"scanned": 0}, {"scanned": 30, "done": True}]


async def test_what_happened_while_nobody_looked_is_told_at_the_next_start(folder: Path) -> None:
    make_tree(folder / "root", 30)
    async with watching(folder):
        pass
    (folder / "root/sub/new.fits").write_bytes(frame_bytes())
    (folder / "root/0.fits").write_bytes(frame_bytes(1500))
    (folder / "root/4.fits").unlink()
    shutil.rmtree(folder / "root/a")
    async with watching(folder, scanned=False) as night:
        words = ["frame.arrived sub/new.fits", "frame.rewritten 0.fits", "frame.gone 4.fits"]
        words += [f"frame.gone {each}" for each in TREE[:30] if each.startswith("a/")]
        await night.tells(*words, quiet_s=QUIET_S)
        assert sorted(night.asked) == ["night/0.fits", "night/sub/new.fits"]


@pytest.mark.parametrize("poll_s", [0.0, 0.05])
async def test_frames_that_arrive_during_the_first_look_are_told(folder: Path, poll_s: float) -> None:
    make_tree(folder / "root", 3000)
    (folder / "root/young.fits").write_bytes(frame_bytes())
    async with watching(folder, scanned=False, poll_s=poll_s) as night:
        await night.until(lambda: night.figures.scanned)
        (night.directory / "0new.fits").write_bytes(frame_bytes())
        (night.directory / "znew.fits").write_bytes(frame_bytes())
        (night.directory / "zz").mkdir()
        (night.directory / "zz/new.fits").write_bytes(frame_bytes())
        words = ["frame.arrived 0new.fits", "frame.arrived znew.fits", "frame.arrived zz/new.fits"]
        await night.tells(*words, "root.scanned", quiet_s=QUIET_S)


@pytest.mark.parametrize("poll_s", [0.0, 0.05])
async def test_what_comes_right_before_its_directory_is_read_is_told(
    folder: Path, poll_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_tree(folder / "root", 30)
    (folder / "come.fits").write_bytes(frame_bytes())
    enter = Presence.enter

    def enter_late(self: Presence, directory_fd: int, path: bytes) -> None:
        enter(self, directory_fd, path)
        if path == b"sub" and (folder / "come.fits").exists():
            if poll_s:
                os.utime(folder / "come.fits", ns=(0, time.time_ns()))
            else:
                age(folder / "come.fits")  # It is watched: however old it is, its coming is seen.
            (folder / "come.fits").rename(folder / "root/sub/come.fits")

    monkeypatch.setattr(Presence, "enter", enter_late)
    async with watching(folder, scanned=False, poll_s=poll_s) as night:
        scanned = trio.Event()
        night.gate = scanned.wait
        await night.tells("root.scanned")
        scanned.set()
        await night.tells("root.scanned", "frame.arrived sub/come.fits", quiet_s=QUIET_S)


async def test_a_first_look_that_was_broken_off_goes_on_silently(folder: Path) -> None:
    make_tree(folder / "root", 3000)
    async with watching(folder, scanned=False) as night:
        await night.until(lambda: night.figures.scanned)
    assert night.figures.scanned < 3000
    async with watching(folder, scanned=False) as night:
        await night.tells("root.scanned")
        assert night.asked == []


async def test_busy_is_asked_again_and_other_failures_are_told(folder: Path) -> None:
    async with watching(folder) as night:
        night.answers["night/a.fits"] = [Busy("not now", 0.05)] * 3
        night.answers["night/b.fits"] = [BadFrame("is rubbish")] * 2
        night.answers["night/c.fits"] = [NoSuchFrame("there is none")]
        for name in "abc":
            night.write(f"{name}.fits")
        await night.tells("frame.arrived a.fits", "frame.arrived b.fits", "frame.arrived c.fits")
        details = {draft.path: draft.detail for draft in await night.drafts()}
        assert details == {"a.fits": {}, "b.fits": {"why": "is rubbish"}, "c.fits": {}}


async def test_a_live_frame_does_not_wait_behind_many(folder: Path) -> None:
    async with watching(folder, describes_max=2) as night:
        running, most = 0, 0

        async def slowly() -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await trio.sleep(0.02)
            running -= 1

        night.gate = slowly
        for number in range(60):
            night.write(f"{number}.fits")
        await night.until(lambda: len(night.asked) >= 4)
        night.write("live.fits")
        await night.until(lambda: "night/live.fits" in night.asked)
        assert len(night.asked) < 20
        await night.until(lambda: night.figures.events_total == 61)
        assert most == 2


TREE = [f"{('', 'a/', 'sub/', 'sub/deep/')[number % 4]}{number}.fits" for number in range(5000)]


def make_tree(top: Path, count: int) -> None:
    """Old frames in a few directories."""
    (top / "a").mkdir(parents=True)
    (top / "sub/deep").mkdir(parents=True)
    for name in TREE[:count]:
        (top / name).write_bytes(frame_bytes(100))
        age(top / name)

"""A root's index belongs to its name: whoever knows its directory by another name shares it."""

from pathlib import Path

from imgd.events.opening import open_store
from tests.watching.rig import QUIET_S, ROOT, frame_bytes, watching


async def test_what_came_while_away_is_told_though_the_root_was_known_by_another_directory(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for name in ("kept", "gone"):
        (root / f"{name}.fits").write_bytes(frame_bytes())
    async with watching(tmp_path):
        pass
    async with open_store(f"sqlite:{tmp_path}/events.db") as store:
        assert await store.enter_root(ROOT, "/mnt/another name of it")
    (root / "new.fits").write_bytes(frame_bytes())
    (root / "gone.fits").unlink()
    async with watching(tmp_path, scanned=False) as night:
        await night.tells("frame.arrived new.fits", "frame.gone gone.fits", quiet_s=QUIET_S)

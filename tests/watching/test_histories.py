"""Whatever happens below a root: what was told, one after another, leads to what is there."""

import os
import random
import shutil
from pathlib import Path

import pytest
import trio

from imgd.watching.place import sighting_of
from tests.watching.rig import QUIET_S, Watched, frame_bytes, watching

STEPS = 150


class Busybody:
    """Does things at random below a root, and keeps directories aside for a while."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root = root
        self.aside = root.with_name("aside")
        self.aside.mkdir()
        self.random = random.Random(seed)
        self.count = 0

    def directories(self) -> list[Path]:
        return [Path(top) for top, _, _ in os.walk(self.root)]

    def files(self) -> list[Path]:
        return [Path(top, name) for top, _, names in os.walk(self.root) for name in names]

    def new_name(self, end: str = "") -> Path:
        self.count += 1
        return self.random.choice(self.directories()) / f"{self.count % 40}{end}"

    def act(self) -> None:
        some = self.random.choice(self.files() or [self.new_name(".fits")])
        below = self.random.choice(self.directories()[1:] or [self.new_name("d")])
        outside = self.random.choice([*self.aside.iterdir(), None])
        size = self.random.randrange(10, 3000)
        new = self.new_name(self.random.choice([".fits", ".fits", ".fz", ".txt"]))
        match self.random.randrange(12):
            case 0 | 1 | 2:
                new.write_bytes(frame_bytes(size))
            case 3:
                new.write_bytes(frame_bytes(size)[: size // 2])
            case 4 if some.exists():
                some.write_bytes(frame_bytes(size))
            case 5 if some.exists():
                some.unlink()
            case 6 if some.exists():
                some.replace(new)
            case 7:
                self.new_name("d").mkdir(exist_ok=True)
            case 8 if below.exists() and self.random.random() < 0.3:
                shutil.rmtree(below)
            case 9 if below.exists():
                below.rename(self.aside / str(self.count))
            case 10 if outside is not None:
                outside.rename(self.new_name("moved"))
            case 11 if below.exists():
                to = self.new_name("within")
                if not to.is_relative_to(below) and not to.exists():
                    below.rename(to)


def there(root: Path) -> dict[bytes, str]:
    """All frames that are there."""
    found: dict[bytes, str] = {}
    for top, _, names in os.walk(os.fsencode(root)):
        for name in names:
            path = os.path.join(top, name)
            sighting = sighting_of(os.path.relpath(path, os.fsencode(root)), os.stat(path))
            if sighting is not None and name.endswith((b".fits", b".fz")):
                found[sighting.path] = sighting.identity
    return found


async def is_true(night: Watched) -> None:
    """What the index has, and what follows from all that was told, is what is there."""
    pages = [page async for page in night.store.index("night")]
    index = {path: identity for page in pages for path, identity in page if not path.startswith(b"\0")}
    assert index == there(night.directory)
    known: dict[str, int] = {}
    for draft in await night.drafts():
        if draft.type.startswith("frame."):
            assert draft.frame is not None
            assert (draft.path in known) == (draft.type != "frame.arrived"), draft
            known[draft.path] = draft.frame.size_bytes
            if draft.type == "frame.gone":
                del known[draft.path]
    assert known == {path.decode(): int(identity.partition(":")[0]) for path, identity in index.items()}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("poll_s", [0.0, 0.02])
async def test_what_was_told_is_what_is_there(tmp_path: Path, seed: int, poll_s: float) -> None:
    (tmp_path / "root").mkdir()
    async with watching(tmp_path, poll_s=poll_s) as night:
        busybody = Busybody(night.directory, seed)
        for _ in range(STEPS):
            busybody.act()
            if busybody.random.random() < 0.4:
                await trio.sleep(busybody.random.random() * 0.01)
        await trio.sleep(3 * QUIET_S)
        await night.is_calm()
        await is_true(night)
        assert there(night.directory)

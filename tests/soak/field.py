"""The frames of a soak: real, made and broken ones, some that are rewritten, some that come and go meanwhile."""

import contextlib
import os
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

import trio

from cgi_worker import alone
from cgi_worker.formats.fits import walk
from cgi_worker.wire.failure import StepFailed
from cgi_worker.wire.grammar import ViewError
from cgi_worker.wire.view import view_from_pairs
from tests.frames import make
from tests.frames.real import real_frames
from tests.fuzz.crew import make_frame
from tests.fuzz.seeds import seeds
from tests.fuzz.test_fuzz import of_cfitsio

REAL_MAX: Final = 12
REAL_BYTES: Final = (60_000, 4_000_000)
SIDE_MIN_PX: Final = 100
MADE: Final = ((900, 1200), (1100, 700), (2000, 3000))
BROKEN: Final = 24
SEED_OF_BROKEN: Final = 11
CHANGING: Final = 4
CONTENTS: Final = 3  # Of each frame that changes.
ARRIVED_MAX: Final = 12  # In the folder of those that come: the oldest goes when there are more.
COMES_EACH_S: Final = 2.0
CHANGES_EACH_S: Final = 3.0
REST_S: Final = 0.3  # Between the two halves of a frame that is rewritten in place.
KILLER: Final = "broken/killer.fits"  # A frame that cfitsio dies of: a lost worker is what it asks for.


@dataclass(frozen=True)
class Lay:
    """What a frame held from some moment on. `content`: a file that keeps it; None: being written, or not there."""

    since_s: float
    content: Path | None


@dataclass
class Story:
    """All that a frame has held, in order; the last one holds still."""

    lays: list[Lay]
    sound: bool = True  # It can be shown, whenever it is there.

    def within(self, began_s: float, ended_s: float) -> list[Path | None]:
        """Tell what the frame held at any moment between two; the bounds themselves are in."""
        first = max((n for n, lay in enumerate(self.lays) if lay.since_s < began_s), default=0)
        return [lay.content for lay in self.lays[first:] if lay.since_s <= ended_s]

    def add(self, content: Path | None) -> None:
        """Note that from now on the frame holds something else."""
        self.lays.append(Lay(trio.current_time(), content))


@dataclass
class Field:
    """A root full of frames. `served` is what the daemon serves; `kept` holds what each frame ever was."""

    served: Path
    kept: Path
    seed: int
    stories: dict[str, Story] = field(default_factory=dict)
    arrived: int = 0
    rewritten: int = 0

    def names(self, of: str = "") -> list[str]:
        """Tell the frames that are there, of one folder or of all, in a fixed order."""
        return [name for name, story in self.stories.items() if name.startswith(of) and story.lays[-1].content]

    def choose(self, random: Random) -> str:
        """Choose a frame: mostly sound ones."""
        folder = random.choices(("real", "made", "changing", "live", "broken"), (5, 4, 4, 2, 2))[0]
        return random.choice(self.names(folder) or self.names("made"))

    async def change(self, random: Random, stopping: trio.Event) -> None:
        """Rewrite frames and let others come and go, until told to stop."""
        async with trio.open_nursery() as nursery:
            for act, each_s in ((self._rewrite, CHANGES_EACH_S), (self._arrive, COMES_EACH_S)):
                nursery.start_soon(_now_and_then, act, each_s, Random(random.random()), stopping)

    async def _rewrite(self, random: Random) -> None:
        name = random.choice(self.names("changing"))
        story = self.stories[name]
        content = random.choice([each for each in self._contents(name) if each != story.lays[-1].content])
        place = self.served / name
        self.rewritten += 1
        if random.random() < 0.5:
            waiting = self.kept / "next"
            shutil.copyfile(content, waiting)
            story.add(None)  # Between here and there it is the one or the other: which, nobody can tell.
            waiting.rename(place)
            story.add(content)
            return
        story.add(None)
        octets = content.read_bytes()
        with place.open("r+b") as file:
            file.write(octets[: len(octets) // 2])
            file.flush()
            await trio.sleep(random.uniform(0, REST_S))
            file.write(octets[len(octets) // 2 :])
            file.truncate()
        story.add(content)

    async def _arrive(self, random: Random) -> None:
        self.arrived += 1
        name = f"live/{self.arrived:06d}.fits"
        content = random.choice([*self._contents("changing/0.fits"), self.kept / "made/0.fits"])
        story = self.stories[name] = Story([Lay(trio.current_time(), None)])
        shutil.copyfile(content, self.served / name)
        story.add(content)
        for old in self.names("live")[:-ARRIVED_MAX]:
            self.stories[old].add(None)
            (self.served / old).unlink()
        for old in [each for each, story in self.stories.items() if each.startswith("live")][: -4 * ARRIVED_MAX]:
            del self.stories[old]

    def _contents(self, name: str) -> list[Path]:
        return [self.kept / f"{name}.{n}" for n in range(CONTENTS)]


def make_field(folder: Path, seed: int) -> Field:
    """Write all frames. Those of the folder `changing` have each the same size in all their contents but one."""
    made = Field(folder / "served", folder / "kept", seed)
    for place in (made.served, made.kept):
        for name in ("real", "made", "broken", "changing", "live"):
            (place / name).mkdir(parents=True)
    _add_real(made)
    for number, shape in enumerate(MADE):
        _add(made, f"made/{number}.fits", make.image_hdu(make.star_field(*shape, seed=number)))
    _add_broken(made)
    for number in range(CHANGING):
        name = f"changing/{number}.fits"
        for n in range(CONTENTS):
            shape = (800, 1000) if n < CONTENTS - 1 else (700, 900)
            make.write(made.kept / f"{name}.{n}", make.image_hdu(make.star_field(*shape, seed=100 * number + n)))
        shutil.copyfile(made.kept / f"{name}.0", made.served / name)
        made.stories[name] = Story([Lay(0.0, made.kept / f"{name}.0")])
    return made


def _add_real(made: Field) -> None:
    chosen = [path for path in real_frames() if REAL_BYTES[0] < path.stat().st_size < REAL_BYTES[1]]
    Random(made.seed).shuffle(chosen)
    for path in chosen:
        if len(made.names("real")) < REAL_MAX and _can_be_shown(path):
            _add(made, f"real/{len(made.names('real'))}.fits", path.read_bytes())


def _add_broken(made: Field) -> None:
    frames = [*make.hostile().values()][::3]  # What takes long or much is for the fuzz: here nothing may be slow.
    frames += [make_frame(SEED_OF_BROKEN, number)[0] for number in range(BROKEN)]
    for number, frame in enumerate(frames[:BROKEN]):
        name = f"broken/{number}.fits"
        _add(made, name, frame, sound=False)
        if of_cfitsio(
            {"path": str(made.kept / name), "what": "died: SIG"}
        ):  # It might kill its worker: one such is enough.
            (made.served / name).unlink()
            del made.stories[name]
    killer = bytearray(seeds()["HCOMPRESS u2"])
    killer[2 * make.BLOCK + 43] = 7  # Another offset of the sixth tile: unchecked, cfitsio dies of a SIGFPE.
    _add(made, KILLER, bytes(killer), sound=False)


def _add(made: Field, name: str, octets: bytes, *, sound: bool = True) -> None:
    for place in (made.kept, made.served):
        (place / name).write_bytes(octets)
    made.stories[name] = Story([Lay(0.0, made.kept / name)], sound)


def _can_be_shown(path: Path) -> bool:
    """Tell whether it can be shown, and is large enough for all that is asked of frames here."""
    fd = os.open(path, os.O_RDONLY)
    try:
        with contextlib.suppress(StepFailed, ViewError):
            alone.render(fd, view_from_pairs([("frame", "f/x"), ("size", "100,")]))
            facts = walk(fd).facts
            hdu = next(each for each in facts.hdus if each.index == facts.default_hdu)
            return min(hdu.shape[-2:]) >= SIDE_MIN_PX
    finally:
        os.close(fd)
    return False


async def _now_and_then(
    act: Callable[[Random], Awaitable[None]], each_s: float, random: Random, stopping: trio.Event
) -> None:
    while not stopping.is_set():
        with trio.move_on_after(random.expovariate(1 / each_s)):
            await stopping.wait()
            return
        await act(random)

"""One daemon behind each front, for all tests of what fronts give; the tests run front by front."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.frames import make
from tests.fronts.leaving import WAYS, write_frames
from tests.fronts.rig import KINDS, Front, standing_front

ODD_NAMES = (
    b"a b+c.fits",
    b"50%.fits",
    b"x%2Fy.fits",
    b"q?a=1&b#c.fits",
    b"semi;v=1.fits",
    b"caf\xe9.fits",
    "\u2609.fits".encode(),
)


@pytest.fixture(scope="session")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small frame, one that takes seconds, odd names, and frames for one question each."""
    place = tmp_path_factory.mktemp("frames")
    write_frames(place, unseen=len(WAYS))
    (place / "odd").mkdir()
    small = make.image_hdu(make.star_field(100, 100))
    for number, name in enumerate(ODD_NAMES):
        make.write(place / f"{number}.tmp", small).rename(place / "odd" / name.decode("utf-8", "surrogateescape"))
    return place


@pytest.fixture(scope="session", params=KINDS)
def front(request: pytest.FixtureRequest, frames: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """A daemon behind one of the fronts."""
    folder = tmp_path_factory.mktemp("front")
    with standing_front(request.param, f"f={frames}", folder, workers_max=1, worker_threads=1) as standing:
        yield standing

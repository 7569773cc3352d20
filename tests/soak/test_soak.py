"""The soak that `./scripts/soak` does for an hour: three minutes with its rests, half an hour in the long profile."""

import os
from pathlib import Path
from typing import Final

import pytest

from tests.core.profile import LONG
from tests.soak.course import Wish, new_seed, soak

SECONDS: Final = 1800.0 if LONG else 140.0
SEED: Final = int(os.environ.get("TEST_SEED", "0")) or (new_seed() if LONG else 7)


async def test_after_a_crowd_with_faults_all_is_as_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = await soak(tmp_path, Wish(SECONDS, SEED), print)
    with capsys.disabled():
        print(f"\n{report.text()}\n")
    assert report.complaints == []
    # What did not happen proves nothing.
    assert report.compared["right"] > SECONDS / 3
    assert report.left.total() > SECONDS / 30
    for faults in (("worker killed",), ("worker stopped",), ("template killed", "template stopped")):
        assert any(report.faults[each] for each in faults), f"never: {faults}"
    assert report.changes["frames rewritten"] > SECONDS / 20

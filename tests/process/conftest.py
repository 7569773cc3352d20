"""No test of this folder leaves a descriptor, a child or a segment behind."""

from collections.abc import Iterator

import pytest

from imgd.engine.reaping import become_subreaper
from tests.rig.bench import census


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    become_subreaper()
    before = census()
    yield
    assert census() == before

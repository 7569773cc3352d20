"""The first start on a machine: a second process helps to compile, and none is left."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cgi_worker import warming
from cgi_worker.kernels.warm import MODULES


@pytest.mark.parametrize("compiled", [False, True])
def test_a_second_process_helps_once_and_only_when_kernels_are_compiled(
    monkeypatch: pytest.MonkeyPatch, compiled: bool
) -> None:
    story: list[str] = []

    @contextlib.contextmanager
    def second() -> Iterator[None]:
        story.append("begins")
        yield
        story.append("ends")

    monkeypatch.setattr(warming, "has_compiled", lambda: compiled)
    monkeypatch.setattr(warming, "_second", second)
    warming.warm(lambda done, total, what: story.append(f"{done} of {total}: {what}"))
    told = [f"{done} of {len(MODULES)}: {name}" for done, name in enumerate((*MODULES, ""))]
    assert [line for line in story if " of " in line] == told
    assert story == ([*told[:2], "begins", *told[2:], "ends"] if compiled else told)


def test_the_second_process_ends_with_what_it_helps() -> None:
    before = children()
    with warming._second():
        assert len(children() - before) == 1
    assert children() <= before


def children() -> set[str]:
    """Process ids of this process' children; other tests may have some."""
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())

"""Do something as another user, in a process of its own: what root may do tells nothing of what others may."""

import os
import pickle
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

NOBODY = 65_534
T = TypeVar("T")


def open_way(folder: Path) -> None:
    """Let everybody get to a folder of the tests, and read it; where more stands in the way, the test is skipped."""
    for each in (folder, *list(folder.parents)[:4]):
        if each.name.startswith(("test_", "pytest-")) or each == folder:
            each.chmod(0o755)
    closed = [str(each) for each in folder.parents if not each.stat().st_mode & 0o001]
    if closed:
        pytest.skip(f"another user may not get to {closed[-1]}")


def as_nobody(work: Callable[[], T]) -> T:
    """Do it as the user nobody; return what it returns, fail with what it raises."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    read_fd, write_fd = os.pipe()
    pid = os.fork()
    if not pid:
        _be_nobody(work, write_fd)
    os.close(write_fd)
    with os.fdopen(read_fd, "rb") as answer:
        data = answer.read()
    os.waitpid(pid, 0)
    result, error = pickle.loads(data)
    assert not error, error
    return result  # type: ignore[no-any-return]  # It is what `work` made.


def _be_nobody(work: Callable[[], T], write_fd: int) -> None:
    try:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        data = pickle.dumps((work(), ""))
    except BaseException:
        data = pickle.dumps((None, traceback.format_exc()))
    os.write(write_fd, data)
    os._exit(0)

"""The rig's own meters, on processes whose holdings are known."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.daemon import kernel

MIB = 1 << 20
MARK = "KERNEL_TEST_MARK=here"

# A parent with one memfd of 8 MiB, 3 of them touched, that both a child (mapping only, descriptor closed) and an orphan
# (its parent ended at once) hold; each says when it is there, and ends when the pipe to it closes.
HOLDERS = """
import mmap, os, sys, time
fd = os.memfd_create("known"); os.truncate(fd, 8 << 20); os.pwrite(fd, b"x" * (3 << 20), 1 << 20)
held = mmap.mmap(fd, 8 << 20)
def wait(what):
    os.write(1, what); sys.stdin.buffer.raw.read(); os._exit(0)
if os.fork() == 0:
    os.close(fd); wait(b"c")
if os.fork() == 0:
    if os.fork(): os._exit(0)
    os.setsid(); wait(b"o")
os.waitpid(-1, 0)
wait(b"p")
"""


@contextmanager
def holders() -> Iterator[subprocess.Popen[bytes]]:
    """Run the three processes above."""
    name, _, value = MARK.partition("=")
    with subprocess.Popen(
        [sys.executable, "-c", HOLDERS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        env=os.environ | {name: value},
    ) as process:
        assert process.stdout is not None
        assert sorted(process.stdout.read(3)) == sorted(b"cop")
        yield process
        assert process.stdin is not None
        process.stdin.close()


def test_family_finds_orphans_by_their_mark() -> None:
    with holders() as process:
        pids = kernel.family(process.pid, MARK)
        assert len(pids) == 3
        assert process.pid in pids
        assert len(kernel.family(process.pid)) == 2  # The orphan left the session, too: only the mark is left.


def test_each_segment_counts_once_and_only_what_is_touched() -> None:
    with holders() as process:
        pids = kernel.family(process.pid, MARK)
        assert kernel.segment_bytes(pids) == 3 * MIB
        assert kernel.segment_bytes([]) == 0
        census = kernel.take_census(pids)
        assert census.processes == 3
        assert census.descriptors >= 3 * 3


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may look into /proc/PID/map_files")
def test_a_segment_that_is_only_mapped_counts() -> None:
    with holders() as process:
        (child,) = (pid for pid in kernel.family(process.pid) if pid != process.pid)
        assert kernel.segment_bytes([child]) == 3 * MIB


def test_pss_counts_shared_memory_once() -> None:
    with holders() as process:
        alone = kernel.pss_bytes([process.pid])
        together = kernel.pss_bytes(kernel.family(process.pid, MARK))
        assert MIB < alone < together < 3 * alone


def test_a_killed_process_is_gone_before_it_is_reaped() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True) as process:
        assert kernel.family(process.pid) == [process.pid]
        process.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert kernel.family(process.pid) == []

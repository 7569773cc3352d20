"""The first start on a machine: kernels are compiled by two processes, from both ends of the list."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

from cgi_worker import confine
from cgi_worker.kernels.warm import MODULES, Report, has_compiled, load
from cgi_worker.kernels.warm import warm as warm_alone


def warm(report: Report) -> None:
    """Get every kernel ready, as `kernels.warm` does; when they have to be compiled, with the help of a second process.

    What that one compiles it leaves in numba's cache, where it is found when it is this process' turn.
    """
    with contextlib.ExitStack() as helped:
        helping = False

        def told(done: int, total: int, what: str) -> None:
            nonlocal helping
            report(done, total, what)
            if not helping and 0 < done < total and has_compiled():
                helping = True
                helped.enter_context(_second())

        warm_alone(told)


@contextlib.contextmanager
def _second() -> Iterator[None]:
    """Have a process that compiles from the list's end; it ends with this one."""
    command = [sys.executable, "-P", "-m", "cgi_worker.warming", str(os.getpid())]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as second:
        try:
            yield
        finally:
            second.kill()  # What it has not finished yet was compiled here meanwhile.


def main() -> None:
    """Be the second process."""
    confine.die_with_parent(int(sys.argv[1]))
    for name in reversed(MODULES):
        load(name)


if __name__ == "__main__":
    main()

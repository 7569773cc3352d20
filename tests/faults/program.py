"""The daemon with workers and a template that misbehave where a file tells them to: `python -m tests.faults.program`.

All else is the program that users get. What a worker is to do stands in the file that FAULT_ORDERS names, one line
`STEP MOMENT DEED`: at the beginning ("before") or the end ("after") of a step it stops itself ("stop"), raises an
error as a bug of ours would ("bug"), or spins ("spin"). The file that FAULT_WARMING names, if there is one and it says
"exit", ends the template while it warms.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # What takes long to be imported is imported by a template that warms, not by one that fails.
    from cgi_worker.steps.work import Made, Work
    from cgi_worker.wire.steps import Stage

ORDERS = "FAULT_ORDERS"
WARMING = "FAULT_WARMING"
EXIT_CODE = 3
FORK_LIMIT_S = 2.0


def warm(report: Callable[[int, int, str], None]) -> None:
    """Warm, unless told otherwise; import what a worker needs."""
    report(0, 1, "what was ordered")
    if _read(WARMING) == "exit":
        sys.exit(EXIT_CODE)
    from cgi_worker import warming, worker

    assert worker
    warming.warm(report)


def serve(descriptor: int) -> None:
    """Live as a worker that follows the orders."""
    from cgi_worker.process import serve_with

    serve_with(descriptor, do)


def do(stage: "Stage", work: "Work") -> "Made":
    """Carry out a stage, and what is ordered for its beginning and its end."""
    from cgi_worker import run

    name = str(stage.step.__struct_config__.tag)
    _follow(name, "before")
    made = run.do(stage, work)
    _follow(name, "after")
    return made


def _follow(step: str, moment: str) -> None:
    match _read(ORDERS).split():
        case [its_step, its_moment, deed] if (its_step, its_moment) == (step, moment):
            if deed == "stop":
                os.kill(os.getpid(), signal.SIGSTOP)
            elif deed == "bug":
                raise IndexError("a bug, on purpose")
            while deed == "spin":
                pass


def _read(variable: str) -> str:
    try:
        return Path(os.environ[variable]).read_text()
    except (FileNotFoundError, KeyError):
        return ""


def main() -> None:
    """Be the daemon."""
    from imgd import cli
    from imgd.engine import forge
    from imgd.engine.workers import TemplateSettings

    ours = "tests.faults.program:serve", "tests.faults.program:warm"
    forge.FORK_LIMIT_S = FORK_LIMIT_S  # type: ignore[misc]  # Ten seconds otherwise; the tests are many.
    made = TemplateSettings.__init__
    made.__defaults__ = (
        *(made.__defaults__ or ())[:-2],
        *ours,
    )  # Whoever makes them has these, unless he says otherwise.
    assert (TemplateSettings().serve, TemplateSettings().warm) == ours
    sys.exit(cli.main())


if __name__ == "__main__":
    main()

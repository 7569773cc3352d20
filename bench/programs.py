"""Programs of a bench: started, spoken to by lines, and what they took."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.daemon.rig import PROJECT


def cpu_s_of(pid: int) -> float:
    """Tell the CPU time that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


@contextmanager
def running_program(module: str, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Have a program of the bench run."""
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PROJECT) as program:
        try:
            yield program
        finally:
            program.kill()


def expect(program: "subprocess.Popen[str]", line: str) -> None:
    """Wait for a line that must be this one."""
    said = read_line(program)
    assert said == line, said


def read_line(program: "subprocess.Popen[str]") -> str:
    """Wait for a line."""
    assert program.stdout is not None
    return program.stdout.readline().strip()


def say(text: str) -> None:
    """Tell who waits what is being done."""
    print(f"imgd: {text}", file=sys.stderr, flush=True)

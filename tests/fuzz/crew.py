"""Crew: confined children that ask frames for everything; what they die of, raise, or take too long for is a finding.

`python -m tests.fuzz.crew ...` is the process that they are forked from: like a template, it has one thread.
"""

import argparse
import json
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any, Final, NoReturn

from cgi_worker import confine
from cgi_worker.kernels.warm import warm
from cgi_worker.template import load
from cgi_worker.wire.packets import Identity
from tests.fuzz.mutate import mutated
from tests.fuzz.seeds import seeds

TICKS: Final = os.sysconf("SC_CLK_TCK")
WALL_FACTOR: Final = 6  # The deadline is in CPU time: others may use the machine. But who waits for ever hangs, too.
FINDINGS_MAX: Final = 20


def make_frame(seed: int, number: int) -> tuple[bytes, str, Random]:
    """Make hostile frame `number`; tell how it was made, and with which random numbers to ask it."""
    random = Random(f"{seed}/{number}")
    name, frame = random.choice(list(seeds().items()))
    frame, mutations = mutated(random, frame)
    return frame, f"{name}: {', '.join(mutations)}", random


class Crew:
    """One child at a time, and the count of what came of it."""

    def __init__(self, given: argparse.Namespace) -> None:
        self._given = given
        self._ask = load(given.ask)
        self._make = load(given.make)
        self._make(given.seed, given.first)  # What frames are made from is made here, once.
        self._end_s = time.monotonic() + given.seconds
        self._child = 0
        self._reading = -1
        self.frames = self.answers = self.refusals = 0
        self.findings: list[dict[str, Any]] = []

    def run(self) -> None:
        """Look at frames until the time is over, at `frames` of them at least."""
        number = self._given.first
        while len(self.findings) < FINDINGS_MAX:
            number = self._follow(number)
            if number < 0:
                return

    def _follow(self, first: int) -> int:
        """Fork a child that begins at a frame; return the next one to be looked at after its death, -1 if it is done.

        The child says: `f` and a number when it begins with a frame, `q` and a question, `a` and two counts.
        """
        reading, writing = os.pipe()
        self._child = os.fork()
        if not self._child:
            os.close(reading)
            self._live(first, os.fdopen(writing, "w", buffering=1))
        os.close(writing)
        number, asked, began, text = first, "", _cpu_s(self._child), ""
        wall_s = time.monotonic()
        while True:
            ready, _, _ = select.select([reading], [], [], 0.1)
            if ready:
                data = os.read(reading, 65536).decode()
                if not data:
                    break
                *lines, text = (text + data).split("\n")
                for line in lines:
                    kind, _, said = line.partition(" ")
                    if kind == "f":
                        number, began, wall_s = int(said), _cpu_s(self._child), time.monotonic()
                    elif kind == "q":
                        asked = said
                    else:
                        self._count(kind, said, number, asked)
            used_s = _cpu_s(self._child) - began
            if used_s > self._given.limit_s or time.monotonic() - wall_s > WALL_FACTOR * self._given.limit_s:
                os.kill(self._child, signal.SIGKILL)
                self._find(number, asked, f"overran its deadline of {self._given.limit_s} s")
                break
        os.close(reading)
        _, status = os.waitpid(self._child, 0)
        if status == 0:
            return -1
        if not self.findings or self.findings[-1]["number"] != number:
            code = os.waitstatus_to_exitcode(status)
            self._find(number, asked, f"died: {signal.Signals(-code).name if code < 0 else f'exit code {code}'}")
        return number + int(self._given.step)

    def _count(self, kind: str, said: str, number: int, asked: str) -> None:
        if kind == "a":
            answers, refusals = map(int, said.split())
            self.frames += 1
            self.answers += answers
            self.refusals += refusals
        else:
            self._find(number, asked, str(json.loads(said)))

    def _find(self, number: int, asked: str, what: str) -> None:
        frame, how, _ = self._make(self._given.seed, number)
        path = Path(self._given.folder) / f"{self._given.seed}-{number}.fits"
        path.write_bytes(frame)
        self.findings.append(
            {"number": number, "how": how, "asked": asked, "what": what, "bytes": len(frame), "path": str(path)}
        )

    def _live(self, number: int, said: Any) -> NoReturn:
        code = 70
        try:
            confine.become(Identity(), confine.Limits(self._given.memory_bytes))
            done = 0
            while time.monotonic() < self._end_s or done < self._given.frames:
                print("f", number, file=said)
                frame, _, random = self._make(self._given.seed, number)
                try:
                    answers, refusals = self._ask(frame, random, lambda asked: print("q", asked, file=said))
                except Exception as error:  # Whatever a step raises besides a refusal is what is looked for.
                    print("x", json.dumps(_tell(error)), file=said)
                else:
                    print("a", answers, refusals, file=said)
                done += 1
                number += self._given.step
            code = 0
        finally:
            os._exit(code)


def _tell(error: Exception) -> str:
    where = traceback.extract_tb(error.__traceback__)[-3:]
    places = " < ".join(f"{Path(each.filename).name}:{each.lineno} {each.name}" for each in reversed(where))
    return f"{type(error).__name__}: {str(error)[:200]} at {places}"


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def main(given: Sequence[str] | None = None) -> None:
    """Look at frames, print what came of it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--first", type=int, default=0, help="number of the first frame")
    parser.add_argument("--step", type=int, default=1, help="from one frame to the next")
    parser.add_argument("--frames", type=int, default=1, help="at least so many by each child")
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--limit-s", type=float, default=5.0, help="CPU time of one frame")
    parser.add_argument("--memory-bytes", type=int, default=1 << 30)
    parser.add_argument("--folder", required=True, help="where frames are written that show something")
    parser.add_argument("--cold", action="store_true", help="without any kernel")
    parser.add_argument("--ask", default="tests.fuzz.asking:ask_all", help="who asks")
    parser.add_argument("--make", default="tests.fuzz.crew:make_frame", help="who makes the frames")
    arguments = parser.parse_args(given)
    if not arguments.cold:
        warm(lambda done, total, what: None)
        load("cgi_worker.worker:serve")
    crew = Crew(arguments)
    crew.run()
    found = {"frames": crew.frames, "answers": crew.answers, "refusals": crew.refusals, "findings": crew.findings}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()

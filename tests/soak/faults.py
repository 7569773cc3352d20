"""Faults of a soak: workers and templates that are killed or held still, at random; and when that was."""

import contextlib
import os
import signal
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final, Literal

import trio

from tests.daemon.rig import RunningDaemon

Kind = Literal["worker killed", "worker stopped", "template killed", "template stopped"]

SHARES: Final[dict[Kind, int]] = {"worker killed": 12, "worker stopped": 6, "template killed": 2, "template stopped": 1}
EACH_S: Final = 2.5  # Between two faults, in the mean.
LOOK_S: Final = 0.02
STOPPED_S: Final = (0.1, 3.0)
STILL_S: Final = 4.0  # So much later than asked for one wakes up only where nothing on the machine goes on.
TOLD_WITHIN_S: Final = 1.0  # A request may be answered so long after its worker is gone: the machine is busy.
TEMPLATE_LIMIT_S: Final = 60.0


@dataclass
class Fault:
    """Something that was done to a process, and the time within which it can have hurt somebody."""

    kind: Kind
    began_s: float
    ended_s: float = float("inf")


@dataclass(frozen=True)
class Stall:
    """A time in which nothing on the machine went on. Nobody did it; it is told, and excuses nothing."""

    began_s: float
    ended_s: float


@dataclass
class Faults:
    """Does them, and remembers them."""

    daemon: RunningDaemon
    done: list[Fault] = field(default_factory=list)
    stalls: list[Stall] = field(default_factory=list)

    def within(self, began_s: float, ended_s: float) -> set[Kind]:
        """Tell what was done that can have hurt a request between two moments."""
        return {each.kind for each in self.done if each.began_s <= ended_s and began_s <= each.ended_s + TOLD_WITHIN_S}

    def stalls_within(self, began_s: float, ended_s: float) -> list[Stall]:
        """Tell when the machine stood still between two moments."""
        return [each for each in self.stalls if each.began_s <= ended_s and began_s <= each.ended_s]

    async def run(self, random: Random, stopping: trio.Event) -> None:
        """Do one after another until told to stop; at the end no process is held still."""
        while not stopping.is_set():
            with trio.move_on_after(random.expovariate(1 / EACH_S)):
                await stopping.wait()
                return
            kind = random.choices(list(SHARES), list(SHARES.values()))[0]
            pid = await self._victim(kind, random, stopping)
            if pid:
                await self._do(kind, pid, random)

    async def watch(self, stopping: trio.Event) -> None:
        """Notice, until told to stop, when the machine stood still."""
        while not stopping.is_set():
            began_s = trio.current_time()
            await trio.sleep(LOOK_S)
            if (now_s := trio.current_time()) - began_s > STILL_S:
                self.stalls.append(Stall(began_s, now_s))

    async def _victim(self, kind: Kind, random: Random, stopping: trio.Event) -> int:
        """Choose a process; of workers one that computes, more often than not."""
        if kind.startswith("template"):
            return await self.template()
        wants_busy = random.random() < 0.8
        while not stopping.is_set():
            workers = children_of(await self.template())
            busy = [pid for pid in workers if state_of(pid) == "R"]
            if chosen := busy if wants_busy else workers:
                return random.choice(chosen)
            await trio.sleep(LOOK_S)  # Nobody tells when a worker begins.
        return 0

    async def _do(self, kind: Kind, pid: int, random: Random) -> None:
        fault = Fault(kind, trio.current_time())
        self.done.append(fault)
        with contextlib.suppress(ProcessLookupError):  # It went by itself.
            if kind.endswith("killed"):
                os.kill(pid, signal.SIGKILL)
            else:
                os.kill(pid, signal.SIGSTOP)
                with trio.CancelScope(shield=True):
                    await trio.sleep(random.uniform(*STOPPED_S))
                os.kill(pid, signal.SIGCONT)
        if kind == "template killed":
            await self._another_template(pid)
        fault.ended_s = trio.current_time()

    async def _another_template(self, lost: int) -> None:
        with trio.fail_after(TEMPLATE_LIMIT_S):
            while (await self.template()) in (0, lost) or (await self.daemon.get("/readyz")).status != 200:
                await trio.sleep(LOOK_S)

    async def template(self) -> int:
        """Tell the template's process id: the daemon's one child that is no zombie; 0 if there is none."""
        await trio.lowlevel.checkpoint()
        return next((pid for pid in children_of(self.daemon.pid) if state_of(pid) not in "ZX"), 0)


def children_of(pid: int) -> list[int]:
    """Tell the children of a process, whichever of its threads has made them."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return sorted(found)


def state_of(pid: int) -> str:
    """Tell the state letter of a process; X if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except OSError:
        return "X"

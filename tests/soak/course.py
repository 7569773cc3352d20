"""The course of a soak: a service with its front; users and faults, then rest; the same again; what has changed."""

import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

import trio

from tests.daemon.asking import Asking
from tests.daemon.rig import RunningDaemon, running_daemon
from tests.fronts.nginx import running_nginx
from tests.fronts.place import make_certificate
from tests.soak.alone import Alone
from tests.soak.census import Holding, differences, rest
from tests.soak.faults import Faults
from tests.soak.field import Field, make_field
from tests.soak.judge import Judge
from tests.soak.sessions import Sitting
from tests.soak.users import User

USERS: Final = 10  # At the same time.
WARM_SHARE: Final = 0.3  # Of the time: what may grow until it is full is full by then.
WARM_S: Final = (60.0, 300.0)  # At least so long, unless that were more than half of it all; and at most.
SITS: Final = 0.2  # So many visits are by websocket.
SETTINGS: Final[dict[str, Any]] = {
    "workers_max": 2, "budget_bytes": "96MiB", "worker_idle_s": 1, "step_limit_s": 15, "resume_s": 1,
    "worker_memory_bytes": "1GiB", "lists_max": 50, "describe_pause_s": 0.02,
    # Small, so that they are full after the warm-up: what grows after it is a leak.
    "facts_max": 100, "story_max": 200, "ring_max": 100, "tile_cache_bytes": "4MiB", "events_max": 500,
}  # fmt: skip

FRONT_TROUBLE: Final = re.compile(r"\[(crit|alert|emerg)\]|connect\(\) |no live upstreams")


@dataclass(frozen=True)
class Wish:
    """What is to be done: for how long in all, with which random numbers, through nginx or straight, how many users."""

    seconds: float
    seed: int
    through_nginx: bool = True
    users: int = USERS


@dataclass
class Report:
    """What came of it. `complaints`: why it is not passed."""

    wish: Wish
    before: Holding
    after: Holding
    asked: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    refused: Counter[tuple[str, int]] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    compared: dict[str, int] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)
    changes: dict[str, int] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)

    def text(self) -> str:
        """Write it as a table."""
        lines = [f"{'asked':<24}{'in all':>9}{'left':>9}  refused"]
        for kind, count in sorted(self.asked.items()):
            refused = ", ".join(f"{n} x {status}" for (each, status), n in sorted(self.refused.items()) if each == kind)
            lines.append(f"{kind:<24}{count:>9}{self.left[kind]:>9}  {refused}")
        lines.append(f"{'sum':<24}{self.asked.total():>9}{self.left.total():>9}  {self.refused.total()}")
        lines += ["", f"{'refused or broken off':<60}{'times':>9}"]
        lines += [f"{reason:<60}{count:>9}" for reason, count in sorted(self.reasons.items())]
        lines += ["", f"{'done meanwhile':<60}{'times':>9}"]
        lines += [f"{name:<60}{count:>9}" for name, count in sorted([*self.faults.items(), *self.changes.items()])]
        lines += ["", f"{'compared with one computed alone':<60}{'times':>9}"]
        lines += [f"{name:<60}{count:>9}" for name, count in self.compared.items()]
        lines += ["", f"{'held at rest':<24}{'before':>14}{'after':>14}"]
        for name, value in asdict(self.before).items():
            now = asdict(self.after)[name]
            percent = f"{(now / value - 1) * 100:+8.1f} %" if value else ""
            lines.append(f"{name:<24}{value:>14}{now:>14}{percent}")
        lines += ["", f"seed {self.wish.seed}: " + ("passed" if not self.complaints else "NOT PASSED")]
        return "\n".join([*lines, *self.complaints])


async def soak(folder: Path, wish: Wish, say: Callable[[str], None]) -> Report:
    """Do all of it.

    folder  an empty one, on a disk that has some 200 MB.

    The part before the first count is of the same kind as the one after it: kernels, caches and logs are then as full
    as they get, and the Python heap has had its fragments.
    """
    random = Random(wish.seed)
    field_of_frames = make_field(folder / "frames", wish.seed)
    warm_s = min(max(WARM_SHARE * wish.seconds, WARM_S[0]), wish.seconds / 2, WARM_S[1])
    async with _service(folder, field_of_frames, wish) as (daemon, door, front), trio.open_nursery() as nursery:
        judge = Judge(field_of_frames, Faults(daemon), Alone())
        ended = trio.Event()
        nursery.start_soon(judge.compare, ended)
        crowd = _Crowd(daemon, door, field_of_frames, judge)
        say(f"warming up for {warm_s:.0f} s")
        await crowd.come(random, warm_s, wish.users)
        before = await rest(daemon, front)
        say(f"{wish.users} users for {wish.seconds - warm_s:.0f} s")
        await crowd.come(random, wish.seconds - warm_s, wish.users)
        after = await rest(daemon, front, before)
        ended.set()
        complaints = _look_at_log(daemon) + _look_at_front(folder / "front" / "error.log")
    return Report(
        wish, before, after, judge.asked, judge.left, judge.refused, judge.reasons, asdict(judge.compared),
        Counter(each.kind for each in judge.faults.done),
        {
            "frames rewritten": field_of_frames.rewritten, "frames that came": field_of_frames.arrived,
            "the machine stood still": len(judge.faults.stalls),
        },
        [*judge.complaints, *differences(before, after), *complaints],
    )  # fmt: skip


@asynccontextmanager
async def _service(folder: Path, frames: Field, wish: Wish) -> AsyncIterator[tuple[RunningDaemon, Asking, int]]:
    """Run the daemon and its front; the last value is the front's process id, 0 if there is none."""
    (folder / "front").mkdir()
    socket = folder / "front" / "imgd.sock"
    settings = {**SETTINGS, "bind": f"127.0.0.1:0,unix:{socket}"}
    async with running_daemon(f"f={frames.served}", **settings) as daemon:
        if not wish.through_nginx:
            yield daemon, daemon, 0
            return
        certificate = make_certificate(folder / "front")
        async with running_nginx(folder / "front", socket, certificate) as place:
            door = Asking(host=place.host, port=place.tls_port, certificate=certificate)
            yield daemon, door, int((folder / "front" / "nginx.pid").read_text())


@dataclass
class _Crowd:
    """Users, faults and changing frames, all at the same time."""

    daemon: RunningDaemon
    door: Asking
    frames: Field
    judge: Judge

    async def come(self, random: Random, seconds: float, users: int) -> None:
        """Have them come for so long; return when the last visit has ended by itself."""
        stopping = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.judge.faults.run, Random(random.random()), stopping)
            nursery.start_soon(self.judge.faults.watch, stopping)
            nursery.start_soon(self.frames.change, Random(random.random()), stopping)
            for _ in range(users):
                nursery.start_soon(self._one_after_another, Random(random.random()), stopping)
            await trio.sleep(seconds)
            stopping.set()

    async def _one_after_another(self, random: Random, stopping: trio.Event) -> None:
        while not stopping.is_set():
            user: Any = (Sitting if random.random() < SITS else User)(self.door, self.frames, self.judge, random)
            await user.visit()


def _look_at_log(daemon: RunningDaemon) -> list[str]:
    """Find what the daemon itself says of bugs of its own."""
    return [f"the daemon's log: {line}" for line in daemon.log().splitlines() if "Traceback" in line][:5]


def _look_at_front(log: Path) -> list[str]:
    """Find what the web server says of trouble with the daemon, or of its own."""
    if not log.exists():
        return []
    lines = [line for line in log.read_text(errors="replace").splitlines() if FRONT_TROUBLE.search(line)]
    return [f"the front's log, {len(lines)} such lines: {line}" for line in lines[:5]]


def new_seed() -> int:
    """Make a seed that was not used before."""
    return time.time_ns() % 10**9

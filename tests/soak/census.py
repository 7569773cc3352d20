"""What a service holds when nobody wants anything: by the kernel's figures, and by the daemon's own."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import trio

from tests.daemon import kernel
from tests.daemon.figures import metrics
from tests.daemon.rig import RunningDaemon

SETTLES_WITHIN_S: Final = (
    60.0  # Idle workers leave, connections that are kept alive end, broken sessions are forgotten.
)
SAME_FOR_S: Final = 12.0  # Longer than nginx keeps a connection to the daemon that nobody uses (10 s).
LOOK_S: Final = 0.1
SHARE: Final = 0.05  # By so much a figure may differ that is not counted.
COUNTS: Final = ("processes", "descriptors")
THREADS_MORE: Final = 4  # Threads that look at files come and go as they are needed.
NONE_LEFT: Final = (
    "engine_jobs", "engine_leased_bytes", "engine_reserved_bytes", "engine_workers", "live_sessions", "live_runners",
    "live_runs", "live_sessions_parked", "events_feeds", "sessions_uids",
)  # fmt: skip


@dataclass(frozen=True)
class Holding:
    """The figures of one moment of rest.

    descriptors    of the daemon and its template, beyond the two of each segment that is kept.
    segment_bytes  of all memfds, by the kernel; these are what is kept warm: as much as the budget lets.
    lost_bytes     what of them the daemon does not know of.
    daemon_pss_bytes  what of `pss_bytes` is the daemon's; the rest is the template's.
    front_*        the same of the web server in front, 0 if there is none; it keeps files of its cache open, as many as
                   were asked for: these figures only tell.
    """

    processes: int
    descriptors: int
    segments: int
    segment_bytes: int
    lost_bytes: int
    threads: int
    pss_bytes: int
    daemon_pss_bytes: int
    front_descriptors: int = 0
    front_pss_bytes: int = 0


async def rest(daemon: RunningDaemon, front: int = 0, before: Holding | None = None) -> Holding:
    """Wait until nothing is being done, and nothing changes any more; tell what is held.

    front   process id of the web server, 0 for none.
    before  what it held earlier: it is waited until it holds no more than that, or the time is over.

    Raises  TooSlowError, with what is left, if it never comes to rest.
    """
    left: dict[str, float] = {}
    holding: Holding | None = None
    same_since_s, last = trio.current_time(), None
    with trio.move_on_after(SETTLES_WITHIN_S):
        while True:
            figures = await metrics(daemon)
            left = {name: figures[f"imgd_{name}"] for name in NONE_LEFT if figures[f"imgd_{name}"]}
            now = (_counted(daemon, front, figures), bool(left), len(daemon.processes()))
            if now != last or left or now[2] != 2:
                same_since_s, last = trio.current_time(), now
            elif trio.current_time() - same_since_s >= SAME_FOR_S:
                holding = _holding(daemon, front, figures)
                if before is None or not differences(before, holding):
                    return holding
            await trio.sleep(LOOK_S)  # Nobody tells us: the kernel is asked.
    if holding is not None:
        return holding
    raise trio.TooSlowError(f"it does not come to rest: {left}, {last}, {daemon.processes()}")


def differences(before: Holding, after: Holding) -> list[str]:
    """Tell what is not as it was: counts to the one, memory within 5 %."""
    found = []
    for name, value in asdict(before).items():
        now = asdict(after)[name]
        if name == "pss_bytes":
            if now > value * (1 + SHARE):
                found.append(f"{name}: {value / 1e6:.1f} MB before, {now / 1e6:.1f} MB after")
        elif name in COUNTS and now > value:
            found.append(f"{name}: {value} before, {now} after")
    if after.threads > before.threads + THREADS_MORE:
        found.append(f"threads: {before.threads} before, {after.threads} after")
    if after.lost_bytes:
        found.append(f"the kernel holds {after.lost_bytes} bytes of segments that the daemon does not know of")
    return found


def _counted(daemon: RunningDaemon, front: int, figures: dict[str, float]) -> tuple[int, int]:
    behind = kernel.family(front) if front else []
    beyond = daemon.descriptors() - 2 * int(figures["imgd_engine_segments"]) - _of_store(daemon)
    return beyond, sum(map(kernel.open_descriptors, behind))


def _holding(daemon: RunningDaemon, front: int, figures: dict[str, float]) -> Holding:
    behind = kernel.family(front) if front else []
    descriptors, front_descriptors = _counted(daemon, front, figures)
    return Holding(
        processes=len(daemon.processes()),
        descriptors=descriptors,
        segments=int(figures["imgd_engine_segments"]),
        segment_bytes=daemon.segment_bytes(),
        lost_bytes=daemon.segment_bytes() - int(figures["imgd_engine_kernel_bytes"]),
        threads=sum(_threads(pid) for pid in daemon.processes()),
        pss_bytes=daemon.pss_bytes(),
        daemon_pss_bytes=kernel.pss_bytes([daemon.pid]),
        front_descriptors=front_descriptors,
        front_pss_bytes=kernel.pss_bytes(behind),
    )


def _of_store(daemon: RunningDaemon) -> int:
    """Count the descriptors of the store's files: further connections for reading are opened when they are first needed
    at the same time, up to a fixed number, and kept."""
    links = Path(f"/proc/{daemon.pid}/fd")
    return sum("/events.sqlite" in _target(link) for link in links.iterdir())


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""  # Closed meanwhile.


def _threads(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("Threads:"))
    except OSError:
        return 0

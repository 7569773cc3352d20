"""Hostile frames asked of the whole program: each costs its own answer at most, and the service stays as it was."""

from collections import Counter
from pathlib import Path
from typing import Final

import trio

from tests.daemon.figures import metrics
from tests.daemon.rig import RunningDaemon, running_daemon
from tests.frames import make
from tests.fuzz.asking import ALWAYS, SOMETIMES
from tests.fuzz.crew import make_frame
from tests.fuzz.seeds import seeds
from tests.fuzz.worst import worst

FRAMES: Final = 60
SEED: Final = 11
BUDGET_BYTES: Final = 64 << 20
ALLOWED: Final = frozenset((200, 400, 413, 422, 503, 504))
LOST_MAX: Final = 4  # Of all answers: workers that cfitsio takes down with it.
ANSWER_LIMIT_S: Final = 60.0
ASKERS: Final = 4
SAMPLED_EVERY: Final = 9


def write_frames(folder: Path) -> list[str]:
    """Write mutated frames, the worst ones among them, and a good one; tell the names of the bad ones."""
    bad = [frame for _, frame in sorted(worst().items())[::6]]
    crashing = bytearray(seeds()["HCOMPRESS u2"])
    crashing[2 * make.BLOCK + 43] = 7  # Another offset of the sixth tile: unchecked, cfitsio would die of a SIGFPE.
    bad.append(bytes(crashing))
    bad += [make_frame(SEED, number)[0] for number in range(FRAMES - len(bad))]
    for number, frame in enumerate(bad):
        (folder / f"{number}.fits").write_bytes(frame)
    make.write(folder / "good.fits", make.image_hdu(make.star_field(200, 300)))
    return [f"{number}.fits" for number in range(len(bad))]


def targets(name: str, number: int) -> list[str]:
    """Tell what a frame is asked for: its header, pictures, and questions in turn."""
    chosen = [*ALWAYS[:2], ALWAYS[2 + number % 8], SOMETIMES[number % len(SOMETIMES)]]
    return [f"/frame/f/{name}", *(f"/{each}{'' if each.endswith('?') else '&'}frame=f/{name}" for each in chosen)]


async def test_hostile_frames_cost_their_own_answers_only(tmp_path: Path) -> None:
    names = write_frames(tmp_path)
    settings = {"budget_bytes": BUDGET_BYTES, "workers_max": 2, "worker_memory_bytes": "1GiB", "step_limit_s": 5}
    async with running_daemon(f"f={tmp_path}", **settings) as daemon:
        good = await daemon.get("/img?frame=f/good.fits")
        assert good.status == 200
        statuses: Counter[int] = Counter()
        lost: list[str] = []
        segments: list[int] = []
        asked = iter([target for number, name in enumerate(names) for target in targets(name, number)])

        async def ask_on() -> None:
            for target in asked:
                with trio.fail_after(ANSWER_LIMIT_S):
                    answer = await daemon.get(target)
                statuses[answer.status] += 1
                if sum(statuses.values()) % SAMPLED_EVERY == 0:
                    segments.append(daemon.segment_bytes())
                if answer.status != 200:
                    assert answer.headers["content-type"] == "application/problem+json"
                    assert str(tmp_path).encode() not in answer.body and b"Traceback" not in answer.body
                if answer.status not in ALLOWED:
                    lost.append(f"{target}: {answer.status} {answer.body.decode()}")

        async with trio.open_nursery() as nursery:
            for _ in range(ASKERS):
                nursery.start_soon(ask_on)
        assert all(": 500 " in each for each in lost) and len(lost) <= LOST_MAX, "\n".join(lost)
        assert statuses[200] > FRAMES, "nearly all was refused: this proves little"
        assert statuses[422] > FRAMES // 2
        assert max(segments) <= BUDGET_BYTES
        await check_unharmed(daemon, good.body, len(lost))


async def check_unharmed(daemon: RunningDaemon, good: bytes, lost: int) -> None:
    """See that nothing was lost for good, and a good frame is served as before."""
    figures = await metrics(daemon)
    assert figures["imgd_engine_template_starts_total"] == 1
    assert figures["imgd_engine_kernel_bytes"] <= BUDGET_BYTES
    for name in ("leased_bytes", "reserved_bytes", "jobs"):
        assert figures[f"imgd_engine_{name}"] == 0, name
    again = await daemon.get("/img?frame=f/good.fits")
    assert (again.status, again.body) == (200, good)
    other = await daemon.get("/img?frame=f/good.fits&size=50,")
    assert other.status == 200
    assert "Traceback" not in daemon.log() or lost

"""Hostile bytes: no frame crashes a worker, hangs it, takes more memory than its limit, or gets an answer that is none.

A finding names the frame that shows it. To see it again:
`python -m tests.fuzz.crew --seed SEED --first NUMBER --folder FOLDER`.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import pytest

from cgi_worker import alone
from cgi_worker.formats.fits import walk
from cgi_worker.wire.failure import StepFailed
from cgi_worker.wire.grammar import ViewError
from tests.core.profile import LONG
from tests.fuzz import mutate
from tests.fuzz.asking import ALWAYS, SOMETIMES, wanted_of
from tests.fuzz.bad import FAULTS
from tests.fuzz.crew import make_frame
from tests.fuzz.seeds import seeds
from tests.fuzz.worst import worst

PROJECT: Final = Path(__file__).resolve().parents[2]
KEPT: Final = os.environ.get("TEST_FINDINGS", "")  # A folder for the frames that show something.
SEED: Final = int(os.environ.get("TEST_SEED", "0")) or (time.time_ns() % 10**9 if LONG else 7)
SECONDS: Final = 240.0 if LONG else 6.0
CREWS: Final = 2
CFITSIO_MAX: Final = 0.005  # Of the frames: those that crash cfitsio itself, and with it the worker that asked it.
FRAMES_MIN: Final = 40  # Of each crew, however slow the machine is.
LIMIT_S: Final = 5.0
END_S: Final = 600.0


def start(
    *arguments: object, folder: Path, make: str = "crew:make_frame", ask: str = "asking:ask_all", **environment: str
) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.fuzz.crew", "--seed", SEED, "--folder", folder, *arguments]
    command += ["--make", f"tests.fuzz.{make}", "--ask", f"tests.fuzz.{ask}"]
    return subprocess.Popen(
        [str(each) for each in command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=PROJECT,
        env={**os.environ, **environment},
    )  # fmt: skip


def end(crew: subprocess.Popen[str]) -> dict[str, Any]:
    try:
        text, _ = crew.communicate(timeout=SECONDS + END_S)
    except subprocess.TimeoutExpired:
        crew.kill()
        crew.communicate()
        raise
    assert crew.returncode == 0
    found: dict[str, Any] = json.loads(text)
    return found


def show(findings: list[dict[str, Any]]) -> str:
    findings = sorted(findings, key=lambda each: int(each["bytes"]))
    return "\n".join(f"{x['path']} ({x['bytes']} bytes; {x['how']}), asked {x['asked']}: {x['what']}" for x in findings)


def fuzz(folder: Path, **environment: str) -> list[dict[str, Any]]:
    """Run all crews at once."""
    crews = [
        start("--first", n, "--step", CREWS, "--seconds", SECONDS, "--frames", FRAMES_MIN,
              "--limit-s", LIMIT_S * (10 if environment else 1), folder=folder, **environment)
        for n in range(CREWS)
    ]  # fmt: skip
    return [end(crew) for crew in crews]


def kept_folder(tmp_path: Path) -> Path:
    """Give a folder that stays there if one is asked for."""
    if not KEPT:
        return tmp_path
    Path(KEPT).mkdir(parents=True, exist_ok=True)
    return Path(KEPT)


def test_no_hostile_frame_harms_a_worker(tmp_path: Path) -> None:
    found = fuzz(kept_folder(tmp_path))
    check_findings(found)
    for one in found:
        assert one["frames"] >= FRAMES_MIN
        assert one["answers"] > one["frames"], "nearly all was refused: this proves little"
        assert one["refusals"] > one["frames"], "nearly all was answered: this proves little"


@pytest.mark.long
def test_no_kernel_reads_or_writes_outside_of_its_arrays(tmp_path: Path) -> None:
    """The same, with kernels that check each index: what lies next to an array need not crash when it is touched."""
    checked = {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    check_findings(fuzz(kept_folder(tmp_path), **checked))


def check_findings(found: list[dict[str, Any]]) -> None:
    """Allow for a few that cfitsio crashes on, nothing else."""
    findings = [finding for one in found for finding in one["findings"]]
    ours = [finding for finding in findings if not of_cfitsio(finding)]
    assert not ours, show(ours)
    assert len(findings) <= max(2, CFITSIO_MAX * sum(one["frames"] for one in found)), show(findings)


def of_cfitsio(finding: dict[str, Any]) -> bool:
    """Tell whether a child died of a signal over a frame that only cfitsio can decompress."""
    with Path(finding["path"]).open("rb") as file, contextlib.suppress(StepFailed):
        tilings = [hdu.tiling for hdu in walk(file.fileno()).facts.hdus if hdu.tiling is not None]
        return finding["what"].startswith("died: SIG") and any(each.method == "OTHER" for each in tilings)
    return False


def test_only_deaths_over_what_cfitsio_decompresses_are_allowed_for(tmp_path: Path) -> None:
    for name, what, expected in (
        ("HCOMPRESS u2", "died: SIGFPE", True), ("HCOMPRESS u2", "died: exit code 70", False),
        ("HCOMPRESS u2", "KeyError: 3", False), ("RICE u2", "died: SIGSEGV", False), ("u1", "died: SIGSEGV", False),
    ):  # fmt: skip
        (tmp_path / "a").write_bytes(seeds()[name])
        finding = {"path": str(tmp_path / "a"), "what": what, "bytes": 1, "how": "", "asked": ""}
        assert of_cfitsio(finding) == expected
        if not expected:
            with pytest.raises(AssertionError, match=what):
                check_findings([{"frames": 1000, "findings": [finding]}])
        with pytest.raises(AssertionError):
            check_findings([{"frames": 1000, "findings": [finding] * 6}])


def test_the_crew_finds_what_is_wrong(tmp_path: Path) -> None:
    crew = start("--cold", "--frames", 12, "--limit-s", 0.3, folder=tmp_path, make="bad:make_frame", ask="bad:ask")
    found = end(crew)
    assert [each["number"] for each in found["findings"]] == [*FAULTS]
    for each in found["findings"]:
        number = each["number"]
        assert each["what"].startswith(FAULTS[number])
        assert (each["how"], each["asked"], each["bytes"]) == (f"frame {number}", f"question {number}", 1)
        assert Path(each["path"]).read_bytes() == bytes([number])
        assert each["path"] in show(found["findings"])
    assert found["frames"] >= 12, "the crew did not go on after a death"
    assert found["answers"] == 2 * found["refusals"] == 2 * found["frames"]


def test_the_worst_that_one_can_think_of(tmp_path: Path) -> None:
    """A few kilobytes that claim, or become, as much as there may be."""
    crew = start(
        "--frames",
        len(worst()),
        "--limit-s",
        4 * LIMIT_S,
        folder=tmp_path,
        make="worst:make_frame",
        ask="asking:ask_few",
    )
    found = end(crew)
    assert found["findings"] == [], show(found["findings"])
    assert found["frames"] == len(worst())


def test_a_seed_gives_the_same_frames_and_every_kind_of_them() -> None:
    made = [make_frame(5, number) for number in range(300)]
    assert [frame for frame, _, _ in made[:20]] == [make_frame(5, number)[0] for number in range(20)]
    assert make_frame(6, 3)[0] != made[3][0]
    names = {how.partition(":")[0] for _, how, _ in made}
    assert len(names) > 0.9 * len(seeds())
    mutations = {name for _, how, _ in made for name in how.partition(": ")[2].split(", ")}
    assert {each.__name__ for each in mutate.MUTATIONS} | {"gzip"} <= mutations
    changed = sum(frame not in seeds().values() for frame, _, _ in made)
    assert changed > 0.9 * len(made)


def test_seeds_are_good() -> None:
    """Each is a frame, and each thing that is asked is answered for some of them."""
    never = {*ALWAYS, *SOMETIMES}
    for name, frame in seeds().items():
        answered = set()
        with lent(frame) as descriptor:
            for target in never if name.startswith(("u2 bayer", "f4 cube", "several")) else ALWAYS[:1]:
                with contextlib.suppress(StepFailed, ViewError):
                    alone.render(descriptor, wanted_of(target))
                    answered.add(target)
        never -= answered
        assert answered or name.startswith("real "), name
    assert not never


@contextlib.contextmanager
def lent(frame: bytes) -> Any:
    descriptor = os.memfd_create("frame")
    try:
        os.write(descriptor, frame)
        yield descriptor
    finally:
        os.close(descriptor)

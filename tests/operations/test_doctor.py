"""The doctor finds what is really wrong, says what to change, and is content where nothing is."""

import json
import os
import re
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from imgd.config import Settings
from imgd.doctor.bounded import TookTooLong, within
from imgd.doctor.finding import Finding, always, bad, ok, warn
from imgd.doctor.kernel import check_kernel, look_at_kernel
from imgd.doctor.leftovers import check_leftovers
from imgd.doctor.limits import check_limits, check_memory, check_processors, need_bytes
from imgd.doctor.machine import UNLIMITED, Machine, look_at_machine
from imgd.doctor.program import check_packages, check_page, judge_kernels
from imgd.doctor.report import exit_code_of, table_of
from tests.daemon.rig import running_daemon
from tests.operations.users import as_nobody, open_way

MIB = 1024**2
SETTINGS = Settings(workers_max=2, workers_idle_max=2, worker_threads=2)


def run_doctor(*arguments: str, before: Callable[[], None] | None = None) -> tuple[int, dict[str, dict[str, Any]]]:
    """Run `imgd doctor --json`; return its exit code, and its findings by name."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("IMGD_")}
    command = [sys.executable, "-m", "imgd.cli", "doctor", "--json", *arguments]
    done = subprocess.run(command, capture_output=True, check=False, timeout=120, preexec_fn=before, env=environment)
    assert done.stderr == b"", done.stderr.decode()
    answer = json.loads(done.stdout)
    assert answer["exit_code"] == done.returncode
    return done.returncode, {each["name"]: each for each in answer["findings"]}


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    """Findings by name; the worst of several."""
    return {each.name: each for each in sorted(findings, key=lambda each: ("ok", "warn", "bad").index(each.verdict))}


def quiet_machine() -> Machine:
    """A machine on which all is well: ours, with more of everything."""
    return replace(
        look_at_machine(), nofile=100_000, nproc=UNLIMITED, memory_bytes=64 << 30, available_bytes=60 << 30,
        swap_bytes=0, swap_used_bytes=0, overcommit=0, cgroup_memory_bytes=UNLIMITED, cgroup_pids=UNLIMITED,
        cpus=2, cpus_online=2, cpu_quota=float("inf"), fsize_bytes=UNLIMITED, as_bytes=UNLIMITED, huge="never",
        touch_ms=0.5, uid=1000,
    )  # fmt: skip


# The whole of it


def test_limits_that_are_really_low_are_found(tmp_path: Path) -> None:
    def lower() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (400, 400))
        resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, MIB))

    database = f"sqlite:{tmp_path}/events.sqlite"
    code, found = run_doctor(str(tmp_path), "--database", database, "--bind", "127.0.0.1:0", before=lower)
    assert code == 2
    assert found["descriptors"]["verdict"] == "bad" and "LimitNOFILE=" in found["descriptors"]["change"]
    assert found["sizes of files"]["verdict"] == "bad" and "ulimit -f" in found["sizes of files"]["change"]
    assert found["kernel"]["verdict"] == "ok" and found["page"]["verdict"] == "ok"
    assert found["database"]["verdict"] == "ok" and "will be made" in found["database"]["found"]
    assert not (tmp_path / "events.sqlite").exists()
    assert not found["batch waits"]["looked_at"] and found["descriptors"]["looked_at"]


def test_what_is_no_setting_is_said_and_the_rest_is_looked_at(tmp_path: Path) -> None:
    config = tmp_path / "imgd.toml"
    config.write_text("budget = 3\n")
    code, found = run_doctor(str(tmp_path), "--config", str(config))
    assert code == 2
    assert "there is no such setting" in found["settings"]["found"] and found["kernel"]["verdict"] == "ok"


async def test_a_daemon_of_ours_that_runs_is_no_trouble(tmp_path: Path) -> None:
    async with running_daemon(tmp_path) as daemon:
        bind = f"127.0.0.1:{daemon.port}"
        database = f"sqlite:{daemon.folder}/events.sqlite"
        arguments = (str(tmp_path), "--bind", bind, "--database", database)
        code, found = await trio.to_thread.run_sync(run_doctor, *arguments)
        assert found[f"bind {bind}"]["verdict"] == "ok" and "a daemon of ours" in found[f"bind {bind}"]["found"]
        assert found["processes left over"]["verdict"] == "ok"
        assert found["database"]["verdict"] == "ok" and "journal wal" in found["database"]["found"]
        assert code <= 1, found  # Root, who runs the tests in CI, is warned of.


def test_the_table_fits_and_tells_the_worst_last() -> None:
    findings = [bad("a", "x " * 60, "do " * 40), ok("b", "fine"), warn("c\x1b[2J", "hm", "change")]
    lines = table_of(findings, 80).splitlines()
    assert max(map(len, lines)) <= 80 and lines[0] == "ok    b: fine" and lines[-1] == "1 ok, 1 to look at, 1 bad"
    assert [line[:4].strip() for line in lines if line[:4].strip()] == ["ok", "WARN", "BAD", "1 ok"]
    assert "\x1b" not in table_of(findings, 40) and max(map(len, table_of(findings, 40).splitlines())) <= 40
    assert [exit_code_of(findings[1:each]) for each in (1, 2, 3)] == [0, 0, 1] and exit_code_of(findings) == 2


def test_what_nothing_was_looked_at_for_is_shown_on_demand() -> None:
    findings = [*check_leftovers(), always("z", "so it is"), warn("c", "hm", "change")]
    lines = table_of(findings, 80).splitlines()
    assert [line.split(":")[0] for line in lines[:2]] == ["ok    processes left over", "WARN  c"]
    assert re.fullmatch(r"1 ok, 1 to look at, 0 bad  \(--all: \d+ more .*\)", lines[-1])
    every = table_of(findings, 80, shows_all=True).splitlines()
    assert "-     z: so it is" in every and every[-1] == "1 ok, 1 to look at, 0 bad"


# The kernel


def test_this_kernel_has_what_is_needed() -> None:
    assert all(each.verdict != "bad" for each in check_kernel(look_at_kernel()))


def test_what_the_kernel_refuses_is_found_by_trying() -> None:
    def without_descriptors() -> list[str]:
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
        return [each.name for each in check_kernel(look_at_kernel()) if each.verdict == "bad"]

    found = as_nobody(without_descriptors)
    assert {"kernel: memfd", "kernel: pidfd", "kernel: openat2", "kernel: inotify", "kernel: peercred"} <= set(found)


def test_the_remedy_for_memfds_that_are_forbidden() -> None:
    kernel = replace(look_at_kernel(), features=(("memfd", "Permission denied"),), memfd_noexec=2, landlock=0)
    found = by_name(check_kernel(replace(kernel, clock="hpet")))
    assert "vm.memfd_noexec=1" in found["kernel: memfd"].change
    assert found["kernel: landlock"].verdict == found["clock source"].verdict == "warn"


# Limits and memory, by machines that are wrong in one thing

LIMITS: list[tuple[str, str, dict[str, Any]]] = [
    ("descriptors", "warn", {"nofile": 4096}),
    ("descriptors", "bad", {"nofile": 500}),
    ("processes", "warn", {"nproc": 50}),
    ("processes", "bad", {"cgroup_pids": 20}),
    ("sizes of files", "bad", {"fsize_bytes": MIB}),
    ("sizes of files", "bad", {"as_bytes": 1 << 30}),
    ("memory", "bad", {"memory_bytes": 512 * MIB}),
    ("memory", "warn", {"available_bytes": 512 * MIB}),
    ("control group", "bad", {"cgroup_memory_bytes": 600 * MIB}),
    ("control group", "warn", {"cgroup_memory_bytes": 900 * MIB}),
    ("overcommit", "warn", {"overcommit": 2, "commit_left_bytes": 100 * MIB}),
    ("huge pages", "warn", {"huge": "always"}),
    ("huge pages", "warn", {"touch_ms": 12.0}),
    ("swap", "warn", {"swap_bytes": 8 << 30, "swap_used_bytes": 4 << 30}),
    ("processors", "warn", {"cpu_quota": 0.5}),
    ("processors", "warn", {"cpus": 1}),
]


def judged(machine: Machine) -> dict[str, Finding]:
    """Judge a machine by all that depends on it."""
    checks = (check_limits, check_memory, check_processors)
    return by_name([finding for check in checks for finding in check(machine, SETTINGS)])


@pytest.mark.parametrize(("name", "verdict", "wrong"), LIMITS)
def test_one_thing_that_is_wrong_is_found(name: str, verdict: str, wrong: dict[str, Any]) -> None:
    found = judged(replace(quiet_machine(), **wrong))
    assert found[name].verdict == verdict and found[name].change
    assert [each.name for each in found.values() if each.verdict != "ok"] == [name]


def test_a_machine_with_enough_of_all_is_well() -> None:
    assert {each.verdict for each in judged(quiet_machine()).values()} == {"ok"}


def test_what_fits_is_what_is_proposed() -> None:
    machine = replace(quiet_machine(), memory_bytes=2 << 30, available_bytes=2 << 30)
    found = check_memory(machine, replace(SETTINGS, budget_bytes=4 << 30))[0]
    proposed = int(found.change.split('"')[1].removesuffix("MiB")) * MIB
    assert found.verdict == "bad" and need_bytes(replace(SETTINGS, budget_bytes=proposed)) < 2 << 30


# The program


def test_packages_are_compared_with_what_is_asked_and_what_was_tested() -> None:
    def judge(present: dict[str, str]) -> Finding:
        return check_packages(lambda name: present.get(name, ""), {"trio": "0.27", "numpy": "2.0"}, {"trio": "0.30.1"})[
            0
        ]

    assert judge({"trio": "0.30.1", "numpy": "2.1"}).verdict == "ok"
    assert judge({"trio": "0.31.0", "numpy": "2.1"}).verdict == "warn"
    assert "trio 0.9.9" in judge({"trio": "0.9.9", "numpy": "2.1"}).found
    assert judge({"trio": "0.30.1"}).verdict == "bad" and "numpy missing" in judge({"trio": "0.30.1"}).found


def test_a_page_that_asks_another_server_is_found() -> None:
    assert check_page(lambda: {"/": b"<script src=./ui/a.js></script>"}).verdict == "ok"
    assert check_page(lambda: {"/": b'<script type="module" src="https://cdn.example/a.js">'}).verdict == "bad"

    def not_built() -> dict[str, bytes]:
        raise RuntimeError("it has not been built")

    assert check_page(not_built).verdict == "bad"


def test_kernels_that_cannot_be_kept_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "closed/cache"))
    sources = tmp_path / "kernels"
    sources.mkdir()
    (tmp_path / "closed").mkdir()
    open_way(sources)
    assert as_nobody(lambda: judge_kernels(sources, "")).verdict == "bad"
    assert judge_kernels(sources, "").verdict == "warn"
    (sources / "__pycache__").mkdir()
    (sources / "__pycache__/tone.nbi").touch()
    assert judge_kernels(sources, "").verdict == "ok"
    assert judge_kernels(sources, str(tmp_path / "elsewhere")).verdict == "warn"


# What is left over


def test_a_process_that_outlived_its_daemon_is_found() -> None:
    code = (
        "import os,sys\nf=os.memfd_create('imgd-7')\nos.write(f,bytes(1<<20))\nprint('up',flush=True)\nsys.stdin.read()"
    )
    command = [sys.executable, "-c", code, "cgi_worker.template", "--parent=999999999"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as orphan:
        assert orphan.stdout is not None
        assert orphan.stdout.readline() == b"up\n"
        found = by_name(check_leftovers())["processes left over"]
        assert found.verdict == "bad" and f"{orphan.pid}" in found.change and "1 MiB" in found.found
        orphan.kill()
    deadline_s = time.monotonic() + 20
    while any(str(orphan.pid) in each.change for each in check_leftovers()):
        assert time.monotonic() < deadline_s


def test_what_hangs_is_given_up() -> None:
    lock = threading.Lock()
    with lock, pytest.raises(TookTooLong):
        within(0.05, lambda: lock.acquire(timeout=60))
    assert within(10, lambda: 7) == 7
    with pytest.raises(FileNotFoundError):
        within(10, lambda: os.stat("/nonexistent"))

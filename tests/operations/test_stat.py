"""`imgd stat` on a terminal: what is so now, each second anew, at any size, and the terminal as it was at the end."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from imgd.stat.samples import Samples
from imgd.stat.screen import screen_of
from imgd.stat.words import age_text, bar, columns_of, fitted, flowed, rate_text, size_text
from tests.daemon.rig import RunningDaemon, running_daemon
from tests.frames import make
from tests.operations.screen import CURSOR_OFF, CURSOR_ON, ENTER, LEAVE, on_terminal
from tests.web.sitting import Sitter


def is_whole(lines: list[str], columns: int, rows: int) -> bool:
    """A screen fits, and each line stands in its own row."""
    return len(lines) == rows and all(columns_of(line) <= columns and "\x1b" not in line for line in lines)


async def test_the_live_table(tmp_path: Path) -> None:
    (tmp_path / "night").mkdir()
    make.write(tmp_path / "night/a.fits", make.image_hdu(make.star_field(300, 400)))
    async with running_daemon([tmp_path / "night", f"away={tmp_path}/away"]) as daemon:
        async with daemon.websocket("/live") as socket, on_terminal(80, 24, daemon.base_url) as screen:
            sitter = Sitter(socket)
            await sitter.ask("hello")
            await sitter.open("frame=night/a.fits")
            await screen.until(lambda: "sessions: 1" in "\n".join(screen.lines() if screen.count else []))
            assert is_whole(screen.lines(), 80, 24)
            text = "\n".join(screen.lines())
            assert re.match(r"imgd \S+ up .*: ready  http://", text) and text.endswith("q ends")
            for words in ("budget", "wait of 200", "people   1 sessions", "GONE", "frame=night/a.fits", "workers: "):
                assert words in text, words
            assert screen.seen.index(ENTER) < screen.seen.index(CURSOR_OFF) and LEAVE not in screen.seen

            drawn = screen.count
            for number in range(3):
                await daemon.get(f"/img?frame=night/a.fits&size={100 + number},")
            await screen.until(lambda: screen.count > drawn + 1)  # By itself, each second.
            screen.resize(40, 20)
            await screen.until(lambda: is_whole(screen.lines(), 40, 20))
            assert any(line.startswith("jobs ") for line in screen.lines())
            screen.resize(20, 3)
            await screen.until(lambda: is_whole(screen.lines(), 20, 3))
            screen.press(b"x")  # No key of ours.
            screen.press(b"q")
            assert await screen.end() == 0
            assert screen.seen.index(LEAVE) > screen.seen.rindex(b"q ends")
            assert CURSOR_ON in screen.seen[screen.seen.rindex(b"q ends") :]
        await other_ends(daemon)
        await printed_once(daemon)
        await the_daemon_s_end_is_shown(daemon)


async def other_ends(daemon: RunningDaemon) -> None:
    """Ctrl-C and SIGTERM end it as well, and leave the terminal as it was."""
    for end in (b"\x03", signal.SIGTERM):
        async with on_terminal(80, 24, daemon.base_url) as screen:
            await screen.until(lambda at=screen: at.count > 0)  # type: ignore[misc]  # mypy does not infer lambdas with defaults.
            if isinstance(end, bytes):
                screen.press(end)
            else:
                os.kill(screen.process.pid, end)
            assert await screen.end() == 0 and LEAVE in screen.seen and b"Traceback" not in screen.seen


async def printed_once(daemon: RunningDaemon) -> None:
    """Where nobody looks, or one table was asked for, there is one."""
    command = [sys.executable, "-m", "imgd.cli", "stat", daemon.base_url]
    done = await trio.run_process(command, capture_stdout=True, stderr=subprocess.STDOUT, check=False)
    assert done.returncode == 0 and b"\x1b" not in done.stdout and b"roots: 2" in done.stdout
    async with on_terminal(80, 24, daemon.base_url, "--once") as screen:
        assert await screen.end() == 0
        assert b"\x1b" not in screen.seen and b"roots: 2" in screen.seen
        assert max(map(len, screen.seen.decode().splitlines())) <= 80


async def the_daemon_s_end_is_shown(daemon: RunningDaemon) -> None:
    """A daemon that is gone is said to be, and what is shown is said to be old."""
    async with on_terminal(100, 30, daemon.base_url) as screen:
        await screen.until(lambda: screen.count > 0)
        daemon.process.send_signal(signal.SIGTERM)
        await screen.until(lambda: "cannot ask the daemon" in screen.lines()[-1])
        assert any("roots: 2" in line for line in screen.lines())
        screen.press(b"q")
        assert await screen.end() == 0
    await daemon.process.wait()


# The screen of an answer that is known


def answer(**more: Any) -> dict[str, Any]:
    """What a daemon says that has a lot to do."""
    engine = {
        "budget_bytes": 1 << 30, "free_bytes": 1 << 28, "reserved_bytes": 1 << 28, "leased_bytes": 1 << 28,
        "idle_bytes": 1 << 27, "spare_bytes": 1 << 27, "segments": 40, "queue_max": 200, "jobs_admitted": 2,
        "jobs_reading": 1, "submitted_total": 100, "cached_total": 30, "joined_total": 20, "facts_kept": 9,
        "workers_max": 2, "crashed_total": 1,
    }  # fmt: skip
    worker = {
        "pid": 77,
        "external": False,
        "state": "busy",
        "step": "reduce",
        "age_s": 3.2,
        "steps_left": 2,
        "lists": 4,
        "owner": "local",
    }
    return {
        "at_s": 100.0, "up_s": 50.0, "state": "", "events_down": "",
        "figures": {
            "build": [{"version": "1.2", "python": "3", "info": 1}], "engine": engine, "log": {"dropped_total": 7},
            "requests": [
                {"kind": "tile", "status": "2xx", "total": 40}, {"kind": "picture", "status": "5xx", "total": 3},
                {"kind": "operation", "status": "2xx", "total": 1000},
            ],
            "busy": [{"reason": "queue_full", "answers_total": 3}],
            "http": {"connections": 5, "sent_bytes_total": 1 << 20}, "root": [],
        },
        "workers": [{**worker, "pid": 70 + number} for number in range(30)],
        "waiting": {"interactive": 3, "prefetch": 0, "batch": 1, "longest_s": 2.5},
        "sessions": [], "runners": [], **more,
    }  # fmt: skip


def later(seconds: float, requests: int) -> dict[str, Any]:
    """The same daemon after a while."""
    found = answer(at_s=100.0 + seconds, up_s=50.0 + seconds)
    for each in found["figures"]["requests"]:
        each["total"] += requests
    found["figures"]["http"]["sent_bytes_total"] += 3 << 20
    return found


def test_rates_are_of_the_time_between_two_looks() -> None:
    samples = Samples(answer()).after(later(2.0, 8))
    assert samples.requests_per_s() == 8.0 and samples.requests_per_s(["tile"]) == 4.0  # Operators' own do not count.
    text = "\n".join(screen_of(samples, "here", 100))
    assert "8.0 requests/s, 4.0 tiles/s, 1.5M/s sent" in text and "4.0 errors/s, 0 of them busy" in text
    assert "4 wait of 200, interactive 3, batch 1, longest 2.5 s" in text and "crashed 1" in text
    assert "buffers 50 %" in text and "log lines dropped 7" in text


def test_a_daemon_that_was_started_again_has_no_rates_yet() -> None:
    assert Samples(later(9.0, 8)).after(answer()).requests_per_s() is None
    assert Samples(answer()).per_s("http", "none") is None


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (40, 30), (200, 60), (60, 9), (20, 4), (1, 1)])
def test_every_size_is_filled_and_not_more(columns: int, rows: int) -> None:
    lines = screen_of(Samples(answer()), "http://127.0.0.1:8765/", columns, rows)
    assert len(lines) <= rows and all(columns_of(line) <= columns for line in lines)
    if (columns, rows) == (80, 24):
        assert len(lines) == rows and re.fullmatch(r"  \.\.\. \d+ more", lines[-1])
        assert any(re.match(r"      70 busy      reduce     3.2 s  2 to do  list 4", line) for line in lines)


def test_words_are_short_and_right() -> None:
    assert [size_text(each) for each in (0, 999, 1023, 10_240, 1 << 20, 9.9 * 1024)] == [
        "0B",
        "999B",
        "1.0K",
        "10K",
        "1.0M",
        "9.9K",
    ]
    assert all(len(size_text(2**power - 1)) <= 5 for power in range(50))
    assert [rate_text(each) for each in (None, 0, 0.25, 12.4)] == ["-", "0", "0.2", "12"]
    assert [age_text(each) for each in (0.3, 59.6, 3000, 7200 * 6, 1e6)] == ["0.3 s", "60 s", "50 min", "12 h", "12 d"]
    assert fitted("日本語", 4) == "日~" and columns_of("日本語") == 6 and fitted("abc", 3) == "abc"
    assert bar([("#", 1), ("-", 0), (".", 50)], 100, 10) == "#.....    "
    assert flowed("web", ["a" * 30, "b" * 30], 40) == ["web " + "a" * 30 + ",", "  " + "b" * 30]

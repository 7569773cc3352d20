"""SIGHUP: other roots and limits are taken up, and nothing that is under way notices."""

import contextlib
import json
import os
import signal
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import trio

from tests.daemon.figures import metrics
from tests.daemon.rig import RunningDaemon, running_daemon
from tests.daemon.test_sessions import seated
from tests.frames import make
from tests.fronts.place import make_certificate
from tests.web.sitting import Sitter

LIMIT_S = 60.0
MIB = 1 << 20


def write_frames(folder: Path, *names: str, size: int = 1) -> Path:
    """Make a folder with frames."""
    folder.mkdir(exist_ok=True)
    for seed, name in enumerate(names):
        make.write(folder / f"{name}.fits", make.image_hdu(np.tile(make.star_field(300, 400, seed=seed), (size, size))))
    return folder


class Config:
    """A config file, and the daemon that reads it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines = 0

    def write(self, roots: Mapping[str, Path], **settings: object) -> None:
        """Write all that stands in it."""
        text = "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
        text += "[roots]\n" + "".join(f'{name} = "{place}"\n' for name, place in roots.items())
        self.path.write_text(text)

    async def reload(self, daemon: RunningDaemon) -> dict[str, Any]:
        """Have it read; wait for the line of the log that tells what became of it."""
        done = daemon.log().count("settings read again") + daemon.log().count("settings are kept as they were")
        os.kill(daemon.pid, signal.SIGHUP)
        found: list[dict[str, Any]] = []

        def is_told() -> bool:
            found[:] = [
                json.loads(line)
                for line in daemon.log().splitlines()
                if '"settings ' in line or "the settings are" in line
            ]
            return len(found) > done

        await daemon.settles(is_told, LIMIT_S)
        return found[-1]


async def run_of(sitter: Sitter, runner: str) -> dict[str, Any]:
    """Run a runner, and wait for the run's end."""
    turn = (await sitter.ask("run", runner=runner))["state"]["turn"]
    with trio.fail_after(LIMIT_S):
        while True:
            for told in sitter.told:
                if told.get("runner") == runner and told.get("turn") == turn and told["op"] in ("completed", "failed"):
                    return told
            await sitter.hear()


async def events_of(daemon: RunningDaemon) -> list[dict[str, Any]]:
    """Read all events that there are."""
    epoch = json.loads((await daemon.get("/events")).body)["cursor"].partition(":")[0]
    events: list[dict[str, Any]] = []
    cursor = f"{epoch}:0"
    while True:
        answer = json.loads((await daemon.get(f"/events?since={cursor}&limit=100")).body)
        events += answer["events"]
        cursor = answer["cursor"]
        if answer["live"]:
            return events


async def test_roots_and_limits_become_others_and_sessions_stay(tmp_path: Path) -> None:
    a, b, c = (write_frames(tmp_path / name, "one", "two") for name in "abc")
    config = Config(tmp_path / "imgd.toml")
    config.write({"a": a, "b": b}, budget_bytes="64MiB", workers_max=2)
    async with running_daemon([], config=config.path) as daemon, seated(daemon) as sitter:
        runner = (await sitter.ask("open", view={"frame": "a/one.fits", "size": "100,"}))["runner"]
        follower = (await sitter.ask("open", follow="b", view={"size": "100,"}))["runner"]
        assert (await run_of(sitter, runner))["op"] == "completed"
        template = json.loads((await daemon.get("/tiles/b/one.fits/tiles.json")).body)["template"]
        tile = template.format(z=0, x=0, y=0)
        assert (await daemon.get(tile)).status == (await daemon.get(tile)).status == 200
        before = await metrics(daemon)

        config.write({"a": a, "c": c}, budget_bytes="32MiB", workers_max=1, queue_max=7, story_max=9)
        line = await config.reload(daemon)
        assert line["level"] == "info"
        assert "roots a b -> a c" in line["message"] and "budget_bytes 67108864 -> 33554432" in line["message"]
        assert line["message"].endswith("; these need a restart: story_max"), line
        assert [each["name"] for each in json.loads((await daemon.get("/frames")).body)["entries"]] == ["a", "c"]
        assert (await daemon.get("/img?frame=c/one.fits")).status == 200
        assert (await daemon.get("/img?frame=b/one.fits")).status == 404
        assert (await daemon.get(tile)).status == 404
        after = await metrics(daemon)
        assert (after["imgd_engine_budget_bytes"], after["imgd_engine_queue_max"]) == (32 * MIB, 7)
        assert after["imgd_engine_template_pid"] != before["imgd_engine_template_pid"]
        assert after["imgd_live_sessions"] == 1 and after["imgd_live_runners"] == 2
        assert (await run_of(sitter, runner))["op"] == "completed"
        with trio.fail_after(LIMIT_S):  # Its console tells that there is nothing to follow any more.
            while not any(
                "there is no frame" in entry["text"]
                for entry in (await sitter.ask("log", runner=follower, since=0))["entries"]
            ):
                await trio.sleep(0.05)
        events = await events_of(daemon)
        assert {("root.vanished", "b"), ("root.appeared", "c")} <= {(one["type"], one.get("root")) for one in events}
        make.write(c / "late.fits", make.image_hdu(make.star_field(100, 100)))
        await until_told(daemon, "c", "late.fits")

        config.path.write_text("queue_max = 0\n")
        line = await config.reload(daemon)
        assert line["level"] == "error" and "queue_max" in line["message"]
        config.path.write_text("= 3")
        assert "is not TOML" in (await config.reload(daemon))["message"]
        after = await metrics(daemon)
        assert (after["imgd_engine_queue_max"], after["imgd_settings_reloads_failed_total"]) == (7, 2)
        assert (await daemon.get("/img?frame=c/two.fits")).status == 200
        assert (await run_of(sitter, runner))["op"] == "completed"


async def until_told(daemon: RunningDaemon, root: str, path: str) -> None:
    """Wait until an event tells of a frame."""
    with trio.fail_after(LIMIT_S):
        while True:
            events = await events_of(daemon)
            if any(
                one["type"] == "frame.arrived" and one["path"] == path and one.get("root") == root for one in events
            ):
                return
            await trio.sleep(0.05)


async def test_pictures_under_way_survive_every_reload(tmp_path: Path) -> None:
    """Big pictures, again and again, while roots come and go and the budget breathes: each comes, none is begun anew
    after its first byte, and the memory of all of them is never above the greater budget."""
    big = write_frames(tmp_path / "big", "x", size=6)
    other = write_frames(tmp_path / "other", "y")
    config = Config(tmp_path / "imgd.toml")
    config.write({"big": big}, budget_bytes="96MiB", workers_max=2)
    statuses: list[int] = []
    peak = 0
    async with running_daemon([], config=config.path) as daemon:
        over = trio.Event()

        async def ask(number: int) -> None:
            done = 0
            while not over.is_set() or done < 2:
                done += 1
                black = 0.01 + 0.1 * number + 0.001 * (done % 90)
                answer = await daemon.get(f"/img?frame=big/x.fits&size=max&levels={black:.4f},0.99")
                statuses.append(answer.status)

        async def watch() -> None:
            nonlocal peak
            while not over.is_set():
                peak = max(peak, daemon.segment_bytes())
                await trio.sleep(0.01)

        async with trio.open_nursery() as nursery:
            for number in range(3):
                nursery.start_soon(ask, number)
            nursery.start_soon(watch)
            for turn in range(3):
                roots = {"big": big, "other": other} if turn % 2 == 0 else {"big": big}
                config.write(roots, budget_bytes="48MiB" if turn % 2 == 0 else "96MiB", workers_max=1 + turn % 2)
                assert (await config.reload(daemon))["level"] == "info"
            over.set()
        assert set(statuses) == {200} and len(statuses) >= 6
        assert peak <= 96 * MIB
        figures = await metrics(daemon)
        assert figures["imgd_engine_budget_bytes"] == 48 * MIB and daemon.segment_bytes() <= 48 * MIB
        await daemon.settles(lambda: len(templates(daemon)) == 1)  # Those of before are gone with their last worker.


def templates(daemon: RunningDaemon) -> list[int]:
    """Children of the daemon itself: its templates."""
    return [
        pid
        for pid in daemon.children()
        if int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[1]) == daemon.pid
    ]


async def test_a_renewed_certificate_is_shown_when_all_the_rest_is_taken_up(tmp_path: Path) -> None:
    """And not before: while no workers can be had by the new settings, all is as it was."""
    a, b = write_frames(tmp_path / "a", "one"), write_frames(tmp_path / "b", "one")
    made = make_certificate(tmp_path)
    config = Config(tmp_path / "imgd.toml")
    config.write({"a": a})
    async with running_daemon([], config=config.path, certificate=made) as daemon:

        async def shown() -> str:
            return await trio.to_thread.run_sync(ssl.get_server_certificate, (daemon.host, daemon.port))

        before = await shown()
        [first] = templates(daemon)
        (tmp_path / "new").mkdir()
        new = make_certificate(tmp_path / "new")
        new.certfile.replace(made.certfile)
        new.keyfile.replace(made.keyfile)
        config.write({"a": a, "b": b})

        async def break_template() -> None:
            while True:
                for pid in set(templates(daemon)) - {first}:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                await trio.sleep(0.01)

        async with trio.open_nursery() as breaking:
            breaking.start_soon(break_template)
            line = await config.reload(daemon)
            assert line["level"] == "error" and "no workers could be had" in line["message"], line
            assert await shown() == before
            breaking.cancel_scope.cancel()
        line = await config.reload(daemon)
        assert "roots a -> a b, another certificate, which expires at " in line["message"]
        assert await shown() != before
        assert "nothing to take up" in (await config.reload(daemon))["message"], "it is the same one"

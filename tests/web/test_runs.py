"""Runners over a websocket: runs, pictures and tiles, what ends them, and who is told."""

import json
from pathlib import Path
from typing import Any

import trio

from cgi_worker.wire.facts import Facts
from imgd.errors import PlanTooBig
from tests.web.course import CUT
from tests.web.rig import MemoryEngine, serving
from tests.web.sitting import sitting

VIEW = "frame=night/a.fits"


async def settled(is_so: Any) -> None:
    with trio.fail_after(5):
        while not is_so():  # Tasks of the application itself are waited for.
            await trio.sleep(0.005)


async def test_a_run_tells_its_steps_then_its_results_then_one_end(tmp_path: Path) -> None:
    async with serving(tmp_path, MemoryEngine()) as served, sitting(served.port) as client:
        runner = await client.open(VIEW)
        end = await client.run(runner)
        assert client.ops(runner) == ["accepted", "step", "facts", "step", "levels", "step", "completed"]
        assert end["result"]["steps"] == ["parse", "encode"]
        (picture,) = client.shown
        assert (picture.version, picture.kind, picture.format, picture.level) == (1, 1, 1, 255)
        assert (picture.width_px, picture.height_px, picture.size_bytes) == (300, 400, len(picture.body))
        assert end["result"]["picture"]["href"].startswith("img?frame=night/a.fits")
        assert end["result"]["run"] == client.told[0]["run"]


async def test_the_same_view_again_is_told_as_cached_under_the_same_run(tmp_path: Path) -> None:
    async with serving(tmp_path, MemoryEngine()) as served:
        runs = []
        for _ in range(2):
            async with sitting(served.port) as client:
                await client.run(await client.open(VIEW))
                runs.append(client.told)
        first, second = runs
        assert [each["run"] for each in (first[0], second[0])] == [first[0]["run"]] * 2
        assert not any(each["cached"] for each in first if each["op"] == "step")
        assert all(each["cached"] for each in second if each["op"] == "step" and each["state"] == "end")


async def test_a_histogram_is_a_second_plan_whose_steps_follow_those_of_the_first(tmp_path: Path) -> None:
    async with serving(tmp_path, MemoryEngine()) as served, sitting(served.port) as client:
        runner = await client.open(VIEW, results=["histogram", "picture"])
        end = await client.run(runner)
        numbers = [each["number"] for each in client.told if each["op"] == "step" and each["state"] == "end"]
        assert numbers == [0, 1, 2]
        assert end["result"]["steps"] == ["parse", "encode", "measure"]
        assert next(each for each in client.told if each["op"] == "histogram")["document"] == {"counts": [1, 2]}
        assert "facts" not in client.ops()


async def test_facts_alone_make_no_picture(tmp_path: Path) -> None:
    engine = MemoryEngine()
    async with serving(tmp_path, engine) as served, sitting(served.port) as client:
        runner = await client.open(VIEW, results=["facts"])
        assert (await client.run(runner))["op"] == "completed"
        assert client.shown == []
        assert "encode" not in [each.get("step") for each in client.told]


async def test_a_viewport_is_shown_in_tiles_and_only_what_is_new_is_made(tmp_path: Path) -> None:
    engine = MemoryEngine()
    async with serving(tmp_path, engine) as served, sitting(served.port) as client:
        runner = await client.open(VIEW)
        await client.ask("viewport", runner=runner, level=0, box=[0, 0, 256, 256])
        await client.until("completed")
        await settled(lambda: not engine.under_way)
        await client.ask("viewport", runner=runner, level=0, box=[0, 0, 300, 256])
        await client.until("completed", count=2)
        assert [(each.column, each.row, each.kind, each.width_px) for each in client.shown] == [
            (0, 0, 2, 256),
            (1, 0, 2, 44),
        ]
        assert len(engine.begun[-1].have) == 1


async def test_a_newer_run_stops_the_older_one_only_when_it_is_with_the_engine(tmp_path: Path) -> None:
    engine = MemoryEngine()
    engine.course.gate = trio.Event()
    async with serving(tmp_path, engine, set_rest_s=0) as served, sitting(served.port) as client:
        runner = await client.open(VIEW)
        await client.ask("run", runner=runner)
        await client.until("step", count=2)
        await client.ask("set", runner=runner, changes={"quality": 50})
        assert (await client.until("cancelled"))["why"] == "superseded"
        await settled(lambda: engine.begun[0].cancelled)
        assert [each.beside for each in engine.begun] == [0, 1]
        engine.course.gate.set()
        assert (await client.until("completed"))["turn"] == 2
        await settled(lambda: engine.under_way == 0)


async def test_of_two_hundred_changes_a_few_run_and_the_last_is_shown(tmp_path: Path) -> None:
    engine = MemoryEngine()
    async with serving(tmp_path, engine) as served, sitting(served.port) as client:
        runner = await client.open(VIEW)
        await client.run(runner)
        for number in range(200):
            message = {"id": 1000 + number, "op": "set", "runner": runner, "changes": {"power": 1 + number / 100}}
            await client.socket.send_message(json.dumps(message))
        with trio.fail_after(10):
            while f"power={1 + 199 / 100}" not in str(client.told[-1]) or client.told[-1]["op"] != "completed":
                await client.hear()
        assert len(engine.begun) < 60
        assert "power=2.99" in client.told[-1]["result"]["picture"]["href"]


async def test_a_session_takes_all_of_its_with_it(tmp_path: Path) -> None:
    engine = MemoryEngine()
    engine.course.gate = trio.Event()
    async with serving(tmp_path, engine) as served:
        before = served.app.runs.statistics()
        async with sitting(served.port) as client:
            for _ in range(3):
                await client.ask("run", runner=await client.open(VIEW))
            await settled(lambda: engine.under_way == 3)
        await settled(lambda: not engine.under_way)
        after = served.app.runs.statistics()
        assert (after.sessions, after.sessions_parked, after.runners, after.runs) == (before.sessions, 0, 0, 0)
        assert all(each.cancelled for each in engine.begun)


async def test_a_run_that_takes_too_long_fails(tmp_path: Path) -> None:
    engine = MemoryEngine()
    engine.course.gate = trio.Event()
    async with serving(tmp_path, engine, run_limit_s=0.1) as served, sitting(served.port) as client:
        end = await client.run(await client.open(VIEW))
        assert (end["op"], end["code"]) == ("failed", 504)
        assert served.app.runs.statistics().over_time_total == 1
        await settled(lambda: engine.under_way == 0)


async def test_a_plan_over_a_budget_says_which(tmp_path: Path) -> None:
    engine = MemoryEngine()
    async with serving(tmp_path, engine, run_steps_max=7) as served, sitting(served.port) as client:
        runner = await client.open(VIEW)
        for parameter in ("steps", "bytes"):
            engine.course.fail = PlanTooBig("is too much", parameter)
            end = await client.run(runner)
            assert (end["op"], end["code"]) == ("failed", 413)
        figures = served.app.runs.statistics()
        assert (figures.over_steps_total, figures.over_bytes_total) == (1, 1)
        assert engine.begun[0].limits.steps_max == 7


async def test_what_the_reader_warns_of_is_in_the_console(tmp_path: Path) -> None:
    engine = MemoryEngine()
    engine.course.facts = Facts("fits", (CUT,), 0, ("HDU 0 is cut short",), whole=False)
    async with serving(tmp_path, engine) as served, sitting(served.port) as client:
        runner = await client.open(VIEW, results=["picture"])
        await client.run(runner)
        entries = (await client.ask("log", runner=runner))["entries"]
        warnings = [each["text"] for each in entries if each["severity"] == "warning"]
        assert warnings == ["truncated: 210 of 400 rows", "HDU 0 is cut short"]


async def test_sessions_hear_of_their_own_runners_only(tmp_path: Path) -> None:
    async with serving(tmp_path, MemoryEngine()) as served, sitting(served.port) as one, sitting(served.port) as other:
        runner = await one.open(VIEW)
        asked: dict[str, dict[str, Any]] = {"run": {}, "close": {}, "log": {}, "set": {"changes": {}}}
        for op, more in asked.items():
            assert (await other.ask(op, runner=runner, **more))["status"] == 404
        await one.run(runner)
        await other.ask("ping")
        assert other.told == []
        assert other.shown == []


async def test_who_attaches_is_told_and_may_drive(tmp_path: Path) -> None:
    async with serving(tmp_path, MemoryEngine()) as served, sitting(served.port) as one, sitting(served.port) as other:
        runner = await one.open(VIEW)
        assert (await other.ask("attach", runner=runner))["op"] == "attached"
        await other.run(runner)
        await one.until("completed")
        assert len(one.shown) == len(other.shown) == 1


async def test_bytes_still_end_it(tmp_path: Path) -> None:
    engine = MemoryEngine()
    engine.course.gate = trio.Event()
    async with serving(tmp_path, engine) as served, sitting(served.port) as client:
        await client.ask("run", runner=await client.open(VIEW))
        await client.socket.send_message(b"bytes")
        await settled(lambda: served.app.runs.statistics().sessions == 0)
        await settled(lambda: engine.under_way == 0)

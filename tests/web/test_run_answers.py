"""`/runs`: the same run by plain HTTP."""

import json
from pathlib import Path
from typing import Any

import pytest
import trio

from imgd.errors import NoSuchFrame
from tests.web import peer
from tests.web.posting import get, post
from tests.web.rig import MemoryEngine, made, serving
from tests.web.rig import get as ask
from tests.web.sitting import sitting


async def test_it_answers_as_a_session_does(tmp_path: Path) -> None:
    results = ["facts", "levels", "histogram", "picture"]
    async with serving(tmp_path, MemoryEngine()) as served, sitting(served.port) as client:
        end = await client.run(await client.open({"frame": "night/a", "quality": 50}, results=results))
        by_post = await post(served.port, {"view": {"frame": "night/a", "quality": 50}, "results": results})
        by_get = await get(served.port, "frame=night/a&quality=50&results=" + ",".join(results))
        for answer in map(json.loads, (by_post.body, by_get.body)):
            assert answer["result"] == end["result"]
            assert answer["run"] == client.told[0]["run"]
            told = [each for each in client.told if each["op"] == "step" and each["state"] == "end"]
            assert [(each["number"], each["step"]) for each in answer["steps"]] == [
                (each["number"], each["step"]) for each in told
            ]
            assert all(each["cached"] for each in answer["steps"])


async def test_a_viewport_has_the_same_tiles(tmp_path: Path) -> None:
    engine = MemoryEngine()
    async with serving(tmp_path, engine) as served, sitting(served.port) as client:
        runner = await client.open("frame=night/a")
        await client.ask("viewport", runner=runner, level=0, box=[0, 0, 300, 300])
        end = await client.until("completed")
        answer = await post(served.port, {"view": "frame=night/a", "viewport": {"level": 0, "box": [0, 0, 300, 300]}})
        assert json.loads(answer.body)["result"] == end["result"]
        assert len(end["result"]["tiles"]) == 4
        assert engine.begun[0].wanted == engine.begun[1].wanted


async def test_all_of_a_picture_is_fitted_before_its_size_is_known(tmp_path: Path) -> None:
    engine = MemoryEngine()
    async with serving(tmp_path, engine, rows="down") as served, sitting(served.port) as client:
        await client.open("frame=night/a", viewport={"fit": [300, 200], "dpr": 2})
        end = await client.until("completed")
        answer = json.loads((await post(served.port, {"view": "frame=night/a", "viewport": {"fit": [300, 200]}})).body)
        assert answer["result"] == end["result"] and answer["version"] == client.told[0]["version"] != ""
        assert answer["rows"] == (await client.ask("hello"))["rows"] == "down"
        assert engine.begun[0].wanted == engine.begun[1].wanted


@pytest.mark.parametrize(
    ("body", "status", "parameter"),
    [
        (b"{", 400, "body"),
        ({"view": "frame=a", "more": 1}, 400, "body"),
        ({"view": "frame=a", "results": ["all"]}, 400, "body"),
        ({"view": "frame=a", "results": []}, 400, "results"),
        ({"view": "frame=a", "results": ["facts", "facts"]}, 400, "results"),
        ({"view": "frame=a&zoom=2"}, 400, "zoom"),
        ({"view": {}}, 400, "frame"),
        ({"view": "frame=a", "viewport": {"level": 0, "box": [0, 0, 1e9, 10]}}, 400, "box"),
        ({"view": "frame=a", "viewport": {"level": 0, "box": [0, 0, 20_000, 20_000]}}, 400, "box"),
        (b" " * 2_000, 413, "body"),
        ({"view": "frame=missing"}, 404, "frame"),
    ],
)
async def test_what_is_wrong_is_a_problem(tmp_path: Path, body: Any, status: int, parameter: str) -> None:
    engine = MemoryEngine()
    engine.course.refuse = NoSuchFrame("there is no such frame", "frame")
    async with serving(tmp_path, engine, message_bytes=1_024) as served:
        answer = await post(served.port, body)
        assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
        assert json.loads(answer.body)["parameter"] == parameter


@pytest.mark.parametrize("query", ["frame=a&results=all", "frame=a&results=facts&results=levels", "frame=a&results="])
async def test_a_query_is_read_strictly(tmp_path: Path, query: str) -> None:
    async with serving(tmp_path, MemoryEngine()) as served:
        answer = await get(served.port, query)
        assert (answer.status, json.loads(answer.body)["parameter"]) == (400, "results")


async def test_a_name_that_is_not_utf8_comes_through(tmp_path: Path) -> None:
    engine = MemoryEngine()
    async with serving(tmp_path, engine) as served:
        answer = json.loads((await get(served.port, "frame=night/%ff%26")).body)
        assert answer["result"]["frame"] == "night/%FF%26"
        assert engine.begun[0].wanted.frame == "night/\udcff&"


async def test_a_run_ends_with_its_client(tmp_path: Path) -> None:
    engine = MemoryEngine()
    engine.course.gate = trio.Event()
    async with serving(tmp_path, engine) as served:
        async with await peer.connect(served.port) as stream:
            await stream.send_all(peer.request("/runs?frame=night/a"))
            with trio.fail_after(5):
                while not engine.under_way:
                    await trio.sleep(0.005)
        with trio.fail_after(5):
            while engine.under_way:
                await trio.sleep(0.005)
        assert engine.begun[0].cancelled


async def test_it_is_bounded_in_time(tmp_path: Path) -> None:
    engine = MemoryEngine()
    engine.course.gate = trio.Event()
    async with serving(tmp_path, engine, run_limit_s=0.1) as served:
        assert (await get(served.port, "frame=night/a")).status == 504


async def test_it_is_described(tmp_path: Path) -> None:
    with made(tmp_path, MemoryEngine()) as served:
        paths = json.loads((await ask(served.app, "/openapi.json")).body)["paths"]
        assert {"get", "post"} <= paths["/runs"].keys()

"""Sessions of the real daemon: what ends with them, what may be resumed, what is replayed, who is told."""

import ctypes
import json
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trio
from trio_websocket import wrap_client_stream

from imgd.core.sessions.told import RunAnswer
from tests.daemon.figures import metrics
from tests.daemon.rig import RunningDaemon, running_daemon
from tests.frames import make
from tests.sessions.telling import check_fields, check_told
from tests.web import peer
from tests.web.posting import get, post
from tests.web.sitting import Sitter

SO_ATTACH_FILTER = 26
ALL = ["facts", "levels", "histogram", "picture"]
COUNTS = ("live_sessions", "live_sessions_parked", "live_runners", "live_runs", "engine_jobs", "engine_leased_bytes",
          "engine_reserved_bytes", "events_feeds", "sessions_sessions", "sessions_uids")  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with some frames: small ones, a big one, one that was cut."""
    place = tmp_path_factory.mktemp("frames")
    sky = make.star_field(400, 300)
    for name in ("a", "b", "c"):
        make.write(place / f"{name}.fits", make.image_hdu(sky))
    make.write(place / "big.fits", make.image_hdu(np.tile(sky, (20, 20))))
    make.cut(make.write(place / "cut.fits", make.image_hdu(sky, pad=False)), 2880 + 210 * 300 * 2)
    return place


@asynccontextmanager
async def seated(daemon: RunningDaemon) -> AsyncIterator[Sitter]:
    """Open a session."""
    async with daemon.websocket("/live") as connection:
        yield Sitter(connection)


@asynccontextmanager
async def broken(daemon: RunningDaemon) -> AsyncIterator[tuple[Sitter, trio.SocketStream]]:
    """Open a session whose connection the test ends as it likes."""
    async with await peer.connect(daemon.port) as stream, trio.open_nursery() as nursery:
        client = await wrap_client_stream(nursery, stream, f"127.0.0.1:{daemon.port}", "/live")
        yield Sitter(client), stream
        nursery.cancel_scope.cancel()


def vanish(stream: trio.SocketStream) -> None:
    """Be gone without a word, as a machine whose power has failed: all that comes is dropped, nothing is answered."""
    drop = ctypes.create_string_buffer(struct.pack("=HBBI", 0x06, 0, 0, 0))  # A filter of one instruction: return 0.
    stream.socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("@HP", 1, ctypes.addressof(drop)))


async def counts(daemon: RunningDaemon) -> dict[str, float]:
    """Count what a session may hold."""
    figures = await metrics(daemon)
    return {name: figures[f"imgd_{name}"] for name in COUNTS}


async def until(daemon: RunningDaemon, limit_s: float = 10.0, **wanted: float) -> dict[str, float]:
    """Wait until metrics are so."""
    with trio.fail_after(limit_s):
        while True:
            figures = await metrics(daemon)
            if all(figures[f"imgd_{name}"] == value for name, value in wanted.items()):
                return figures
            await trio.sleep(0.02)


async def test_a_session_ends_with_its_socket_and_all_that_it_had(folder: Path) -> None:
    async with running_daemon(f"f={folder}", workers_max=1, worker_threads=1) as daemon:
        async with seated(daemon) as client:
            await client.run(await client.open("frame=f/a.fits"))
        before = await counts(daemon)
        async with seated(daemon) as client:
            await client.ask("subscribe")
            await client.ask("src", view="frame=f/a.fits")
            for quality in range(3):
                await client.ask("run", runner=await client.open(f"frame=f/big.fits&quality={10 + quality}&size=max"))
            await until(daemon, live_runs=3)
        await until(daemon, engine_jobs=0, live_sessions=0)
        assert await counts(daemon) == before
        assert (await metrics(daemon))["imgd_live_runs_cancelled_total"] >= 1


async def test_a_client_that_vanishes_is_noticed_within_two_periods_and_its_work_ended(folder: Path) -> None:
    async with running_daemon(f"f={folder}", ping_s=2) as daemon, broken(daemon) as (client, stream):
        await client.open(follow="f", view="")
        await client.until("completed")
        vanish(stream)
        figures = await until(daemon, 2 * 2.0 + 3.0, live_sessions=0)  # The kernel looks now and then only.
        assert (figures["imgd_live_runs"], figures["imgd_engine_jobs"]) == (0, 0)


async def test_who_broke_off_may_resume_with_the_secret_and_nobody_else(folder: Path) -> None:
    async with running_daemon(f"f={folder}") as daemon:
        async with broken(daemon) as (client, stream):
            hello = await client.ask("hello")
            runner = await client.open("frame=f/a.fits&quality=33")
            await client.run(runner)
            await client.ask("pause", runner=runner)
            peer.reset(stream)
        await until(daemon, live_sessions=0, live_sessions_parked=1, live_runs=0)
        async with seated(daemon) as other:
            for secret in ("x", hello["resume"][:-1], hello["session"]):
                reply = await other.ask("hello", resume=secret)
                assert (reply["resumed"], reply["runners"]) == (False, [])
            assert (await other.ask("attach", runner="x"))["status"] == 404
        async with seated(daemon) as again:
            reply = await again.ask("hello", resume=hello["resume"])
            assert reply["resumed"]
            assert [(each["runner"], each["paused"]) for each in reply["runners"]] == [(runner, True)]
            assert "quality=33" in reply["runners"][0]["view"]
            assert (await again.run(runner))["op"] == "completed"


async def test_a_fitted_picture_and_the_types_of_what_is_told(folder: Path) -> None:
    async with running_daemon(f"f={folder}") as daemon, seated(daemon) as client:
        await client.open("frame=f/big.fits", viewport={"fit": [700, 1000]}, results=ALL)
        await client.until("completed")
        for message in client.told:
            check_told(message, inside=True)
        assert [each["document"]["hdus"][0]["shape"] for each in client.told if each["op"] == "facts"] == [[8000, 6000]]
        fitted = [each for each in client.shown if each.level == 3]  # 750 x 1000 pixels.
        assert len(fitted) == 4 * 3 and {each.level for each in client.shown} == {3, 5}
        document = json.loads((await get(daemon.port, "frame=f/big.fits&results=facts,levels,picture")).body)
        check_fields(document, RunAnswer)
        accepted = next(each for each in client.told if each["op"] == "accepted")
        assert accepted["version"] == document["version"]


async def test_who_said_goodbye_may_not_resume(folder: Path) -> None:
    async with running_daemon(f"f={folder}") as daemon:
        async with seated(daemon) as client:
            hello = await client.ask("hello")
            await client.open("frame=f/a.fits")
        await until(daemon, live_sessions=0, live_sessions_parked=0, live_runners=0)
        async with seated(daemon) as again:
            assert not (await again.ask("hello", resume=hello["resume"]))["resumed"]


async def test_who_opens_several_frames_of_very_many_hdus_is_not_taken_for_stalled(tmp_path: Path) -> None:
    small = make.image_hdu(np.zeros((2, 2), np.uint16), primary=False, cards=[make.card("EXTNAME", "E" * 60)])
    make.write(tmp_path / "many.fits", make.empty_hdu(), *[small] * 2000)
    async with running_daemon(f"f={tmp_path}", workers_max=1) as daemon, seated(daemon) as client:
        runners = [await client.open(f"frame=f/many.fits&hdu={1 + n}", results=["facts"]) for n in range(8)]
        for runner in runners:
            await client.socket.send_message(json.dumps({"id": 99, "op": "run", "runner": runner}))
        await client.until("completed", count=len(runners))


async def test_tabs_do_not_see_each_others_runners(folder: Path) -> None:
    async with running_daemon(f"f={folder}") as daemon, seated(daemon) as one, seated(daemon) as other:
        mine, theirs = await one.open("frame=f/a.fits"), await other.open("frame=f/a.fits")
        assert mine != theirs
        await one.run(mine)
        await one.ask("viewport", runner=mine, level=0, box=[0, 0, 300, 400])
        await one.until("completed", count=2)
        assert (await other.ask("set", runner=mine, changes={"quality": 1}))["status"] == 404
        await other.ask("ping")
        assert (other.told, other.shown) == ([], [])
        await other.run(theirs)
        assert {each["runner"] for each in other.told} == {theirs}


async def test_the_same_view_again_replays_every_step_from_the_cache(folder: Path) -> None:
    async with running_daemon(f"f={folder}") as daemon:
        told: list[list[dict[str, Any]]] = []
        made: list[float] = []  # Jobs that were not just found done.
        for _ in range(2):
            async with seated(daemon) as client:
                end = await client.run(await client.open("frame=f/a.fits", results=ALL))
                assert end["op"] == "completed", end
                told.append([each for each in client.told if each["op"] == "step" and each["state"] == "end"])
                assert len(client.shown) == 1
            figures = await metrics(daemon)
            made.append(figures["imgd_engine_submitted_total"] - figures["imgd_engine_cached_total"])
        assert [each["step"] for each in told[0]] == [each["step"] for each in told[1]]
        assert not any(each["cached"] for each in told[0][:3])
        assert all(each["cached"] for each in told[1])
        assert made[0] == made[1], "something was computed again"


@pytest.mark.parametrize("window", [None, {"level": 0, "box": [0, 0, 300, 400]}])
async def test_a_run_by_http_is_the_same_run(folder: Path, window: dict[str, Any] | None) -> None:
    view = {"frame": "f/b.fits", "stretch": "asinh"}
    async with running_daemon(f"f={folder}") as daemon, seated(daemon) as client:
        runner = await client.open(view, results=ALL)
        if window is None:
            end = await client.run(runner)
        else:
            await client.ask("viewport", runner=runner, **window)
            end = await client.until("completed", "failed")
        assert end["op"] == "completed", end
        body = {"view": view, "results": ALL, **({"viewport": window} if window else {})}
        answers = [await post(daemon.port, body)]
        if window is None:
            answers.append(await get(daemon.port, "frame=f/b.fits&stretch=asinh&results=" + ",".join(ALL)))
        for answer in answers:
            assert answer.status == 200, answer.body
            document = json.loads(answer.body)
            assert document["result"] == end["result"]
            assert document["run"] == next(each for each in client.told if each["op"] == "accepted")["run"]
            steps = [each["step"] for each in client.told if each["op"] == "step" and each["state"] == "end"]
            assert [each["step"] for each in document["steps"]] == steps == end["result"]["steps"]
        if window is None:
            picture = end["result"]["picture"]
            by_address = await daemon.get("/" + picture["href"])
            assert (by_address.body, by_address.headers["etag"]) == (client.shown[0].body, picture["etag"])


async def test_two_hundred_changes_cost_a_few_runs_and_the_last_one_is_shown(folder: Path) -> None:
    async with running_daemon(f"f={folder}") as daemon, seated(daemon) as client:
        runner = await client.open("frame=f/big.fits&size=300,")
        await client.run(runner)
        for number in range(200):
            change = {"id": 1000 + number, "op": "set", "runner": runner, "changes": {"quality": 1 + number % 99}}
            await client.socket.send_message(json.dumps(change))
        await client.socket.send_message(
            json.dumps({"id": 2000, "op": "set", "runner": runner, "changes": {"quality": 77}})
        )
        with trio.fail_after(20):
            while not (client.told[-1]["op"] == "completed" and "quality=77" in str(client.told[-1]["result"])):
                await client.hear()
        assert client.shown[-1].turn == client.told[-1]["turn"]
        assert (await metrics(daemon))["imgd_live_runs_begun_total"] < 60


async def test_budgets_are_told_and_counted(folder: Path) -> None:
    few = {"run_steps_max": 3, "runners_max": 2, "sessions_owner_max": 1}
    async with running_daemon(f"f={folder}", **few) as daemon, seated(daemon) as client:
        end = await client.run(await client.open("frame=f/a.fits"))
        assert (end["op"], end["code"]) == ("failed", 413)
        await client.open("frame=f/b.fits")
        assert (await client.ask("open", view="frame=f/c.fits"))["op"] == "error"
        assert (await peer.upgrade(daemon.port, "/live")).startswith(b"HTTP/1.1 503")
        figures = await metrics(daemon)
        names = ("over_steps", "refused_runners", "refused_sessions")
        assert [figures[f"imgd_live_{name}_total"] for name in names] == [1, 1, 1]
    async with running_daemon(f"f={folder}", run_bytes="1MiB", run_limit_s=30) as daemon, seated(daemon) as client:
        end = await client.run(await client.open("frame=f/big.fits"))
        assert (end["op"], end["code"]) == ("failed", 413)
        assert (await metrics(daemon))["imgd_live_over_bytes_total"] == 1
    async with running_daemon(f"f={folder}", run_limit_s=0.1, worker_threads=1) as daemon, seated(daemon) as client:
        end = await client.run(await client.open("frame=f/big.fits&size=max&format=png"))
        assert (end["op"], end["code"]) == ("failed", 504)
        assert (await metrics(daemon))["imgd_live_over_time_total"] == 1
        await until(daemon, engine_jobs=0)


async def test_the_console_tells_of_a_cut_frame_and_the_log_has_the_same_lines(folder: Path) -> None:
    async with running_daemon(f"f={folder}") as daemon, seated(daemon) as client:
        runner = await client.open("frame=f/cut.fits")
        await client.run(runner)
        log = await client.ask("log", runner=runner)
        texts = {each["text"]: each["severity"] for each in log["entries"]}
        assert texts["truncated: 210 of 400 rows"] == "warning"
        assert any(text.startswith("reduce") for text in texts)
        run = client.told[0]["run"]
        assert f"{run}: truncated: 210 of 400 rows" in daemon.log()
        assert len((await client.ask("log", runner=runner, since=log["last"]))["entries"]) == 0

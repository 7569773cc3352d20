"""The log of events through the real daemon: every client gets each event once, in order, and nothing else suffers."""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import trio
from trio_websocket import ConnectionClosed

from tests.daemon import kernel
from tests.daemon.following import Follower, another_writer, drafts, following, publish_all, quiet_daemon, until_seen
from tests.daemon.rig import PROJECT, RunningDaemon, starting_daemon
from tests.frames import make
from tests.web.peer import UPGRADE, read_until, request

ODD = [["path", "glob", "*[13579].fits"]]
MANY = 100_000
UNKNOWN = "ffffffffffffffff:1"


@pytest.fixture
def roots(tmp_path: Path) -> str:
    (tmp_path / "night").mkdir()
    return f"night={tmp_path}/night"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    return tmp_path / "state"


async def test_every_client_gets_every_event_once(roots: str, folder: Path) -> None:
    async with another_writer(folder) as (where, store), quiet_daemon(roots, where, store) as daemon:
        async with trio.open_nursery() as nursery:
            armed, done = [trio.Event() for _ in range(8)], []

            async def follow(number: int) -> None:
                async with following(daemon) as client:
                    head = (await client.ask(op="subscribe"))["head"]
                    armed[number].set()
                    first = int(head.partition(":")[2]) + 1
                    done.append(await client.until(1, first + 299) == list(range(first, first + 300)))

            for number in range(8):
                nursery.start_soon(follow, number)
            for each in armed:
                await each.wait()
            for start in range(0, 300, 30):
                await store.publish(drafts(30, start + 1))
        assert done == [True] * 8


async def test_the_same_filter_thrice_and_overlapping_ones(roots: str, folder: Path) -> None:
    async with another_writer(folder) as (where, store), quiet_daemon(roots, where, store) as daemon:
        async with following(daemon) as client:
            head = int((await client.ask(op="subscribe", filters=ODD))["head"].partition(":")[2])
            await client.ask(op="subscribe", filters=ODD)
            await client.ask(op="subscribe", filters=ODD)
            await client.ask(op="subscribe", filters=[["hdu.N", ">", 4]])
            await store.publish(drafts(6))
            await client.until(4, head + 6)
        assert client.copies == [
            ([1, 2, 3], head + 1), ([1, 2, 3], head + 3), ([1, 2, 3, 4], head + 5), ([4], head + 6),
        ]  # fmt: skip


async def test_a_replay_beside_a_live_one(roots: str, folder: Path) -> None:
    async with another_writer(folder) as (where, store), quiet_daemon(roots, where, store) as daemon:
        await publish_all(store, drafts(3000))
        await until_seen(daemon, store)
        async with following(daemon) as client, trio.open_nursery() as nursery:
            head = (await client.ask(op="subscribe"))["head"]
            epoch, _, last = head.partition(":")

            async def publish() -> None:
                for number in range(20):
                    await store.publish(drafts(5, 3001 + 5 * number))

            nursery.start_soon(publish)
            begin = await client.ask(op="subscribe", since=f"{epoch}:500")
            armed_at = int(begin["head"].partition(":")[2])
            end = int(last) + 100
            await client.until(1, end)
            await client.until(2, end)
        assert client.told[1] == list(range(int(last) + 1, end + 1))
        assert client.told[2] == list(range(501, end + 1))
        assert [note["op"] for note in client.notes] == ["live"]
        assert [subs for subs, number in client.copies if number > armed_at] == [[1, 2]] * (end - armed_at)


async def test_wrong_cursors_are_reset_never_met_with_silence(roots: str, folder: Path) -> None:
    async with another_writer(folder) as (where, store), quiet_daemon(roots, where, store) as daemon:
        await store.publish(drafts(5))
        await until_seen(daemon, store)
        async with following(daemon) as client:
            head = (await client.ask(op="subscribe", since=UNKNOWN))["head"]
            epoch, _, last = head.partition(":")
            await client.ask(op="subscribe", since=f"{epoch}:{int(last) + 1000}")
            await store.publish(drafts(1))
            assert await client.until(2, int(last) + 1) == [int(last) + 1]
            assert client.told[1] == [int(last) + 1]
        assert [(note["op"], note["subs"]) for note in client.notes] == [
            ("reset", [1]), ("live", [1]), ("reset", [2]), ("live", [2])
        ]  # fmt: skip


ROTTEN = [
    ("{", "message"),
    ("null", "message"),
    ("[]", "message"),
    ("3", "message"),
    ('"subscribe"', "message"),
    ('{"id":1}', "message"),
    ('{"id":null,"op":"subscribe"}', "message"),
    ('{"id":1,"op":"watch"}', "message"),
    ('{"id":1,"op":"subscribe","filters":"x"}', "filters"),
    ('{"id":1,"op":"subscribe","filters":[[]]}', "filters[0]"),
    ('{"id":1,"op":"subscribe","filters":[["size","=",1]]}', "filters[0]"),
    ('{"id":1,"op":"subscribe","filters":[["hdu.X","=",1e999]]}', "message"),
    ('{"id":1,"op":"subscribe","since":"0"}', "since"),
    ("[" * 5000, "message"),
]


async def test_rotten_questions_are_answered_and_change_nothing(rotten: RunningDaemon) -> None:
    async with following(rotten) as client:
        for text, parameter in ROTTEN:
            await client.socket.send_message(text)
            reply = await client.hear()
            assert (reply["op"], reply["status"], reply["parameter"]) == ("error", 400, parameter)
            assert (await client.ask(op="unsubscribe", sub=1))["parameter"] == "sub"
            assert (await client.ask(op="ping"))["op"] == "ping"


@pytest.fixture
async def rotten(roots: str, folder: Path) -> AsyncIterator[RunningDaemon]:
    async with starting_daemon(roots, database=f"sqlite:{folder}/events.db") as daemon:
        yield daemon


async def test_bytes_that_are_no_text_end_that_session_alone(rotten: RunningDaemon) -> None:
    async with following(rotten) as other:
        async with await trio.open_tcp_stream(rotten.host, rotten.port) as stream:
            await stream.send_all(request("/live", *UPGRADE))
            await read_until(stream, b"\r\n\r\n")
            await stream.send_all(b"\x81\x83" + bytes(4) + b"\xff\xfe\xfd")
            with trio.fail_after(10):
                while await stream.receive_some(65_536):
                    pass
        async with rotten.websocket("/live") as socket:
            await socket.send_message("x" * 20_000)
            with trio.fail_after(10), pytest.raises(ConnectionClosed) as caught:
                await socket.get_message()
            assert caught.value.reason is not None
            assert caught.value.reason.code == 1009
        assert (await other.ask(op="ping"))["op"] == "ping"
    metrics = (await rotten.get("/metrics")).body.decode()
    assert "imgd_events_head" in metrics
    assert "imgd_events_store_" in metrics


async def test_a_catch_up_is_not_deaf(roots: str, folder: Path) -> None:
    async with another_writer(folder) as (where, store):
        await publish_all(store, drafts(MANY, size=200))
        (folder.parent / "night" / "a.fits").write_bytes(make.image_hdu(np.zeros((40, 40), np.uint16)))
        async with quiet_daemon(roots, where, store) as daemon, following(daemon) as client:
            epoch = (await client.ask(op="ping"))["head"].partition(":")[0]
            await client.ask(op="subscribe", since=f"{epoch}:0")
            await client.ask(op="subscribe", since=f"{epoch}:0")
            assert (await client.ask(op="unsubscribe", sub=3))["op"] == "unsubscribed"
            assert (await daemon.get("/img?frame=night/a.fits&size=10,")).status == 200
            heard: list[int] = [len(client.told.get(3, ()))]
            for _ in range(5):
                begun = trio.current_time()
                assert (await client.ask(op="ping"))["op"] == "ping"
                assert trio.current_time() - begun < 1.0
                assert (await daemon.get("/healthz")).status == 200
                heard.append(len(client.told.get(2, ())))
            assert heard[-1] < MANY, "the catch-up was over before it was asked about"
            assert len(client.told.get(3, ())) == heard[0], "told after its end"
            got = await client.until(2, MANY)
            assert got[:MANY] == list(range(1, MANY + 1))
            assert (await client.ask(op="unsubscribe", sub=2))["op"] == "unsubscribed"


async def test_a_slow_client_slows_nobody_and_misses_nothing(roots: str, folder: Path) -> None:
    async with (
        another_writer(folder) as (where, store),
        quiet_daemon(roots, where, store, ring_max=50) as daemon,
        following(daemon) as slow,
        following(daemon) as quick,
    ):
        first = int((await slow.ask(op="subscribe"))["head"].partition(":")[2]) + 1
        await quick.ask(op="subscribe")
        for start in range(0, 6000, 500):
            await store.publish(drafts(500, start + 1, size=2000))
        await quick.until(1, first + 5999)
        assert len(slow.told.get(1, [])) == 0
        memory = kernel.pss_bytes([daemon.pid])
        assert await slow.until(1, first + 5999) == list(range(first, first + 6000))
        assert kernel.pss_bytes([daemon.pid]) - memory < 30e6


async def test_who_is_too_far_behind_is_told_what_it_missed(roots: str, folder: Path) -> None:
    async with (
        another_writer(folder) as (where, store),
        quiet_daemon(roots, where, store, ring_max=50, lag_max=500) as daemon,
    ):
        async with following(daemon) as slow:
            first = int((await slow.ask(op="subscribe"))["head"].partition(":")[2]) + 1
            last = first + 9_999
            await publish_all(store, drafts(10_000, size=3000))
            got = await slow.until(1, last)
        missed = {number for note in slow.notes for number in range(note["from"], note["to"] + 1)}
        assert missed
        assert sorted([*got, *missed]) == list(range(first, last + 1))


async def test_random_drops_of_the_client_lose_and_repeat_nothing(roots: str, folder: Path) -> None:
    chance = random.Random(4)
    async with another_writer(folder) as (where, store), quiet_daemon(roots, where, store) as daemon:
        got: list[int] = []
        async with trio.open_nursery() as nursery:

            async def publish() -> None:
                for start in range(0, 4000, 10):
                    await store.publish(drafts(10, start + 1))

            async with following(daemon) as client:
                cursor = (await client.ask(op="ping"))["head"]
            epoch, _, before = cursor.partition(":")
            nursery.start_soon(publish)
            while len(got) < 4000:
                async with following(daemon) as client:
                    await client.ask(op="subscribe", since=f"{epoch}:{got[-1] if got else before}")
                    with trio.move_on_after(chance.uniform(0.0, 0.2)):
                        await client.until(1, int(before) + 4000)
                    got += client.told.get(1, [])
        assert got == list(range(int(before) + 1, int(before) + 4001))


async def test_stream_poll_and_websocket_tell_the_same(roots: str, folder: Path) -> None:
    async with another_writer(folder) as (where, store), quiet_daemon(roots, where, store) as daemon:
        await publish_all(store, drafts(900))
        await until_seen(daemon, store)
        async with following(daemon) as client:
            epoch = (await client.ask(op="ping"))["head"].partition(":")[0]
            query = f"filters={quote(json.dumps(ODD))}"
            heard = await _heard(client, f"{epoch}:0")
            polled = await _polled(daemon, f"{epoch}:0", query)
            streamed = await _streamed(daemon, f"since={epoch}:0&{query}", len(heard))
        assert len(heard) >= 450
        assert heard == polled == streamed


async def _heard(client: Follower, since: str) -> list[dict[str, Any]]:
    await client.ask(op="subscribe", since=since, filters=ODD)
    heard: list[dict[str, Any]] = []
    while (message := await client.hear())["op"] != "live":
        heard += [each["event"] for each in message["events"]]
    return heard


async def _polled(daemon: RunningDaemon, cursor: str, query: str) -> list[dict[str, Any]]:
    polled: list[dict[str, Any]] = []
    while True:
        answer = json.loads((await daemon.get(f"/events?since={cursor}&limit=100&{query}")).body)
        polled += answer["events"]
        cursor = answer["cursor"]
        if answer["live"]:
            return polled


async def _streamed(daemon: RunningDaemon, query: str, count: int) -> list[dict[str, Any]]:
    text = b""
    async with await trio.open_tcp_stream(daemon.host, daemon.port) as stream:
        await stream.send_all(request(f"/events?{query}", "Accept: text/event-stream", version="1.0"))
        with trio.fail_after(20):
            while text.count(b"event: frame.arrived\n") < count or not text.endswith(b"\n\n"):
                text += await stream.receive_some(65_536)
    return [json.loads(line[6:]) for line in text.split(b"\n") if line.startswith(b'data: {"id":')]


async def _watch(url: str, *options: str) -> trio.Process:
    return await trio.lowlevel.open_process(
        [sys.executable, "-m", "imgd.cli", "watch", url, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
    )


async def _lines(process: trio.Process, count: int) -> list[str]:
    text = b""
    assert process.stdout is not None
    with trio.fail_after(30):
        while text.count(b"\n") < count:
            data = await process.stdout.receive_some(65_536)
            assert data, f"it ended after {text!r}"
            text += data
    return text.decode().splitlines()


async def _end(process: trio.Process) -> int:
    with trio.fail_after(15):
        code = await process.wait()
    for pipe in (process.stdout, process.stderr):
        assert pipe is not None
        await pipe.aclose()
    return code


async def test_watch_goes_on_across_a_restart_of_the_daemon(roots: str, folder: Path) -> None:
    async with another_writer(folder) as (where, store):
        async with quiet_daemon(roots, where, store) as daemon:
            async with following(daemon) as client:
                first = int((await client.ask(op="ping"))["head"].partition(":")[2]) + 1
            await store.publish(drafts(3))
            port = daemon.port
            filters = ["--filter", "hdu.N != 5", "--filter", "type=frame.arrived"]
            watch = await _watch(daemon.base_url, "--since", "0", "--json", "--count", "8", *filters)
            lines = await _lines(watch, 3)
            daemon.process.send_signal(signal.SIGKILL)
            await daemon.process.wait()
        await store.publish(drafts(3, 4))
        async with starting_daemon(roots, database=where, bind=f"127.0.0.1:{port}"):
            lines += await _lines(watch, 2)
            await store.publish(drafts(4, 7))
            lines += await _lines(watch, 3)
            assert await _end(watch) == 0
    events = [json.loads(line) for line in lines]
    assert [each["hdu"]["N"] for each in events] == [1, 2, 3, 4, 6, 7, 8, 9]
    assert [int(each["cursor"].partition(":")[2]) for each in events] == sorted(each["id"] for each in events)
    assert first >= 1


async def test_watch_ends_as_a_command_should(rotten: RunningDaemon, folder: Path) -> None:
    waiting = await _watch(rotten.base_url)
    with trio.fail_after(10):
        while b"imgd_events_feeds 1" not in (await rotten.get("/metrics")).body:
            await trio.sleep(0.02)
    waiting.send_signal(signal.SIGINT)
    assert await _end(waiting) == 130
    refused = await _watch(rotten.base_url + "/nowhere")
    assert await _end(refused) == 1
    unread = await _watch(rotten.base_url)
    assert unread.stdout is not None
    await unread.stdout.aclose()
    with trio.fail_after(10):
        while b"imgd_events_feeds 1" not in (await rotten.get("/metrics")).body:
            await trio.sleep(0.02)
    async with another_writer(folder) as (_, store):
        await store.publish(drafts(1))
        assert await _end(unread) == 141


@pytest.mark.parametrize(
    "options",
    [["--since", "x"], ["--filter", "size=3"], ["--filter", "x"], ["--count", "0"], ["--what"]],
)
def test_watch_says_what_is_wrong_in_one_line(options: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "imgd.cli", "watch", "http://127.0.0.1:9/", *options],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
    )
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1)
    assert done.stderr.startswith(b"imgd: ")

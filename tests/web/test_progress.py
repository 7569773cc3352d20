"""Progress at `/live` and `/events`: told beside the events, never instead of one, and never piling up."""

import json
from pathlib import Path
from urllib.parse import quote

import pytest
import trio

from imgd.events.event import Draft, Scalar
from imgd.web import feeds
from tests.events.listed import ListStore, drafted
from tests.web import peer
from tests.web.rig import MemoryEngine, get, serving
from tests.web.test_feeds import EPOCH, Told, next_of, streaming
from tests.web.test_following import ask, hear, say, talking, told

AT = "2026-01-31T20:15:00.250Z"


def scanning(root: str = "night", **detail: Scalar) -> Draft:
    return Draft(at=AT, type="root.scanning", root=root, detail=detail)


def said(*subs: int, root: str = "night", **detail: Scalar) -> dict[str, object]:
    event = {"at": AT, "type": "root.scanning", "root": root, "detail": detail}
    return {"op": "progress", "subs": list(subs), "event": event}


async def test_a_session_is_told_once_naming_all_who_want_it(tmp_path: Path) -> None:
    async with talking(tmp_path) as (served, socket):
        for number, filters in enumerate(([], [["root", "=", "day"]], [["type", "=", "root.scanning"]]), 1):
            await ask(socket, id=number, op="subscribe", filters=filters)
        served.log.tell(scanning(scanned=5))
        assert await hear(socket) == said(1, 3, scanned=5)
        served.log.tell(scanning("day", scanned=6, done=True))
        assert await hear(socket) == said(1, 2, 3, root="day", scanned=6, done=True)
        await served.log.publish([drafted()])
        assert await told(socket, 1) == [([1], 1)]
        assert (await ask(socket, id=9, op="ping"))["head"] == f"{EPOCH}:1"


async def test_the_reply_goes_before_what_is_going_on(tmp_path: Path) -> None:
    async with talking(tmp_path) as (served, socket):
        served.log.tell(scanning(scanned=5))
        served.log.tell(scanning("day", scanned=6, done=True))
        await say(socket, id=1, op="ping")
        await say(socket, id=2, op="subscribe")
        await say(socket, id=3, op="subscribe")
        assert [(await hear(socket))["op"] for _ in range(2)] == ["ping", "subscribed"]
        named: list[int] = []
        replied = {2}
        while len(named) < 2:
            message = await hear(socket)
            if message["op"] == "subscribed":
                replied.add(message["id"])
            else:
                assert message == said(*message["subs"], scanned=5)
                assert replied >= set(message["subs"])
                named += message["subs"]
        assert sorted(named) == [2, 3]


async def test_it_goes_on_while_the_store_is_down(tmp_path: Path) -> None:
    store = ListStore()
    store.append(*[drafted()] * 50)
    async with talking(tmp_path, store, ring_max=1) as (served, socket):
        store.down = "gone"
        await ask(socket, id=1, op="subscribe", since=f"{EPOCH}:40")
        served.log.tell(scanning(scanned=5))
        assert await hear(socket) == said(1, scanned=5)
        store.down = ""
        assert await told(socket, 10) == [([1], number) for number in range(41, 51)]


async def test_a_slow_client_gets_the_latest_only_and_every_event(tmp_path: Path) -> None:
    store = ListStore()
    store.append(*[drafted("x" * 4000)] * 4000)
    async with talking(tmp_path, store, send_limit_s=20.0) as (served, socket):
        await say(socket, id=1, op="subscribe", since=f"{EPOCH}:0")
        for count in range(3000):  # While nothing is taken but what the buffers on the way hold.
            served.log.tell(scanning(scanned=count))
            await trio.lowlevel.checkpoint()
        await trio.sleep(0.5)
        served.log.tell(scanning(scanned=3000, done=True))
        ids: list[int] = []
        counts: list[int] = []
        while len(ids) < 4000 or counts[-1] < 3000:
            message = await hear(socket)
            ids += [each["event"]["id"] for each in message.get("events", ())]
            if message["op"] == "progress":
                counts.append(message["event"]["detail"]["scanned"])
        assert ids == list(range(1, 4001))
        assert counts == sorted(set(counts))
        assert len(counts) < 150  # One between two batches, and one at the end.


async def test_a_stream_tells_it_without_an_id(tmp_path: Path) -> None:
    async with serving(tmp_path, MemoryEngine()) as served, streaming(served, "/events") as stream:
        await next_of(stream, 1)
        served.log.tell(scanning(scanned=5))
        data = {"at": AT, "type": "root.scanning", "root": "night", "detail": {"scanned": 5}}
        assert await next_of(stream, 1) == [Told("", "progress", data)]
        await served.log.publish([drafted()])
        assert (await next_of(stream, 1))[0].id == f"{EPOCH}:1"
        async with streaming(served, f"/events?since={EPOCH}:0") as another:
            got = await next_of(another, 4)
        assert sorted(each.event for each in got) == ["", "frame.arrived", "live", "progress"]


async def test_a_poll_does_not_tell_it_nor_end_by_it(tmp_path: Path) -> None:
    async with serving(tmp_path, MemoryEngine()) as served:
        served.log.tell(scanning(scanned=4))
        answers: list[dict[str, object]] = []

        async def poll() -> None:
            answers.append(json.loads((await get(served.app, f"/events?since={EPOCH}:0&wait=60")).body))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(poll)
            await trio.sleep(0.05)
            served.log.tell(scanning(scanned=5))
            await trio.sleep(0.3)
            assert answers == []
            await served.log.publish([drafted()])
        assert [each["type"] for each in answers[0]["events"]] == ["frame.arrived"]  # type: ignore[attr-defined]


async def test_what_others_are_told_keeps_no_stream_from_moving_its_cursor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "HEARTBEAT_S", 0.3)
    frames = quote('[["type","=","frame.gone"]]')
    async with (
        serving(tmp_path, MemoryEngine()) as served,
        streaming(served, f"/events?filters={frames}") as stream,
        trio.open_nursery() as nursery,
    ):
        await next_of(stream, 1)

        async def wake_often() -> None:
            while True:
                await served.log.publish([drafted()])
                await trio.sleep(0.05)

        nursery.start_soon(wake_often)
        (each,) = await next_of(stream, 1)
        assert each.data is None
        assert int(each.id.partition(":")[2]) > 0
        nursery.cancel_scope.cancel()


async def test_nothing_is_told_to_who_has_not_subscribed(tmp_path: Path) -> None:
    async with serving(tmp_path, MemoryEngine()) as served, peer.websocket(served.port) as socket:
        await ask(socket, id=1, op="hello")
        served.log.tell(scanning(scanned=5))
        await trio.sleep(0.05)
        assert (await ask(socket, id=2, op="ping"))["op"] == "ping"

"""`/events`: the same events in the same order, as a stream, by long polling, and over the websocket."""

import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import trio

from imgd.events.event import Cursor
from imgd.events.feed import Missed
from imgd.web import feeds
from tests.events.listed import ListStore, drafted
from tests.web import peer
from tests.web.rig import MemoryEngine, Served, get, serving

EPOCH = "0000000000000001"
ODD = quote('[["path","glob","*[13579].fits"]]')


@dataclass(frozen=True)
class Told:
    """One event of a stream; data is None for one that only moves the cursor."""

    id: str
    event: str
    data: Any


def parse(block: str) -> Told:
    fields: dict[str, str] = {}
    for line in block.split("\n"):
        name, _, value = line.partition(": ")
        fields[name] = value
    return Told(fields.get("id", ""), fields.get("event", ""), json.loads(fields["data"]) if "data" in fields else None)


async def chunks(stream: trio.SocketStream) -> AsyncIterator[bytes]:
    """Undo the chunked coding."""
    received = b""
    while True:
        while b"\r\n" not in received:
            received += await more(stream)
        size, _, received = received.partition(b"\r\n")
        while len(received) < int(size, 16) + 2:
            received += await more(stream)
        if not int(size, 16):
            return
        yield received[: int(size, 16)]
        received = received[int(size, 16) + 2 :]


async def more(stream: trio.SocketStream) -> bytes:
    with trio.fail_after(5):
        data = await stream.receive_some(65_536)
    assert data, "the stream broke off"
    return data


@asynccontextmanager
async def streaming(served: Served, target: str, *headers: str) -> AsyncIterator[AsyncIterator[Told]]:
    """Open a stream; its head must be one."""
    async with await peer.connect(served.port) as stream:
        await stream.send_all(peer.request(target, "Accept: text/event-stream", *headers))
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += await stream.receive_some(1)
        assert head.startswith(b"HTTP/1.1 200"), head
        assert b"content-type: text/event-stream" in head.lower()

        async def read() -> AsyncIterator[Told]:
            text = ""
            async with aclosing(chunks(stream)) as parts:  # type: ignore[type-var]
                async for chunk in parts:
                    text += chunk.decode()
                    while "\n\n" in text:
                        block, _, text = text.partition("\n\n")
                        yield parse(block)

        async with aclosing(read()) as told:  # type: ignore[type-var]
            yield told


async def next_of(told: AsyncIterator[Told], count: int) -> list[Told]:
    with trio.fail_after(5):
        return [await anext(told) for _ in range(count)]


async def test_a_stream_begins_with_its_cursor_and_goes_on(tmp_path: Path) -> None:
    async with serving(tmp_path, MemoryEngine()) as served, streaming(served, "/events") as told:
        assert await next_of(told, 1) == [Told(f"{EPOCH}:0", "", None)]
        await served.log.publish([drafted("a.fits"), drafted("b.fits", "frame.gone")])
        first, second = await next_of(told, 2)
        assert (first.id, first.event, first.data["path"]) == (f"{EPOCH}:1", "frame.arrived", "a.fits")
        assert (second.id, second.event, second.data["id"]) == (f"{EPOCH}:2", "frame.gone", 2)


async def test_a_stream_resumes_where_its_last_event_was(tmp_path: Path) -> None:
    store = ListStore()
    store.append(*[drafted()] * 10)
    store.forget(5)
    async with serving(tmp_path, MemoryEngine(), store=store) as served:
        async with streaming(served, f"/events?since={EPOCH}:0", f"Last-Event-ID: {EPOCH}:8") as told:
            got = await next_of(told, 4)
        assert [each.id for each in got[1:]] == [f"{EPOCH}:9", f"{EPOCH}:10", f"{EPOCH}:10"]
        assert (got[3].event, got[3].data) == ("live", {"head": f"{EPOCH}:10"})
        async with streaming(served, f"/events?since={EPOCH}:2") as told:
            got = await next_of(told, 3)
        assert (got[1].event, got[1].id, got[1].data) == ("missed", f"{EPOCH}:5", {"from": 3, "to": 5})
        assert got[2].id == f"{EPOCH}:6"
        async with streaming(served, f"/events?since={'f' * 16}:2") as told:
            got = await next_of(told, 3)
        assert got[0].id == "", "a cursor before the reset would have the client skip it"
        assert [(each.event, each.id) for each in got[1:]] == [("reset", f"{EPOCH}:10"), ("live", f"{EPOCH}:10")]


async def test_a_quiet_stream_moves_its_cursor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "HEARTBEAT_S", 0.1)
    async with serving(tmp_path, MemoryEngine()) as served, streaming(served, "/events?filters=" + ODD) as told:
        await served.log.publish([drafted("2.fits")])
        with trio.fail_after(5):
            while (each := await anext(told)).id != f"{EPOCH}:1":
                assert each.data is None


async def test_streams_and_polls_end_with_the_daemon(tmp_path: Path) -> None:
    async with serving(tmp_path, MemoryEngine()) as served, streaming(served, "/events") as told:
        await next_of(told, 1)
        polled: list[int] = []

        async def poll() -> None:
            polled.append((await get(served.app, "/events?wait=60")).status)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(poll)
            await trio.sleep(0.05)
            served.app.end_sessions()
            with trio.fail_after(5):
                assert [each async for each in told] == []
        assert polled == [200]
        with trio.fail_after(5):
            assert (await get(served.app, "/events?wait=60")).status == 200


async def test_leaving_ends_a_stream_and_a_poll(tmp_path: Path) -> None:
    async with serving(tmp_path, MemoryEngine()) as served:
        async with streaming(served, "/events") as told:
            await next_of(told, 1)
            stream = await peer.connect(served.port)
            await stream.send_all(peer.request("/events?wait=60"))
            with trio.fail_after(5):
                while served.log.statistics().feeds < 2:
                    await trio.sleep(0.01)
            await stream.aclose()
        with trio.fail_after(5):
            while served.log.statistics().feeds:
                await trio.sleep(0.01)


async def poll(served: Served, query: str) -> dict[str, Any]:
    with trio.fail_after(5):
        reply = await get(served.app, f"/events?{query}")
    assert reply.status == 200, reply.body
    answer = json.loads(reply.body)
    assert isinstance(answer, dict)
    return answer


async def test_polling_from_now_on(tmp_path: Path) -> None:
    async with serving(tmp_path, MemoryEngine()) as served:
        assert await poll(served, "") == {"cursor": f"{EPOCH}:0", "live": True, "events": []}
        async with trio.open_nursery() as nursery:
            answers: list[dict[str, Any]] = []

            async def wait() -> None:
                answers.append(await poll(served, f"since={EPOCH}:0&wait=4&filters={ODD}"))

            nursery.start_soon(wait)
            await trio.sleep(0.05)
            await served.log.publish([drafted("2.fits")])
            await trio.sleep(0.05)
            assert not answers, "what does not match is not worth an answer"
            await served.log.publish([drafted("3.fits")])
        assert [each["id"] for each in answers[0]["events"]] == [2]
        assert answers[0]["cursor"] == f"{EPOCH}:2"


async def test_a_poll_that_waits_in_vain_moves_its_cursor(tmp_path: Path) -> None:
    async with serving(tmp_path, MemoryEngine()) as served:
        await served.log.publish([drafted("2.fits")])
        await trio.sleep(0.05)
        answer = await poll(served, f"since={EPOCH}:0&wait=1&filters={ODD}")
        assert answer == {"cursor": f"{EPOCH}:1", "live": True, "events": []}


async def test_polls_page_through_the_past(tmp_path: Path) -> None:
    store = ListStore()
    store.append(*[drafted()] * 700)
    store.forget(100)
    async with serving(tmp_path, MemoryEngine(), store=store) as served:
        cursor, got, pages = f"{EPOCH}:50", [], 0
        while True:
            answer = await poll(served, f"since={cursor}&limit=260")
            assert ("missed" in answer) is (not pages)
            got += [each["id"] for each in answer["events"]]
            cursor, pages = answer["cursor"], pages + 1
            if answer["live"]:
                break
        assert (got, pages) == (list(range(101, 701)), 3)
        answer = await poll(served, f"since={'e' * 16}:700")
        assert answer == {"cursor": f"{EPOCH}:700", "live": True, "reset": True, "events": []}


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("since=x", "since"),
        ("filters=x", "filters"),
        ("filters=" + quote('[["size","=",1]]'), "filters[0]"),
        ("wait=61", "wait"),
        ("wait=-1", "wait"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("until=3", "until"),
        ("since=&since=", "since"),
    ],
)
@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
async def test_what_is_wrong_is_refused(tmp_path: Path, query: str, parameter: str, accept: str) -> None:
    async with serving(tmp_path, MemoryEngine()) as served:
        reply = await get(served.app, f"/events?{query}", ("accept", accept))
        assert (reply.status, json.loads(reply.body)["parameter"]) == (400, parameter)


async def test_other_methods_and_too_many_are_refused(tmp_path: Path) -> None:
    async with serving(tmp_path, MemoryEngine(), sessions_max=1) as served:
        assert (await get(served.app, "/events", method="POST")).status == 405
        async with streaming(served, "/events") as told:
            await next_of(told, 1)
            assert (await get(served.app, "/events")).status == 503


async def test_an_outage_is_told_to_who_comes_and_sat_out_by_who_is_there(tmp_path: Path) -> None:
    store = ListStore()
    async with serving(tmp_path, MemoryEngine(), store=store) as served, streaming(served, "/events") as told:
        await next_of(told, 1)
        store.down = "gone"
        reply = await get(served.app, f"/events?since={EPOCH}:7")
        assert (reply.status, "retry-after" in reply.headers) == (503, True)
        store.down = ""
        await served.log.publish([drafted()])
        assert (await next_of(told, 1))[0].id == f"{EPOCH}:1"


async def test_a_poll_ends_at_its_deadline_while_reading_fails_and_says_so(tmp_path: Path) -> None:
    store = ListStore()
    store.append(*[drafted()] * 50)
    async with serving(tmp_path, MemoryEngine(), store=store, ring_max=1) as served:
        store.down = "gone"
        begun = trio.current_time()
        told = {"cursor": f"{EPOCH}:7", "live": False, "down": "gone", "events": []}
        assert await poll(served, f"since={EPOCH}:7") == told
        assert trio.current_time() - begun < 0.5
        assert await poll(served, f"since={EPOCH}:7&wait=2") == told
        assert 1.9 < trio.current_time() - begun < 3.0
        with trio.fail_after(5):
            while not served.log.down:
                await trio.sleep(0.01)
        assert await poll(served, f"since={EPOCH}:50") == {**told, "cursor": f"{EPOCH}:50", "live": True}
        store.down = ""
        assert len((await poll(served, f"since={EPOCH}:7&wait=9"))["events"]) == 43


async def test_a_stream_is_told_while_reading_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "HEARTBEAT_S", 0.1)
    store = ListStore()
    store.append(*[drafted()] * 50)
    async with serving(tmp_path, MemoryEngine(), store=store, ring_max=1) as served:
        store.down = "gone\n\nevent: made up"
        async with streaming(served, f"/events?since={EPOCH}:7") as told:
            assert [each.id for each in await next_of(told, 3)] == [f"{EPOCH}:7"] * 3
            store.down = ""
            with trio.fail_after(5):
                while (each := await anext(told)).id != f"{EPOCH}:8":
                    assert (each.id, each.data) == (f"{EPOCH}:7", None)


async def test_a_stream_says_that_the_store_is_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "HEARTBEAT_S", 0.1)
    store = ListStore()
    async with serving(tmp_path, MemoryEngine(), store=store) as served, await peer.connect(served.port) as stream:
        await stream.send_all(peer.request("/events", "Accept: text/event-stream"))
        with trio.fail_after(5):
            await peer.read_until(stream, b": still here\n")
            store.down = "gone\n\nevent: made up"
            await peer.read_until(stream, b": the store is down: gone event: made up\nid: ")


async def test_a_stream_of_an_unknown_cursor_waits_for_the_store(tmp_path: Path) -> None:
    store = ListStore()
    async with serving(tmp_path, MemoryEngine(), store=store) as served:
        store.down = "gone"
        async with streaming(served, "/events", f"Last-Event-ID: {'f' * 16}:2") as told:
            await trio.sleep(0.1)
            store.down = ""
            got = await next_of(told, 2)
            while got[-1].event != "reset":
                assert (got[-1].id, got[-1].data) == ("", None)
                got += await next_of(told, 1)
            assert got[-1].id == f"{EPOCH}:0"
            await served.log.publish([drafted()])
            assert [each.event for each in await next_of(told, 2)] == ["live", "frame.arrived"]


async def test_a_stream_that_waits_for_the_store_ends_with_the_daemon(tmp_path: Path) -> None:
    store = ListStore()
    async with serving(tmp_path, MemoryEngine(), store=store) as served:
        store.down = "gone"
        async with streaming(served, f"/events?since={'f' * 16}:2") as told:
            await trio.sleep(0.1)
            served.app.end_sessions()
            with trio.fail_after(5):
                assert all([each.data is None async for each in told])


def test_each_gap_of_a_page_is_told_as_it_is() -> None:
    page = feeds._Page()
    for first, last in ((3, 5), (9, 9)):
        page.add(Missed((0,), first, last))
    body = json.loads(page.write(Cursor(EPOCH, 10), live=True, down=""))
    assert body["missed"] == [{"from": 3, "to": 5}, {"from": 9, "to": 9}]


@pytest.mark.parametrize(
    ("accept", "is_stream"),
    [
        ("text/event-stream", True),
        ("Text/Event-Stream;charset=utf-8", True),
        ("application/json, text/event-stream;q=0.5", True),
        ("text/event-stream;q=0", False),
        ("text/event-stream; Q=0.00, */*", False),
        ("text/event-streams", False),
        ("*/*", False),
        ("", False),
    ],
)
def test_what_is_accepted_decides_the_form(accept: str, is_stream: bool) -> None:
    assert feeds._accepts_stream(accept.encode()) is is_stream


async def test_a_rotten_last_event_id_is_named(tmp_path: Path) -> None:
    async with serving(tmp_path, MemoryEngine()) as served:
        reply = await get(served.app, "/events", ("accept", "text/event-stream"), ("last-event-id", "x"))
        assert (reply.status, json.loads(reply.body)["parameter"]) == (400, "Last-Event-ID")


async def test_the_head_alone_is_refused_and_has_no_body(tmp_path: Path) -> None:
    async with serving(tmp_path, MemoryEngine()) as served, await peer.connect(served.port) as stream:
        await stream.send_all(b"HEAD /events HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        text = b""
        with trio.fail_after(5):
            while data := await stream.receive_some():
                text += data
        assert text.startswith(b"HTTP/1.1 405")
        assert b"\r\nallow: GET\r\n" in text
        assert text.endswith(b"\r\n\r\n")


async def test_stream_poll_and_websocket_tell_the_same(tmp_path: Path) -> None:
    store = ListStore()
    store.append(*[drafted(f"{number}.fits", X=number) for number in range(1, 400)])
    async with (
        serving(tmp_path, MemoryEngine(), store=store) as served,
        peer.websocket(served.port) as socket,
        streaming(served, f"/events?since={EPOCH}:20&filters={ODD}") as told,
    ):
        polled = (await poll(served, f"since={EPOCH}:20&filters={ODD}"))["events"]
        streamed = [each.data for each in (await next_of(told, len(polled) + 1))[1:]]
        filters = [["path", "glob", "*[13579].fits"]]
        await socket.send_message(json.dumps({"id": 1, "op": "subscribe", "since": f"{EPOCH}:20", "filters": filters}))
        heard: list[Any] = []
        with trio.fail_after(5):
            while (message := json.loads(await socket.get_message()))["op"] != "live":
                heard += [each["event"] for each in message.get("events", ())]
        assert len(polled) == 190
        assert polled == streamed == heard

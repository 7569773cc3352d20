"""Events over the websocket: a reply means armed, each is told once, and nothing else waits for them."""

import ctypes
import json
import socket
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from trio_websocket import WebSocketConnection

from imgd.web import live
from imgd.web.serve import open_listeners
from tests.events.listed import ListStore, drafted
from tests.web import peer
from tests.web.rig import MemoryEngine, Served, serving

SO_ATTACH_FILTER = 26


@asynccontextmanager
async def talking(
    tmp_path: Path, store: ListStore | None = None, **settings: Any
) -> AsyncIterator[tuple[Served, WebSocketConnection]]:
    async with (
        serving(tmp_path, MemoryEngine(), store=store, **settings) as served,
        peer.websocket(served.port) as socket,
    ):
        yield served, socket


async def say(socket: WebSocketConnection, **message: Any) -> None:
    await socket.send_message(json.dumps(message))


async def hear(socket: WebSocketConnection) -> dict[str, Any]:
    with trio.fail_after(5):
        heard = json.loads(await socket.get_message())
    assert isinstance(heard, dict)
    return heard


async def ask(socket: WebSocketConnection, **message: Any) -> dict[str, Any]:
    await say(socket, **message)
    return await hear(socket)


async def told(socket: WebSocketConnection, count: int) -> list[tuple[list[int], int]]:
    """Hear this many events, as (subscriptions, id)."""
    got: list[tuple[list[int], int]] = []
    while len(got) < count:
        message = await hear(socket)
        assert message["op"] == "events", message
        got += [(each["subs"], each["event"]["id"]) for each in message["events"]]
    return got


async def test_the_reply_means_armed(tmp_path: Path) -> None:
    async with talking(tmp_path) as (served, socket):
        reply = await ask(socket, id=4, op="subscribe")
        assert reply == {"id": 4, "op": "subscribed", "head": "0000000000000001:0"}
        await served.log.publish([drafted("m31.fits", EXPTIME=30.0)])
        (message,) = [await hear(socket)]
        assert message == {
            "op": "events",
            "events": [
                {
                    "subs": [4],
                    "event": {
                        "id": 1, "at": "2026-01-31T20:15:00.250Z", "type": "frame.arrived", "root": "night",
                        "path": "m31.fits", "hdu": {"EXPTIME": 30.0},
                    },
                }
            ],
        }  # fmt: skip


async def test_the_same_filter_thrice_is_one_copy(tmp_path: Path) -> None:
    odd = [["path", "glob", "*[13].fits"]]
    async with talking(tmp_path) as (served, socket):
        for number in (1, 2, 3):
            assert (await ask(socket, id=number, op="subscribe", filters=odd))["op"] == "subscribed"
        await served.log.publish([drafted(f"{number}.fits") for number in (1, 2, 3)])
        assert await told(socket, 2) == [([1, 2, 3], 1), ([1, 2, 3], 3)]
        assert await ask(socket, id=9, op="unsubscribe", sub=2) == {"id": 9, "op": "unsubscribed", "sub": 2}
        await served.log.publish([drafted("1.fits")])
        assert await told(socket, 1) == [([1, 3], 4)]


async def test_since_is_replayed_and_then_live(tmp_path: Path) -> None:
    store = ListStore()
    store.append(*[drafted()] * 600)
    async with talking(tmp_path, store) as (served, socket):
        assert (await ask(socket, id=1, op="subscribe"))["head"] == f"{store.epoch}:600"
        reply = await ask(socket, id=2, op="subscribe", since=f"{store.epoch}:100")
        assert reply["head"] == f"{store.epoch}:600"
        assert await told(socket, 500) == [([2], number) for number in range(101, 601)]
        assert await hear(socket) == {"op": "live", "subs": [2], "head": f"{store.epoch}:600"}
        await served.log.publish([drafted()])
        assert await told(socket, 1) == [([1, 2], 601)]


@pytest.mark.parametrize("since", ["ffffffffffffffff:1", "0000000000000001:9"])
async def test_a_cursor_that_is_not_of_this_log_is_told(tmp_path: Path, since: str) -> None:
    async with talking(tmp_path) as (served, socket):
        head = (await ask(socket, id=2, op="subscribe", since=since))["head"]
        assert await hear(socket) == {"op": "reset", "subs": [2], "head": head}
        assert await hear(socket) == {"op": "live", "subs": [2], "head": head}
        await served.log.publish([drafted()])
        assert await told(socket, 1) == [([2], 1)]


async def test_what_was_pruned_is_told_as_missed(tmp_path: Path) -> None:
    store = ListStore()
    store.append(*[drafted()] * 10)
    store.forget(8)
    async with talking(tmp_path, store) as (_, socket):
        await ask(socket, id=2, op="subscribe", since=f"{store.epoch}:3")
        assert await hear(socket) == {"op": "missed", "subs": [2], "from": 4, "to": 8}
        assert await told(socket, 2) == [([2], 9), ([2], 10)]


@pytest.mark.parametrize(
    ("message", "parameter"),
    [
        ({"op": "subscribe", "filters": [["size", "=", 1]]}, "filters[0]"),
        ({"op": "subscribe", "filters": {}}, "filters"),
        ({"op": "subscribe", "filters": [["root", "=", "a"], None]}, "filters[1]"),
        ({"op": "subscribe", "since": "yesterday"}, "since"),
        ({"op": "subscribe", "since": 3}, "since"),
        ({"op": "unsubscribe", "sub": 5}, "sub"),
        ({"op": "unsubscribe"}, "message"),
    ],
)
async def test_what_is_wrong_subscribes_nothing(tmp_path: Path, message: dict[str, Any], parameter: str) -> None:
    async with talking(tmp_path) as (served, socket):
        reply = await ask(socket, id=5, **message)
        assert (reply["op"], reply["id"], reply["parameter"]) == ("error", 5, parameter)
        await served.log.publish([drafted()])
        assert (await ask(socket, id=6, op="ping"))["op"] == "ping"
        assert await ask(socket, id=5, op="unsubscribe", sub=5) == {**reply, "detail": "there is no such subscription", "parameter": "sub"}  # fmt: skip  # noqa: E501


@pytest.mark.parametrize("filters", [None, []])
async def test_null_and_the_empty_list_are_no_filters(tmp_path: Path, filters: Any) -> None:
    async with talking(tmp_path) as (served, socket):
        await ask(socket, id=1, op="subscribe", filters=filters, since=None)
        await served.log.publish([drafted()])
        assert await told(socket, 1) == [([1], 1)]


async def test_an_id_names_one_subscription_and_they_are_bounded(tmp_path: Path) -> None:
    async with talking(tmp_path) as (_, socket):
        for number in range(live.SUBSCRIPTIONS_MAX):
            assert (await ask(socket, id=number, op="subscribe"))["op"] == "subscribed"
            if not number:
                again = await ask(socket, id=number, op="subscribe")
                assert (again["op"], again["parameter"]) == ("error", "id")
        assert (await ask(socket, id=1000, op="subscribe"))["parameter"] == "id"


async def test_a_filtered_client_moves_on_with_the_head(tmp_path: Path) -> None:
    async with talking(tmp_path, ping_s=1.0) as (served, socket):
        await ask(socket, id=1, op="subscribe", filters=[["root", "=", "elsewhere"]])
        await served.log.publish([drafted()] * 7)
        with trio.fail_after(5):
            while (message := await hear(socket)) != {"op": "head", "head": f"{served.store.epoch}:7"}:
                assert message["op"] == "head"
        assert (await ask(socket, id=2, op="ping"))["head"] == f"{served.store.epoch}:7"


async def test_an_outage_of_the_store_is_sat_out(tmp_path: Path) -> None:
    store = ListStore()
    store.append(*[drafted()] * 50)
    async with talking(tmp_path, store, ring_max=1) as (_, socket):
        store.down = "gone"
        assert (await ask(socket, id=1, op="subscribe", since=f"{store.epoch}:40"))["op"] == "subscribed"
        assert (await ask(socket, id=2, op="ping"))["op"] == "ping"
        reply = await ask(socket, id=3, op="subscribe", since=f"{store.epoch}:99")
        assert (reply["op"], reply["status"]) == ("error", 503)
        store.down = ""
        assert await told(socket, 10) == [([1], number) for number in range(41, 51)]


async def test_who_is_behind_hears_of_the_head_while_the_store_is_down(tmp_path: Path) -> None:
    store = ListStore()
    store.append(*[drafted()] * 50)
    async with talking(tmp_path, store, ring_max=1, ping_s=1.0) as (_, socket):
        store.down = "no\ndisk"
        await ask(socket, id=1, op="subscribe", since=f"{store.epoch}:40")
        message: dict[str, Any] = {}
        with trio.fail_after(6):
            while not message.get("down"):
                message = await hear(socket)
                assert message["op"] == "head"
        assert message == {"op": "head", "head": f"{store.epoch}:40", "down": "no\ndisk"}
        store.down = ""
        while (message := await hear(socket))["op"] == "head":
            pass
        assert [each["event"]["id"] for each in message["events"]] == list(range(41, 51))


async def test_the_filters_of_a_session_are_bounded(tmp_path: Path) -> None:
    async with talking(tmp_path) as (_, socket):
        for number in range(live.RULES_MAX // 32):
            many = [["path", "glob", f"*{number}*"]] * 32
            assert (await ask(socket, id=number, op="subscribe", filters=many))["op"] == "subscribed"
        assert (await ask(socket, id=50, op="subscribe", filters=many))["op"] == "subscribed", "they count once"
        reply = await ask(socket, id=51, op="subscribe", filters=[["root", "=", "x"]])
        assert (reply["op"], reply["status"], reply["parameter"]) == ("error", 400, "filters")
        await ask(socket, id=52, op="unsubscribe", sub=0)
        assert (await ask(socket, id=51, op="subscribe", filters=[["root", "=", "x"]]))["op"] == "subscribed"


async def test_many_patterns_over_a_long_past_delay_nobody_else(tmp_path: Path) -> None:
    store = ListStore()
    store.append(*[drafted("n" * 50)] * 2000)
    async with talking(tmp_path, store) as (served, socket), peer.websocket(served.port) as other:
        for number in range(live.RULES_MAX // 32):
            many = [["path", "glob", "*n" * 20 + "*"]] * 31 + [["path", "glob", f"*{number}"]]
            await ask(socket, id=number, op="subscribe", filters=many, since=f"{store.epoch}:0")
        longest_s = 0.0
        for _ in range(10):
            begun_s = time.thread_time()  # Both ends are in this thread; other processes' time is not theirs.
            assert (await ask(other, id=1, op="ping"))["op"] == "ping"
            longest_s = max(longest_s, time.thread_time() - begun_s)
        assert int((await ask(socket, id=99, op="ping"))["head"].partition(":")[2]) < 2000, "it was over before"
        assert longest_s < 0.25  # Without a pause one page takes longer than that.


async def test_replies_go_before_a_long_replay(tmp_path: Path) -> None:
    store = ListStore()
    store.append(*[drafted("x" * 500)] * 5000)
    async with talking(tmp_path, store) as (_, socket):
        await ask(socket, id=1, op="subscribe", since=f"{store.epoch}:0")
        await say(socket, id=2, op="ping")
        await say(socket, id=3, op="unsubscribe", sub=1)
        kinds: list[str] = []
        while (message := await hear(socket))["op"] != "unsubscribed":
            kinds.append(message["op"])
        assert kinds.count("ping") == 1
        assert len(kinds) < 20  # Of 20 batches; the rest is never told.
        assert (await ask(socket, id=4, op="ping"))["op"] == "ping"


async def test_who_asks_without_reading_is_made_to_wait(tmp_path: Path) -> None:
    async with serving(tmp_path, MemoryEngine(), send_limit_s=0.5) as served:
        stream = await peer.connect(served.port)
        await stream.send_all(peer.request("/live", *peer.UPGRADE))
        await peer.read_until(stream, b"\r\n\r\n")
        text = b'{"id":1,"op":"' + b"x" * 100 + b'"}'  # Each is answered by a longer error.
        frame = b"\x81" + bytes([0x80 | len(text)]) + bytes(4) + text

        async def ask_on() -> None:
            while True:
                await stream.send_all(frame * 500)

        with trio.fail_after(20), pytest.raises(trio.BrokenResourceError):
            await ask_on()
        with trio.fail_after(5):
            while served.sessions.statistics().sessions:
                await trio.sleep(0.01)
        await stream.aclose()


async def test_what_was_asked_before_is_answered_before_the_end(tmp_path: Path) -> None:
    async with serving(tmp_path, MemoryEngine()) as served:
        stream = await peer.connect(served.port)
        await stream.send_all(peer.request("/live", *peer.UPGRADE))
        await peer.read_until(stream, b"\r\n\r\n")
        text = b'{"id":1,"op":"ping"}'
        asked = b"\x81" + bytes([0x80 | len(text)]) + bytes(4) + text
        await stream.send_all(asked * 5 + b"\x82\x81" + bytes(4) + b"x")  # In one piece.
        heard = await peer.read_until(stream, b"messages are text")
        assert heard.count(b'"op":"ping"') == 5
        assert (1003).to_bytes(2, "big") in heard
        await stream.aclose()


async def test_a_client_that_takes_nothing_is_dropped_and_others_are_not(tmp_path: Path) -> None:
    store = ListStore()
    store.append(*[drafted("x" * 4000)] * 5000)
    async with talking(tmp_path, store, send_limit_s=0.5) as (served, other):
        stream = await peer.connect(served.port)
        await stream.send_all(peer.request("/live", *peer.UPGRADE))
        await peer.read_until(stream, b"\r\n\r\n")
        text = b'{"id":1,"op":"subscribe","since":"0000000000000001:0"}'
        await stream.send_all(b"\x81" + bytes([0x80 | len(text)]) + bytes(4) + text)
        await ask(other, id=1, op="subscribe")
        with trio.fail_after(5):
            while served.sessions.statistics().sessions == 2:
                number = (await served.log.publish([drafted()]))[0]
                assert await told(other, 1) == [([1], number)]
        await stream.aclose()


def vanish(stream: trio.SocketStream) -> None:
    """Be gone without a word, as a machine whose power has failed: all that comes is dropped, nothing is answered."""
    drop = ctypes.create_string_buffer(struct.pack("=HBBI", 0x06, 0, 0, 0))  # A filter of one instruction: return 0.
    program = struct.pack("@HP", 1, ctypes.addressof(drop))
    stream.socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


async def connected(served: Served) -> trio.SocketStream:
    """Open a websocket by hand."""
    stream = await peer.connect(served.port)
    await stream.send_all(peer.request("/live", *peer.UPGRADE))
    await peer.read_until(stream, b"\r\n\r\n")
    assert served.sessions.statistics().sessions == 1
    return stream


async def test_idle_clients_that_end_are_gone_at_once(tmp_path: Path) -> None:
    async with serving(tmp_path, MemoryEngine()) as served:
        stream = await connected(served)
        await stream.aclose()
        with trio.fail_after(2):
            while served.sessions.statistics().sessions:
                await trio.sleep(0.01)


async def test_idle_clients_that_vanish_are_noticed_within_two_periods(tmp_path: Path) -> None:
    async with serving(tmp_path, MemoryEngine(), ping_s=2.0) as served:
        stream = await connected(served)
        vanish(stream)
        with trio.fail_after(2 * 2.0 + 2.0):  # The kernel looks now and then only.
            while served.sessions.statistics().sessions:
                await trio.sleep(0.01)
        await stream.aclose()


async def leave_open(address: tuple[str, int]) -> None:
    await (await trio.open_tcp_stream(*address)).aclose()


async def test_what_is_not_acknowledged_is_given_up(tmp_path: Path) -> None:
    with open_listeners(("127.0.0.1:0",), 7.0) as listening:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(leave_open, listening.listeners[0].socket.getsockname())
            accepted = await listening.listeners[0].accept()
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 7_000
        await accepted.aclose()

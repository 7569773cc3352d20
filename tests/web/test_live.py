"""The websocket: sessions, UIDs, and what is said when a message is wrong."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from cgi_worker.wire.view import View
from imgd.web import connection
from tests.web import peer
from tests.web.rig import MemoryEngine, Served, serving


@asynccontextmanager
async def talking(tmp_path: Path, **settings: Any) -> AsyncIterator[tuple[Served, WebSocketConnection]]:
    async with (
        serving(tmp_path, MemoryEngine(), **settings) as served,
        peer.websocket(served.port) as socket,
    ):
        yield served, socket


async def ask(socket: WebSocketConnection, message: Any) -> dict[str, Any]:
    await socket.send_message(message if isinstance(message, str) else json.dumps(message))
    with trio.fail_after(5):
        reply = json.loads(await socket.get_message())
    assert isinstance(reply, dict)
    return reply


async def test_a_uid_lives_as_long_as_its_session(tmp_path: Path) -> None:
    async with serving(tmp_path, MemoryEngine()) as served:
        async with peer.websocket(served.port) as socket:
            hello = await ask(socket, {"id": 1, "op": "hello"})
            assert (hello["id"], hello["op"], hello["version"]) == (1, "hello", 2)
            by_object = await ask(socket, {"id": 2, "op": "src", "view": {"frame": "night/a", "quality": 5}})
            by_query = await ask(socket, {"id": 3, "op": "src", "view": "frame=night/%ff", "runner": "main"})
            assert (by_object["id"], by_query["id"]) == (2, 3)
            first, second = (served.sessions.lookup(each["uid"]) for each in (by_object, by_query))
            assert first is not None
            assert second is not None
            assert (first.view, first.session, first.runner) == (View("night/a", quality=5), hello["session"], "")
            assert (second.view, second.runner) == (View("night/\udcff"), hello["session"] + "/main")
            assert len(by_object["uid"]) >= 22
        with trio.fail_after(5):
            while served.sessions.lookup(by_object["uid"]) is not None:
                await trio.sleep(0.01)


@pytest.mark.parametrize(
    ("message", "reply_id", "parameter"),
    [
        ("{", None, "message"),
        ("[]", None, "message"),
        ('{"id":1}', 1, "message"),
        ('{"id":"x","op":"ping"}', None, "message"),
        ('{"id":-1,"op":"ping"}', None, "id"),
        ('{"id":2,"op":"dance"}', 2, "message"),
        ('{"id":3,"op":"ping","more":1}', 3, "message"),
        ('{"id":4,"op":"src","view":{}}', 4, "frame"),
        ('{"id":5,"op":"src","view":{"frame":"a","zoom":1}}', 5, "zoom"),
        ('{"id":6,"op":"src","view":{"frame":["a"]}}', 6, "message"),
        ('{"id":7,"op":"src","view":"frame=a&frame=b"}', 7, "frame"),
        ('{"id":8,"op":"src","view":"frame=ü"}', 8, "view"),
        ('{"id":9,"op":"src","view":"frame=a","runner":"' + "x" * 65 + '"}', 9, "runner"),
        ('{"id":10,"op":"src","view":{"frame":"\\udc80"}}', None, "message"),
    ],
)
async def test_what_is_wrong_is_said_and_the_session_goes_on(
    tmp_path: Path, message: str, reply_id: int | None, parameter: str
) -> None:
    async with talking(tmp_path) as (served, socket):
        reply = await ask(socket, message)
        assert (reply["op"], reply["id"], reply["parameter"], reply["status"]) == ("error", reply_id, parameter, 400)
        assert await ask(socket, {"id": 99, "op": "ping"}) == {"id": 99, "op": "ping", "head": "0000000000000001:0"}
        assert served.sessions.statistics().uids == 0


async def _closed(socket: WebSocketConnection) -> int:
    with trio.fail_after(5), pytest.raises(ConnectionClosed) as caught:
        await socket.get_message()
    assert caught.value.reason is not None
    return int(caught.value.reason.code)


async def test_a_message_too_large_ends_it(tmp_path: Path) -> None:
    async with talking(tmp_path, message_bytes=2048) as (served, socket):
        await socket.send_message("x" * 500_000)
        assert await _closed(socket) == 1009
    assert served.sessions.statistics().sessions == 0


async def test_a_message_is_measured_in_bytes(tmp_path: Path) -> None:
    async with talking(tmp_path, message_bytes=1024) as (_, socket):
        wide = {"id": 1, "op": "src", "view": {"frame": "a"}, "runner": ""}
        for char, count in (("x", 900), ("\u20ac", 300)):
            text = json.dumps({**wide, "runner": char * count}, ensure_ascii=False)
            assert (await ask(socket, text))["parameter"] == "runner"
        await socket.send_message(json.dumps({**wide, "runner": "\u20ac" * 400}, ensure_ascii=False))
        assert await _closed(socket) == 1009


async def _sends(stream: trio.SocketStream, data: bytes) -> bool:
    try:
        await stream.send_all(data)
    except trio.BrokenResourceError:
        return False
    return True


async def test_an_endless_message_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "REFUSED_LEAVES_S", 0.1)
    async with serving(tmp_path, MemoryEngine(), message_bytes=2048) as served:
        stream = await peer.connect(served.port)
        await stream.send_all(peer.request("/live", *peer.UPGRADE))
        await peer.read_until(stream, b"\r\n\r\n")
        await stream.send_all(b"\x01\x8a" + bytes(4) + b"x" * 10)  # The first part of a text; the last never comes.
        more = b"\x00\xfe\xff\xff" + bytes(4) + b"x" * 65_535
        with trio.fail_after(5):
            while await _sends(stream, more):
                pass
            await stream.aclose()
            while served.sessions.statistics().sessions:
                await trio.sleep(0.01)


async def test_bytes_end_it(tmp_path: Path) -> None:
    async with talking(tmp_path) as (_, socket):
        await socket.send_message(b"bytes")
        assert await _closed(socket) == 1003


async def test_the_end_of_the_daemon_is_said(tmp_path: Path) -> None:
    async with talking(tmp_path) as (served, socket):
        await ask(socket, {"id": 1, "op": "hello"})
        served.app.end_sessions()
        assert await _closed(socket) == 1001


async def test_too_many_sessions_are_refused(tmp_path: Path) -> None:
    async with talking(tmp_path, sessions_max=1) as (served, _):
        assert (await peer.upgrade(served.port, "/live")).startswith(b"HTTP/1.1 503")


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost", 101),
        ("https://LOCALHOST", 101),
        ("https://elsewhere.example", 101),
        ("http://localhost:99", 403),
        ("http://evil.example", 403),
        ("null", 403),
    ],
)
async def test_other_sites_pages_are_refused(tmp_path: Path, origin: str, status: int) -> None:
    async with serving(tmp_path, MemoryEngine(), origins=("https://elsewhere.example",)) as served:
        head = await peer.upgrade(served.port, "/live", f"Origin: {origin}")
        assert head.startswith(f"HTTP/1.1 {status}".encode())


async def test_compression_is_declined(tmp_path: Path) -> None:
    async with serving(tmp_path, MemoryEngine()) as served:
        head = await peer.upgrade(served.port, "/live", "Sec-WebSocket-Extensions: permessage-deflate")
        assert head.startswith(b"HTTP/1.1 101")
        assert b"extensions" not in head.lower()


async def test_another_path_is_no_websocket(tmp_path: Path) -> None:
    async with serving(tmp_path, MemoryEngine()) as served:
        assert (await peer.upgrade(served.port, "/dead")).startswith(b"HTTP/1.1 403")

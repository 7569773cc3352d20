"""`/admin` shows who is there and ends it, to who sits at the daemon's machine, and to nobody else."""

import json
from pathlib import Path
from typing import Any

import pytest
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from imgd.core.sessions.events import CLOSE_ENDED
from imgd.errors import ConfigError
from imgd.reaching import NotReached, Place, place_of
from imgd.stat.asking import Wish, answer_to
from imgd.stat.samples import Samples
from imgd.stat.screen import screen_of
from tests.web.peer import websocket
from tests.web.rig import MemoryEngine, Served, get, made, serving

LOCAL = ("host", "localhost:8765")


async def ask(client: WebSocketConnection, **message: Any) -> Any:
    await client.send_message(json.dumps({"id": 1, **message}))
    while True:
        reply = json.loads(await client.get_message())
        if "id" in reply:
            return reply


async def admin(served: Served, target: str = "/admin", method: str = "GET") -> tuple[int, Any]:
    reply = await get(served.app, target, LOCAL, method=method)
    return reply.status, json.loads(reply.body)


async def test_who_is_there_is_shown_without_what_lets_anybody_in(tmp_path: Path) -> None:
    async with serving(tmp_path, MemoryEngine()) as served, websocket(served.port) as client:
        secret = (await ask(client, op="hello"))["resume"]
        runner = (await ask(client, op="open", view={"frame": "night/a b.fits"}))["runner"]
        status, found = await admin(served)
        assert status == 200
        assert [(each["name"], each["connected"], each["runners"]) for each in found["sessions"]] == [
            ("ws1", True, [1])
        ]
        assert [(each["number"], each["view"], each["sessions"]) for each in found["runners"]] == [
            (1, "frame=night/a%20b.fits", ["ws1"])
        ]
        assert found["statistics"]["sessions"] == 1 and 0 <= found["sessions"][0]["age_s"] < 60
        assert secret not in json.dumps(found) and runner not in json.dumps(found)


async def test_a_session_and_all_sessions_can_be_ended(tmp_path: Path) -> None:
    async with (
        serving(tmp_path, MemoryEngine()) as served,
        websocket(served.port) as first,
        websocket(served.port) as second,
    ):
        await ask(first, op="hello")
        await ask(second, op="hello")
        assert await admin(served, "/admin/sessions/ws1/end", "POST") == (200, {"ended": 1})
        with pytest.raises(ConnectionClosed) as caught, trio.fail_after(5):
            await first.get_message()
        assert caught.value.reason is not None and caught.value.reason.code == CLOSE_ENDED
        await ask(second, op="ping")
        assert await admin(served, "/admin/sessions/end", "POST") == (200, {"ended": 1})
        with pytest.raises(ConnectionClosed), trio.fail_after(5):
            await second.get_message()
        _, found = await admin(served)
        assert found["sessions"] == found["runners"] == []


async def test_a_runner_can_be_ended_and_its_session_lives(tmp_path: Path) -> None:
    async with serving(tmp_path, MemoryEngine()) as served, websocket(served.port) as client:
        runner = (await ask(client, op="open", view={"frame": "night/a.fits"}))["runner"]
        assert await admin(served, "/admin/runners/1/end", "POST") == (200, {"ended": 1})
        with trio.fail_after(5):
            told = json.loads(await client.get_message())
        assert told == {"op": "closed", "runner": runner, "why": "ended by an operator"}
        assert (await ask(client, op="run", runner=runner))["status"] == 404


@pytest.mark.parametrize(
    ("target", "method", "status"),
    [
        ("/admin/sessions/ws9/end", "POST", 404),
        ("/admin/runners/9/end", "POST", 404),
        ("/admin/runners/x/end", "POST", 404),
        ("/admin/", "GET", 404),
        ("/admin/odd", "POST", 404),
        ("/admin", "POST", 405),
        ("/admin/sessions/end", "GET", 405),
    ],
)
async def test_what_there_is_not_is_said(tmp_path: Path, target: str, method: str, status: int) -> None:
    with made(tmp_path, MemoryEngine()) as served:
        assert (await admin(served, target, method))[0] == status


@pytest.mark.parametrize(
    "headers",
    [
        [("host", "imgd.example.org")],
        [LOCAL, ("x-forwarded-for", "127.0.0.1")],
        [LOCAL, ("forwarded", "for=127.0.0.1")],
        [LOCAL, ("x-forwarded-proto", "https")],
        [LOCAL, ("x-real-ip", "127.0.0.1")],
        [LOCAL, ("origin", "http://evil.example")],
        [LOCAL, ("origin", "null")],
        [LOCAL, ("origin", "http://[")],
        [LOCAL, ("origin", "http://localhost:1")],
        [LOCAL, ("sec-fetch-site", "cross-site")],
        [("host", "")],
        [("host", "[")],
        [("host", "127.0.0.1.example.org")],
    ],
)
@pytest.mark.parametrize(("target", "method"), [("/admin", "GET"), ("/admin/sessions/end", "POST")])
async def test_who_does_not_sit_here_is_refused(
    tmp_path: Path, headers: list[tuple[str, str]], target: str, method: str
) -> None:
    with made(tmp_path, MemoryEngine()) as served:
        assert (await get(served.app, target, *headers, method=method)).status == 403


@pytest.mark.parametrize(
    ("client", "status"),
    [
        (("127.0.0.1", 5), 200), (("127.3.2.1", 5), 200), (("::1", 5), 200), (("::ffff:127.0.0.1", 5), 200),
        (None, 200),
        (("192.0.2.1", 5), 403), (("::ffff:192.0.2.1", 5), 403), (("::", 5), 403), (("fe80::1%eth0", 5), 403),
    ],
)  # fmt: skip
async def test_only_the_loopback_and_unix_sockets_are_here(tmp_path: Path, client: Any, status: int) -> None:
    with made(tmp_path, MemoryEngine()) as served:

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await served.app({**scope, "client": client}, receive, send)

        reply = await get(app, "/admin", LOCAL)  # type: ignore[arg-type]
        assert reply.status == status


@pytest.mark.parametrize("host", ["localhost", "localhost:8765", "127.0.0.1:8765", "[::1]:8765"])
async def test_the_page_of_its_own_origin_may(tmp_path: Path, host: str) -> None:
    with made(tmp_path, MemoryEngine()) as served:
        reply = await get(served.app, "/admin", ("host", host), ("origin", f"http://{host}"))
        assert reply.status == 200


# `imgd stat`


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("http://127.0.0.1:8765/", Place("127.0.0.1", 8765)),
        ("localhost:1", Place("localhost", 1)),
        ("https://[::1]/imgd/", Place("::1", 443, "", "/imgd", True)),
        ("unix:/run/imgd.sock", Place(path="/run/imgd.sock")),
    ],
)
def test_an_address_is_read(text: str, place: Place) -> None:
    assert place_of(text) == place


@pytest.mark.parametrize("text", ["", "ftp://h/", "unix:x", "h:0", "http://h:x/", "http://h/a b", "h\n", "ä"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        place_of(text)


def table(answer: Any) -> list[str]:
    """What is shown of sessions: the last table."""
    return screen_of(Samples(answer), "here", 120)


async def test_stat_shows_a_table_and_ends_what_it_is_told(tmp_path: Path) -> None:
    async with serving(tmp_path, MemoryEngine()) as served, websocket(served.port) as client:
        place = Place("127.0.0.1", served.port)
        await ask(client, op="open", view={"frame": "night/a.fits"})
        *_, heading, session, runner = table(await trio.to_thread.run_sync(answer_to, Wish(place)))
        assert heading == "sessions: 1" and session.startswith("ws1  local  connected  ")
        assert runner == "  #1  idle  turn 0  frame=night/a.fits"
        with pytest.raises(NotReached, match="status 404: there is no such runner"):
            await trio.to_thread.run_sync(answer_to, Wish(place, runner=7))
        assert await trio.to_thread.run_sync(answer_to, Wish(place, runner=1)) == {"ended": 1}
        with pytest.raises(NotReached, match="there is no such session"):
            await trio.to_thread.run_sync(answer_to, Wish(place, session="a b%c"))
        assert await trio.to_thread.run_sync(answer_to, Wish(place, session="ws1")) == {"ended": 1}
        assert await trio.to_thread.run_sync(answer_to, Wish(place, all=True)) == {"ended": 0}


async def test_names_give_the_terminal_no_orders(tmp_path: Path) -> None:
    with made(tmp_path, MemoryEngine()) as served:
        _, answer = await admin(served)
    session = {"name": "ws1", "owner": "\x1b[2J", "connected": False, "age_s": 7200.0, "runners": []}
    assert table({**answer, "sessions": [session]})[-1] == "ws1  \\x1b[2J  away  120 min"
    assert "\x1b" not in "".join(table({**answer, "state": "\x1b[2J", "events_down": "\x1b]0;x\x07"}))


async def test_where_nobody_listens_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotReached, match="cannot ask the daemon"):
        await trio.to_thread.run_sync(answer_to, Wish(Place(path=str(tmp_path / "none.sock"))))


# The setting `admin`


@pytest.mark.parametrize("target", ["/admin", "/admin/", "/admin/sessions/end"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_admin_that_is_off_is_not_there(tmp_path: Path, target: str, method: str) -> None:
    with made(tmp_path, MemoryEngine(), admin="off") as served:
        reply = await get(served.app, target, LOCAL, method=method)
        assert reply.status == 404


async def test_stat_says_in_words_that_admin_is_off(tmp_path: Path) -> None:
    async with serving(tmp_path, MemoryEngine(), admin="off") as served:
        with pytest.raises(NotReached, match="admin = off"):
            await trio.to_thread.run_sync(answer_to, Wish(Place("127.0.0.1", served.port)))

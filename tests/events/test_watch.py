"""`imgd watch`: what it makes of an address, what it prints, and how it resumes; the real daemon is in tests/daemon."""

import functools
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import trio
from trio_websocket import WebSocketRequest, serve_websocket

from imgd import watch
from imgd.errors import ConfigError
from imgd.watch import Refused, Watching, live_url

EPOCH = "00000000000000aa"
Told = list[dict[str, Any]]


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://h:8765/", "ws://h:8765/live"),
        ("h:8765", "ws://h:8765/live"),
        ("https://h/imgd/", "wss://h/imgd/live"),
        ("ws://h:1/live", "ws://h:1/live"),
        ("wss://[::1]:5", "wss://[::1]:5/live"),
    ],
)
def test_an_address_leads_to_its_websocket(text: str, url: str) -> None:
    assert live_url(text) == url


@pytest.mark.parametrize(
    "text",
    [
        "", "ftp://h/", "http://", "http://h:x/", "http://h:99999/", "unix:/x", "http://a..b/", "http://.a/",
        f"http://{'a' * 64}.example/", "http://h/a b", "http://h/?y= 2", "http://h/\n", "\nhttp://h/", "http://h/\u00fc",
        "http://h/\x7f", "http://[::1/",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        live_url(text)


def event(id: int, **more: Any) -> dict[str, Any]:
    return {"id": id, "at": "2026-01-31T20:15:00.250Z", "type": "frame.arrived", "root": "night", **more}


def events(*ids: int) -> dict[str, Any]:
    return {"op": "events", "events": [{"subs": [1], "event": event(id, path=f"{id}.fits")} for id in ids]}


async def watched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, scripts: Sequence[Callable[[Told], Told]], **settings: Any
) -> tuple[list[str], Watching]:
    """Watch a daemon that does as scripted, one script a connection: what was asked in, what is told out."""
    monkeypatch.setattr(watch, "AGAIN_S", (0.01,))
    left = list(scripts)

    async def daemon(request: WebSocketRequest) -> None:
        connection = await request.accept()
        script = left.pop(0)
        asked = [json.loads(await connection.get_message())]
        if asked[0]["op"] == "ping":
            await connection.send_message(json.dumps({"id": 0, "op": "ping", "head": f"{EPOCH}:9"}))
            asked.append(json.loads(await connection.get_message()))
        for message in script(asked):
            await connection.send_message(json.dumps(message))
        await connection.aclose()

    given: dict[str, Any] = {"filters": [], "cursor": None, "as_json": False, "left": None, **settings}
    out = tmp_path / "out"
    saved = os.dup(1)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    watching = Watching(url=f"ws://127.0.0.1:{port}/live", **given)
    try:
        with out.open("wb") as file:
            os.dup2(file.fileno(), 1)
        async with trio.open_nursery() as nursery:
            await nursery.start(
                lambda task_status: serve_websocket(daemon, "127.0.0.1", port, None, task_status=task_status)
            )
            with trio.fail_after(10):
                await watch.watch(watching)
            nursery.cancel_scope.cancel()
    finally:
        os.dup2(saved, 1)
        os.close(saved)
    assert not left, "it did not come again"
    return out.read_text().splitlines(), watching


async def answered(monkeypatch: pytest.MonkeyPatch, answers: Sequence[bytes]) -> None:
    """Watch what answers with these bytes, one after another, until it gives up; it must come for each of them."""
    monkeypatch.setattr(watch, "AGAIN_S", (0.01,))
    monkeypatch.setattr(watch, "CONNECT_LIMIT_S", 0.3)
    left = list(answers)

    async def answer(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some(4000)
            await stream.send_all(left.pop(0))

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(functools.partial(trio.serve_tcp, answer, 0, host="127.0.0.1"))
        port = listeners[0].socket.getsockname()[1]
        with trio.fail_after(10):
            try:
                await watch.watch(Watching(f"ws://127.0.0.1:{port}/live", [], None, as_json=False, left=None))
            finally:
                nursery.cancel_scope.cancel()
                assert not left, "it did not come again"


BROKEN = [
    b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 11\r\nConnection: close\r\n\r\nhello world",
    b"HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 502 x\r\nConnection: close\r\n\r\nbody to the end",
    b"HTTP/1.1 502 x\r\nContent-Length: 100\r\nConnection: close\r\n\r\nshort",
    b"HTTP/1.1 429 x\r\nContent-Length: 0\r\n\r\n",
    b"SSH-2.0-nothing\r\n\r\n",
    b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    b"",
    b"\x15\x03\x01\x00\x02\x02\x46",
]
FORBIDDEN = b"HTTP/1.1 403 x\r\nContent-Length: 2\r\n\r\nno"


@pytest.mark.parametrize("broken", BROKEN)
async def test_a_broken_or_busy_answer_is_tried_again_and_a_refusal_ends_it(
    monkeypatch: pytest.MonkeyPatch, broken: bytes
) -> None:
    with pytest.RaisesGroup(pytest.RaisesExc(Refused, match="status 403")):
        await answered(monkeypatch, [broken, FORBIDDEN])


@pytest.mark.parametrize(
    "strange",
    [
        {}, [], 3, {"op": 5}, {"op": "subscribed"}, {"op": "subscribed", "head": "x"}, {"op": "error"}, {"op": "reset"},
        {"op": "events", "events": 3},
    ],
)  # fmt: skip
async def test_what_no_daemon_says_is_met_by_coming_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, strange: Any
) -> None:
    lines, _ = await watched(monkeypatch, tmp_path, [lambda _: [strange], lambda _: [subscribed(0), events(1)]], left=1)
    assert len(lines) == 1


async def test_an_event_that_is_none_is_not_printed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def first(_: Told) -> Told:
        return [subscribed(0), {"op": "events", "events": [{"subs": [1], "event": {"id": 1}}]}]

    lines, _ = await watched(monkeypatch, tmp_path, [first, lambda _: [subscribed(0), events(1)]], left=1)
    assert len(lines) == 1


def script(outcome: str) -> list[str]:
    """A program that prints a line as `imgd watch` does, on whatever its standard output is."""
    text = f"""
import os, sys, trio
from imgd import watch
async def follow(watching):
    {outcome}
watch.watch = follow
sys.exit(watch.run(watch.Watching("", [], None, False, None)))
"""
    return [sys.executable, "-c", text]


def ran(outcome: str, redirect: str) -> tuple[int, str]:
    command = ["sh", "-c", f'"$0" "$@" {redirect}', *script(outcome)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize(("redirect", "words"), [("> /dev/full", "No space left"), (">&-", "is closed")])
def test_an_output_that_takes_nothing_is_said_in_one_line(redirect: str, words: str) -> None:
    code, said = ran("await watch._write('x' * 9)", redirect)
    assert (code, said.count("\n")) == (1, 1)
    assert words in said


def test_an_output_that_does_not_wait_is_waited_for() -> None:
    code, said = ran("os.set_blocking(1, False); await watch._write('x' * 1_000_000)", "| { sleep 0.3; wc -c >&2; }")
    assert (code, said.strip()) == (0, "1000000")


def subscribed(head: int) -> dict[str, Any]:
    return {"id": 1, "op": "subscribed", "head": f"{EPOCH}:{head}"}


async def test_it_resumes_after_what_it_printed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sinces: list[Any] = []

    def first(asked: Told) -> Told:
        sinces.append(asked[0]["since"])
        return [subscribed(3), events(4, 5)]

    def second(asked: Told) -> Told:
        sinces.append(asked[0]["since"])
        return [subscribed(8), events(6), {"op": "head", "head": f"{EPOCH}:8"}]

    def third(asked: Told) -> Told:
        sinces.append(asked[0]["since"])
        return [subscribed(8), {"op": "reset", "subs": [1], "head": "00000000000000bb:2"}, events(3, 4, 5)]

    lines, watching = await watched(monkeypatch, tmp_path, [first, second, third], left=5)
    assert sinces == [None, f"{EPOCH}:5", f"{EPOCH}:8"]
    assert [line.split()[0] for line in lines] == [
        f"{EPOCH}:4", f"{EPOCH}:5", f"{EPOCH}:6", "00000000000000bb:3", "00000000000000bb:4",
    ]  # fmt: skip
    assert watching.cursor == "00000000000000bb:4"


async def test_from_the_oldest_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def script(asked: Told) -> Told:
        assert asked[1]["since"] == f"{EPOCH}:0"
        return [subscribed(9), {"op": "missed", "subs": [1], "from": 1, "to": 6}, events(7)]

    lines, _ = await watched(monkeypatch, tmp_path, [script], cursor="0", left=1, as_json=True)
    assert json.loads(lines[0]) == {"cursor": f"{EPOCH}:7", **event(7, path="7.fits")}


async def test_a_busy_daemon_is_asked_again_and_a_refusal_ends_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def busy(_: Told) -> Told:
        return [{"id": 1, "op": "error", "status": 503, "detail": "later", "parameter": ""}]

    def refused(_: Told) -> Told:
        return [{"id": 1, "op": "error", "status": 400, "detail": "no field", "parameter": "filters[0]"}]

    with pytest.RaisesGroup(pytest.RaisesExc(Refused, match=r"filters\[0\]: no field")):
        await watched(monkeypatch, tmp_path, [busy, refused])


@pytest.mark.parametrize(("progress", "as_json"), [(False, False), (True, False), (True, True)])
async def test_progress_is_printed_for_who_asked_and_moves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, progress: bool, as_json: bool
) -> None:
    scanning = {"at": "2026-01-31T20:15:00.250Z", "type": "root.scanning", "root": "n", "detail": {"scanned": 3}}

    def script(_: Told) -> Told:
        return [subscribed(0), {"op": "progress", "subs": [1], "event": scanning}, events(1)]

    settings = {"left": 1, "progress": progress, "as_json": as_json}
    lines, watching = await watched(monkeypatch, tmp_path, [script], **settings)
    assert (len(lines), watching.cursor) == (1 + progress, f"{EPOCH}:1")
    if as_json:
        assert json.loads(lines[0]) == scanning
    elif progress:
        assert lines[0] == "- 2026-01-31T20:15:00.250Z root.scanning n scanned=3"


async def test_names_give_no_orders_to_the_terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def script(_: Told) -> Told:
        told = event(1, path="a\x1b[2J\nb.fits", detail={"frames": 3})
        return [subscribed(0), {"op": "events", "events": [{"subs": [1], "event": told}]}]

    lines, _ = await watched(monkeypatch, tmp_path, [script], left=1)
    assert lines == [
        rf"{EPOCH}:1 2026-01-31T20:15:00.250Z frame.arrived night/a\x1b[2J\nb.fits frames=3"
    ]  # fmt: skip

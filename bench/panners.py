"""`python -m bench.panners HOST PORT JOB`: viewers that pan as fast as tiles come, and count; JOB is JSON.

Sockets and a selector, no more: what is measured is the daemon's cost, not that of clients in Python.
"""

import base64
import json
import os
import selectors
import socket
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

TILE_PX = 256
ACROSS, DOWN = 8, 5  # Tiles of a screen.
CONNECTIONS = 6  # Of one browser over HTTP/1.1.
HEADER_BYTES = 32
LIMIT_S = 60.0


def mask(text: str) -> bytes:
    """Write a text as a websocket's client has to."""
    payload, key = text.encode(), os.urandom(4)
    length = struct.pack("!BB", 0x81, 0x80 | len(payload)) if len(payload) < 126 else b""
    length = length or struct.pack("!BBH", 0x81, 0x80 | 126, len(payload))
    return length + key + bytes(octet ^ key[at % 4] for at, octet in enumerate(payload))


class Socket:
    """A connected stream that takes websocket messages apart."""

    def __init__(self, host: str, port: int) -> None:
        self.socket = socket.create_connection((host, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.waiting = bytearray()

    def upgrade(self, host: str, port: int) -> None:
        """Become a websocket."""
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET /live HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        while b"\r\n\r\n" not in self.waiting:
            self.take()
        del self.waiting[: self.waiting.index(b"\r\n\r\n") + 4]

    def take(self) -> None:
        """Take what is there."""
        some = self.socket.recv(1 << 20)
        assert some, "the daemon closed the connection"
        self.waiting += some

    def say(self, **message: Any) -> None:
        """Send a message."""
        self.socket.sendall(mask(json.dumps(message)))

    def messages(self) -> list[tuple[int, bytes]]:
        """Take whole messages out: (opcode, payload); of a binary one only the header."""
        found, at, waiting = [], 0, self.waiting
        while len(waiting) - at >= 2:
            code, size, start = waiting[at] & 15, waiting[at + 1], at + 2
            if size == 126:
                if len(waiting) < start + 2:
                    break
                size, start = int.from_bytes(waiting[start : start + 2], "big"), start + 2
            elif size == 127:
                if len(waiting) < start + 8:
                    break
                size, start = int.from_bytes(waiting[start : start + 8], "big"), start + 8
            if len(waiting) < start + size:
                break
            found.append((code, bytes(waiting[start : start + (HEADER_BYTES if code == 2 else size)])))
            at = start + size
        del waiting[:at]
        return found

    def until(self, what: str) -> dict[str, Any]:
        """Wait for a text message of this kind."""
        while True:
            for code, payload in self.messages():
                if code == 1 and (message := json.loads(payload))["op"] in (what, "error", "failed"):
                    assert message["op"] == what, message
                    return dict(message)
            self.take()


class Viewer:
    """One person who pans over a picture, screen by screen, by a websocket."""

    def __init__(self, host: str, port: int, job: dict[str, Any], number: int) -> None:
        self.wire = Socket(host, port)
        self.wire.upgrade(host, port)
        self.wire.say(
            id=1,
            op="open",
            view=f"{job.get('view', 'frame=night/mono61.fits')}&cut=800,{1800 + number}",
            results=["picture"],
        )
        self.runner = self.wire.until("opened")["runner"]
        self.level, self.size = job.get("level", 0), job.get("size", (0, 0))
        self.turn = number * 7
        self.took: list[float] = []
        self.ended: list[float] = []
        self.began = 0.0

    def pan(self) -> None:
        """Look at the next screen."""
        columns, rows = (
            max(1, side // (TILE_PX << self.level) - n) for side, n in zip(self.size, (ACROSS, DOWN), strict=True)
        )
        left, top = self.turn * ACROSS % columns, self.turn * 3 % rows
        self.turn += 1
        box = [left * TILE_PX, top * TILE_PX, ACROSS * TILE_PX, DOWN * TILE_PX]
        self.began = time.perf_counter()
        self.wire.say(id=2, op="viewport", runner=self.runner, level=self.level, box=box, again=True)

    def hear(self) -> bool:
        """Take what is there; True when the screen is complete."""
        self.wire.take()
        now, complete = time.perf_counter(), False
        for code, payload in self.wire.messages():
            if code == 2:
                self.took.append(now - self.began)
            elif payload.startswith(b'{"op":"completed"'):
                self.ended.append(now - self.began)
                complete = True
            elif b'"op":"failed"' in payload[:40] or b'"op":"error"' in payload[:40]:
                raise AssertionError(payload.decode())
        return complete


class Browser:
    """One person who pans by a connection of plain HTTP; several of these share a screen's tiles out among them."""

    def __init__(self, host: str, port: int, job: dict[str, Any], targets: Callable[[], str]) -> None:
        self.wire = Socket(host, port)
        self.head = f" HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()
        self.targets = targets
        self.took: list[float] = []
        self.left = -1
        self.began = 0.0

    def ask(self) -> None:
        """Ask for the next tile."""
        self.began = time.perf_counter()
        self.wire.socket.sendall(b"GET " + self.targets().encode() + self.head)

    def hear(self) -> bool:
        """Take what is there; True when the tile is complete."""
        self.wire.take()
        waiting = self.wire.waiting
        if self.left < 0 and (end := waiting.find(b"\r\n\r\n")) >= 0:
            head = bytes(waiting[:end]).lower()
            assert head.startswith(b"http/1.1 200"), head
            at = head.index(b"content-length:") + 15
            self.left = end + 4 + int(head[at : at + 12].split(b"\r")[0])
        if self.left < 0 or len(waiting) < self.left:
            return False
        del waiting[: self.left]
        self.left = -1
        self.took.append(time.perf_counter() - self.began)
        return True


def by_websocket(host: str, port: int, job: dict[str, Any]) -> dict[str, Any]:
    """Pan by websockets."""
    viewers = [Viewer(host, port, job, number) for number in range(job["clients"])]
    return _drive(viewers, job, Viewer.pan)


def by_http(host: str, port: int, job: dict[str, Any]) -> dict[str, Any]:
    """Pan by plain HTTP."""
    browsers: list[Browser] = []
    for number in range(job["clients"]):
        targets = _targets(job, number)
        browsers += [Browser(host, port, job, targets) for _ in range(job.get("connections", CONNECTIONS))]
    return _drive(browsers, job, Browser.ask)


def _targets(job: dict[str, Any], number: int) -> Callable[[], str]:
    if "targets" in job:
        turn = iter(range(number * 13, 1 << 30))
        return lambda: str(job["targets"][next(turn) % len(job["targets"])])
    tiles = _screens(job, number)
    return lambda: str(job["target"]).format(*next(tiles), 1800 + number)


def _screens(job: dict[str, Any], number: int) -> Any:
    turn = number * 7
    columns, rows = (
        max(1, side // (TILE_PX << job["level"]) - n) for side, n in zip(job["size"], (ACROSS, DOWN), strict=True)
    )
    while True:
        left, top = turn * ACROSS % columns, turn * 3 % rows
        yield from ((left + x, top + y) for y in range(DOWN) for x in range(ACROSS))
        turn += 1


def _drive(parties: list[Any], job: dict[str, Any], again: Callable[[Any], None]) -> dict[str, Any]:
    """Have them all go on for some seconds; tell tiles a second, and how long each took."""
    selector = selectors.DefaultSelector()
    for each in parties:
        selector.register(each.wire.socket, selectors.EVENT_READ, each)
        again(each)
    began = time.perf_counter()
    warm, end = began + job.get("warm_s", 1.0), began + job.get("warm_s", 1.0) + job["seconds"]
    counted, cpu_s = None, time.process_time()
    while (now := time.perf_counter()) < end:
        if counted is None and now >= warm:
            counted = [len(each.took) for each in parties]
            warm = now
        for key, _ in selector.select(1.0):
            if key.data.hear():
                again(key.data)
    assert counted is not None
    took = [ms for each, first in zip(parties, counted, strict=True) for ms in each.took[first:]]
    elapsed_s = time.perf_counter() - warm
    return {
        "all": sum(len(each.took) for each in parties),
        "rate": len(took) / elapsed_s,
        "took_ms": [1e3 * each for each in took],
        "cpu_s": time.process_time() - cpu_s,
    }


def main(host: str, port: int, job: dict[str, Any]) -> None:
    """Do the job and print what came of it."""
    if job["by"] == "idling":
        idlers = [Viewer(host, port, job, number) for number in range(job["clients"])]
        print("ready", flush=True)
        sys.stdin.read()  # Until it is killed, or the bench is.
        assert idlers
        return
    drive = {"websocket": by_websocket, "http": by_http}[job["by"]]
    print(json.dumps(drive(host, port, job)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3]))

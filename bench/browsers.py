"""`python -m bench.browsers HOST PORT AUTHORITY JOB`: browsers that open the page, or just stay; JOB is JSON.

Each does what the page does when it is opened: its files and the list of frames by one connection, the websocket with
hello, subscription and a runner whose picture is to fit the screen. Times are from the first connect.
"""

import json
import re
import resource
import ssl
import sys
import time
from dataclasses import dataclass, field
from typing import Any, Final

import trio
from trio_websocket import WebSocketConnection, wrap_client_stream

from imgd.web.frames_out import TILE

SCREEN: Final = (1400, 900)
LIMIT_S: Final = 120.0
TYPES: Final = ["frame.arrived", "frame.rewritten", "frame.gone", "root.appeared", "root.vanished"]
HANDSHAKES: Final = 50  # At the same time.


@dataclass
class Browser:
    """One browser: how long it took until something of the picture was there, and until all of it."""

    host: str
    port: int
    trust: ssl.SSLContext
    took: dict[str, float] = field(default_factory=dict)
    asked: int = 0

    async def open(self, frame: str, files: list[str]) -> None:
        """Open the page at a frame, until its picture is complete."""
        began_s = time.perf_counter()
        async with await self._connect() as kept, trio.open_nursery() as nursery:
            for each in files:
                await self._fetch(kept, each)
            self.took["page"] = time.perf_counter() - began_s
            live = await self._live(nursery)
            await self._say(live, op="hello")
            await self._say(live, op="subscribe", filters=[["type", "in", TYPES]])
            nursery.start_soon(self._fetch, kept, "/catalogue?order=newest&offset=0&limit=100")
            fit = {"fit": [*SCREEN], "dpr": 1, "glance": True}
            results = ["facts", "levels", "picture"]
            await self._say(live, op="open", view={"frame": frame}, results=results, paused=False, viewport=fit)
            await self._watch(live, began_s)
            await live.aclose()
            nursery.cancel_scope.cancel()

    async def stay(self, is_there: trio.Event, leaves: trio.Event) -> None:
        """Connect, say hello, and do nothing until it is time to leave."""
        async with trio.open_nursery() as nursery:
            live = await self._live(nursery)
            await self._say(live, op="hello")
            while json.loads(await live.get_message())["op"] != "hello":
                pass
            is_there.set()
            await leaves.wait()
            self.took["open"] = float(live.closed is None)
            nursery.cancel_scope.cancel()

    async def _watch(self, live: WebSocketConnection, began_s: float) -> None:
        while True:
            message = await live.get_message()
            if isinstance(message, bytes):
                self.took.setdefault("first", time.perf_counter() - began_s)
                if message[1] == TILE:
                    self.took.setdefault("first exact", time.perf_counter() - began_s)
                continue
            told = json.loads(message)
            assert told["op"] not in ("error", "failed"), told
            if told["op"] == "completed":
                self.took["complete"] = time.perf_counter() - began_s
                return

    async def _live(self, nursery: trio.Nursery) -> WebSocketConnection:
        stream = await self._connect()
        return await wrap_client_stream(nursery, stream, f"{self.host}:{self.port}", "/live")

    async def _connect(self) -> trio.SSLStream[trio.SocketStream]:
        stream = await trio.open_tcp_stream(self.host, self.port)
        ciphered = trio.SSLStream(stream, self.trust, server_hostname=self.host, https_compatible=True)
        await ciphered.do_handshake()
        return ciphered

    async def _fetch(self, stream: trio.SSLStream[trio.SocketStream], target: str) -> None:
        head = f"GET {target} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nAccept-Encoding: gzip\r\n\r\n"
        await stream.send_all(head.encode())
        octets = bytearray()
        while not _is_whole(octets):
            data = await stream.receive_some(65536)
            assert data, bytes(octets[:200])
            octets += data
        assert octets.startswith(b"HTTP/1.1 200"), bytes(octets[:200])

    async def _say(self, live: WebSocketConnection, **message: Any) -> None:
        self.asked += 1
        await live.send_message(json.dumps({"id": self.asked, **message}))


def _is_whole(octets: bytearray) -> bool:
    """Tell whether this is an answer to its end."""
    end = octets.find(b"\r\n\r\n")
    if end < 0:
        return False
    if found := re.search(rb"(?i)\r\ncontent-length: (\d+)\r\n", octets[: end + 2]):
        return len(octets) >= end + 4 + int(found[1])
    return octets.endswith(b"\r\n0\r\n\r\n")


async def open_all(browsers: list[Browser], job: dict[str, Any]) -> None:
    """Have all open their pages at the same time."""
    with trio.fail_after(LIMIT_S):
        async with trio.open_nursery() as nursery:
            for browser, frame in zip(browsers, job["frames"], strict=True):
                nursery.start_soon(browser.open, frame, job["files"])
    print(json.dumps([browser.took for browser in browsers]), flush=True)


async def stay_all(browsers: list[Browser]) -> None:
    """Have all connect, and stay until a line comes in; tell how many were still connected then."""
    leaves = trio.Event()
    async with trio.open_nursery() as nursery:
        for first in range(0, len(browsers), HANDSHAKES):
            there = [(browser, trio.Event()) for browser in browsers[first : first + HANDSHAKES]]
            for browser, is_there in there:
                nursery.start_soon(browser.stay, is_there, leaves)
            with trio.fail_after(LIMIT_S):
                for _, is_there in there:
                    await is_there.wait()
        print("ready", flush=True)
        await trio.to_thread.run_sync(sys.stdin.readline)
        leaves.set()
    print(json.dumps(sum(browser.took.get("open", 0.0) for browser in browsers)), flush=True)


def main(host: str, port: int, authority: str, job: dict[str, Any]) -> None:
    """Do the job and print what came of it."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    trust = ssl.create_default_context(cafile=authority)
    trust.set_alpn_protocols(["http/1.1"])
    browsers = [Browser(host, port, trust) for _ in range(job["count"])]
    if job["by"] == "opening":
        trio.run(open_all, browsers, job)
    else:
        trio.run(stay_all, browsers)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4]))

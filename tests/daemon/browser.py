"""A real browser without a window, driven over its debugging websocket."""

import base64
import itertools
import json
import re
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
import trio_websocket

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--remote-debugging-port=0",
)  # fmt: skip
START_LIMIT_S = 60.0
STEP_LIMIT_S = 20.0
SCREENSHOT_BYTES_MAX = 32 << 20


class Page:
    """One tab. `messages` holds what its console said and which hosts it asked."""

    def __init__(self, socket: trio_websocket.WebSocketConnection) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self._answers: dict[int, Any] = {}
        self._news = trio.Event()
        self.errors: list[str] = []
        self.requests: list[str] = []

    async def listen(self) -> None:
        """Take in what the browser says, until cancelled."""
        while True:
            message = json.loads(await self._socket.get_message())
            match message:
                case {"id": number}:
                    self._answers[number] = message
                case {"method": "Runtime.exceptionThrown", "params": {"exceptionDetails": details}}:
                    self.errors.append(json.dumps(details)[:500])
                case {"method": "Log.entryAdded", "params": {"entry": {"level": "error"} as entry}}:
                    self.errors.append(json.dumps(entry)[:500])
                case {"method": "Network.requestWillBeSent", "params": {"request": {"url": url}}}:
                    self.requests.append(url)
            self._news.set()

    async def call(self, method: str, **parameters: Any) -> Any:
        """Give the browser one order, and return its result."""
        number = next(self._ids)
        await self._socket.send_message(json.dumps({"id": number, "method": method, "params": parameters}))
        with trio.fail_after(STEP_LIMIT_S):
            while number not in self._answers:
                self._news = trio.Event()
                await self._news.wait()
        answer = self._answers.pop(number)
        assert "error" not in answer, answer
        return answer["result"]

    async def value(self, script: str) -> Any:
        """Evaluate a script in the page; a promise is awaited."""
        answer = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, script: str) -> None:
        """Wait until a script's value is true."""
        with trio.move_on_after(STEP_LIMIT_S):
            while not await self.value(script):
                await trio.sleep(0.02)
            return
        raise AssertionError(f"not so within {STEP_LIMIT_S} s: {script}; errors: {self.errors}")

    async def resize(self, width_px: int, height_px: int, ratio: float = 1.0) -> None:
        """Give the page another window."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width_px, height=height_px, deviceScaleFactor=ratio, mobile=width_px < 600,
        )  # fmt: skip

    async def screenshot(self, path: Path) -> None:
        """Keep what the page looks like now."""
        answer = await self.call("Page.captureScreenshot", format="png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(answer["data"]))


@asynccontextmanager
async def browsing(url: str) -> AsyncIterator[Page]:
    """Open a page in a fresh browser; it is gone at the end."""
    with tempfile.TemporaryDirectory(prefix="imgd-browser-", ignore_cleanup_errors=True) as profile:
        process = await trio.lowlevel.open_process(
            ["chromium", *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            port = await _port(Path(profile) / "DevToolsActivePort")
            target = await _page_target(port)
            async with trio_websocket.open_websocket(
                "127.0.0.1", port, target, use_ssl=False, max_message_size=SCREENSHOT_BYTES_MAX
            ) as socket:
                page = Page(socket)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(page.listen)
                    for domain in ("Page", "Runtime", "Log", "Network"):
                        await page.call(f"{domain}.enable")
                    await page.call("Page.navigate", url=url)
                    yield page
                    nursery.cancel_scope.cancel()
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()


async def _port(path: Path) -> int:
    with trio.fail_after(START_LIMIT_S):
        while not path.exists() or len(path.read_text().splitlines()) < 2:
            await trio.sleep(0.05)
    return int(path.read_text().splitlines()[0])


async def _page_target(port: int) -> str:
    with trio.fail_after(START_LIMIT_S):
        while True:
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                await stream.send_all(b"GET /json/list HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
                answer = b""
                while not _whole(answer) and (piece := await stream.receive_some()):
                    answer += piece
            for target in json.loads(answer.partition(b"\r\n\r\n")[2]):
                if target["type"] == "page":
                    return "/" + str(target["webSocketDebuggerUrl"]).split("/", 3)[3]
            await trio.sleep(0.05)


def _whole(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length:\s*(\d+)", head)
    return bool(end) and length is not None and len(body) >= int(length.group(1))

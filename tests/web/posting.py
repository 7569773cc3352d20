"""Runs asked for by plain HTTP, each in a connection of its own."""

import json
from typing import Any

from tests.web import peer
from tests.web.rig import Reply


async def post(port: int, body: Any) -> Reply:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with await peer.connect(port) as stream:
        head = peer.request("/runs", f"Content-Length: {len(content)}", "Connection: close", method="POST")
        await stream.send_all(head + content)
        return read(await peer.read_all(stream))


async def get(port: int, query: str) -> Reply:
    async with await peer.connect(port) as stream:
        await stream.send_all(peer.request(f"/runs?{query}", "Connection: close"))
        return read(await peer.read_all(stream))


def read(answer: bytes) -> Reply:
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    return Reply(int(lines[0].split()[1]), headers, body, complete=True)

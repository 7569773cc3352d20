"""A client of sessions: it asks, and hears what its runners say and show."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import trio
from trio_websocket import WebSocketConnection

from imgd.web.frames_out import HEADER
from tests.sessions.telling import check_told
from tests.web import peer

LIMIT_S = 10.0


@dataclass(frozen=True)
class Shown:
    """A binary frame."""

    version: int
    kind: int
    format: int
    level: int
    number: int
    turn: int
    column: int
    row: int
    width_px: int
    height_px: int
    size_bytes: int
    body: bytes


@dataclass
class Sitter:
    """One session's client. told: texts that are no replies; shown: binary frames; in their order."""

    socket: WebSocketConnection
    told: list[dict[str, Any]] = field(default_factory=list)
    shown: list[Shown] = field(default_factory=list)
    number: int = 0

    async def hear(self) -> dict[str, Any] | None:
        """Hear one message; None if it was a frame."""
        with trio.fail_after(LIMIT_S):
            message = await self.socket.get_message()
        if isinstance(message, bytes):
            fields: list[Any] = [*HEADER.unpack_from(message), message[HEADER.size :]]
            self.shown.append(Shown(*fields))
            return None
        heard: dict[str, Any] = json.loads(message)
        check_told(heard)
        if "id" not in heard:
            self.told.append(heard)
        return heard

    async def ask(self, op: str, **more: Any) -> dict[str, Any]:
        """Ask, and hear until the reply is there."""
        self.number += 1
        await self.socket.send_message(json.dumps({"id": self.number, "op": op, **more}))
        while (reply := await self.hear()) is None or reply.get("id") != self.number:
            pass
        return reply

    async def until(self, *ops: str, count: int = 1) -> dict[str, Any]:
        """Hear until one of these was told so many times in all; return the last."""
        while len(found := [each for each in self.told if each["op"] in ops]) < count:
            await self.hear()
        return found[count - 1]

    async def open(self, view: Any = "frame=night/a.fits", **more: Any) -> str:
        """Open a runner; return its id."""
        reply = await self.ask("open", view=view, **more)
        assert reply["op"] == "opened", reply
        return str(reply["runner"])

    async def run(self, runner: str) -> dict[str, Any]:
        """Run a runner to its end; return what it says last."""
        ends = ("completed", "failed", "cancelled")
        before = sum(each["op"] in ends for each in self.told)
        await self.ask("run", runner=runner)
        return await self.until(*ends, count=before + 1)

    def ops(self, runner: str = "") -> list[str]:
        """List what was told."""
        return [each["op"] for each in self.told if not runner or each.get("runner") == runner]


@asynccontextmanager
async def sitting(port: int) -> AsyncIterator[Sitter]:
    """Open a session."""
    async with peer.websocket(port) as socket:
        yield Sitter(socket)

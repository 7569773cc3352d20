"""Accepting: a crowd that comes at once does not wait for one another, and those who are served go on meanwhile."""

import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import trio

from imgd.web.accepting import AT_ONCE, Shortage, accept_all

CROWD = 100


async def test_a_crowd_is_accepted_within_a_few_turns_of_the_loop(tmp_path: Path) -> None:
    served, turns = [], 0

    async def serve(stream: trio.SocketStream) -> None:
        served.append(turns)
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        path, clients = await _crowd_before(tmp_path, serve, nursery)
        try:
            while len(served) < CROWD:
                turns += 1
                await trio.lowlevel.checkpoint()
                assert turns < 20, f"{path}: {len(served)} of {CROWD} are served"
        finally:
            for client in clients:
                client.close()
            nursery.cancel_scope.cancel()
    assert len(set(served)) >= -(-CROWD // AT_ONCE), "the loop has its turn between them"


async def test_who_is_gone_before_being_accepted_ends_nothing(tmp_path: Path) -> None:
    heard = trio.Event()

    async def serve(stream: trio.SocketStream) -> None:
        if await stream.receive_some(1) == b"x":
            heard.set()

    async with trio.open_nursery() as nursery:
        path, clients = await _crowd_before(tmp_path, serve, nursery, leaves=True)
        assert all(client.fileno() < 0 for client in clients)
        with trio.fail_after(5):
            async with await trio.open_unix_socket(path) as late:
                await late.send_all(b"x")
                await heard.wait()
        nursery.cancel_scope.cancel()


async def _crowd_before(
    tmp_path: Path,
    serve: Callable[[trio.SocketStream], Awaitable[None]],
    nursery: trio.Nursery,
    *,
    leaves: bool = False,
) -> tuple[str, list[socket.socket]]:
    """Have a crowd connect, and leave again if it is to, before anybody accepts."""
    path = os.fspath(tmp_path / "s")
    listening = trio.socket.socket(socket.AF_UNIX)
    await listening.bind(path)
    listening.listen(CROWD)
    clients = []
    for _ in range(CROWD):
        client = socket.socket(socket.AF_UNIX)
        client.connect(path)
        clients.append(client)
        if leaves:
            client.close()
    nursery.start_soon(accept_all, trio.SocketListener(listening), serve, nursery, Shortage())
    return path, clients

"""`python -m bench.constant BYTES`: hypercorn's own Trio worker with one constant body; prints its port."""

import socket
import sys
from functools import partial
from typing import Any, cast

import trio
from hypercorn.config import Config
from hypercorn.trio import serve


async def main(size_bytes: int) -> None:
    """Serve until killed."""
    body = bytes(size_bytes)
    headers = [(b"content-type", b"image/jpeg"), (b"content-length", str(size_bytes).encode())]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while scope["type"] == "lifespan":
            await send({"type": (await receive())["type"] + ".complete"})
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    with socket.create_server(("127.0.0.1", 0)) as server:
        config = Config()
        config.bind = [f"fd://{server.fileno()}"]
        print(server.getsockname()[1], flush=True)
        await serve(cast(Any, app), config)


if __name__ == "__main__":
    trio.run(partial(main, int(sys.argv[1])))

"""`python -m bench.listeners HOST PORT CLIENTS EVENTS`: websockets that take events as fast as they come, and count.

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

MARK = b'"event":{'
LIMIT_S = 120.0


class _Client:
    def __init__(self, host: str, port: int) -> None:
        self.socket = socket.create_connection((host, port))
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET /live HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self.rest = b""
        self.events = 0
        self.octets = 0
        self.until(b"\r\n\r\n")
        self.say({"id": 1, "op": "subscribe"})
        self.until(b'"subscribed"')

    def say(self, message: dict[str, object]) -> None:
        """Send a short text, masked as clients have to."""
        payload = json.dumps(message).encode()
        mask = os.urandom(4)
        masked = bytes(octet ^ mask[at % 4] for at, octet in enumerate(payload))
        self.socket.sendall(struct.pack("!BB", 0x81, 0x80 | len(payload)) + mask + masked)

    def until(self, mark: bytes) -> None:
        """Take until this was said."""
        taken = b""
        while mark not in taken:
            some = self.socket.recv(65_536)
            assert some, "the daemon closed the websocket"
            taken += some

    def take(self) -> int:
        """Take what is there; tell how many events it held."""
        some = self.socket.recv(1 << 18)
        assert some, "the daemon closed the websocket"
        self.octets += len(some)
        joined = self.rest + some
        count = joined.count(MARK)
        self.rest = joined[-(len(MARK) - 1) :]
        self.events += count
        return count


def main(host: str, port: int, clients: int, events: int) -> None:
    """Have all clients take all events; print when the first and the last came, and how many bytes."""
    selector = selectors.DefaultSelector()
    all_clients = [_Client(host, port) for _ in range(clients)]
    for client in all_clients:
        selector.register(client.socket, selectors.EVENT_READ, client)
    print("ready", flush=True)
    left, first, deadline = clients * events, 0.0, time.perf_counter() + LIMIT_S
    while left > 0 and time.perf_counter() < deadline:
        for key, _ in selector.select(1.0):
            first = first or time.perf_counter()
            left -= key.data.take()
    last = time.perf_counter()
    octets = sum(client.octets for client in all_clients)
    exact = all(client.events == events for client in all_clients)
    print(json.dumps({"elapsed_s": last - first, "octets": octets, "exact": exact, "left": left}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]))

"""A plain blocking client for what is timed: one connection, and as little of its own as can be."""

import socket
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

LIMIT_S: Final = 60.0
_RECEIVED_BYTES: Final = 1 << 18
_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"\r\ncontent-length:"


@dataclass(frozen=True, slots=True)
class Timed:
    """One answer, and the milliseconds from the question to its last byte.

    levels  what it says of its levels, and whether it is coarse: JSON, or "".
    """

    spent_ms: float
    status: int
    etag: str
    body: bytes
    levels: str = ""


class Asker:
    """One keep-alive connection, made at the first question, and again if the last answer ended it.

    Its own time is part of what is measured: heads are searched for the one number that is needed, not parsed.
    """

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._socket: socket.socket | None = None

    def ask(self, target: str, **headers: str) -> Timed:
        """Ask, and read the whole answer. Header names: `if_none_match` means If-None-Match.

        Raises  OSError when the connection ends in the middle, or nothing comes for LIMIT_S.
        """
        host, port = self._address
        named = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        question = f"GET {target} HTTP/1.1\r\nHost: {host}:{port}\r\n{named}\r\n".encode("latin-1")
        if self._socket is None:
            self._socket = socket.create_connection(self._address, LIMIT_S)
        began = time.perf_counter()
        self._socket.sendall(question)
        head, body = _read(self._socket)
        spent_ms = (time.perf_counter() - began) * 1e3
        status, *lines = head.decode("latin-1").split("\r\n")
        said = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if said.get("connection", "").lower() == "close":
            self.close()
        return Timed(spent_ms, int(status.split()[1]), said.get("etag", ""), body, said.get("x-imgd-levels", ""))

    def picture(self, target: str) -> Timed:
        """Ask for what must be there."""
        timed = self.ask(target)
        assert timed.status == 200, f"{target}: {timed.status} {timed.body[:500]!r}"
        return timed

    def close(self) -> None:
        """End the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _read(stream: socket.socket) -> tuple[bytes, bytes]:
    """Read one answer: its head without the empty line, and its body."""
    received = _more(stream)
    while (end := received.find(_END)) < 0:
        received += _more(stream)
    head, rest = received[:end], received[end + len(_END) :]
    if head[9:12] in (b"204", b"304"):
        return head, b""
    lower = head.lower()
    at = lower.find(_LENGTH)
    if at < 0:
        assert b"\r\ntransfer-encoding: chunked" in lower, "neither a length nor chunks"
        return head, _chunks(stream, rest)
    size = int(lower[at + len(_LENGTH) :].partition(b"\r")[0])
    body = bytearray(size)
    body[: len(rest)] = rest
    got, room = len(rest), memoryview(body)
    while got < size:
        taken = stream.recv_into(room[got:])
        if not taken:
            raise ConnectionError("the answer ended early")
        got += taken
    return head, bytes(body)


def _chunks(stream: socket.socket, received: bytes) -> bytes:
    """Read a body in chunks, without trailers; some of it was received before."""
    pieces: list[bytes] = []
    while True:
        while (end := received.find(b"\r\n")) < 0:
            received += _more(stream)
        size = int(received[:end].partition(b";")[0], 16)
        received = received[end + 2 :]
        while len(received) < size + 2:
            received += _more(stream)
        if not size:
            return b"".join(pieces)
        pieces.append(received[:size])
        received = received[size + 2 :]


def _more(stream: socket.socket) -> bytes:
    some = stream.recv(_RECEIVED_BYTES)
    if not some:
        raise ConnectionError("the answer ended early")
    return some

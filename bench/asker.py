"""A plain blocking client for what is timed: one connection, and as little of its own as can be."""

import http.client
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self


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
    """One keep-alive connection."""

    def __init__(self, host: str, port: int) -> None:
        self._connection = http.client.HTTPConnection(host, port, timeout=60)

    def ask(self, target: str, **headers: str) -> Timed:
        """Ask, and read the whole answer. Header names: `if_none_match` means If-None-Match."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        began = time.perf_counter()
        self._connection.request("GET", target, headers=named)
        answer = self._connection.getresponse()
        body = answer.read()
        spent_ms = (time.perf_counter() - began) * 1e3
        etag, levels = (answer.getheader(each) or "" for each in ("etag", "x-imgd-levels"))
        return Timed(spent_ms, answer.status, etag, body, levels)

    def picture(self, target: str) -> Timed:
        """Ask for what must be there."""
        timed = self.ask(target)
        assert timed.status == 200, f"{target}: {timed.status} {timed.body[:500]!r}"
        return timed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

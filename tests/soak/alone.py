"""`python -m tests.soak.alone`: what one alone gets, line after line, in a process that may die of a frame."""

import contextlib
import hashlib
import json
import os
import sys
from collections import OrderedDict
from pathlib import Path
from subprocess import PIPE
from typing import Final

import trio

from cgi_worker import alone
from cgi_worker.wire.failure import StepFailed
from cgi_worker.wire.grammar import ViewError
from cgi_worker.wire.question import question_from_pairs
from cgi_worker.wire.tiles import tile_from_pairs
from cgi_worker.wire.view import thumbnail_from_pairs, view_from_pairs
from cgi_worker.wire.wanted import Wanted
from imgd.query import read_pairs
from tests.daemon.rig import PROJECT

KEPT_MAX: Final = 500
LIMIT_S: Final = 60.0


def digest(octets: bytes) -> str:
    """Name some bytes."""
    return hashlib.sha256(octets).hexdigest()


def wanted_of(target: str) -> Wanted:
    """Read what an address asks for."""
    name, _, query = target.removeprefix("/").partition("?")
    pairs = read_pairs(query.encode())
    match name:
        case "img":
            return view_from_pairs(pairs)
        case "tile":
            return tile_from_pairs(pairs)
        case "thumbnail":
            return thumbnail_from_pairs(pairs)
    return question_from_pairs(name, pairs)


class Alone:
    """Asks the process, which is started when it is needed, and again when it has died."""

    def __init__(self) -> None:
        self._process: trio.Process | None = None
        self._one_at_a_time = trio.Lock()
        self._told = b""
        self._kept: OrderedDict[tuple[str, str], str] = OrderedDict()

    async def digest_of(self, content: Path, target: str) -> str:
        """Tell what the answer is, as its digest; "" if alone there is none."""
        key = (str(content), target)
        async with self._one_at_a_time:
            if key not in self._kept:
                with trio.move_on_after(LIMIT_S):
                    self._kept[key] = await self._ask(json.dumps(key))
            if len(self._kept) > KEPT_MAX:
                self._kept.popitem(last=False)
            return self._kept.get(key, "")

    async def _ask(self, line: str) -> str:
        if self._process is None or self._process.poll() is not None:
            command = [sys.executable, "-m", "tests.soak.alone"]
            self._process = await trio.lowlevel.open_process(command, stdin=PIPE, stdout=PIPE, cwd=PROJECT)
            self._told = b""
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        try:
            await process.stdin.send_all(line.encode() + b"\n")
            while b"\n" not in self._told:
                data = await process.stdout.receive_some(4096)
                if not data:
                    raise trio.BrokenResourceError
                self._told += data
        except trio.BrokenResourceError:
            await self.close()
            return ""
        answer, _, self._told = self._told.partition(b"\n")
        return answer.decode()

    async def close(self) -> None:
        """End the process."""
        if self._process is not None:
            process, self._process = self._process, None
            assert process.stdin is not None and process.stdout is not None
            with trio.CancelScope(shield=True):
                process.kill()
                await process.wait()
                await process.stdin.aclose()
                await process.stdout.aclose()


def main() -> None:
    """Answer line after line: the digest, or nothing."""
    for line in sys.stdin:
        path, target = json.loads(line)
        told = ""
        fd = os.open(path, os.O_RDONLY)
        with contextlib.suppress(StepFailed, ViewError):
            told = digest(alone.render(fd, wanted_of(target))[0])
        os.close(fd)
        print(told, flush=True)


if __name__ == "__main__":
    main()

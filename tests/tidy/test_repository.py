"""The whole repository keeps the rules."""

import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.tidy import rules
from tests.tidy.rules import Module, Rule

HERE = Path(__file__).resolve().parents[2]
NOT_OURS = {".git", ".venv", "__pycache__", "node_modules", "dist"}


@cache
def files() -> tuple[str, ...]:
    """All files of the project: what git knows or would add; without git, what lies here."""
    asked = ["git", "-C", str(HERE), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(asked, capture_output=True, check=True).stdout.decode().split("\0")
    except (OSError, subprocess.CalledProcessError):
        listed = [path.relative_to(HERE).as_posix() for path in HERE.rglob("*")]
    return tuple(p for p in sorted(filter(None, listed)) if not NOT_OURS & set(Path(p).parts) and (HERE / p).is_file())


@cache
def module_at(path: str) -> Module:
    """Read a Python module: once, however many rules look at it."""
    return Module(path, (HERE / path).read_text())


@pytest.fixture(scope="module", autouse=True)
def _forgotten() -> Iterator[None]:
    """Let go of all trees after the last rule: they are large, and other tests fork."""
    yield
    module_at.cache_clear()


def sources(*tops: str) -> list[Module]:
    """The Python modules below the given folders."""
    return [module_at(p) for p in files() if p.endswith(".py") and p.split("/")[0] in tops]


@pytest.mark.parametrize("rule", [rules.climbs, rules.impurities], ids=lambda rule: rule.__name__)
def test_floors(rule: Rule) -> None:
    modules = sources("imgd", "cgi_worker")
    assert len(modules) > 20  # Else nothing was looked at.
    assert [complaint for module in modules for complaint in rule(module)] == []


def test_no_module_imports_itself_by_way_of_others() -> None:
    assert list(rules.import_cycles(sources("imgd", "cgi_worker", "bench"))) == []


@pytest.mark.parametrize("rule", rules.MODULE_RULES[2:], ids=lambda rule: rule.__name__)
def test_style(rule: Rule) -> None:
    modules = sources("imgd", "cgi_worker", "bench")
    assert [complaint for module in modules for complaint in rule(module)] == []


def test_no_place_is_named() -> None:
    found: list[str] = []
    for path in files():
        try:
            text = (HERE / path).read_text()
        except UnicodeDecodeError:
            continue  # A picture.
        found += rules.places(path, text)
    assert found == []


def test_constraints_are_plain() -> None:
    assert list(rules.constraint_faults((HERE / "constraints.txt").read_text())) == []


def test_constraints_name_every_requirement() -> None:
    project = tomllib.loads((HERE / "pyproject.toml").read_text())
    asked = project["build-system"]["requires"] + project["project"]["dependencies"]
    asked += [line for lines in project["project"]["optional-dependencies"].values() for line in lines]
    pairs = (line.split("==") for line in (HERE / "constraints.txt").read_text().split())
    pinned = {canonicalize_name(name): version for name, version in pairs}
    for requirement in map(Requirement, asked):
        version = pinned.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} is not in constraints.txt"
        assert version in requirement.specifier, f"{requirement} does not allow {version}"


def test_architecture_names_real_tests() -> None:
    tests = set()
    for module in sources("tests"):
        tests.add(module.path)
        tests |= {node.name for node in module.nodes if isinstance(node, rules.Function)}
    page = (HERE / "ARCHITECTURE.md").read_text()
    assert re.search(r"\btests?[/_]", page), "it names no test at all"
    assert list(rules.missing_tests(page, tests)) == []


@pytest.mark.parametrize("script", ["scripts/run", "scripts/test", "scripts/bench", "scripts/freeze", ".ci/run"])
def test_scripts_are_executable_and_parse(script: str) -> None:
    assert (HERE / script).stat().st_mode & 0o111
    assert subprocess.run(["bash", "-n", str(HERE / script)], check=False).returncode == 0


def test_ci_runs_the_tests_and_nothing_else() -> None:
    lines = (HERE / ".ci/run").read_text().splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == [
        'exec "$(dirname -- "${BASH_SOURCE[0]}")/../scripts/test"'
    ]

"""Each rule finds what it is there for, and lets the same thing pass where it is right."""

import pytest

from tests.tidy import rules
from tests.tidy.rules import Module, Rule

DOC = '"""Do."""\n'

BAD: list[tuple[Rule, str, str, str]] = [
    (rules.climbs, "imgd/core/pool.py", "from imgd.engine import segments", "climb from floor 1 to floor 2"),
    (rules.climbs, "imgd/core/pool.py", "from ..web import app", "climb from floor 1 to floor 3"),
    (rules.climbs, "imgd/core/pool.py", "def f():\n    import imgd.daemon", "climb from floor 1 to floor 4"),
    (rules.climbs, "imgd/engine/render.py", "from imgd.access import roots", "climb from floor 2 to floor 2"),
    (rules.climbs, "imgd/model.py", "import imgd.cli", "climb from floor 0 to floor 4"),
    (rules.climbs, "imgd/web/live.py", "from imgd import daemon", "climb from floor 3 to floor 4"),
    (rules.climbs, "imgd/misc/odd.py", "", "no floor"),
    (rules.climbs, "imgd/core/pool.py", "from cgi_worker.steps import parse", "only the wire"),
    (rules.climbs, "imgd/core/pool.py", "from cgi_worker import wire_tap", "only the wire"),
    (rules.climbs, "imgd/core/pool.py", "import numpy as np", "no place here"),
    (rules.climbs, "cgi_worker/process.py", "import trio", "no place here"),
    (rules.climbs, "cgi_worker/process.py", "from imgd.model import Asker", "no place here"),
    (rules.climbs, "cgi_worker/wire/view.py", "from cgi_worker.kernels import tone", "climb from floor 0 to floor 0"),
    (rules.climbs, "cgi_worker/formats/fits.py", "from cgi_worker.steps import read", "climb from floor 1 to floor 2"),
    (rules.climbs, "cgi_worker/steps/read.py", "from cgi_worker import attach", "climb from floor 2 to floor 4"),
    (rules.impurities, "imgd/core/pool.py", "async def f(): pass", "async"),
    (rules.impurities, "imgd/core/pool.py", "from time import monotonic", "imports time.monotonic"),
    (rules.impurities, "cgi_worker/wire/talk.py", "import logging", "imports logging"),
    (rules.impurities, "cgi_worker/kernels/bin.py", "x = np.random.default_rng()", "randomness"),
    (rules.impurities, "cgi_worker/kernels/bin.py", "def f():\n    global seen", "global seen"),
    (rules.impurities, "cgi_worker/kernels/bin.py", "def f():\n    return open('x')", "open()"),
    (rules.impurities, "imgd/core/pool.py", "CACHE = {}", "mutable global"),
    (rules.impurities, "imgd/core/pool.py", "CACHE: list[int] = list()", "mutable global"),
    (rules.wide_excepts, "imgd/engine/render.py", "try:\n    f()\nexcept Exception:\n    pass", "except Exception"),
    (
        rules.wide_excepts,
        "imgd/engine/render.py",
        "try:\n    f()\nexcept (OSError, BaseException) as e:\n    g(e)",
        "exc",
    ),
    (rules.wide_excepts, "imgd/engine/render.py", "try:\n    f()\nexcept:\n    pass", "except anything"),
    (rules.sizes, "imgd/model.py", "def f():\n" + "    x = 1\n" * 60, "f has 61 lines"),
    (rules.sizes, "imgd/model.py", "x = 1\n" * 401, "401 lines"),
    (rules.sizes, "imgd/model.py", "def f(a, b, c, d, e): pass", "5 positional"),
    (rules.docstrings, "imgd/model.py", "x = 1", "no docstring"),
    (rules.docstrings, "imgd/__init__.py", DOC + "x = 1", "code in a package"),
    (rules.docstrings, "imgd/model.py", DOC + "def f(): pass", "f has no docstring"),
    (
        rules.docstrings,
        "imgd/model.py",
        DOC + f"class A:\n    {DOC}    async def f(self): pass",
        "A.f has no docstring",
    ),
    (rules.vague_names, "imgd/model.py", "class WorkerManager: pass", "WorkerManager"),
    (rules.vague_names, "imgd/engine/fits_utils.py", "", "fits_utils"),
]

GOOD: list[tuple[Rule, str, str]] = [
    (rules.climbs, "imgd/web/live.py", "from imgd.engine.render import render\nfrom . import app\nimport trio"),
    (rules.climbs, "imgd/cli.py", "from imgd import daemon\nfrom imgd.config import Config"),
    (rules.climbs, "imgd/core/pool.py", "from cgi_worker.wire.recipe import Recipe\nfrom imgd.errors import Busy"),
    (rules.climbs, "cgi_worker/steps/tone.py", "import numpy\nfrom cgi_worker.kernels import tone"),
    (rules.climbs, "cgi_worker/process.py", "from cgi_worker import confine\nfrom cgi_worker.wire import packets"),
    (rules.impurities, "imgd/core/pool.py", "TABLE: Final = {}\nNAMES = ('a',)\ndef f():\n    x = []"),
    (rules.impurities, "imgd/engine/render.py", "import time\nasync def f(): pass"),
    (rules.wide_excepts, "imgd/daemon.py", "try:\n    f()\nexcept Exception:\n    pass"),
    (rules.wide_excepts, "imgd/engine/render.py", "try:\n    f()\nexcept BaseException:\n    g()\n    raise"),
    (rules.wide_excepts, "imgd/engine/render.py", "try:\n    f()\nexcept OSError:\n    pass"),
    (rules.sizes, "imgd/model.py", "def f(self, a, b, c, d, *, e): pass\n" + "x = 1\n" * 399),
    (rules.sizes, "cgi_worker/kernels/bin.py", "@njit(void(u2))\ndef f(a, b, c, d, e): pass"),
    (
        rules.docstrings,
        "imgd/model.py",
        DOC + f"class _A:\n    def f(self): pass\ndef f():\n    {DOC}\n    def g(): pass",
    ),
    (rules.vague_names, "imgd/model.py", "class Handled: pass\ndef context(): pass"),
]


@pytest.mark.parametrize(("rule", "path", "text", "complaint"), BAD)
def test_rule_finds_the_fault(rule: Rule, path: str, text: str, complaint: str) -> None:
    found = list(rule(Module(path, text)))
    assert len(found) == 1
    assert complaint in found[0]
    assert found[0].startswith(path)


@pytest.mark.parametrize(("rule", "path", "text"), GOOD)
def test_rule_lets_the_right_thing_pass(rule: Rule, path: str, text: str) -> None:
    assert list(rule(Module(path, text))) == []


@pytest.mark.parametrize(
    "text",
    ["from imgd.a import f", "from imgd import a", "import imgd.a", "from . import a", "def f():\n    import imgd.a"],
)
def test_import_cycles_are_found(text: str) -> None:
    first, other = Module("imgd/a.py", "from imgd.web.b import g"), Module("imgd/web/b.py", "from imgd import c, d")
    found = list(rules.import_cycles([first, other, Module("imgd/c.py", text), Module("imgd/d.py", "")]))
    assert len(found) == 1
    assert {"imgd.a", "imgd.web.b", "imgd.c"} == set(found[0].removeprefix("each imports the next: ").split(", "))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "from imgd.d import f\nimport imgd",
        "if TYPE_CHECKING:\n    import trio\n    from imgd.a import f",
        "import a",
    ],
)
def test_imports_without_a_cycle_pass(text: str) -> None:
    paths = {"imgd/__init__.py": "", "imgd/a.py": "from imgd import c, d", "imgd/c.py": text, "imgd/d.py": "import os"}
    assert list(rules.import_cycles([Module(path, each) for path, each in paths.items()])) == []


@pytest.mark.parametrize(
    "line",  # The percent sign is taken out below: this file, too, names no place.
    ["cd /wo%rk/main", "x = '/ro%ot/.cache'", "open(/ho%me/ada/x)", "https://py%pi.org/simple", "/tm%p/w/v"],
)
def test_places_are_found(line: str) -> None:
    assert len(list(rules.places("a.txt", "fine\n" + line.replace("%", "")))) == 1


@pytest.mark.parametrize(
    "line", ["https://example.org/work/x", "{base}/root/a.fits", "the /work of", "a/home/b", "/tmp"]
)
def test_other_paths_are_no_places(line: str) -> None:
    assert list(rules.places("a.txt", line)) == []


@pytest.mark.parametrize("line", ["trio", "trio>=1", "trio @ file:///x", "-i x", "trio==1 --hash=sha256:0", "# trio"])
def test_constraint_faults_are_found(line: str) -> None:
    assert len(list(rules.constraint_faults("numpy==2.4.6\n" + line))) == 1


def test_a_constraint_given_twice_is_found() -> None:
    assert len(list(rules.constraint_faults("ast_x==1\nast-X==2\n"))) == 1
    assert list(rules.constraint_faults("ast_x==1\nast-y==2.post0+local\n")) == []


def test_missing_tests_are_found() -> None:
    tests = {"tests/core/test_pool.py", "test_budget"}
    page = "`tests/core/test_pool.py::test_budget`, tests/core/ and tests/core.\ntest_budget"
    assert list(rules.missing_tests(page, tests)) == []
    for gone in ("tests/core/test_poll.py", "`test_budge`", "tests/cores"):
        assert len(list(rules.missing_tests(page + "\n" + gone, tests))) == 1

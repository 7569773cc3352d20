"""The tables of cases name tests that there are."""

import ast
import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TESTS = HERE.parent
FOLDERS = {
    HERE: {"E": HERE, "W": TESTS / "watching", "F": TESTS / "web", "D": TESTS / "daemon"},
    TESTS / "faults": {
        "U": TESTS / "faults", "D": TESTS / "daemon", "G": TESTS / "engine", "P": TESTS / "process",
        "N": TESTS / "fronts", "C": TESTS / "core", "S": TESTS / "soak",
    },
}  # fmt: skip
ROW = re.compile(r"\| (\d+) \| [^|]+ \| [^|]+ \| ([A-Z]) `([a-z0-9_]+\.py)::([a-z_0-9]+)` \|")
ROWS_MIN = 39  # As many as each table had when it was written: none gets lost.


@pytest.mark.parametrize("table", FOLDERS, ids=lambda table: table.name)
def test_every_case_has_its_test(table: Path) -> None:
    rows = [ROW.fullmatch(line) for line in (table / "CASES.md").read_text().splitlines() if line.startswith("| ")][1:]
    assert all(rows), "a row that names no test"
    found = [row for row in rows if row]
    assert [int(row[1]) for row in found] == list(range(1, len(found) + 1))
    assert len(found) >= ROWS_MIN
    for row in found:
        tree = ast.parse((FOLDERS[table][row[2]] / row[3]).read_text())
        names = {each.name for each in tree.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert row[4] in names, row[0]

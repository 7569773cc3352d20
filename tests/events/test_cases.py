"""The table of cases names tests that there are."""

import ast
import re
from pathlib import Path

HERE = Path(__file__).parent
FOLDERS = {"E": HERE, "W": HERE.parent / "watching", "F": HERE.parent / "web", "D": HERE.parent / "daemon"}
ROW = re.compile(r"\| (\d+) \| [^|]+ \| [^|]+ \| ([EWFD]) `([a-z_]+\.py)::([a-z_0-9]+)` \|")


def test_every_case_has_its_test() -> None:
    rows = [ROW.fullmatch(line) for line in (HERE / "CASES.md").read_text().splitlines() if line.startswith("| ")][1:]
    assert all(rows), "a row that names no test"
    found = [row for row in rows if row]
    assert [int(row[1]) for row in found] == list(range(1, 40))
    for row in found:
        tree = ast.parse((FOLDERS[row[2]] / row[3]).read_text())
        names = {each.name for each in tree.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert row[4] in names, row[0]

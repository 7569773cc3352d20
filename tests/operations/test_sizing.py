"""What docs/sizing.md tells was measured, by the script that prints it, and the doctor reckons with no less."""

import re
from pathlib import Path

import bench.sizing
from bench.sizing import docs_table
from bench.table import Measure
from imgd.doctor.limits import DAEMON_BYTES, SESSION_BYTES, TEMPLATE_BYTES, WORKER_BYTES
from imgd.doctor.store import EVENT_BYTES

PROJECT = Path(__file__).resolve().parents[2]
UNITS = {"MB": 1e6, "kB": 1e3, "s": 1.0, "": 1.0}


def told() -> dict[str, float]:
    """All coefficients of the page, in bytes, seconds, or as they are."""
    text = (PROJECT / "docs/sizing.md").read_text()
    text = text.split("<!-- sizing")[1].split("<!-- end")[0]
    rows = re.findall(r"^\| ([a-z0-9 ]+) \| ([0-9.e+]+) ?(MB|kB|s|) \|", text, re.MULTILINE)
    return {name: float(value) * UNITS[unit] for name, value, unit in rows}


def test_the_page_has_what_the_script_measures() -> None:
    measured = re.findall(r'_told\(\s*"([^"]+)"', Path(bench.sizing.__file__).read_text())
    assert len(measured) > 15 and sorted(told()) == sorted(measured)


def test_the_table_is_as_the_script_writes_it() -> None:
    table = docs_table([Measure("root", "kB", 55.2, None, "how"), Measure("gone", "kB", None, None, "it failed")])
    assert table.splitlines()[2:] == ["| root | 55.2 kB | how |"]


def test_the_doctor_reckons_with_no_less() -> None:
    found = told()
    assert found["daemon"] < DAEMON_BYTES and found["template"] < TEMPLATE_BYTES
    assert found["worker at work"] < WORKER_BYTES
    assert found["session"] + found["connection"] < SESSION_BYTES
    assert found["1000 new frames on disk"] / 1000 < EVENT_BYTES

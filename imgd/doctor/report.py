"""The doctor's report: a table for people, or JSON."""

import json
import textwrap
from collections.abc import Sequence
from dataclasses import asdict

from imgd.doctor.finding import EXIT_CODES, Finding

_MARGIN = 6
_ARROW = "-> "


def exit_code_of(findings: Sequence[Finding]) -> int:
    """Tell the worst: 0 all is well, 1 warnings, 2 something is bad."""
    return max((EXIT_CODES[each.verdict] for each in findings), default=0)


def json_of(findings: Sequence[Finding]) -> str:
    """Write it for programs."""
    return json.dumps({"exit_code": exit_code_of(findings), "findings": [asdict(each) for each in findings]}, indent=2)


def table_of(findings: Sequence[Finding], columns: int, *, shows_all: bool = False) -> str:
    """Write it for people: what is bad stands last, where one looks first.

    shows_all  show what holds always, too; it stands first, and is never counted.
    """
    order = ("ok", "warn", "bad")
    lines: list[str] = []
    looked_at = [each for each in findings if each.looked_at]
    others = [each for each in findings if not each.looked_at]
    ordered = sorted(looked_at, key=lambda finding: order.index(finding.verdict))
    for each in [*others, *ordered] if shows_all else ordered:
        mark = each.verdict.upper() if each.verdict != "ok" else "ok" if each.looked_at else "-"
        lines += _wrapped(f"{mark:<{_MARGIN}}", f"{_plain(each.name)}: {_plain(each.found)}", columns)
        if each.change:
            lines += _wrapped(" " * _MARGIN + _ARROW, _plain(each.change), columns)
    counts = {verdict: sum(each.verdict == verdict for each in looked_at) for verdict in order}
    lines += ["", f"{counts['ok']} ok, {counts['warn']} to look at, {counts['bad']} bad"]
    if others and not shows_all:
        lines[-1] += f"  (--all: {len(others)} more that hold on every machine)"
    return "\n".join(lines)


def _wrapped(first: str, text: str, columns: int) -> list[str]:
    wrapped = textwrap.wrap(
        text, max(columns, 30), initial_indent=first, subsequent_indent=" " * len(first), break_on_hyphens=False
    )  # fmt: skip
    return wrapped or [first.rstrip()]


def _plain(text: str) -> str:
    """Keep names from giving orders to the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)

"""Which metrics an expression of PromQL names: a reader of its words, not of its meaning."""

import re
from collections.abc import Iterator

WORDS = re.compile(
    r"""(?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)|(?P<duration>\d+(?:ms|[smhdwy]))|(?P<number>\d+(?:\.\d+)?)"""
    r"""|(?P<name>[a-zA-Z_:$][a-zA-Z0-9_:]*)|(?P<sign>[{}()\[\],]|[^\s])"""
)
AGGREGATORS = frozenset({"sum", "min", "max", "avg", "count", "topk", "bottomk", "stddev", "quantile", "group"})
NO_METRICS = AGGREGATORS | frozenset(
    (
        "and", "or", "unless", "by", "without", "on", "ignoring", "group_left", "group_right", "bool", "offset",
        "inf", "nan",
    )
)  # fmt: skip
LISTING = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})


def metrics_of(expression: str) -> set[str]:
    """Name all metrics of an expression."""
    return set(_metrics(expression))


def _metrics(expression: str) -> Iterator[str]:
    words = [(found.lastgroup, found.group()) for found in WORDS.finditer(expression)]
    depth, listed = 0, False
    for at, (kind, word) in enumerate(words):
        following = words[at + 1][1] if at + 1 < len(words) else ""
        if word in ("{", "["):
            depth += 1
        elif word in ("}", "]"):
            depth -= 1
        elif word == ")":
            listed = False
        elif kind == "name" and not depth and not listed:
            if word.lower() in LISTING and following == "(":
                listed = True
            elif word.lower() not in NO_METRICS and following != "(":
                yield word

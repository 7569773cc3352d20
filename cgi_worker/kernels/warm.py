"""Warm: get every kernel ready, so that none is compiled while somebody waits for a picture."""

import importlib
import sys
from collections.abc import Callable, Iterable
from typing import Any, Final

MODULES: Final = (
    "means",
    "narrow",
    "floats",
    "counts",
    "halve",
    "lookup",
    "tone",
    "demosaic",
    "rice",
    "dither",
    "join",
    "background",
    "hfr",
    "wide",
)

Report = Callable[[int, int, str], None]


def warm(report: Report) -> None:
    """Import each kernel module in turn: compiled the first time, read from numba's cache later.

    report  called before each with (done, total, what comes next), and at the end with (total, total, "").
    """
    for done, name in enumerate(MODULES):
        report(done, len(MODULES), name)
        load(name)
    report(len(MODULES), len(MODULES), "")


def load(name: str) -> None:
    """Import one kernel module."""
    importlib.import_module(f"cgi_worker.kernels.{name}")


def has_compiled() -> bool:
    """Tell whether kernels were compiled in this process, not loaded."""
    loaded: Iterable[Any] = [module for name, module in sys.modules.items() if name.startswith("cgi_worker.kernels.")]
    counts = [getattr(value, "stats", None) for module in loaded for value in vars(module).values()]
    return any(sum(getattr(count, "cache_misses", {}).values()) for count in counts)

"""Warm: get every kernel ready, so that none is compiled while somebody waits for a picture."""

import importlib
from collections.abc import Callable
from typing import Final

MODULES: Final = (
    "means",
    "narrow",
    "floats",
    "wide",
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
)


def warm(report: Callable[[int, int, str], None]) -> None:
    """Import each kernel module in turn: compiled the first time, read from numba's cache later.

    report  called before each with (done, total, what comes next), and at the end with (total, total, "").
    """
    for done, name in enumerate(MODULES):
        report(done, len(MODULES), name)
        importlib.import_module(f"cgi_worker.kernels.{name}")
    report(len(MODULES), len(MODULES), "")

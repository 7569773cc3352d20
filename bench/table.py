"""Measures as values, as a table for people, and as JSON."""

import json
import math
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Measure:
    """One figure beside the bound that is asked of it.

    reached   None if it could not be taken: `how` then says why.
    asked     what `reached` must not exceed; None for a figure that only tells what was compared with.
    how       what was done, and how often.
    samples   the single values, in the order in which they were taken; may be in another unit than `reached`.
    beside    samples by name, where the figure is made of several kinds.
    at_least  `asked` is the smallest value that is good enough, not the largest.
    """

    name: str
    unit: str
    reached: float | None
    asked: float | None
    how: str
    samples: tuple[float, ...] = ()
    beside: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    at_least: bool = False

    @property
    def missed(self) -> bool:
        """Tell whether the bound is not kept; what was not measured is not kept."""
        if self.asked is None:
            return False
        if self.reached is None:
            return True
        return not (self.reached >= self.asked if self.at_least else self.reached <= self.asked)


def percentile(samples: Sequence[float], share: float) -> float:
    """Find the smallest sample that at least `share` (0..1) of them do not exceed."""
    return sorted(samples)[max(0, math.ceil(share * len(samples)) - 1)]


def median(samples: Sequence[float]) -> float:
    """Find the middle sample."""
    return statistics.median(samples)


def machine() -> dict[str, object]:
    """Tell what the figures were taken on."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "machine": platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def table_text(measures: Sequence[Measure]) -> str:
    """Write the measures as a table."""
    rows = [("measure", "reached", "asked", "", "how")]
    for each in measures:
        reached = "missing" if each.reached is None else f"{each.reached:.2f} {each.unit}"
        asked = "" if each.asked is None else f"{'>=' if each.at_least else '<='} {each.asked:g}"
        verdict = "" if each.asked is None else "MISSED" if each.missed else "kept"
        rows.append((each.name, reached, asked, verdict, each.how))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)).rstrip() for row in rows
    )


def write_json(path: Path, measures: Sequence[Measure], **more: object) -> None:
    """Write the measures, and more about the run."""
    told = [asdict(each) | {"missed": each.missed} for each in measures]
    path.write_text(json.dumps({"machine": machine(), **more, "measures": told}, indent=1) + "\n")

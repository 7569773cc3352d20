"""Samples taken in turns: the noise of a shared machine falls on all alike. And rows of a table made of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from bench.table import Measure, median

WARM_UP: Final = 1

Turn = Callable[[], float]


class Missing(Exception):
    """A figure cannot be taken; the text says why."""


@dataclass(frozen=True)
class Asked:
    """A row of the table: its name, its unit, and the bound that is asked; None for one that only tells."""

    name: str
    unit: str
    bound: float | None = None
    at_least: bool = False

    def reached(self, value: float, how: str, samples: Sequence[float] = ()) -> Measure:
        """Fill the row."""
        return Measure(self.name, self.unit, value, self.bound, how, tuple(samples), at_least=self.at_least)

    def missing(self, why: str) -> Measure:
        """Leave the row empty, but not out."""
        return Measure(self.name, self.unit, None, self.bound, why, at_least=self.at_least)


@dataclass
class Taken:
    """Milliseconds by name, and why there are none of some."""

    samples: dict[str, list[float]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def median(self, name: str) -> float:
        """Find the middle sample.

        Raises  Missing if there is none.
        """
        return median(self.all(name))

    def best(self, name: str) -> float:
        """Find the smallest sample.

        Raises  Missing if there is none.
        """
        return min(self.all(name))

    def all(self, name: str) -> list[float]:
        """Tell the samples.

        Raises  Missing if there are none.
        """
        if not self.samples.get(name):
            raise Missing(f"{name}: {self.reasons.get(name, 'was not measured')}")
        return self.samples[name]


def in_turns(rounds: int, turns: Mapping[str, Turn], warm_up: int = WARM_UP) -> Taken:
    """Do each turn once a round, in this order; the first `warm_up` rounds do not count.

    A turn that raises Missing is left out from then on, and its reason kept.
    """
    taken = Taken()
    for number in range(-warm_up, rounds):
        for name, turn in turns.items():
            if name in taken.reasons:
                continue
            try:
                spent_ms = turn()
            except Missing as missing:
                taken.reasons[name] = str(missing)
                taken.samples.pop(name, None)
                continue
            if number >= 0:
                taken.samples.setdefault(name, []).append(spent_ms)
    return taken


def ratio(asked: Asked, taken: Taken, top: Sequence[str], bottom: Sequence[str]) -> Measure:
    """Compare the medians of what is done one after the other, with those of something else.

    top, bottom  names of turns; those of each are added up.
    """
    try:
        over, under = (sum(map(taken.median, names)) for names in (top, bottom))
        how = f"{_told(taken, top)} against {_told(taken, bottom)}; medians of {len(taken.all(top[0]))}"
    except Missing as missing:
        return asked.missing(str(missing))
    return replace(asked.reached(over / under, how), beside=_beside(taken, (*top, *bottom)))


def told(asked: Asked, taken: Taken, names: Sequence[str], how: str = "") -> Measure:
    """Tell the sum of some medians."""
    try:
        value = sum(map(taken.median, names))
        count = len(taken.all(names[0]))
        text = f"{_told(taken, names)}; medians" if len(names) > 1 else f"best {taken.best(names[0]):.2f}, median"
    except Missing as missing:
        return asked.missing(str(missing))
    measure = asked.reached(value, f"{text} of {count}; {how}" if how else f"{text} of {count}")
    return replace(measure, beside=_beside(taken, names))


def _beside(taken: Taken, names: Sequence[str]) -> dict[str, tuple[float, ...]]:
    return {name: tuple(taken.all(name)) for name in names}


def _told(taken: Taken, names: Sequence[str]) -> str:
    return " + ".join(f"{name} {taken.median(name):.1f} ms (best {taken.best(name):.1f})" for name in names)

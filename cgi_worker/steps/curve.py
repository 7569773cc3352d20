"""Curves: from a value to its grey, and from each grey back to where it begins. Float64."""

import functools
import math
from typing import Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from cgi_worker.kernels.greys import GREYS, lay_edges
from cgi_worker.wire.view import Stretch

LOG_DEPTH: Final = 1000.0
ASINH_DEPTH: Final = 10.0

Bent = TypeVar("Bent", float, NDArray[np.float64])


class Curve(NamedTuple):
    """A stretch; `power` is the exponent of the one named so, and of no influence otherwise."""

    stretch: Stretch
    power: float

    def bend(self, t: NDArray[np.float64], mid: float) -> NDArray[np.float64]:
        """Bend t, 0..1, by the stretch and then by the midtone."""
        return midtone(mid, stretched(self, t))

    def greys(self, values: NDArray[np.float64], black: float, white: float, mid: float) -> NDArray[np.float64]:
        """Draw values as whole greys: what the kernel's picture is, to the nearest."""
        t = np.clip((values - black) / (white - black), 0.0, 1.0)
        return np.floor((GREYS - 1) * self.bend(t, mid) + 0.5)


def midtone(mid: float, t: Bent) -> Bent:
    """Bend t by the midtone transfer function, 0..1 to 0..1.

    It brings `mid` to 1/2; the mid that would bring t to y is midtone(y, t); and midtone(1 - mid, y) leads back.

    Source  (mid - 1) t / ((2 mid - 1) t - mid).
    """
    return (mid - 1) * t / ((2 * mid - 1) * t - mid)


def stretched(curve: Curve, t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bend t (0..1) before the midtone does."""
    match curve.stretch:
        case "sqrt":
            return np.sqrt(t)
        case "log":
            return np.log1p(LOG_DEPTH * t) / math.log1p(LOG_DEPTH)
        case "asinh":
            return np.arcsinh(ASINH_DEPTH * t) / math.asinh(ASINH_DEPTH)
        case "power":
            return np.asarray(t**curve.power)
        case _:
            return t


def unstretched(curve: Curve, y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Find the t that is bent to y."""
    match curve.stretch:
        case "sqrt":
            return y * y
        case "log":
            return np.expm1(y * math.log1p(LOG_DEPTH)) / LOG_DEPTH
        case "asinh":
            return np.sinh(y * math.asinh(ASINH_DEPTH)) / ASINH_DEPTH
        case "power":
            return np.asarray(y ** (1 / curve.power))
        case _:
            return y


@functools.lru_cache(maxsize=64)
def beginnings(curve: Curve, mid: float) -> NDArray[np.float64]:
    """Tell the t (0..1) from which on each grey but the first is drawn, (255,) ascending."""
    y = (np.arange(1, GREYS) - 0.5) / (GREYS - 1)
    t = np.maximum.accumulate(unstretched(curve, midtone(1 - mid, y)))
    t.flags.writeable = False
    return t


def thresholds(curve: Curve, black: float, white: float, mid: float) -> NDArray[np.float32]:
    """Tell the lowest float32 value that is drawn as each grey but the first, (256,) ascending; the last is infinite.

    A pixel at black is drawn black, and one at white white, however steep the curve.
    """
    found = np.empty(GREYS, np.float32)
    lay_edges(beginnings(curve, mid), black, white, found)
    return found


def at_least(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Round to float32, up."""
    with np.errstate(over="ignore"):
        rounded = values.astype(np.float32)
        return np.where(rounded < values, np.nextafter(rounded, np.float32(np.inf)), rounded)

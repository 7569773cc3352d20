"""Pairs: counters of two neighbouring values at once, from a base on; of a thread, from band to band. For `means`."""

from typing import Any, Final

import numpy as np

from cgi_worker.kernels.compiled import part
from cgi_worker.kernels.reduce import BINS, PAIRS, SITES
from cgi_worker.kernels.vectors import NEAR, TURN_BITS, TURN_SHIFT

FAR: Final = -1  # No base: values are counted one by one.


@part
def base_of(counts: Any, site: Any) -> Any:
    """Tell from which base pairs of a site are counted; FAR if none are."""
    return np.int64(counts[PAIRS + site, BINS]) - np.int64(1)


@part
def count_from(counts: Any, site: Any, base: Any) -> None:
    """Count pairs of a site from this base on."""
    if base != base_of(counts, site):
        _part(counts, site)
        counts[PAIRS + site, BINS] = np.uint32(base + 1)


@part
def part_pairs(counts: Any) -> None:
    """Bring what was counted in pairs to its site's table of values, and empty them; they have no base then."""
    for site in range(SITES):
        _part(counts, site)


@part
def _part(counts: Any, site: Any) -> None:
    pairs, table, base = counts[PAIRS + site], counts[site], base_of(counts, site)
    if base == FAR:
        return
    found = np.zeros(NEAR, np.uint32)
    for high in range(np.uint64(NEAR)):
        total, turn = np.uint32(0), high << np.uint64(TURN_SHIFT) & np.uint64(TURN_BITS)
        for less in range(high + np.uint64(1)):
            at = high * np.uint64(NEAR) + (less ^ turn)
            total += pairs[at]
            found[high - less] += pairs[at]
            pairs[at] = 0
        found[high] += total
    for near in range(NEAR):
        table[base + near] += found[near]
    pairs[BINS] = 0

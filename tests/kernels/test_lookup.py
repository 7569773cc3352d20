"""Look up against plain indexing."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cgi_worker.kernels.lookup import ENTRIES, look_up


@given(
    st.tuples(st.integers(1, 9), st.integers(1, 40), st.integers(0, 7)),
    st.booleans(),
    st.sampled_from([1, 3]),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_each_pixel_becomes_its_entry(
    sizes: tuple[int, int, int], swap: bool, samples: int, turned: bool, seed: int
) -> None:
    rows, columns, x = sizes
    rng = np.random.default_rng(seed)
    stored = rng.integers(-32768, 32768, (rows, x + columns + 3)).astype(">i2" if swap else "<i2")
    table = rng.integers(0, 256, (ENTRIES, samples)).astype(np.uint8)
    out = np.zeros((columns, rows, samples) if turned else (rows, columns, samples), np.uint8)
    seen = out.transpose(1, 0, 2)[::-1] if turned else out
    look_up(stored.view(np.uint8), x, int(swap), table, seen)
    for row in range(rows):
        for column in range(columns):
            assert (seen[row, column] == table[int(stored[row, x + column]) + 32768]).all()

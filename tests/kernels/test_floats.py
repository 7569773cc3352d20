"""The kernel for float32 pixels gives what the general one does, on rows of many pieces and spans."""

import numpy as np
import pytest

from cgi_worker.kernels import bands
from cgi_worker.kernels.reduce import F4
from cgi_worker.kernels.wide import reduce_wide
from tests.kernels.test_reduce import contents, run


@pytest.mark.parametrize("sites", [(0, 0, 0, 0), (1, 0, 2, 1)])
@pytest.mark.parametrize("style", ["near", "wild", "good"])
@pytest.mark.parametrize("factor", [2, 6, 34])
@pytest.mark.parametrize("brim", [None, 105.0])
def test_floats_equal_wide(
    sites: tuple[int, int, int, int], style: str, factor: int, brim: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = contents(F4, (39, 4503), 1, style.replace("good", "near"))
    if style == "good":
        stored = np.nan_to_num(stored, posinf=99, neginf=98)
    plane, counted = run(stored, F4, factor=factor, sites=sites, counted=True, x=2, brim=brim)
    monkeypatch.setattr(bands, "reduce_floats", reduce_wide)
    same, expected = run(stored, F4, factor=factor, sites=sites, counted=True, x=2, brim=brim)
    np.testing.assert_allclose(plane, same, rtol=2e-7, atol=1e-13 * float(np.nanmax(np.abs(same))))
    assert np.array_equal(plane[len(plane) // 2 :], same[len(plane) // 2 :])
    for name in ("histogram", "minima", "maxima", "full"):
        assert np.array_equal(getattr(counted, name), getattr(expected, name))
    np.testing.assert_allclose(counted.totals, expected.totals, rtol=1e-9)
    np.testing.assert_allclose(counted.squares, expected.squares, rtol=1e-11)

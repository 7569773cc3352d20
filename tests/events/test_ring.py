"""The ring: the newest events, dense; who asks for older ones is told that they are not here."""

from hypothesis import given
from hypothesis import strategies as st

from imgd.events.ring import Ring
from tests.events.listed import made


def ids(ring: Ring, after: int, limit: int = 1000) -> list[int] | None:
    events = ring.after(after, limit)
    return None if events is None else [each.id for each in events]


@given(st.integers(1, 5), st.integers(0, 3), st.lists(st.integers(1, 7), max_size=8))
def test_it_holds_at_least_the_newest_and_at_most_twice_as_many(size_max: int, first: int, sizes: list[int]) -> None:
    ring, last = Ring(size_max, first), first
    for size in sizes:
        ring.extend(made(*range(last + 1, last + size + 1)))
        last += size
        assert ring.last == last
        assert min(last - first, size_max) <= len(ring) < 2 * size_max
        for after in range(first, last + 2):
            if after < ring.base:
                assert ids(ring, after) is None
            else:
                assert ids(ring, after) == list(range(after + 1, last + 1))
                assert ids(ring, after, 2) == list(range(after + 1, last + 1))[:2]


def test_a_gap_begins_it_anew() -> None:
    ring = Ring(10, 0)
    ring.extend(made(1, 2))
    ring.extend(made(5, 6))
    assert (ids(ring, 2), ids(ring, 4)) == (None, [5, 6])
    ring.skip(9)
    assert (ids(ring, 8), ids(ring, 9), ring.last) == (None, [], 9)

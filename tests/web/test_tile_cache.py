"""Addresses whose answers are known: bounded, never without their tile, and everybody is looked at each time."""

from imgd.model import Asker
from imgd.web.tile_cache import ADDRESS_BYTES_MAX, ADDRESSES_MAX, ADDRESSES_MIN, TILE_BYTES, Addresses, Hit

ASKER = Asker()
MANY = ADDRESSES_MAX * TILE_BYTES  # Of tiles: room for all addresses.
HEADERS = [(b"etag", b'"x"')]


def hit_of(number: int) -> Hit:
    return Hit(f'"{number}"', HEADERS, b"body")


def test_what_is_remembered_is_found_while_its_tile_is_kept() -> None:
    kept = {'"t1"': b"body", '"t2"': b"another"}
    addresses = Addresses(kept.get, tiles_bytes=MANY)
    assert addresses.find(b"/1", ASKER) is None
    addresses.remember(b"/1", "f/a", '"t1"', hit_of(1))
    addresses.remember(b"/2", "f/a", '"t2"', hit_of(2))
    assert addresses.find(b"/1", ASKER) == Hit('"1"', HEADERS, b"body")
    assert addresses.find(b"/2", ASKER) == Hit('"2"', HEADERS, b"another")
    del kept['"t1"']
    assert addresses.find(b"/1", ASKER) is None
    assert (addresses.statistics().addresses, addresses.statistics().hits_total) == (1, 2)


def test_those_that_were_asked_for_longest_ago_go_first() -> None:
    addresses = Addresses({'"t"': b"body"}.get, tiles_bytes=MANY)
    for number in range(ADDRESSES_MAX):
        addresses.remember(b"/%d" % number, "f/a", '"t"', hit_of(number))
    assert addresses.find(b"/0", ASKER) is not None
    addresses.remember(b"/more", "f/a", '"t"', hit_of(0))
    assert addresses.find(b"/0", ASKER) is not None and addresses.find(b"/more", ASKER) is not None
    assert addresses.find(b"/1", ASKER) is None
    assert addresses.statistics().addresses == ADDRESSES_MAX
    addresses.remember(b"/" + b"a" * ADDRESS_BYTES_MAX, "f/a", '"t"', hit_of(0))
    assert addresses.statistics().addresses == ADDRESSES_MAX
    assert addresses.find(b"/2", ASKER) is not None, "a long one takes nobody's place"


def test_everybody_is_looked_at_each_time() -> None:
    seen: list[tuple[str, Asker]] = []
    allowed = {ASKER}

    def may_see(frame: str, asker: Asker) -> bool:
        seen.append((frame, asker))
        return asker in allowed

    addresses = Addresses({'"t"': b"body"}.get, may_see, tiles_bytes=MANY)
    addresses.remember(b"/1", "night/a", '"t"', hit_of(1))
    stranger = Asker(owner="stranger")
    assert addresses.find(b"/1", ASKER) is not None
    assert addresses.find(b"/1", stranger) is None
    allowed.clear()
    assert addresses.find(b"/1", ASKER) is None, "whoever might see it yesterday"
    assert seen == [("night/a", ASKER), ("night/a", stranger), ("night/a", ASKER)]


def test_no_more_are_remembered_than_tiles_can_be_kept() -> None:
    addresses = Addresses({'"t"': b"body"}.get, tiles_bytes=100 * TILE_BYTES)
    for number in range(200):
        addresses.remember(b"/%d" % number, "f/a", '"t"', hit_of(number))
    assert addresses.statistics().addresses == 100 and addresses.find(b"/199", ASKER) is not None
    addresses.resize(0)
    assert addresses.statistics().addresses == ADDRESSES_MIN and addresses.find(b"/199", ASKER) is not None

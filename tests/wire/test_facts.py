"""Facts and source identities travel as JSON and come back equal."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgi_worker.wire.facts import Facts, Hdu, decode_facts, encode_facts
from tests.wire.made import hdus, text


@given(st.builds(Facts, text, st.lists(hdus, max_size=3).map(tuple), st.none() | st.integers(0, 9)))
def test_facts_written_and_read_are_the_same(facts: Facts) -> None:
    assert decode_facts(encode_facts(facts)) == facts


@pytest.mark.parametrize("octets", [b"", b"{}", b"[]", b'{"format":"fits","hdus":[],"default_hdu":null,"more":1}'])
def test_anything_else_is_refused(octets: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_facts(octets)


@pytest.mark.parametrize(
    "odd",
    [
        {"shape": ()}, {"shape": (5,)}, {"shape": (0, 5)}, {"shape": (1,) * 1000}, {"rows": -1}, {"offset": -1},
        {"index": -1}, {"bscale": 1e999}, {"bzero": 1e999}, {"cfa": "RG"}, {"cfa": "RGGX"},
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(odd: dict[str, object]) -> None:
    sound = Hdu(0, "", "image", shape=(5, 5), rows=5)
    assert decode_facts(encode_facts(Facts("fits", (sound,), 0))).hdus == (sound,)
    with pytest.raises(msgspec.DecodeError):
        decode_facts(encode_facts(Facts("fits", (msgspec.structs.replace(sound, **odd),), 0)))


def test_planes_are_the_axes_beyond_the_second() -> None:
    hdu = Hdu(0, "", "image", shape=(3, 4, 5, 6))
    assert (hdu.planes, hdu.height_px, hdu.width_px) == (12, 5, 6)
    assert Hdu(0, "", "image", shape=(5, 6)).planes == 1

"""Cards: every form of the standard, and what breaks it."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgi_worker.formats.cards import Card, Value, continued, read_card


@pytest.mark.parametrize(
    ("line", "keyword", "value", "comment", "unit"),
    [
        ("NAXIS   =                    2 / number of axes", "NAXIS", 2, "number of axes", ""),
        ("EXPTIME =                 30.5 / [s] exposure", "EXPTIME", 30.5, "[s] exposure", "s"),
        ("SCALE   =              1.5D-03", "SCALE", 0.0015, "", ""),
        ("SIMPLE  =                    T / standard", "SIMPLE", True, "standard", ""),
        ("FLAG    =                    F", "FLAG", False, "", ""),
        ("OBJECT  = 'M 51    '           / [] target", "OBJECT", "M 51", "[] target", ""),
        ("OBSERVER= 'O''Hara / twice' / who", "OBSERVER", "O'Hara / twice", "who", ""),
        ("EMPTY   = ''", "EMPTY", "", "", ""),
        ("UNDEF   =                      / nobody knows", "UNDEF", None, "nobody knows", ""),
        ("COMPLEX = (1.0, 2.0) / two", "COMPLEX", "(1.0, 2.0)", "two", ""),
        ("HIERARCH ESO DET CHIP1 X = 2048 / [pix] width", "ESO DET CHIP1 X", 2048, "[pix] width", "pix"),
        ("COMMENT   a = 'b' / c", "COMMENT", "  a = 'b' / c", "", ""),
        ("HISTORY done", "HISTORY", "done", "", ""),
        ("        a remark", "", "a remark", "", ""),
        ("NOVALUE  without a value", "NOVALUE", " without a value", "", ""),
        ("OPEN    = 'never closed / x", "OPEN", "'never closed / x", "", ""),
        ("JUNK    = 12 34 / two words", "JUNK", "12 34", "two words", ""),
        ("BIG     = 123456789012345678901234567890", "BIG", "123456789012345678901234567890", "", ""),
        ("HUGE    = 1E999", "HUGE", "1E999", "", ""),
        ("NAN     = NaN", "NAN", "NaN", "", ""),
        ("lower   = 1", "lower", 1, "", ""),
        ("BYTES   = '\x00\x1b[2J'", "BYTES", "\ufffd\ufffd[2J", "", ""),
    ],
)
def test_card(line: str, keyword: str, value: Value, comment: str, unit: str) -> None:
    card = read_card(line.ljust(80))
    assert card == Card(keyword, value, comment, unit)
    assert card is not None
    assert type(card.value) is type(value)


def test_blank_card_is_none() -> None:
    assert read_card(" " * 80) is None


def test_long_string_is_joined() -> None:
    first = read_card("LONG    = 'one &' / [m] first".ljust(80))
    assert first is not None
    second = continued(first, "CONTINUE  'two &' / second".ljust(80))
    assert second is not None
    assert continued(second, "CONTINUE  'three'".ljust(80)) == Card("LONG", "one two three", "[m] first second", "m")
    assert continued(Card("X", "no ampersand"), "CONTINUE  'three'".ljust(80)) is None
    assert continued(Card("X", 5), "CONTINUE  'three'".ljust(80)) is None
    assert continued(Card("X", "y&"), "CONTINUE  5".ljust(80)) is None


def test_joining_is_bounded() -> None:
    card = Card("X", "x" * 40_000 + "&")
    assert continued(card, "CONTINUE  'more&'".ljust(80)) is None


@given(st.text(st.characters(max_codepoint=255), min_size=80, max_size=80))
def test_any_card_survives_as_json(line: str) -> None:
    for text in (line, "KEY     = " + line[10:], "HIERARCH " + line[9:], "CONTINUE  " + line[10:]):
        card = read_card(text)
        if card is not None:
            assert msgspec.json.decode(msgspec.json.encode(card), type=Card) == card
            assert not card.comment or card.comment.isprintable()

"""Filters: a closed table, read strictly; patterns agree with a slow twin."""

import json
import operator
import time
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgd.errors import BadRequest
from imgd.events.event import Draft
from imgd.events.filters import filter_from_text, read_filters, read_filters_json
from imgd.events.glob import Glob
from tests.events.listed import drafted


def accepts(draft: Draft, *filters: Any) -> bool:
    return read_filters(list(filters)).accepts(draft)


def slow_glob(pattern: str, text: str, *, path: bool) -> bool:
    """Say it as the words do: try all that a pattern could mean."""
    if not pattern:
        return not text
    if path and pattern.startswith("**/"):
        rest = pattern[3:]
        return slow_glob(rest, text, path=path) or any(
            slow_glob(rest, text[i + 1 :], path=path) for i, char in enumerate(text) if char == "/" and i > 0
        )
    if pattern[0] == "*":
        width = 2 if path and pattern.startswith("**") else 1
        crosses = width == 2 or not path
        stop = next((i for i, char in enumerate(text) if char == "/" and not crosses), len(text))
        return any(_rest(pattern[width:], text[i:], path=path) for i in range(stop + 1))
    if not text:
        return False
    if pattern[0] == "?":
        return not (path and text[0] == "/") and _rest(pattern[1:], text[1:], path=path)
    return pattern[0] == text[0] and (
        slow_glob(pattern[1:], text[1:], path=path) if text[0] == "/" else _rest(pattern[1:], text[1:], path=path)
    )


def _rest(pattern: str, text: str, *, path: bool) -> bool:
    """Go on within a name: there `**/` is `**` and a slash."""
    if path and pattern.startswith("**/"):
        return any(_rest(pattern[2:], text[i:], path=path) for i in range(len(text) + 1))
    if pattern[:1] == "*" and not (path and pattern.startswith("**")):
        stop = next((i for i, char in enumerate(text) if char == "/" and path), len(text))
        return any(_rest(pattern[1:], text[i:], path=path) for i in range(stop + 1))
    if pattern.startswith("**"):
        return any(_rest(pattern[2:], text[i:], path=path) for i in range(len(text) + 1))
    return slow_glob(pattern, text, path=path)


# Three stars in a row, and names that begin with a slash, mean nothing that is promised.
PATTERNS = st.lists(st.sampled_from(["a", "b", "/", "*", "?", "**/", "/**/", "/**", "a*b"]), max_size=6).map("".join)
TEXTS = st.lists(st.sampled_from(["a", "b", "ab", "/", "a/"]), max_size=7).map("".join)


@given(PATTERNS.filter(lambda p: "***" not in p), TEXTS.filter(lambda t: "//" not in t and t[:1] != "/"), st.booleans())
def test_a_pattern_says_what_its_slow_twin_says(pattern: str, text: str, path: bool) -> None:
    assert Glob(pattern, path=path).matches(text) == slow_glob(pattern, text, path=path)


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("*.fits", "a.fits", True),
        ("*.fits", "b/a.fits", False),
        ("**/*.fits", "a.fits", True),
        ("**/*.fits", "b/c/a.fits", True),
        ("b/**", "b/c/a.fits", True),
        ("b/**", "b", False),
        ("b/**/a.fits", "b/a.fits", True),
        ("**/a.fits", "ba.fits", False),
        ("[ab]?.fits", "a1.fits", True),
        ("[!ab].fits", "a.fits", False),
        ("a[!b]c", "a/c", False),
        ("[0-9][0-9]", "42", True),
        ("[+-9]", "/", False),
        ("[]]", "]", True),
        ("[a-]", "-", True),
        ("", "", True),
        ("*", "", True),
    ],
)
def test_patterns_of_paths(pattern: str, text: str, matches: bool) -> None:
    assert Glob(pattern, path=True).matches(text) is matches


def test_in_a_text_a_star_is_anything() -> None:
    assert accepts(drafted(OBJECT="NGC 7000/a"), ["hdu.OBJECT", "glob", "NGC*a"])


def test_the_worst_pattern_is_cheap() -> None:
    pattern = Glob("*a" * 500, path=True)
    start = time.process_time()
    assert not pattern.matches("a" * 4000 + "b")
    assert time.process_time() - start < 0.5


@pytest.mark.parametrize("nothing", [None, []])
def test_no_filters_match_everything(nothing: Any) -> None:
    assert read_filters(nothing).accepts(drafted())
    assert read_filters_json("" if nothing is None else "[]").accepts(drafted())


@pytest.mark.parametrize(
    ("one", "matches"),
    [
        (["type", "=", "frame.arrived"], True),
        (["type", "in", ["frame.gone", "frame.rewritten"]], False),
        (["root", "=", "night"], True),
        (["root", "in", ["day"]], False),
        (["path", "=", "m31/a.fits"], True),
        (["path", "glob", "m31/*"], True),
        (["at", "<", "2026-01-31T20:15:00.251Z"], True),
        (["at", "<", "2026-01-31T20:15:00.25Z"], False),
        (["at", "<=", "2026-01-31T21:15:00.25+01:00"], True),
        (["at", ">", "2026-01-31T20:15:00Z"], True),
        (["at", ">=", "2026-01-31T20:15:00.2501Z"], False),
        (["hdu.EXPTIME", "=", 30], True),
        (["hdu.EXPTIME", "=", "30"], False),
        (["hdu.EXPTIME", ">=", 30.0], True),
        (["hdu.EXPTIME", "<", "9"], False),
        (["hdu.FILTER", ">", "A"], True),
        (["hdu.FILTER", "in", ["Ha", "OIII"]], True),
        (["hdu.FILTER", "!=", "Ha"], False),
        (["hdu.NONE", "!=", 1], False),
        (["hdu.NONE", "=", "x"], False),
        (["hdu.SIMPLE", "=", True], True),
        (["hdu.SIMPLE", "=", 1], False),
        (["hdu.SIMPLE", "!=", 1], True),
        (["hdu.FILTER", "glob", "H?"], True),
        (["hdu.EXPTIME", "glob", "*"], False),
    ],
)
def test_one_filter(one: list[Any], matches: bool) -> None:
    draft = drafted("m31/a.fits", EXPTIME=30.0, FILTER="Ha", SIMPLE=True)
    assert accepts(draft, one) is matches
    assert accepts(draft, one, ["type", "=", "frame.gone"]) is False


@pytest.mark.parametrize(
    ("one", "words"),
    [
        ("type", "must be"),
        (["type", "="], "must be"),
        (["type", "=", "frame.arrived", 1], "must be"),
        ([1, "=", "x"], "must be"),
        (["size", "=", 1], "'size'"),
        (["hdu", "=", 1], "'hdu'"),
        (["hdu.", "=", 1], "'hdu.'"),
        (["hdu.exptime", "=", 1], "'hdu.exptime'"),
        (["type", "!=", "x"], "'!='"),
        (["type", "glob", "frame.*"], "'glob'"),
        (["type", "=", "frame.born"], "'frame.born'"),
        (["type", "=", ["frame.arrived"]], "text"),
        (["type", "in", "frame.arrived"], "list"),
        (["root", "in", []], "list"),
        (["root", "in", ["x"] * 101], "list"),
        (["root", "=", None], "text"),
        (["path", "=", "x" * 1001], "longer"),
        (["path", "glob", "[a"], "bracket"),
        (["path", "<", "x"], "'<'"),
        (["at", "<", "yesterday"], "RFC 3339"),
        (["at", "<", "2026-02-31T00:00:00Z"], "RFC 3339"),
        (["at", "<", "2026-01-31T00:00:00"], "RFC 3339"),
        (["at", "=", "2026-01-31T00:00:00Z"], "'='"),
        (["hdu.EXPTIME", "<", True], "numbers"),
        (["hdu.EXPTIME", "=", None], "text, a number"),
        (["hdu.EXPTIME", "=", {}], "text, a number"),
        (["hdu.EXPTIME", "=", float("inf")], "finite"),
        (["hdu.EXPTIME", "in", [[1]]], "text, a number"),
        (["hdu.FILTER", "glob", 1], "text"),
        (None, "must be"),
    ],
)
def test_anything_else_is_refused_by_its_place_and_name(one: Any, words: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read_filters([["type", "=", "frame.arrived"], one])
    assert caught.value.parameter == "filters[1]"
    assert words in caught.value.text


@pytest.mark.parametrize("raw", [{}, "x", 1, [["root", "=", "a"]] * 33])
def test_what_is_no_list_of_filters_is_refused(raw: Any) -> None:
    with pytest.raises(BadRequest) as caught:
        read_filters(raw)
    assert caught.value.parameter == "filters"


@pytest.mark.parametrize("text", ["[", "nonsense", '["a"', "[" * 5000, '["\udc80"]'])
def test_rotten_json_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        read_filters_json(text)


SCALARS = st.one_of(st.integers(-3, 3), st.floats(-3, 3), st.sampled_from(["", "a", "b", "1"]), st.booleans())
ORDERS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def slow_hdu(sign: str, value: Any, draft: Draft) -> bool:
    """Compare as the words say, by JSON's kinds."""
    if "K" not in draft.hdu:
        return False
    found = draft.hdu["K"]
    kinds = {str: 1, int: 2, float: 2, bool: 3}
    if sign == "in":
        return any(slow_hdu("=", each, draft) for each in value)
    same_kind = kinds[type(found)] == kinds[type(value)]  # type: ignore[index]
    if sign == "!=":
        return not (same_kind and found == value)
    return same_kind and bool(found == value if sign == "=" else ORDERS[sign](found, value))


@given(st.data(), st.sampled_from(["=", "!=", "<", "<=", ">", ">=", "in"]), st.one_of(st.none(), SCALARS))
def test_keywords_compare_as_their_slow_twin(data: st.DataObject, sign: str, found: Any) -> None:
    value: Any = data.draw(st.lists(SCALARS, min_size=1, max_size=3) if sign == "in" else SCALARS)
    if sign in ORDERS and isinstance(value, bool):
        return
    draft = drafted() if found is None else drafted(K=found)
    again = json.loads(json.dumps(value))
    assert accepts(draft, ["hdu.K", sign, again]) is slow_hdu(sign, value, draft)


@given(st.datetimes(datetime(1990, 1, 1), datetime(2030, 1, 1)), st.sampled_from(sorted(ORDERS)))
def test_times_compare_as_times(moment: datetime, sign: str) -> None:
    draft = drafted()
    at = datetime.fromisoformat(draft.at).replace(tzinfo=None)
    assert accepts(draft, ["at", sign, moment.isoformat() + "Z"]) is ORDERS[sign](at, moment)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("type=frame.arrived", ["type", "=", "frame.arrived"]),
        ("hdu.EXPTIME >= 30", ["hdu.EXPTIME", ">=", 30]),
        ("hdu.EXPTIME<1.5e1", ["hdu.EXPTIME", "<", 15.0]),
        ('hdu.OBJECT="30"', ["hdu.OBJECT", "=", "30"]),
        ("hdu.OBJECT!=M 31", ["hdu.OBJECT", "!=", "M 31"]),
        ("hdu.SIMPLE=true", ["hdu.SIMPLE", "=", True]),
        ("hdu.FILTER in Ha,OIII,3", ["hdu.FILTER", "in", ["Ha", "OIII", 3]]),
        ("hdu.FILTER glob 3*", ["hdu.FILTER", "glob", "3*"]),
        ("path glob a b/**", ["path", "glob", "a b/**"]),
        ("root=7", ["root", "=", "7"]),
    ],
)
def test_a_filter_as_text(text: str, read: list[Any]) -> None:
    assert filter_from_text(text) == read
    assert type(filter_from_text(text)[2]) is type(read[2])
    read_filters([read])


@pytest.mark.parametrize(
    "text", ["", "type", "type frame.arrived", "=x", "path globx", "hdu.X>=1e999", "hdu.X in 1,-1e400"]
)
def test_a_text_that_is_no_filter_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        filter_from_text(text)

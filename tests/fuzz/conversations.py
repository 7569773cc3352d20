"""Conversations with `/live`: valid messages, nearly valid ones, garbage, in any order, as Hypothesis strategies."""

import json
from dataclasses import dataclass
from typing import Any, Final

from hypothesis import strategies as st

RUNNER: Final = "a runner"  # In its place stands the id of one that was opened, if there is one.
DEEP: Final = 3000
LONG_MAX: Final = 12_000  # Characters of a text that is long but allowed.
TOO_LONG: Final = 20_000  # More than `message_bytes`.
NO_VALUES: Final = (
    "1e999", "-1e999", "NaN", "9" * 400, "0x1", "01", "1.", "[[[[", '"\\ud800', '"\\u00"', "1" + "0" * 5000,
)  # fmt: skip
FRAMES: Final = ("f/a.fits", "f/broken.fits", "f/none.fits", "f/../a.fits", "f/a\0b", "f/\ud800", "", "f")

numbers = st.one_of(
    st.integers(-2, 40), st.sampled_from((2**31, 2**53 - 1, 2**53, 2**63, 2**64, -(2**63) - 1, 10**400)),
    st.floats(allow_nan=False, allow_infinity=False), st.sampled_from((0.5, 1e300, -0.0, 5e-324)),
)  # fmt: skip
words = st.one_of(
    st.sampled_from(("", "\ud800", "\udfff\ud800", "\0", "ws1", "main", RUNNER, "é", "x" * 1001, "\u202e")),
    st.text(max_size=20),
)
junk = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, words),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(words, inner, max_size=3)),
    max_leaves=8,
)
views = st.one_of(
    st.fixed_dictionaries(
        {"frame": st.sampled_from(FRAMES[:3])},
        optional={
            "size": st.sampled_from(("30,", "max", "9,9!")), "stretch": st.sampled_from(("log", "odd")),
            "plane": st.integers(-1, 2), "cut": st.sampled_from(("0,1000", "5")), "power": st.floats(0, 20),
            "quality": st.integers(0, 101), "format": st.sampled_from(("png", "webp", "jpeg")),
        },
    ),
    st.sampled_from(("frame=f/a.fits", "frame=f/%ff&size=30,", "frame=%zz", "frame=f/a.fits&frame=f/a.fits", "é", "&")),
    st.dictionaries(words, st.one_of(words, numbers), max_size=3),
    st.sampled_from(FRAMES).map(lambda frame: {"frame": frame}),
)  # fmt: skip
parts = st.one_of(
    st.fixed_dictionaries({"fit": st.tuples(st.integers(0, 900), st.integers(1, 900)).map(list)}),
    st.fixed_dictionaries(
        {
            "level": st.integers(-1, 33),
            "box": st.lists(st.one_of(st.integers(0, 600), numbers), min_size=3, max_size=5),
        }
    ),
    st.fixed_dictionaries({"level": st.just(0), "box": st.just([0, 0, 100, 100]), "dpr": st.floats(0, 20)}),
)
runners = st.just(RUNNER)
FIELDS: Final[dict[str, tuple[dict[str, Any], dict[str, Any]]]] = {
    "hello": ({}, {"resume": words}),
    "ping": ({}, {}),
    "src": ({"view": views}, {"runner": words}),
    "subscribe": (
        {},
        {
            "since": st.one_of(
                st.none(), words, st.just("0123456789abcdef:3"), st.just("0123456789abcdef:" + "9" * 30)
            ),
            "filters": st.one_of(
                st.none(), junk, st.just([["type", "=", "frame.arrived"]]), st.just([["path", "glob", "**/["]]),
                st.just([["hdu.EXPTIME", ">=", 1e308]] * 33),
            ),
        },
    ),
    "unsubscribe": ({"sub": numbers}, {}),
    "open": (
        {"view": views},
        {
            "follow": st.sampled_from(("f", "f/none", "%zz", "../f")), "paused": st.booleans(),
            "results": st.lists(st.sampled_from(("facts", "levels", "histogram", "picture", "sound")), max_size=5),
            "viewport": parts,
        },
    ),
    "run": ({"runner": runners}, {}),
    "set": ({"runner": runners, "changes": views.filter(lambda each: isinstance(each, dict))}, {"viewport": parts}),
    "pause": ({"runner": runners}, {}),
    "play": ({"runner": runners}, {}),
    "step": ({"runner": runners}, {}),
    "attach": ({"runner": runners}, {}),
    "close": ({"runner": runners}, {}),
    "log": ({"runner": runners}, {"since": numbers}),
}  # fmt: skip


@dataclass(frozen=True)
class Said:
    """One message. octets: it is a binary one. ids: what its reply may repeat, if it has any reply."""

    text: str = ""
    octets: bytes | None = None
    ids: tuple[int | None, ...] = (None,)


def said(text: str) -> Said:
    """Find out what the reply's id may be: of keys that are repeated any."""
    found: list[Any] = []

    def keep(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found[:] = [value for name, value in pairs if name == "id"]
        return dict(pairs)

    try:
        message = json.loads(text, object_pairs_hook=keep, parse_constant=_refuse)
    except (ValueError, RecursionError):
        # Where it breaks decides whether its id was seen: what was read before may count.
        return Said(text, ids=(None, *_ids_in(text)))
    try:
        json.dumps(message, ensure_ascii=False, allow_nan=False).encode()
    except ValueError:
        return Said(text, ids=(None, *_ids_in(text)))  # Half a surrogate pair, or a number beyond all numbers: no JSON.
    ids = [each if _is_id(each) else None for each in found] if isinstance(message, dict) else []
    return Said(text, ids=(*ids, None) if len(ids) != 1 else (ids[0],))


def _refuse(name: str) -> Any:
    raise ValueError(name)


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _ids_in(text: str) -> list[int]:
    """Find whole numbers that follow "id": of a text that is no JSON."""
    found = []
    for part in text.split('"id"')[1:]:
        digits = part.lstrip(": ")
        end = next((at for at, letter in enumerate(digits) if not letter.isdigit()), len(digits))
        if digits[:end].isascii() and digits[:end]:
            found.append(int(digits[:end]))
    return found


@st.composite
def valid(draw: st.DrawFn) -> dict[str, Any]:
    """A message that the grammar knows."""
    op = draw(st.sampled_from([*FIELDS, "viewport", "open", "set", "run"]))
    message = {"id": draw(st.integers(0, 99)), "op": op}
    if op == "viewport":
        return {**message, "runner": RUNNER, **draw(parts)}
    needed, more = FIELDS[op]
    return {**message, **draw(st.fixed_dictionaries(needed, optional=more))}


@st.composite
def nearly_valid(draw: st.DrawFn) -> str:
    """A message with something wrong about it."""
    message = draw(valid())
    name = draw(st.sampled_from([*message]))
    match draw(st.integers(0, 7)):
        case 0:
            del message[name]
        case 1:
            message[name] = draw(junk)
        case 2:
            message[draw(words)] = draw(junk)
        case 3:
            return json.dumps(message)[:-1] + f', "{name}": {json.dumps(draw(junk))}}}'  # The key twice.
        case 4:
            text = json.dumps(message)
            return text[: draw(st.integers(0, len(text)))]
        case 5:
            return json.dumps(message) + draw(st.sampled_from((" ", "}", "\0", "{}", ",", "é")))
        case 6:
            opened = draw(st.sampled_from(("[", '{"a":')))
            return json.dumps(message)[:-1] + f', "deep": {opened * DEEP}'[:LONG_MAX]
        case _:
            return json.dumps(message).replace(json.dumps(message[name]), draw(st.sampled_from(NO_VALUES)), 1)
    return json.dumps(message)


messages = st.one_of(
    valid().map(lambda message: said(json.dumps(message))),
    valid().map(lambda message: said(json.dumps(message))),
    nearly_valid().map(said),
    st.one_of(junk.map(json.dumps), st.text(max_size=50), st.just("[" * LONG_MAX)).map(said),
)
endings = st.one_of(
    st.none(), st.none(), st.none(),
    st.binary(max_size=20).map(lambda octets: Said(octets=octets)),
    st.just(Said("x" * TOO_LONG)),
)  # fmt: skip


@dataclass(frozen=True)
class Conversation:
    """Messages one after another; `waits`: each waits for its reply. `ending`: one that ends the session."""

    messages: list[Said]
    waits: bool
    ending: Said | None


conversations = st.builds(Conversation, st.lists(messages, min_size=1, max_size=14), st.booleans(), endings)

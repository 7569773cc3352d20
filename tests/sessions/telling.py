"""Whether what clients are told is as `imgd.core.sessions.told` has it, which the page's types are made of."""

from collections.abc import Mapping
from typing import Any, Final, get_args, get_type_hints

import msgspec

from imgd.core.sessions.told import OF_EVENTS, OF_RUNNERS, REPLIES

_INSIDE: Final = ("document", "result")  # What the sessions hand on unread.


def check_told(message: Mapping[str, Any], *, inside: bool = False) -> None:
    """Assert that a message has the fields that are told of, and no others. inside: what is handed on unread, too."""
    kinds: tuple[Any, ...] = REPLIES if "id" in message else (*OF_RUNNERS, *OF_EVENTS)
    kind = next(each for each in kinds if message["op"] in get_args(get_type_hints(each)["op"]))
    check_fields(message, kind, () if inside else _INSIDE)


def check_fields(message: Mapping[str, Any], kind: Any, but: tuple[str, ...] = ()) -> None:
    """Assert that something is of a type of named fields."""
    hints = get_type_hints(kind)
    assert kind.__required_keys__ <= message.keys() <= hints.keys(), (kind.__name__, sorted(message))
    for name, value in message.items():
        if name not in but:
            msgspec.convert(msgspec.to_builtins(value), hints[name])

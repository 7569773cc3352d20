"""Writes the page's types of the protocol: `python -m imgd.web.page_types` prints `ui/src/protocol/schema.ts`.

What clients say is read from the messages that decode it, what they are told from `imgd.core.sessions.told`.
"""

import sys
import types
from collections.abc import Iterable, Iterator
from typing import Any, Final, Literal, NotRequired, Union, cast, get_args, get_origin, get_type_hints, is_typeddict

import msgspec

from imgd.core.sessions.messages import Part, RunnerMessage
from imgd.core.sessions.told import OF_EVENTS, OF_RUNNERS, REPLIES, RunAnswer
from imgd.web.live import Ping, Src, Subscribe, Unsubscribe
from imgd.web.tiles import TilesDocument

_HEAD: Final = "// The protocol as the daemon has it: written by `python -m imgd.web.page_types`, never by hand.\n"
_ASKED: Final = (*get_args(RunnerMessage), Ping, Src, Subscribe, Unsubscribe)
_PLAIN: Final[dict[Any, str]] = {
    str: "string", int: "number", float: "number", bool: "boolean", type(None): "null", Any: "unknown",
}  # fmt: skip


def page_types() -> str:
    """Write all of them."""
    writer = _Writer()
    asked = [writer.name(each) for each in _ASKED]
    replies, runners, events = ([writer.name(each) for each in some] for some in (REPLIES, OF_RUNNERS, OF_EVENTS))
    writer.name(RunAnswer)
    writer.name(TilesDocument)
    named = {"Question": asked, "Reply": replies, "OfRunner": runners, "OfEvents": events}
    unions = [f"export type {name} =\n" + "\n".join(f"  | {each}" for each in some) for name, some in named.items()]
    return "\n".join([_HEAD, *writer.written.values(), *(f"{each};\n" for each in unions)])


class _Writer:
    """Writes each type once, those that it needs before it.

    written  by name: the text.
    """

    def __init__(self) -> None:
        self.written: dict[str, str] = {}
        self._named: dict[str, Any] = {}

    def name(self, kind: Any) -> str:
        """Have a type of fields written; return its name."""
        name = f"Ask{kind.__name__}" if _is_asked(kind) else cast(str, kind.__name__)
        if name in self._named:
            assert self._named[name] is kind, f"two types are named {name}"
            return name
        self._named[name] = kind
        lines = [f"  {field}{'?' if optional else ''}: {text};" for field, optional, text in self._fields(kind)]
        self.written[name] = f"export interface {name} {{\n" + "\n".join(lines) + "\n}\n"
        return name

    def _fields(self, kind: Any) -> Iterator[tuple[str, bool, str]]:
        if is_typeddict(kind):
            for field, hint in get_type_hints(kind, include_extras=True).items():
                optional = get_origin(hint) is NotRequired
                yield field, optional, self._type(get_args(hint)[0] if optional else hint)
            return
        if (tag := kind.__struct_config__.tag) is not None:
            yield kind.__struct_config__.tag_field, False, f'"{tag}"'
        for told in msgspec.structs.fields(kind):
            yield told.encode_name, _is_asked(kind) and not told.required, self._type(told.type)

    def _type(self, hint: Any) -> str:
        """Write a type in the page's language."""
        if hint in _PLAIN:
            return _PLAIN[hint]
        origin, arguments = get_origin(hint), get_args(hint)
        if origin is Literal:
            return " | ".join(f'"{each}"' if isinstance(each, str) else str(each) for each in arguments)
        if origin in (Union, types.UnionType):
            return " | ".join(dict.fromkeys(self._type(each) for each in arguments))
        if origin is dict:
            return f"Record<{self._type(arguments[0])}, {self._type(arguments[1])}>"
        if origin is list or (origin is tuple and arguments[-1] is Ellipsis):
            return _list_of(self._type(arguments[0]))
        if origin is tuple:
            return f"[{', '.join(self._type(each) for each in arguments)}]"
        return self.name(hint)


def _is_asked(kind: Any) -> bool:
    """Tell whether clients say it: they may leave out what has a default. What they are told has all its fields."""
    return kind in _ASKED or kind is Part


def _list_of(text: str) -> str:
    return f"({text})[]" if "|" in text else f"{text}[]"


def main(arguments: Iterable[str]) -> None:
    """Print them."""
    assert not list(arguments), "it takes none"
    sys.stdout.write(page_types())


if __name__ == "__main__":
    main(sys.argv[1:])

"""Patterns for paths and texts, matched in one pass whose cost is bounded by their lengths. Pure."""

from collections.abc import Callable
from typing import Final

from imgd.errors import BadRequest

_KNOWN_MAX: Final = 1_000  # Characters whose masks are kept.


class Glob:
    """A pattern: `*` any characters, `?` one, `[abc]`, `[a-z]` one of these, `[!abc]` one of the others.

    All else stands for itself. In a path only `**` and a slash itself match a slash, and `**/` is no folder as well.

    Cost  one step for each character of the text, whatever the pattern: all its states go on together, as bits.
    Raises  BadRequest if a bracket is not closed.
    """

    def __init__(self, pattern: str, *, path: bool) -> None:
        self._path = path
        self._tokens: list[Callable[[str], bool]] = []  # Each takes one character.
        self._loops_all = 0
        self._loops_part = 0
        self._skips = 0
        self._read(pattern)
        self._masks: dict[str, int] = {}

    def matches(self, text: str) -> bool:
        """Tell whether the whole text is as the pattern says."""
        states = self._skip(1)
        for char in text:
            mask = self._masks.get(char)
            if mask is None:
                mask = self._mask(char)
            loops = self._loops_all if self._path and char == "/" else self._loops_all | self._loops_part
            states = self._skip(((states << 1) & mask) | (states & loops))
            if not states:
                return False
        return bool(states >> len(self._tokens) & 1)

    def _skip(self, states: int) -> int:
        return states | (states & self._skips) << 2

    def _mask(self, char: str) -> int:
        mask = 0
        for index, takes in enumerate(self._tokens):
            if takes(char):
                mask |= 2 << index
        if len(self._masks) >= _KNOWN_MAX:
            self._masks.clear()
        self._masks[char] = mask
        return mask

    def _read(self, pattern: str) -> None:
        at = 0
        while at < len(pattern):
            match pattern[at]:
                case "*":
                    at = self._read_stars(pattern, at)
                case "?":
                    self._tokens.append(self._within)
                    at += 1
                case "[":
                    at = self._read_brackets(pattern, at)
                case char:
                    self._tokens.append(char.__eq__)
                    at += 1

    def _read_stars(self, pattern: str, at: int) -> int:
        end = at
        while pattern[end : end + 1] == "*":
            end += 1
        many = self._path and end - at >= 2
        here = 1 << len(self._tokens)
        if many and pattern[end : end + 1] == "/" and pattern[at - 1 : at] in ("", "/"):
            while pattern.startswith("**/", end + 1):  # Said again, it says no more.
                end += 3
            self._skips |= here
            self._tokens += [lambda _: True, "/".__eq__]
            self._loops_all |= here << 1
            return end + 1
        if many:
            self._loops_all |= here
        else:
            self._loops_part |= here
        return end

    def _within(self, char: str) -> bool:
        """Tell whether a character may stand within a name."""
        return not (self._path and char == "/")

    def _read_brackets(self, pattern: str, at: int) -> int:
        start = at + 1
        negated = pattern[start : start + 1] == "!"
        start += negated
        end = pattern.find("]", start + 1)
        if end < 0:
            raise BadRequest("a bracket of the pattern is not closed")
        inside, chars, ranges = pattern[start:end], set[str](), list[tuple[str, str]]()
        index = 0
        while index < len(inside):
            if inside[index + 1 : index + 2] == "-" and index + 2 < len(inside):
                ranges.append((inside[index], inside[index + 2]))
                index += 3
            else:
                chars.add(inside[index])
                index += 1

        def takes(char: str) -> bool:
            among = char in chars or any(low <= char <= high for low, high in ranges)
            return among != negated and self._within(char)

        self._tokens.append(takes)
        return end + 1

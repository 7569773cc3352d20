"""Vectors: a few words of LLVM's own, for what a compiler does not find out by itself.

It has to ask, each time that a short loop begins, whether the arrays overlap; said in vectors there is nothing to ask.
"""

from typing import Any, Final

from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils

LANES: Final = 16  # Of 16 bits each.
NEAR: Final = 256  # Values, from a base on, two of which fit into 16 bits.
OCTET: Final = ir.IntType(8)
SHORT: Final = ir.IntType(16)
WORD: Final = ir.IntType(32)
SHORTS: Final = ir.VectorType(SHORT, LANES)
WORDS: Final = ir.VectorType(WORD, LANES)


class Vectors:
    """Adds to a function that is being built. Indices are in items of what a pointer points at."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder

    def every(self, number: int, kind: Any = SHORTS) -> Any:
        """Give a constant in all lanes."""
        return ir.Constant(kind, [kind.element(number)] * kind.count)

    def splat(self, number: Any) -> Any:
        """Give a number of 16 bits in all lanes."""
        none = ir.Constant(SHORTS, ir.Undefined)
        first = self.builder.insert_element(none, number, WORD(0))
        return self.builder.shuffle_vector(first, none, self.every(0, WORDS))

    def load(self, start: Any, index: int, kind: Any = SHORTS) -> Any:
        """Load from anywhere."""
        place = self.builder.gep(start, [WORD(index)])
        loaded = self.builder.load(self.builder.bitcast(place, kind.as_pointer()))
        loaded.align = 1
        return loaded

    def store(self, value: Any, start: Any, index: int) -> None:
        """Store anywhere."""
        place = self.builder.gep(start, [WORD(index)])
        self.builder.store(value, self.builder.bitcast(place, value.type.as_pointer())).align = 1

    def add(self, more: Any, start: Any, index: int) -> None:
        """Add to what is stored."""
        self.store(self.builder.add(self.load(start, index, more.type), more), start, index)

    def swapped(self, value: Any) -> Any:
        """Swap the bytes of each lane."""
        return self._call(f"llvm.bswap.v{LANES}i16", value, SHORTS)

    def filled_lanes(self, value: Any) -> Any:
        """Tell in bits which lanes are not zero."""
        return self.builder.bitcast(self.builder.icmp_unsigned("!=", value, self.every(0)), ir.IntType(LANES))

    def _call(self, name: str, given: Any, result: Any) -> Any:
        kind = ir.FunctionType(result, [given.type])
        found = cgutils.get_or_insert_function(self.builder.module, kind, name)  # type: ignore[no-untyped-call]
        return self.builder.call(found, [given])


def note_near(say: Vectors, keys: list[Any], base: Any, notes: Any) -> Any:
    """Note pairs of differences to the base, the lower one in the lower octet, if all are near it; else the values.

    keys    values of 16 bits; notes (LANES * keys,) or twice as many octets.
    base    64 bits; below zero if nothing is to be near it.

    Return 1 if they are pairs.
    """
    builder = say.builder
    first, far = say.splat(builder.trunc(base, SHORT)), say.every(0)
    above = [builder.sub(key, first) for key in keys]
    for each in above:
        far = builder.or_(far, each)
    found = builder.zext(say.filled_lanes(builder.and_(far, say.every(0x10000 - NEAR))), base.type)
    near = builder.icmp_unsigned("==", builder.or_(builder.lshr(base, base.type(63)), found), base.type(0))
    with builder.if_else(near, likely=True) as (then, otherwise):
        with then:
            for at in range(0, len(above), 2):
                one, other = above[at : at + 2]
                lower = builder.icmp_unsigned("<", one, other)
                low, high = builder.select(lower, one, other), builder.select(lower, other, one)
                say.store(builder.or_(low, builder.shl(high, say.every(8))), notes, at // 2 * LANES)
        with otherwise:
            for at, key in enumerate(keys):
                say.store(key, notes, at * LANES)
    return builder.zext(near, OCTET)

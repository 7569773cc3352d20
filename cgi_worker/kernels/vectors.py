"""Vectors: a few words of LLVM's own, for what a compiler does not find out by itself.

It has to ask, each time that a short loop begins, whether the arrays overlap; said in vectors there is nothing to ask.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import numba
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils

LANES: Final = 16  # Of 16 bits each.
NEAR: Final = 256  # Values, from a base on, two of which fit into 16 bits.
TURN_SHIFT: Final = 2  # Of the larger one of a pair, by which the other one is turned.
TURN_BITS: Final = 0xE0
PICKING: Final = "+avx512f"  # The feature of processors that pick lanes of two vectors at once.
OCTET: Final = ir.IntType(8)
SHORT: Final = ir.IntType(16)
WORD: Final = ir.IntType(32)
SHORTS: Final = ir.VectorType(SHORT, LANES)
WORDS: Final = ir.VectorType(WORD, LANES)
OCTETS: Final = ir.VectorType(OCTET, LANES)
FLOATS: Final = ir.VectorType(ir.FloatType(), LANES)
_FLAGS: Final = ir.VectorType(ir.IntType(1), LANES)
_PLACES: Final = ir.VectorType(ir.PointerType(), LANES)


class Vectors:
    """Adds to a function that is being built. Indices are in items of what a pointer points at."""

    def __init__(self, builder: Any, features: str = "") -> None:
        self.builder = builder
        self.can_pick = PICKING in features.split(",")

    def every(self, number: float, kind: Any = SHORTS) -> Any:
        """Give a constant in all lanes."""
        return ir.Constant(kind, [kind.element(number)] * kind.count)

    def splat(self, number: Any) -> Any:
        """Give a number in all lanes."""
        none = ir.Constant(ir.VectorType(number.type, LANES), ir.Undefined)
        first = self.builder.insert_element(none, number, WORD(0))
        return self.builder.shuffle_vector(first, none, self.every(0, WORDS))

    def in_turns(self, even: Any, odd: Any) -> Any:
        """Give two numbers in lanes by turns."""
        none = ir.Constant(ir.VectorType(even.type, LANES), ir.Undefined)
        two = self.builder.insert_element(self.builder.insert_element(none, even, WORD(0)), odd, WORD(1))
        return self.woven((two, none), [lane & 1 for lane in range(LANES)])

    def load(self, start: Any, index: int, kind: Any = SHORTS) -> Any:
        """Load from anywhere."""
        return self.load_at(start, WORD(index), kind)

    def load_at(self, start: Any, index: Any, kind: Any) -> Any:
        """Load from anywhere; the index is a value."""
        place = self.builder.gep(start, [index])
        loaded = self.builder.load(self.builder.bitcast(place, kind.as_pointer()))
        loaded.align = 1
        return loaded

    def store(self, value: Any, start: Any, index: int) -> None:
        """Store anywhere."""
        self.store_at(value, start, WORD(index))

    def store_at(self, value: Any, start: Any, index: Any) -> None:
        """Store anywhere; the index is a value."""
        place = self.builder.gep(start, [index])
        self.builder.store(value, self.builder.bitcast(place, value.type.as_pointer())).align = 1

    def gather(self, start: Any, indices: Any, kind: Any) -> Any:
        """Load each lane from its own place; where they lie is told by WORDS, below 2^31."""
        builder, item = self.builder, kind.element
        far = builder.sext(indices, ir.VectorType(ir.IntType(64), LANES))  # Found to be one of 32 bits.
        places = builder.gep(start, [far], source_etype=item)
        places.type = _PLACES  # Of many indices come many places; the builder knows of one only.
        how = ir.FunctionType(kind, [_PLACES, _FLAGS, kind])
        name = f"llvm.masked.gather.v{LANES}{'f32' if item == ir.FloatType() else f'i{item.width}'}.v{LANES}p0"
        found = cgutils.get_or_insert_function(builder.module, how, name)  # type: ignore[no-untyped-call]
        return builder.call(found, [places, self.every(1, _FLAGS), ir.Constant(kind, ir.Undefined)])

    def picked(self, two: Sequence[Any], lanes: Any) -> Any:
        """Pick FLOATS of two vectors by WORDS, counted on from one to the other; only where it `can_pick`."""
        how = ir.FunctionType(FLOATS, [FLOATS, WORDS, FLOATS])
        found = cgutils.get_or_insert_function(self.builder.module, how, "llvm.x86.avx512.vpermi2var.ps.512")  # type: ignore[no-untyped-call]
        return self.builder.call(found, [two[0], lanes, two[1]])

    def woven(self, two: Sequence[Any], lanes: Iterable[int]) -> Any:
        """Pick lanes of two vectors, which are counted on from one to the other."""
        places = [WORD(lane) for lane in lanes]
        return self.builder.shuffle_vector(*two, ir.Constant(ir.VectorType(WORD, len(places)), places))

    def add(self, more: Any, start: Any, index: int) -> None:
        """Add to what is stored."""
        self.store(self.builder.add(self.load(start, index, more.type), more), start, index)

    def either(self, *ways: tuple[Any, Any]) -> Any:
        """Give the value of the block from which this one was reached."""
        found = self.builder.phi(ways[0][1].type)
        for block, value in ways:
            found.add_incoming(value, block)
        return found

    def is_any(self, value: Any) -> Any:
        """Tell whether any lane is not zero."""
        filled = self.builder.bitcast(self.builder.icmp_unsigned("!=", value, self.every(0)), ir.IntType(LANES))
        return self.builder.icmp_unsigned("!=", filled, filled.type(0))

    def swapped(self, value: Any) -> Any:
        """Swap the bytes of each lane."""
        return self._call(f"llvm.bswap.v{LANES}i16", value, SHORTS)

    def _call(self, name: str, given: Any, result: Any) -> Any:
        kind = ir.FunctionType(result, [given.type])
        found = cgutils.get_or_insert_function(self.builder.module, kind, name)  # type: ignore[no-untyped-call]
        return self.builder.call(found, [given])


def in_vectors(work: Callable[[Vectors, list[Any], list[Any]], Any], result: Any = numba.types.void) -> Any:
    """Make a function of a tuple of arrays, in one piece each, and a tuple of numbers.

    work    builds it: of where the arrays begin, and those numbers. What it returns is returned, as `result`.
    """

    def work_on(_typing: Any, arrays: Any, numbers: Any) -> Any:
        def generate(build: Any, builder: Any, signature: Any, given: Any) -> Any:
            some, told = (cgutils.unpack_tuple(builder, each) for each in given)  # type: ignore[no-untyped-call]
            kinds = signature.args[0]
            starts = [build.make_array(kind)(build, builder, one).data for kind, one in zip(kinds, some, strict=True)]
            made = work(Vectors(builder, build.codegen().magic_tuple()[2]), starts, told)
            return build.get_dummy_value() if result is numba.types.void else made

        return result(arrays, numbers), generate

    return numba.extending.intrinsic(work_on)


def _counting_zeros(say: Vectors, _arrays: list[Any], told: list[Any]) -> Any:
    return say.builder.cttz(told[0], ir.IntType(1)(1))


# Tell the lowest bit that is set of a word which is not 0, as `lowest((), (word,))`.
lowest: Final = in_vectors(_counting_zeros, numba.types.uint64)


def pairs_of(say: Vectors, ones: Any, others: Any) -> Any:
    """Make one number of two below NEAR, whichever of them is the larger: lane by lane.

    The larger one is the upper octet; how much smaller the other is, the lower one, turned by the upper bits of the
    larger. So counters of numbers that are often met lie in all sets of a cache alike, not in a few of them.
    """
    builder = say.builder
    less = builder.icmp_unsigned("<", ones, others)
    low, high = builder.select(less, ones, others), builder.select(less, others, ones)
    turn = builder.and_(builder.shl(high, say.every(TURN_SHIFT)), say.every(TURN_BITS))
    return builder.or_(builder.xor(builder.sub(high, low), turn), builder.shl(high, say.every(8)))

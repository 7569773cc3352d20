"""Pieces: what is done with some pixels of one row at once, in vectors; for `means`."""

from collections.abc import Callable
from typing import Any, Final

import numba
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils

from cgi_worker.kernels.vectors import LANES, NEAR, OCTET, SHORTS, WORDS, Vectors, pairs_of

PIECE: Final = 64  # Pixels.


def _reading(work: Callable[[Vectors, list[Any], list[Any], list[Any]], Any], placed: tuple[int, ...]) -> Any:
    """Make a function that reads PIECE pixels of one row and does something with them.

    It takes the rows; the first octet, 1 if bytes are to be swapped, and numbers of its own; and rooms that it writes.

    work    builds what is done: of the values, those numbers and those rooms. What it returns, an octet, is returned.
    placed  which of its numbers tells where its first room, and the next ones, begin.
    """

    def read(_typing: Any, source: Any, told: Any, into: Any) -> Any:
        def generate(build: Any, builder: Any, signature: Any, given: Any) -> Any:
            say, (of, _, kinds) = Vectors(builder), signature.args
            told, into = (cgutils.unpack_tuple(builder, each) for each in given[1:])  # type: ignore[no-untyped-call]
            rooms = [build.make_array(kind)(build, builder, room).data for kind, room in zip(kinds, into, strict=True)]
            for room, number in enumerate(placed):
                rooms[room] = builder.gep(rooms[room], [told[2 + number]])
            start = builder.gep(build.make_array(of)(build, builder, given[0]).data, [told[0]])
            stored, before = [say.load(start, 2 * at) for at in range(0, PIECE, LANES)], builder.block
            with builder.if_then(builder.trunc(told[1], ir.IntType(1)), likely=True):
                turned, after = [say.swapped(each) for each in stored], builder.block
            keys = []
            for one, other in zip(turned, stored, strict=True):
                either = builder.phi(SHORTS)
                either.add_incoming(one, after)
                either.add_incoming(other, before)
                keys.append(either)
            return work(say, [builder.xor(key, say.every(0x8000)) for key in keys], told[2:], rooms)

        return numba.types.uint8(source, told, into), generate

    return numba.extending.intrinsic(read)


def bringing(counting: bool, blanking: bool) -> Any:
    """Make the function that adds pixels to their columns, and notes their values if they are to be counted.

    It takes the first column and the blank bin; the columns' sums, and numbers of good pixels; room for values.
    """

    def bring(say: Vectors, keys: list[Any], told: list[Any], into: list[Any]) -> Any:
        (_, blank), (sums, goods, values), builder = told, into, say.builder
        for at, key in enumerate(keys):
            added = builder.zext(key, WORDS)
            if blanking:
                good = builder.zext(builder.icmp_unsigned("!=", key, say.splat(blank)), WORDS)
                added = builder.mul(good, added)
                say.add(good, goods, at * LANES)
            say.add(added, sums, at * LANES)
            if counting:
                say.store(key, values, at * LANES)
        return ir.Constant(OCTET, 1)

    return _reading(bring, (0, 0))


def stepping(counting: bool, blanking: bool) -> Any:
    """Make the function that adds pixels' steps above the base to those of their columns, and notes pairs of them.

    It takes the first column, where to note, the base and the blank bin; the columns' steps; room for notes. Unless
    all pixels are near the base, and good, it does nothing and returns 0.
    """

    def step(say: Vectors, keys: list[Any], told: list[Any], into: list[Any]) -> Any:
        (_, _, base, blank), (steps, notes), builder = told, into, say.builder
        above = [builder.sub(key, say.splat(base)) for key in keys]
        apart = say.every(0)
        for each in above:
            apart = builder.or_(apart, each)
        apart = builder.and_(apart, say.every(0x10000 - NEAR))
        if blanking:
            for key in keys:
                blanks = builder.icmp_unsigned("==", key, say.splat(blank))
                apart = builder.or_(apart, builder.sext(blanks, SHORTS))
        found = say.filled_lanes(apart)
        near = builder.icmp_unsigned("==", found, found.type(0))
        with builder.if_then(near, likely=True):
            for at, each in enumerate(above):
                say.add(each, steps, at * LANES)
            for at in range(0, len(above) if counting else 0, 2):
                say.store(pairs_of(say, above[at], above[at + 1]), notes, at // 2 * LANES)
        return builder.zext(near, OCTET)

    return _reading(step, (0, 1))

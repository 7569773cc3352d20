"""Pieces: what is done with some pixels of one row at once, in vectors; for `means`."""

from typing import Any, Final

import numba
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils

from cgi_worker.kernels.fetching import ask
from cgi_worker.kernels.vectors import LANES, NEAR, SHORTS, WORD, WORDS, Vectors, in_vectors, pairs_of

PIECE: Final = 64  # Pixels.
SIGN: Final = 0x8000  # By which stored pixels and their bins differ.
LINE: Final = 64  # Octets of a cache line.
FETCHED: Final = 512  # Octets ahead of what is read.
PLACE_SHIFT: Final = 32  # Of the row, in a word that tells a place.


def _loaded(say: Vectors, row: Any, swap: Any) -> list[Any]:
    """Build: load PIECE stored pixels, their bytes in this machine's order."""
    builder = say.builder
    stored, before = [say.load(row, 2 * at) for at in range(0, PIECE, LANES)], builder.block
    with builder.if_then(builder.icmp_unsigned("!=", swap, swap.type(0)), likely=True):
        turned, after = [say.swapped(each) for each in stored], builder.block
    return [say.either((before, one), (after, other)) for one, other in zip(stored, turned, strict=True)]


def bringing(counting: bool, blanking: bool) -> Any:
    """Make the function that adds PIECE pixels of a row to their columns, and notes their values if they are counted.

    It takes the rows, the columns' sums, numbers of good pixels, and room for values; the first octet, 1 if bytes are
    to be swapped, the first column and the blank bin.
    """

    def bring(say: Vectors, arrays: list[Any], told: list[Any]) -> None:
        (source, sums, goods, values), (at, swap, column, blank), builder = arrays, told, say.builder
        sums, goods = (builder.gep(room, [column]) for room in (sums, goods))
        for number, stored in enumerate(_loaded(say, builder.gep(source, [at]), swap)):
            key = builder.xor(stored, say.every(SIGN))
            added = builder.zext(key, WORDS)
            if blanking:
                good = builder.zext(builder.icmp_unsigned("!=", key, say.splat(blank)), WORDS)
                added = builder.mul(good, added)
                say.add(good, goods, number * LANES)
            say.add(added, sums, number * LANES)
            if counting:
                say.store(key, values, number * LANES)

    return in_vectors(bring)


def _sorted_out(say: Vectors, above: list[Any], blanks: Any) -> tuple[Any, list[Any]]:
    """Build: tell in bits which steps are not near, or blank, and give all with these as 0."""
    builder, near, far = say.builder, [], ir.IntType(64)(0)
    for number, each in enumerate(above):
        beyond = builder.icmp_unsigned(">=", each, say.every(NEAR))
        if blanks is not None:
            beyond = builder.or_(beyond, builder.icmp_unsigned("==", each, blanks))
        bits = builder.zext(builder.bitcast(beyond, ir.IntType(LANES)), far.type)
        far = builder.or_(far, builder.shl(bits, far.type(number * LANES)))
        near.append(builder.select(beyond, say.every(0), each))
    return far, near


def stepping(counting: bool, blanking: bool) -> Any:
    """Make the function that adds up steps above the base over some rows of a piece, and notes pairs of them.

    It takes the rows, and copies of their ends; room for steps, for notes, and for lanes and where they are (uint64
    both); the first octet, how many octets further the next row is, and how many there are; 1 to read the ends; 1 if
    bytes are to be swapped; the first of these rows, of which 0 does not add to the steps that are there; the first
    column, and where in the room for steps it is; the bases of even and odd columns, and the blank bin; and how many
    lanes are told already. It returns how many are then.

    Pixels that are not near their base, or blank, are taken for the base itself. Their lanes are told in bits, and
    where they are: row << 32 | column of the first one.
    """

    def step(say: Vectors, arrays: list[Any], told: list[Any]) -> Any:
        (source, ends, steps, notes, lanes, places), builder = arrays, say.builder
        at, pitch, rows, is_end, swap, first, column, own, even, odd, blank, known = told
        is_end = builder.icmp_unsigned("!=", is_end, is_end.type(0))
        source = builder.select(is_end, builder.bitcast(ends, source.type), source)
        base, none, steps = say.in_turns(even, odd), say.every(0), builder.gep(steps, [own])
        lowest = builder.xor(base, say.every(SIGN))  # As it is stored.
        blanks = builder.sub(say.splat(blank), base)
        goes_on = builder.icmp_unsigned("!=", first, first.type(0))
        sums = [
            cgutils.alloca_once_value(builder, builder.select(goes_on, say.load(steps, number), none))  # type: ignore[no-untyped-call]
            for number in range(0, PIECE, LANES)
        ]
        apart = cgutils.alloca_once_value(builder, known)  # type: ignore[no-untyped-call]
        with cgutils.for_range(builder, rows) as loop:
            row = builder.gep(source, [builder.add(at, builder.mul(loop.index, pitch))])
            for octet in range(0, 2 * PIECE, LINE):
                ask(builder, builder.gep(row, [WORD(FETCHED + octet)]))
            above = [builder.sub(stored, lowest) for stored in _loaded(say, row, swap)]
            any_far = none
            for each in above:
                any_far = builder.or_(any_far, builder.and_(each, say.every(0x10000 - NEAR)))
                if blanking:
                    any_far = builder.or_(any_far, builder.sext(builder.icmp_unsigned("==", each, blanks), SHORTS))
            before = builder.block
            with builder.if_then(say.is_any(any_far), likely=False):
                far, near = _sorted_out(say, above, blanks if blanking else None)
                count = builder.load(apart)
                turn = builder.shl(builder.add(first, loop.index), first.type(PLACE_SHIFT))
                builder.store(far, builder.gep(lanes, [count]))
                builder.store(builder.or_(turn, column), builder.gep(places, [count]))
                builder.store(builder.add(count, count.type(1)), apart)
                after = builder.block
            near = [say.either((before, one), (after, other)) for one, other in zip(above, near, strict=True)]
            for total, each in zip(sums, near, strict=True):
                builder.store(builder.add(builder.load(total), each), total)
            for pair in range(0, len(near) if counting else 0, 2):
                place = builder.add(builder.mul(loop.index, loop.index.type(PIECE // 2)), at.type(pair // 2 * LANES))
                say.store_at(pairs_of(say, near[pair], near[pair + 1]), notes, place)
        for number, total in enumerate(sums):
            say.store(builder.load(total), steps, number * LANES)
        return builder.load(apart)

    return in_vectors(step, numba.types.int64)


def making_good(counting: bool, blanking: bool) -> Any:
    """Make the function that brings a pixel whose step was not added to its block and to the counters.

    It takes the counters of even and of odd columns, extras of blocks, and their numbers of good pixels; the pixel's
    bin, its column, the base that it was taken for, the blank bin, which block it is in, and how many times it was
    counted as the base. An intrinsic: a call would hold each array, and let it go.
    """

    def make_good(say: Vectors, arrays: list[Any], told: list[Any]) -> None:
        (even, odd, extras, goods), (key, column, base, blank, block, undone), builder = arrays, told, say.builder

        def add(start: Any, index: Any, more: Any) -> None:
            place = builder.gep(start, [index])
            builder.store(builder.add(builder.load(place), more), place)

        if counting:
            table = builder.select(builder.trunc(column, ir.IntType(1)), odd, even)
            add(table, builder.zext(key, block.type), WORD(1))
            add(table, builder.zext(base, block.type), builder.neg(builder.trunc(undone, WORD)))
        value, lost = builder.zext(key, WORD), WORD(0)
        if blanking:
            is_blank = builder.icmp_unsigned("==", key, blank)
            value, lost = builder.select(is_blank, lost, value), builder.sext(is_blank, WORD)
            add(goods, block, lost)
        add(extras, block, builder.sub(value, builder.zext(base, WORD)))

    return in_vectors(make_good)


def _counting(say: Vectors, arrays: list[Any], told: list[Any]) -> None:
    """Build: count pairs that were noted of some rows, four a word; all of a row at once where they are alike.

    A frame may be black or full: one by one, each would have to wait for the one before it.
    """
    (notes, *tables), (rows,), builder = arrays, told, say.builder
    word, words = ir.IntType(64), PIECE // 8

    def count(some: Any, lane: int, more: int) -> None:
        index = builder.zext(builder.trunc(builder.lshr(some, word(16 * lane)), ir.IntType(16)), word)
        place = builder.gep(tables[lane & 1], [index])
        builder.store(builder.add(builder.load(place), WORD(more)), place)

    with cgutils.for_range(builder, rows) as loop:
        row = builder.bitcast(builder.gep(notes, [builder.mul(loop.index, word(PIECE // 2))]), word.as_pointer())
        first, second = (builder.load(builder.gep(row, [WORD(at)])) for at in range(2))
        alike = cgutils.alloca_once_value(builder, ir.IntType(1)(0))  # type: ignore[no-untyped-call]
        builder.store(ir.IntType(1)(0), alike)
        with builder.if_then(builder.icmp_unsigned("==", first, second), likely=False):
            turned = builder.or_(builder.lshr(first, word(32)), builder.shl(first, word(32)))
            other = builder.xor(turned, first)
            for at in range(2, words):
                other = builder.or_(other, builder.xor(first, builder.load(builder.gep(row, [WORD(at)]))))
            builder.store(builder.icmp_unsigned("==", other, word(0)), alike)
        with builder.if_else(builder.load(alike), likely=False) as (all_alike, one_by_one):
            with all_alike:
                for lane in range(2):
                    count(first, lane, PIECE // 4)
            with one_by_one:
                for at in range(words):
                    some = builder.load(builder.gep(row, [WORD(at)]))
                    for lane in range(4):
                        count(some, lane, 1)


# Count pairs noted of some rows, of even and odd columns by turns, as `count_pairs((notes, even, odd), (rows,))`.
count_pairs: Final = in_vectors(_counting)

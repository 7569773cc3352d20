"""Fetching: ask for memory some time before it is read. Changes no result."""

from collections.abc import Callable
from typing import Any, Final, cast

import numba
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils

_SECOND: Final = 2  # LLVM's locality of what belongs into the second cache.


def ask(builder: Any, place: Any) -> None:
    """Build: ask for the cache line that holds the octet at a place, (i8*)."""
    number = ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [place.type, number, number, number])
    prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")  # type: ignore[no-untyped-call]
    builder.call(prefetch, [place, number(0), number(_SECOND), number(1)])


def _fetch(_typing: Any, row: Any, at: Any) -> Any:
    """Ask for the cache line that holds octet `at` of a row, (octets,) uint8."""

    def generate(build: Any, builder: Any, signature: Any, given: Any) -> Any:
        octets = build.make_array(signature.args[0])(build, builder, given[0])
        ask(builder, builder.bitcast(builder.gep(octets.data, [given[1]]), ir.IntType(8).as_pointer()))
        return build.get_dummy_value()

    return numba.void(row, at), generate


fetch: Final = cast(Callable[[Any, Any], None], numba.extending.intrinsic(_fetch))

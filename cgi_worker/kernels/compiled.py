"""How kernels are compiled: ahead of use, for exact types, without the GIL; kept on disk beside their source."""

from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

import numba

Kernel = TypeVar("Kernel", bound=Callable[..., Any])

_types: Final[Any] = numba.types
BYTES: Final[Any] = _types.Array(numba.u1, 2, "C", readonly=True)  # Rows of a mapped file, or of a lent plane.


def compiled(*types: Any) -> Callable[[Kernel], Kernel]:
    """Compile a kernel when its module is imported, for these argument types and no others."""
    decorate = numba.njit(numba.void(*types), nogil=True, cache=True, boundscheck=False, error_model="numpy")
    return cast(Callable[[Kernel], Kernel], decorate)


def part(function: Kernel) -> Kernel:
    """Mark a function that kernels of the same module are made of; compiled with them.

    It stays in their module: numba's cache looks at the time of one file only.
    """
    return cast(Kernel, numba.njit(nogil=True, boundscheck=False, error_model="numpy")(function))


def record(kind: type, *fields: Any) -> Any:
    """Give the numba type of a NamedTuple whose fields have these types; one type for all if it stands alone."""
    if len(fields) == 1:
        return _types.NamedUniTuple(fields[0], len(kind._fields), kind)  # type: ignore[attr-defined]
    return _types.NamedTuple(list(fields), kind)


def repeated(kind: Any, count: int) -> Any:
    """Give the numba type of a tuple of `count` of the same."""
    return _types.UniTuple(kind, count)

"""How kernels are compiled: ahead of use, for exact types, without the GIL; kept on disk beside their source."""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar, cast

import numba

from cgi_worker.kernels.keeping import LOCATORS

Kernel = TypeVar("Kernel", bound=Callable[..., Any])

_types: Final[Any] = numba.types
_config: Final[Any] = numba.config
_lost: Final[list[OSError]] = []  # Why nothing is kept any more; tried once, since the first try costs a compilation.
BYTES: Final[Any] = _types.Array(numba.u1, 2, "C", readonly=True)  # Rows of a mapped file, or of a lent plane.


def compiled(*types: Any) -> Callable[[Kernel], Kernel]:
    """Compile a kernel when its module is imported, for these argument types and no others.

    Where it cannot be kept, the disk being full, it is compiled once more for this process alone.
    """
    how = partial(numba.njit, numba.void(*types), nogil=True, boundscheck=False, error_model="numpy")

    def compile_and_keep(function: Kernel) -> Kernel:
        if not _lost:
            others, _config.CACHE_LOCATOR_CLASSES = _config.CACHE_LOCATOR_CLASSES, LOCATORS
            try:
                return cast(Kernel, how(cache=True)(function))
            except OSError as error:
                _lost.append(error)
                warnings.warn(f"kernels cannot be kept for the next start: {error.strerror}", stacklevel=2)
            finally:
                _config.CACHE_LOCATOR_CLASSES = others
        return cast(Kernel, how(cache=False)(function))

    return compile_and_keep


def part(function: Kernel) -> Kernel:
    """Mark a function that kernels are made of; compiled with them."""
    return cast(Kernel, numba.njit(nogil=True, boundscheck=False, error_model="numpy")(function))


def record(kind: type, *fields: Any) -> Any:
    """Give the numba type of a NamedTuple whose fields have these types; one type for all if it stands alone."""
    if len(fields) == 1:
        return _types.NamedUniTuple(fields[0], len(kind._fields), kind)  # type: ignore[attr-defined]
    return _types.NamedTuple(list(fields), kind)


def repeated(kind: Any, count: int) -> Any:
    """Give the numba type of a tuple of `count` of the same."""
    return _types.UniTuple(kind, count)

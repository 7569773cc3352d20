"""Lending: arrays that hold nobody. To pass an array on, or to cut it, numba counts who holds it, each time.

A tenth of a kernel's time may go there. So its parts work with what it lends them.
"""

from collections.abc import Callable
from typing import Any, Final, cast

import numba
from numba.core import cgutils


def _lent(build: Any, builder: Any, kind: Any, value: Any) -> Any:
    if isinstance(kind, numba.types.Array):
        made = build.make_array(kind)(build, builder, value)
        made.meminfo = cgutils.get_null_value(made.meminfo.type)  # type: ignore[no-untyped-call]
        made.parent = cgutils.get_null_value(made.parent.type)  # type: ignore[no-untyped-call]
        return made._getvalue()
    if isinstance(kind, numba.types.BaseTuple):
        for number, each in enumerate(kind):  # type: ignore[var-annotated, arg-type]
            item = _lent(build, builder, each, builder.extract_value(value, number))
            value = builder.insert_value(value, item, number)
    return value


def _lend(_typing: Any, owned: Any) -> Any:
    """Give the same array, or tuple of arrays and others; a caller, or an argument, has to hold it all the while."""

    def generate(build: Any, builder: Any, signature: Any, given: Any) -> Any:
        return _lent(build, builder, signature.return_type, given[0])

    return owned(owned), generate


lend: Final = cast(Callable[[Any], Any], numba.extending.intrinsic(_lend))

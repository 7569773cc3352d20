"""Lending: arrays that hold nobody. To pass an array on, or to cut it, numba counts who holds it, each time."""

from collections.abc import Callable
from typing import Any, Final, cast

import numba
from numba.core import cgutils


def _lend(_typing: Any, array: Any) -> Any:
    """Give the same array, whose owner has to hold it as long as anybody works with what is lent."""

    def generate(build: Any, builder: Any, signature: Any, given: Any) -> Any:
        made = build.make_array(signature.return_type)(build, builder, given[0])
        made.meminfo = cgutils.get_null_value(made.meminfo.type)  # type: ignore[no-untyped-call]
        made.parent = cgutils.get_null_value(made.parent.type)  # type: ignore[no-untyped-call]
        return made._getvalue()

    return array(array), generate


lend: Final = cast(Callable[[Any], Any], numba.extending.intrinsic(_lend))

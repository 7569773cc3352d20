"""The parameters of a request's address."""

from imgd.errors import BadRequest
from imgd.query import read_pairs


def read_known(query: bytes, known: tuple[str, ...]) -> dict[str, str]:
    """Decode a query whose parameters are all known, and none repeated.

    Raises  BadRequest naming the parameter at fault.
    """
    given: dict[str, str] = {}
    for name, value in read_pairs(query):
        if name not in known:
            raise BadRequest("unknown parameter", name[:64])
        if name in given:
            raise BadRequest("repeated", name)
        given[name] = value
    return given

"""Keeping: compiled kernels stay valid until any source of kernels changes, as they are made of parts of each other.

numba by itself looks at the one file that a kernel stands in. Its places are kept: NUMBA_CACHE_DIR, beside the sources,
or the user's own folder.
"""

import functools
import hashlib
from importlib import resources
from typing import Final

from numba.core import caching

LOCATORS: Final = ",".join(f"{__name__}.{name}" for name in ("Given", "Beside", "OfUser"))


@functools.lru_cache
def stamp() -> str:
    """Tell these sources of kernels apart from any others, by their octets."""
    found = hashlib.sha256()
    for source in sorted(resources.files(__package__).iterdir(), key=lambda source: source.name):
        if source.name.endswith(".py"):
            octets = source.read_bytes()
            found.update(f"{source.name} {len(octets)}\n".encode() + octets)
    return found.hexdigest()


class _OfAll:
    @staticmethod
    def get_source_stamp() -> str:
        """Tell what is compiled."""
        return stamp()


class Given(_OfAll, caching.UserProvidedCacheLocator):
    """Where NUMBA_CACHE_DIR says."""


class Beside(_OfAll, caching.InTreeCacheLocator):
    """Beside the sources."""


class OfUser(_OfAll, caching.UserWideCacheLocator):
    """In the user's folder."""

"""Which watch belongs to which directory below a root."""

import threading


def is_below(path: bytes, directory: bytes) -> bool:
    """Tell whether a path is a directory itself, or below it; everything is below the root, b""."""
    return not directory or path == directory or path.startswith(directory + b"/")


class Tree:
    """Watches and paths, each of one other. A thread that walks puts, the loop reads and drops."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._paths: dict[int, bytes] = {}
        self._watches: dict[bytes, int] = {}
        self._rounds: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._paths)

    def path_of(self, watch: int) -> bytes | None:
        """Tell the directory of a watch; None if it is not watched any longer."""
        return self._paths.get(watch)

    def put(self, watch: int, path: bytes, round_: int) -> int | None:
        """Note that a watch, of a directory that perhaps lay elsewhere, is that of `path` now.

        Returns the watch that `path` had, if it was another: of a directory that is not there any longer.
        """
        with self._lock:
            before = self._paths.get(watch)
            if before is not None and before != path and self._watches.get(before) == watch:
                del self._watches[before]
            other = self._watches.get(path)
            if other is not None and other != watch:
                del self._paths[other], self._rounds[other]
            else:
                other = None
            self._paths[watch], self._watches[path], self._rounds[watch] = path, watch, round_
            return other

    def drop(self, watch: int) -> None:
        """Forget a watch."""
        with self._lock:
            self._drop(watch)

    def drop_below(self, directory: bytes) -> list[int]:
        """Forget a directory and all below it; return their watches."""
        with self._lock:
            found = [watch for watch, path in self._paths.items() if is_below(path, directory)]
            for watch in found:
                self._drop(watch)
            return found

    def drop_before(self, round_: int) -> list[int]:
        """Forget directories that were last put in an earlier round; return their watches."""
        with self._lock:
            found = [watch for watch, last in self._rounds.items() if last < round_]
            for watch in found:
                self._drop(watch)
            return found

    def _drop(self, watch: int) -> None:
        path = self._paths.pop(watch, None)
        if path is not None:
            del self._rounds[watch]
            if self._watches.get(path) == watch:
                del self._watches[path]

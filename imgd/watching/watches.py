"""The watches of all roots: they begin and end as roots come to be served, and cease to be."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import trio

from imgd.setting_kinds import Root
from imgd.watching.root import RootWatch

MakeWatch = Callable[[Root], RootWatch]


@dataclass(slots=True, eq=False)
class _Kept:
    """A root's watch. ended: it is at an end, so that another one of that name may begin."""

    root: Root
    watch: RootWatch
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    ended: trio.Event = field(default_factory=trio.Event)
    begun: bool = False


class Watches:
    """One watch for each root that is served. `run` has to run for anything to be watched."""

    def __init__(self, make: MakeWatch, roots: Iterable[Root]) -> None:
        self._make = make
        self._kept = {root.name: _Kept(root, make(root)) for root in roots}
        self._leaving: dict[str, _Kept] = {}
        self._changed = trio.Event()

    def __iter__(self) -> Iterator[RootWatch]:
        return iter([each.watch for each in self._kept.values()])

    def set_roots(self, roots: Iterable[Root]) -> None:
        """Watch these from now on; those that are watched already go on undisturbed."""
        wanted = {root.name: root for root in roots}
        for name, kept in list(self._kept.items()):
            if wanted.get(name) != kept.root:
                self._leaving[name] = self._kept.pop(name)
                kept.scope.cancel()
        for name, root in wanted.items():
            if name not in self._kept:
                self._kept[name] = _Kept(root, self._make(root))
        self._changed.set()

    async def run(self) -> None:
        """Watch until cancelled."""
        async with trio.open_nursery() as watching:
            while True:
                self._changed = trio.Event()
                for name, kept in self._kept.items():
                    if not kept.begun:
                        kept.begun = True
                        watching.start_soon(self._watch, kept, self._leaving.pop(name, None))
                await self._changed.wait()

    async def _watch(self, kept: _Kept, before: _Kept | None) -> None:
        try:
            with kept.scope:
                if before is not None and before.begun:
                    await before.ended.wait()
                await kept.watch.run()
        finally:
            kept.ended.set()

"""What the web asks of the floors below: the engine as it is seen from here, and ASGI's types."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, MutableMapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from cgi_worker.wire.facts import Source
from cgi_worker.wire.tiles import ViewportView
from cgi_worker.wire.wanted import Wanted
from imgd.engine.answer import Answer, Known, Qualified
from imgd.engine.figures import Crew
from imgd.model import Asker
from imgd.running import NO_LIMITS, News, RunLimits

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Carried(Protocol):
    """A plan being carried out; valid inside the `with` that gave it, leaving which withdraws it."""

    @property
    def source(self) -> Source:
        """Identity of the frame that it is about."""

    def news(self) -> AsyncIterator[News]:
        """Tell what happens, in order, to the end; each result once.

        Raises  ImgdError when it fails; nothing is told after that.
        """


class Engine(Protocol):
    """The one facade of floor 2."""

    async def qualify(self, wanted: Wanted, asker: Asker) -> Qualified:
        """Tell what is known of a picture, or of a question's answer, without making it.

        Raises  ImgdError.
        """

    async def look(self, frame: str, asker: Asker) -> Known:
        """Tell what a frame is at present, and what it holds.

        Raises  ImgdError.
        """

    def render(self, wanted: Wanted, asker: Asker) -> AbstractAsyncContextManager[Answer]:
        """Make a picture, or answer a question; leaving the `with` withdraws.

        Raises  ImgdError on entry.
        """

    def kept_tile(self, etag: str) -> bytes | None:
        """Find an encoded tile that was made before, by its etag, if it is still kept."""

    def header(self, frame: str, asker: Asker) -> AbstractAsyncContextManager[Answer]:
        """Make the document of a frame's facts and cards (JSON); leaving the `with` withdraws.

        Raises  ImgdError on entry.
        """

    def carry_out(
        self, wanted: Wanted | ViewportView, asker: Asker, limits: RunLimits = NO_LIMITS, have: Collection[str] = ()
    ) -> AbstractAsyncContextManager[Carried]:
        """Make a picture, answers or tiles, and tell of each step; leaving the `with` withdraws.

        have  etags of results that are not wanted: nothing is done for them.

        Raises  ImgdError on entry, if there is no such frame.
        """

    def statistics(self) -> Any:
        """Tell figures, as a frozen dataclass of numbers (or of such dataclasses)."""

    def crew(self) -> Crew:
        """Tell who is at work, and what waits."""

    def ready(self) -> str:
        """Tell "" when pictures can be made, else in plain words why not yet."""

"""What the web asks of the floors below: the engine as it is seen from here, and ASGI's types."""

from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from cgi_worker.wire.wanted import Wanted
from imgd.engine.answer import Answer, Qualified
from imgd.model import Asker

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Engine(Protocol):
    """The one facade of floor 2."""

    async def qualify(self, wanted: Wanted, asker: Asker) -> Qualified:
        """Tell what is known of a picture, or of a question's answer, without making it.

        Raises  ImgdError.
        """

    def render(self, wanted: Wanted, asker: Asker) -> AbstractAsyncContextManager[Answer]:
        """Make a picture, or answer a question; leaving the `with` withdraws.

        Raises  ImgdError on entry.
        """

    def header(self, frame: str, asker: Asker) -> AbstractAsyncContextManager[Answer]:
        """Make the document of a frame's facts and cards (JSON); leaving the `with` withdraws.

        Raises  ImgdError on entry.
        """

    def statistics(self) -> Any:
        """Tell figures, as a frozen dataclass of numbers (or of such dataclasses)."""

    def ready(self) -> str:
        """Tell "" when pictures can be made, else in plain words why not yet."""

"""The story: the last events and commands of the core, enough to replay what led to a failure. Pure."""

from collections import deque
from collections.abc import Iterable, Iterator

from imgd.core.events import Command, Event


class Story:
    """Remember the last N events, each with the commands it caused."""

    def __init__(self, events_max: int) -> None:
        self._chapters: deque[tuple[Event, tuple[Command, ...]]] = deque(maxlen=events_max)

    def tell(self, event: Event, commands: Iterable[Command]) -> None:
        """Add one event and what it caused; the oldest is forgotten."""
        self._chapters.append((event, tuple(commands)))

    def lines(self, width: int = 400) -> Iterator[str]:
        """Yield the story as text, oldest first, each line cut to `width` characters."""
        for event, commands in self._chapters:
            yield repr(event)[:width]
            for command in commands:
                yield ("  -> " + repr(command))[:width]

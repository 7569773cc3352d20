"""What the engine answers with, and what it needs to be told: the seam between floors 2 and 3."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from cgi_worker.wire.facts import Facts, Source


@dataclass(frozen=True, slots=True)
class Qualified:
    """What is known about a picture before it is made: enough to answer 304, or HEAD."""

    etag: str  # Strong validator from the key, with its quotation marks.
    media_type: str


@dataclass(frozen=True, slots=True)
class Known:
    """What a frame is at present, and what it holds."""

    source: Source
    facts: Facts


class Answer(Protocol):
    """Bytes being made or ready, valid inside the `with` that gave it; leaving it withdraws or gives back."""

    @property
    def etag(self) -> str:
        """Strong validator, with its quotation marks."""

    @property
    def media_type(self) -> str:
        """Media type of the bytes."""

    @property
    def source(self) -> Source:
        """Identity of the frame that they are made from."""

    @property
    def facts(self) -> str:
        """JSON said by the steps that made it: the levels used, among others."""

    @property
    def size_bytes(self) -> int | None:
        """Bytes in all; None while they are still being made."""

    def chunks(self) -> AsyncIterator[bytes]:
        """Read the bytes in order, as they are made.

        Raises  ImgdError when the worker fails in the middle; what was read so far is then worthless.
        """

"""What a step is lent while it works, and how it can fail."""

from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray


class Made(NamedTuple):
    """What a step made: bytes used of each output (in the stage's order, 0 for one not asked for), and its facts.

    facts  JSON text, at most `packets.STEP_FACTS_BYTES_MAX` characters; it travels with the buffers made.
    """

    used_bytes: tuple[int, ...]
    facts: str = "{}"

    def used_of(self, outputs: int) -> tuple[int, ...]:
        """Tell the bytes used of the outputs that the stage has; a step may be able to make more than was planned."""
        assert len(self.used_bytes) >= outputs and not any(self.used_bytes[outputs:]), "it wrote what it was not lent"
        return self.used_bytes[:outputs]


class Work(Protocol):
    """The surroundings of one stage. Indices are those of the stage's inputs and outputs, from 0."""

    threads: int  # How many threads the step may use, itself included.
    source_fd: int  # The frame, opened for reading, verified to be the source asked for; -1 if there is none.
    kept: dict[Any, Any]  # What the steps of one todo list keep for each other; forgotten at its end.

    @property
    def input_count(self) -> int:
        """Tell how many inputs the stage has."""

    def input_array(self, index: int) -> NDArray[Any]:
        """Lend an input with its buffer's dtype and shape, read-only."""

    def input_bytes(self, index: int) -> memoryview:
        """Lend the used bytes of an input, read-only."""

    def input_facts(self, index: int) -> str:
        """Tell the facts (JSON) that were said when this input was made."""

    def input_key(self, index: int) -> str:
        """Tell the key of an input's buffer: equal keys, equal contents."""

    def wants(self, index: int) -> bool:
        """Tell whether an output is to be written (False: it exists already, or the stage does not have it)."""

    def output_array(self, index: int) -> NDArray[Any]:
        """Lend an output with its buffer's dtype and shape; its contents are arbitrary."""

    def output_bytes(self, index: int) -> memoryview:
        """Lend all bytes of an output, writable; its contents are arbitrary."""

    def progress(self, used_bytes: int, ends: tuple[int, ...] = ()) -> None:
        """Say that the first `used_bytes` of output 0 are final, and where the items end that are so by now."""

    def unwanted(self, item: int) -> bool:
        """Tell whether nobody wants this item of a step that makes many, counted from 0, any more."""

    def sink_fd(self) -> int:
        """Tell the descriptor that a `Deliver` step writes to."""

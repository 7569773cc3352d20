"""A `Work` that lends plain arrays and notes what the step says."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass
class Lending:
    """Everything a step may ask for. Outputs that are None are not wanted."""

    source_fd: int = -1
    threads: int = 1
    inputs: list[NDArray[Any]] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)
    outputs: list[NDArray[Any] | None] = field(default_factory=list)
    sink: int = -1
    announced: list[int] = field(default_factory=list)
    kept: dict[Any, Any] = field(default_factory=dict)
    dropped: set[int] = field(default_factory=set)

    @property
    def input_count(self) -> int:
        return len(self.inputs)

    def input_array(self, index: int) -> NDArray[Any]:
        array = self.inputs[index].view()
        array.flags.writeable = False
        return array

    def input_bytes(self, index: int) -> memoryview:
        return self.inputs[index].data.toreadonly()

    def input_facts(self, index: int) -> str:
        return self.facts[index]

    def input_key(self, index: int) -> str:
        return hashlib.sha256(self.inputs[index].tobytes() + self.facts[index].encode()).hexdigest()

    def wants(self, index: int) -> bool:
        return index < len(self.outputs) and self.outputs[index] is not None

    def output_array(self, index: int) -> NDArray[Any]:
        array = self.outputs[index]
        assert array is not None, "written although not wanted"
        return array

    def output_bytes(self, index: int) -> memoryview:
        return self.output_array(index).data

    def progress(self, used_bytes: int, ends: tuple[int, ...] = ()) -> None:
        self.announced += ends or (used_bytes,)

    def unwanted(self, item: int) -> bool:
        return item in self.dropped

    def sink_fd(self) -> int:
        return self.sink


def garbage(shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """Give an array as a reused segment would be: full of something else."""
    return np.full(int(np.prod(shape)) * np.dtype(dtype).itemsize, 0xA7, np.uint8).view(dtype).reshape(shape)

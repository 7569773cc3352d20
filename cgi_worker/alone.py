"""Alone: the same picture as the daemon's, byte for byte, made in private memory by the same recipe and steps."""

import os
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cgi_worker import run
from cgi_worker.wire.facts import Source, decode_facts
from cgi_worker.wire.failure import StepFailed
from cgi_worker.wire.recipe import parse_recipe
from cgi_worker.wire.steps import Buffer, Recipe, Stage
from cgi_worker.wire.wanted import Wanted, media_type_of, recipe_of

LIMIT_BYTES: Final = 2 << 30  # Of all buffers together, unless the caller says otherwise.


@dataclass(slots=True)
class _Private:
    """A buffer in this process's own memory."""

    buffer: Buffer
    octets: NDArray[np.uint8]
    used_bytes: int = 0
    facts: str = "{}"

    def array(self) -> NDArray[Any]:
        shaped: NDArray[Any] = self.octets.view(self.buffer.dtype).reshape(self.buffer.shape)
        return shaped


@dataclass(slots=True)
class _Work:
    """`steps.work.Work` over private buffers, for one stage."""

    threads: int
    source_fd: int
    inputs: list[_Private] = field(default_factory=list)
    outputs: list[_Private] = field(default_factory=list)
    kept: dict[Any, Any] = field(default_factory=dict)

    @property
    def input_count(self) -> int:
        return len(self.inputs)

    def input_array(self, index: int) -> NDArray[Any]:
        array = self.inputs[index].array()
        array.flags.writeable = False
        return array

    def input_bytes(self, index: int) -> memoryview:
        lent = self.inputs[index]
        return lent.octets.data[: lent.used_bytes].toreadonly()

    def input_facts(self, index: int) -> str:
        return self.inputs[index].facts

    def input_key(self, index: int) -> str:
        return self.inputs[index].buffer.key

    def wants(self, index: int) -> bool:
        return 0 <= index < len(self.outputs)

    def output_array(self, index: int) -> NDArray[Any]:
        return self.outputs[index].array()

    def output_bytes(self, index: int) -> memoryview:
        return self.outputs[index].octets.data

    def progress(self, used_bytes: int, ends: tuple[int, ...] = ()) -> None:
        """Nobody reads along."""

    def unwanted(self, item: int) -> bool:
        """Nobody changes their mind."""
        return False

    def sink_fd(self) -> int:
        raise AssertionError("a recipe made alone delivers nothing")


def identity(source_fd: int) -> Source:
    """Tell which bytes a descriptor stands for."""
    status = os.fstat(source_fd)
    return Source(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def render(
    source_fd: int, wanted: Wanted, threads: int = 1, *, limit_bytes: int = LIMIT_BYTES
) -> tuple[bytes, str, str]:
    """Make one picture, or answer one question: the bytes, their media type, and the facts (JSON), such as the levels.

    Raises  StepFailed if the file is at fault, or it takes more than the limit; ViewError if what is wanted is.
    """
    source = identity(source_fd)
    parsed = _carry_out(parse_recipe(source), source_fd, threads, limit_bytes)
    facts = decode_facts(_octets(parsed[0]))
    recipe = recipe_of(wanted, facts, source)
    made = _carry_out(recipe, source_fd, threads, limit_bytes)[recipe.result]
    return _octets(made), media_type_of(wanted), made.facts


def header(source_fd: int, *, limit_bytes: int = LIMIT_BYTES) -> bytes:
    """Make the header document: facts and all cards as JSON.

    Raises  StepFailed if it is no frame.
    """
    recipe = parse_recipe(identity(source_fd))
    return _octets(_carry_out(recipe, source_fd, 1, limit_bytes)[recipe.result])


def _octets(private: _Private) -> bytes:
    return private.octets[: private.used_bytes].tobytes()


def _carry_out(recipe: Recipe, source_fd: int, threads: int, limit_bytes: int) -> list[_Private]:
    needed = sum(buffer.size_bytes for buffer in recipe.buffers)
    if needed > limit_bytes:
        raise StepFailed("too_big", f"this takes {needed} bytes of memory, more than the {limit_bytes} allowed")
    lent = [_Private(buffer, np.empty(buffer.size_bytes, np.uint8)) for buffer in recipe.buffers]
    kept: dict[Any, Any] = {}
    for stage in recipe.stages:
        _carry_out_one(stage, lent, _Work(threads, source_fd, kept=kept))
    return lent


def _carry_out_one(stage: Stage, lent: list[_Private], work: _Work) -> None:
    work.inputs = [lent[index] for index in stage.inputs]
    work.outputs = [lent[index] for index in stage.outputs]
    made = run.do(stage, work)
    for output, used_bytes in zip(work.outputs, made.used_of(len(work.outputs)), strict=True):
        output.used_bytes, output.facts = used_bytes, made.facts

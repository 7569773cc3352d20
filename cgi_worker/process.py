"""One worker's life: todo lists come over its socket, steps are done, segments are given back."""

import os
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from numpy.typing import NDArray

from cgi_worker.attach import Attached
from cgi_worker.link import Link, close_all
from cgi_worker.source import check_source, open_source
from cgi_worker.steps.work import Made, Work
from cgi_worker.wire.facts import Source
from cgi_worker.wire.failure import StepFailed
from cgi_worker.wire.packets import (
    STEP_FACTS_BYTES_MAX,
    TEXT_MAX,
    TO_WORKER,
    VERSION,
    Bye,
    Detached,
    Done,
    Drop,
    Failed,
    Hello,
    Progress,
    Todo,
    WireError,
)
from cgi_worker.wire.steps import Stage

Do = Callable[[Stage, Work], Made]
HELD_BYTES: Final = 32 << 20  # What is of no use any more is let go between steps if it is more, else after the last.


@dataclass(frozen=True, slots=True)
class Channel:
    """The daemon's ear while a todo list is carried out.

    say    tell it something.
    drops  take what it has said meanwhile, without waiting: items that nobody wants any more.
    """

    say: Callable[[Progress | Done | Failed | Detached], None]
    drops: Callable[[], Sequence[Drop]] = tuple


def serve_with(descriptor: int, do: Do) -> None:
    """Live as a worker on this socket until Bye or its end; each step is done by `do`.

    Raises  WireError when the daemon breaks the protocol, ViewLeftBehind when a segment cannot be let go: the process
            is to end then, which lets go of everything.
    """
    with socket.socket(fileno=descriptor) as end:
        link = Link(end)
        link.send(Hello(VERSION, os.getpid()))
        while (received := link.receive(TO_WORKER)) is not None:
            message, descriptors = received
            if isinstance(message, Bye):
                close_all(descriptors)
                return
            if isinstance(message, Drop):
                close_all(descriptors)
                continue  # It crossed the end of its list.
            carry_out(message, descriptors, do, Channel(link.send, link.drops))


def carry_out(todo: Todo, descriptors: list[int], do: Do, daemon: Channel) -> None:
    """Do one todo list and detach all of it, whatever comes of its steps; the descriptors are closed."""
    if len(descriptors) != todo.has_source + len(todo.lent) + todo.has_sink:
        close_all(descriptors)
        raise WireError(f"{len(descriptors)} descriptors for {len(todo.lent)} buffers")
    path_fd = descriptors.pop(0) if todo.has_source else -1
    sink = descriptors.pop() if todo.has_sink else -1
    try:
        attached = Attached(todo.lent, descriptors)
        _List(todo, attached, do=do, daemon=daemon).carry_out(path_fd, sink if todo.has_sink else 1)
    finally:
        close_all([fd for fd in (path_fd, sink) if fd >= 0])


class _List:
    """One todo list being carried out."""

    def __init__(self, todo: Todo, attached: Attached, *, do: Do, daemon: Channel) -> None:
        self.todo = todo
        self.attached = attached
        self.used_bytes = [lent.used_bytes for lent in todo.lent]
        self.facts = [lent.facts for lent in todo.lent]
        self.say = daemon.say
        self.kept: dict[Any, Any] = {}
        self._do = do
        self._drops = daemon.drops
        self._unwanted = set(todo.unwanted)
        self._stage = 0
        self._until = _last_uses(todo)

    def carry_out(self, path_fd: int, sink_fd: int) -> None:
        failed: Failed | None = None
        try:
            if self.todo.has_source:
                expected = _read_source(self.todo.source)
                with open_source(path_fd) as source_fd:
                    check_source(source_fd, expected)
                    self._do_stages(source_fd, sink_fd, expected)
            else:
                self._do_stages(-1, sink_fd, None)
        except StepFailed as error:
            failed = Failed(self.todo.todo, self._stage, error.code, error.text[:TEXT_MAX])
        self.kept.clear()
        if failed is not None:  # Out here the failure's frames, and the arrays in them, are gone.
            self.say(failed)
        self._detach(self.attached.segments)

    def unwanted(self, stage: int, item: int) -> bool:
        for drop in self._drops():
            if drop.todo == self.todo.todo:
                self._unwanted.update(drop.items)
        return stage == len(self.todo.stages) - 1 and item in self._unwanted

    def _do_stages(self, source_fd: int, sink_fd: int, expected: Source | None) -> None:
        for index, stage in enumerate(self.todo.stages):
            self._stage = index
            work = _StageWork(self, index, source_fd, sink_fd, expected=expected)
            start = time.perf_counter()
            made = self._do(stage, work)
            elapsed_ms = (time.perf_counter() - start) * 1e3
            if expected is not None:
                check_source(source_fd, expected)  # Before Done: what was read in the middle of a change is not shown.
            assert len(made.facts) <= STEP_FACTS_BYTES_MAX, "a step says more facts than a packet carries"
            used_bytes = made.used_of(len(stage.outputs))
            for output, used in zip(stage.outputs, used_bytes, strict=True):
                if output >= 0:
                    self.used_bytes[output] = used
                    self.facts[output] = made.facts
            self.say(Done(self.todo.todo, index, used_bytes, made.facts, elapsed_ms))
            over = [segment for segment in self.attached.segments if self._until.get(segment, -1) <= index]
            # To let go takes 60 microseconds a megabyte, which the answer would be waiting for.
            if self.attached.size_of(over) > HELD_BYTES or index == len(self.todo.stages) - 1:
                self._detach(over)

    def _detach(self, segments: Iterable[int]) -> None:
        over = tuple(sorted(segments))
        for segment in over:
            self.attached.detach(segment)
        if over:
            self.say(Detached(self.todo.todo, over))


def _last_uses(todo: Todo) -> dict[int, int]:
    """Tell by segment the last stage that reads or writes it."""
    return {
        todo.lent[at].segment: index
        for index, stage in enumerate(todo.stages)
        for at in (*stage.inputs, *stage.outputs)
        if at >= 0
    }


class _StageWork:
    """What one stage is lent; `Work` says what each of these means."""

    def __init__(self, todo_list: _List, stage: int, source_fd: int, sink_fd: int, *, expected: Source | None) -> None:
        self._list = todo_list
        self._index = stage
        self._stage = todo_list.todo.stages[stage]
        self._sink_fd = sink_fd
        self._expected = expected
        self.threads = todo_list.todo.threads
        self.source_fd = source_fd
        self.kept = todo_list.kept

    @property
    def input_count(self) -> int:
        return len(self._stage.inputs)

    def input_array(self, index: int) -> NDArray[Any]:
        return self._list.attached.array(self._stage.inputs[index], writable=False)

    def input_bytes(self, index: int) -> memoryview:
        at = self._stage.inputs[index]
        return self._list.attached.view(at, self._list.used_bytes[at], writable=False)

    def input_facts(self, index: int) -> str:
        return self._list.facts[self._stage.inputs[index]]

    def input_key(self, index: int) -> str:
        return self._list.todo.lent[self._stage.inputs[index]].buffer.key

    def wants(self, index: int) -> bool:
        return index < len(self._stage.outputs) and self._stage.outputs[index] >= 0

    def output_array(self, index: int) -> NDArray[Any]:
        return self._list.attached.array(self._output(index), writable=True)

    def output_bytes(self, index: int) -> memoryview:
        at = self._output(index)
        return self._list.attached.view(at, self._list.todo.lent[at].buffer.size_bytes, writable=True)

    def progress(self, used_bytes: int, ends: tuple[int, ...] = ()) -> None:
        if self._expected is not None:
            check_source(self.source_fd, self._expected)  # What is final is shown at once.
        self._list.say(Progress(self._list.todo.todo, self._index, used_bytes, ends))

    def unwanted(self, item: int) -> bool:
        return self._list.unwanted(self._index, item)

    def sink_fd(self) -> int:
        return self._sink_fd

    def _output(self, index: int) -> int:
        at = self._stage.outputs[index]
        assert at >= 0, "this output exists already"
        return at


def _read_source(text: str) -> Source:
    try:
        return msgspec.json.decode(text, type=Source)
    except msgspec.DecodeError as error:
        raise WireError(f"malformed source identity: {error}") from error

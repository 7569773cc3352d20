"""The order of one worker's conversation, as the daemon hears it. Sans-IO."""

from cgi_worker.wire.packets import (
    DESCRIPTORS_MAX,
    VERSION,
    Detached,
    Done,
    Failed,
    FromWorker,
    Hello,
    Progress,
    Todo,
    WireError,
)


class Talk:
    """Hold one worker to the protocol: Hello, then for each todo list its steps in order, then its detachments.

    `hear` raises WireError for a message out of order and changes nothing by it; the caller ends that worker.
    """

    def __init__(self) -> None:
        self.greeted = False
        self.todo: Todo | None = None
        self.held: frozenset[int] = frozenset()  # Segments that the worker may have mapped.
        self._stage = 0
        self._used_bytes = 0
        self._failed = False

    @property
    def idle(self) -> bool:
        """True when the next todo list may be given."""
        return self.greeted and self.todo is None

    @property
    def detaching(self) -> bool:
        """True when the steps are done, or failed, and segments are still held."""
        return self.todo is not None and (self._failed or self._stage == len(self.todo.stages))

    def give(self, todo: Todo) -> None:
        """Note a todo list as given; from now on the worker holds its segments."""
        assert self.todo is None, "a worker does one todo list at a time"
        assert todo.stages, "an empty todo list would never end"
        descriptors = len(todo.lent) + todo.has_source + todo.has_sink
        assert descriptors <= DESCRIPTORS_MAX, "more descriptors than a packet carries"
        self.todo, self._stage, self._used_bytes, self._failed = todo, 0, 0, False
        self.held = frozenset(lent.segment for lent in todo.lent)

    def hear(self, message: FromWorker) -> None:
        """Check one message against what may come now, and follow it."""
        if isinstance(message, Hello):
            self._hear_hello(message)
            return
        todo = self.todo
        if todo is None:
            raise WireError(f"{type(message).__name__} without a todo list")
        if message.todo != todo.todo:
            raise WireError(f"{type(message).__name__} for todo list {message.todo}, not {todo.todo}")
        match message:
            case Progress():
                self._hear_progress(message, todo)
            case Done():
                self._hear_done(message, todo)
            case Failed():
                self._check_stage(message.stage, todo)
                self._failed = True
            case Detached():
                self._hear_detached(message, todo)
        if not self.held and (self._failed or self._stage == len(todo.stages)):
            self.todo = None

    def _hear_hello(self, message: Hello) -> None:
        if self.greeted:
            raise WireError("a second Hello")
        if message.version != VERSION:
            raise WireError(f"worker speaks version {message.version}, not {VERSION}")
        self.greeted = True

    def _check_stage(self, stage: int, todo: Todo) -> None:
        if self._failed:
            raise WireError("a step after the failure")
        if self._stage == len(todo.stages) or stage != self._stage:
            raise WireError(f"step {stage} is not the one that is due ({self._stage} of {len(todo.stages)})")

    def _hear_progress(self, message: Progress, todo: Todo) -> None:
        self._check_stage(message.stage, todo)
        outputs = todo.stages[message.stage].outputs
        if not outputs or outputs[0] < 0:
            raise WireError("progress of a step that writes nothing")
        lent = todo.lent[outputs[0]]
        if not self._used_bytes <= message.used_bytes <= lent.buffer.size_bytes:
            raise WireError(f"progress to {message.used_bytes} bytes of {lent.buffer.size_bytes}")
        if lent.segment not in self.held:
            raise WireError("progress in a detached segment")
        ends = (self._used_bytes, *message.ends)
        if message.ends and (list(ends) != sorted(ends) or ends[-1] != message.used_bytes):
            raise WireError("items that do not end one after the other")
        self._used_bytes = message.used_bytes

    def _hear_done(self, message: Done, todo: Todo) -> None:
        self._check_stage(message.stage, todo)
        outputs = todo.stages[message.stage].outputs
        if len(message.used_bytes) != len(outputs):
            raise WireError(f"bytes of {len(message.used_bytes)} outputs for a step with {len(outputs)}")
        for output, used in zip(outputs, message.used_bytes, strict=True):
            limit = todo.lent[output].buffer.size_bytes if output >= 0 else 0
            if not 0 <= used <= limit:
                raise WireError(f"{used} bytes used of {limit}")
            if output >= 0 and todo.lent[output].segment not in self.held:
                raise WireError("a step done in a detached segment")
        if message.used_bytes and message.used_bytes[0] < self._used_bytes:
            raise WireError("fewer bytes done than were announced")
        self._stage += 1
        self._used_bytes = 0

    def _hear_detached(self, message: Detached, todo: Todo) -> None:
        detached = set(message.segments)
        if not detached or len(detached) < len(message.segments):
            raise WireError(f"detached {list(message.segments)}: none, or one twice")
        if not detached <= self.held:
            raise WireError(f"detached segments {sorted(detached - self.held)}, which it does not hold")
        if not self._failed:
            for stage in todo.stages[self._stage :]:
                used = {todo.lent[index].segment for index in (*stage.inputs, *stage.outputs) if index >= 0}
                if detached & used:
                    raise WireError(f"detached segments {sorted(detached & used)} before their last use")
        self.held -= detached

"""The slow obvious model: a world of segments, workers and clients that follows the commands and believes nothing.

It knows what processes map and what memory holds, as a kernel would, never what the core thinks. Contents are
symbols: the key that was written, and words that only its writer said.
"""

import re
from collections.abc import Iterator, Sequence

from cgi_worker.wire.steps import Recipe, reads_file
from imgd.core.events import (
    NOWHERE,
    Command,
    CreateSegment,
    DestroySegment,
    DismissWorker,
    Event,
    ForkWorker,
    GiveTodo,
    JobId,
    KillWorker,
    PunchSegment,
    Released,
    SegmentId,
    SegmentsDetached,
    StageDone,
    StageFailed,
    StageGrew,
    Submitted,
    TellEnd,
    TellGrowth,
    TellStep,
    Ticked,
    Withdrawn,
    WorkerEnded,
    WorkerId,
    WorkerJoined,
    WorkerStuck,
)
from imgd.core.scheduler import Limits, Scheduler
from imgd.model import Asker, Crashed, Failed, Outcome, Refused, Replied, Stopped, Superseded, TimedOut
from tests.core.parties import Client, Memory, Process


def place_of(recipe: Recipe) -> tuple[int, int]:
    """Device and inode of the file that a recipe is about, as its keys name it; two devices hold all files."""
    found = re.search("\\d+", recipe.buffers[0].key)
    return (1 + int(found[0]) % 2, int(found[0])) if found else NOWHERE


class World:
    """Drive a scheduler, carry out what it commands, and object to whatever must not be."""

    def __init__(self, budget_bytes: int, limits: Limits) -> None:
        self.core = Scheduler(budget_bytes, limits)
        self.limits = limits
        self.budget_bytes = budget_bytes
        self.memory: dict[SegmentId, Memory] = {}
        self.processes: dict[WorkerId, Process] = {}
        self.clients: dict[JobId, Client] = {}  # All there ever were.
        self.ended: dict[JobId, Outcome] = {}
        self.seen: set[SegmentId] = set()
        self.commands: list[Command] = []  # Of the latest event.
        self.now_s = 0.0
        self._said = 0

    # Facts that the core is told

    def submit(self, recipe: Recipe, asker: Asker, worker: WorkerId | None = None, *, continues: bool = False) -> JobId:
        job = len(self.clients) + 1
        watched = job % 2 == 0
        place = place_of(recipe)
        self.clients[job] = Client(asker, recipe, self.now_s, worker, place, watched=watched)
        self._tell(Submitted(job, recipe, asker, self.now_s, worker, continues, watched, place))
        return job

    def leave(self, job: JobId) -> None:
        """The client goes; Withdrawn may cross an end that is on its way to it."""
        event = Released(job) if self.ended.get(job) == Replied() and job % 3 else Withdrawn(job)
        self.clients[job].leave()
        self._tell(event)

    def join(self, owner: str) -> WorkerId:
        worker = -1 - sum(1 for known in self.seen if known < 0)
        self.seen.add(worker)
        self.processes[worker] = Process(owner, external=True)
        self._tell(WorkerJoined(worker, owner))
        return worker

    def end(self, worker: WorkerId, outcome: Outcome) -> None:
        process = self.processes.pop(worker)
        for segment in process.maps:
            self.memory[segment].mapped_by.remove(worker)
        lost = {} if process.failed else process.unfinished()
        self._tell(WorkerEnded(worker, outcome), process, lost)

    def stick(self, worker: WorkerId, outcome: Outcome) -> None:
        """A worker is killed and does not die: it keeps what it has mapped, and does nothing more."""
        process = self.processes[worker]
        lost = {} if process.failed else process.unfinished()
        process.killed = process.stuck = True
        self._tell(WorkerStuck(worker, outcome), process, lost)
        process.todo = None

    def fail(self, worker: WorkerId, outcome: Outcome | None = None) -> None:
        process = self.processes[worker]
        lost = process.unfinished()
        process.failed = True
        self._said += 1
        self._tell(StageFailed(worker, outcome or Failed("bad_frame", f"words {self._said}")), process, lost)

    def grow(self, worker: WorkerId) -> None:
        process = self.processes[worker]
        assert process.todo is not None
        output = process.todo.stages[process.stage].outputs[0]
        loan = process.todo.loans[output]
        memory = self.memory[loan.segment]
        if not process.killed:
            size = process.todo.recipe.buffers[loan.buffer].size_bytes
            memory.used_bytes += (size - memory.used_bytes) // 2
        self._tell(StageGrew(worker, process.stage, memory.used_bytes))

    def advance(self, worker: WorkerId, pick: int = 0) -> None:
        """Let a worker do its next stage, or detach one segment when all are done."""
        process = self.processes[worker]
        todo = process.todo
        assert todo is not None
        if process.failed or process.stage == len(todo.stages):
            self._detach(worker, some_of(sorted(process.maps), pick))
            return
        stage = todo.stages[process.stage]
        self._said += 1
        words, used = f"words {self._said}", []
        for output in stage.outputs:
            if output < 0:
                used.append(0)
                continue
            loan = todo.loans[output]
            size, memory = todo.recipe.buffers[loan.buffer].size_bytes, self.memory[loan.segment]
            used.append(size - (pick * 4096) % (size - memory.used_bytes + 1))
            if not process.killed:
                memory.finished, memory.used_bytes, memory.words = True, used[-1], words
        process.stage += 1
        self._tell(StageDone(worker, process.stage - 1, tuple(used), words))

    def work(self, worker: WorkerId) -> None:
        """Let a worker do the rest of its todo list and detach everything."""
        while worker in self.processes and self.processes[worker].todo is not None:
            self.advance(worker)

    def detachable(self, process: Process) -> list[SegmentId]:
        """List what a worker may detach already, because no later stage uses it."""
        assert process.todo is not None
        later = process.todo.stages[process.stage :]
        needed = {process.todo.loans[at].segment for one in later for at in (*one.inputs, *one.outputs) if at >= 0}
        return sorted(process.maps - needed)

    def detach_early(self, worker: WorkerId, pick: int) -> None:
        self._detach(worker, some_of(self.detachable(self.processes[worker]), pick))

    def tick(self, seconds: float) -> None:
        self.now_s += seconds
        self._tell(Ticked(self.now_s))

    def _detach(self, worker: WorkerId, segments: tuple[SegmentId, ...]) -> None:
        process = self.processes[worker]
        assert process.todo is not None
        for segment in segments:
            process.maps.remove(segment)
            self.memory[segment].mapped_by.remove(worker)
        todo = process.todo
        if not process.maps and (process.failed or process.stage == len(todo.stages)):
            process.todo = None
        self._tell(SegmentsDetached(worker, segments))

    # Commands, carried out one by one

    def _tell(self, event: Event, process: Process | None = None, lost: dict[str, SegmentId] | None = None) -> None:
        self.commands = self.core.handle(event)
        for command in self.commands:
            self._carry_out(event, command, process, lost or {})
            assert sum(memory.resident_bytes for memory in self.memory.values()) <= self.budget_bytes
        self.core.check_all()
        self._check(process, lost or {})

    def _carry_out(self, event: Event, command: Command, lost_by: Process | None, lost: dict[str, SegmentId]) -> None:
        match command:
            case CreateSegment(segment, capacity_bytes):
                assert segment not in self.seen
                self.seen.add(segment)
                self.memory[segment] = Memory(capacity_bytes, capacity_bytes)
            case PunchSegment(segment, from_bytes):
                self._punch(segment, from_bytes)
            case DestroySegment(segment):
                assert not self.memory[segment].mapped_by
                assert not list(self._readers(segment))
                del self.memory[segment]
            case ForkWorker(worker, owner):
                assert worker not in self.processes and worker > 0
                self.processes[worker] = Process(owner)
            case GiveTodo():
                self._give(command)
            case KillWorker(worker):
                self._kill(self.processes[worker])
            case DismissWorker(worker):
                process = self.processes[worker]
                assert process.todo is None and not (process.killed or process.dismissed or process.external)
                process.dismissed = True
            case TellGrowth():
                self._growth(command)
            case TellStep():
                self._step(command)
            case TellEnd():
                self._end(event, command, lost_by, lost)

    def _readers(self, segment: SegmentId) -> Iterator[Client]:
        return (client for client in self.clients.values() if client.reads == segment)

    def _punch(self, segment: SegmentId, from_bytes: int) -> None:
        memory = self.memory[segment]
        assert not memory.mapped_by, "punched under a process"
        assert all(client.reads_bytes <= from_bytes for client in self._readers(segment)), "punched under a reader"
        memory.resident_bytes = min(memory.resident_bytes, from_bytes)
        if from_bytes < memory.used_bytes:
            memory.finished = False
        if from_bytes == 0:
            memory.bytes_of, memory.key = "", ""

    def _give(self, todo: GiveTodo) -> None:
        process, client, buffers = self.processes[todo.worker], self.clients[todo.job], todo.recipe.buffers
        assert process.todo is None and not process.killed and not process.dismissed
        assert todo.recipe == client.recipe and todo.stages
        if process.external:
            assert client.worker == todo.worker
            assert client.asker.owner == process.owner
        else:
            assert client.asker.owner == process.owner
            assert client.worker is None or not client.waits, "a stranger does what was for one worker alone"
            process.lists += 1
            assert process.lists <= self.limits.lists_max
        assert len({loan.segment for loan in todo.loans}) == len(todo.loans)
        for loan in todo.loans:
            memory, buffer = self.memory[loan.segment], buffers[loan.buffer]
            if loan.writable:
                assert not memory.mapped_by and not list(self._readers(loan.segment)), "reused while in use"
                assert memory.bytes_of in ("", client.asker.owner), "lent with another owner's bytes"
                assert memory.capacity_bytes >= buffer.size_bytes
                assert all(buffer.key not in other.unfinished() for other in self.processes.values())
                memory.resident_bytes, memory.bytes_of = memory.capacity_bytes, client.asker.owner
                memory.key, memory.finished, memory.used_bytes, memory.words = buffer.key, False, 0, ""
            else:
                assert memory.finished and memory.key == buffer.key, "lent for reading without its contents"
                assert (loan.used_bytes, loan.facts) == (memory.used_bytes, memory.words)
            memory.mapped_by.add(todo.worker)
        self._check_stages(todo, client.waits)
        process.todo, process.stage, process.failed = todo, 0, False
        process.maps = {loan.segment for loan in todo.loans}
        process.place = client.place if any(map(reads_file, todo.stages)) else NOWHERE
        at_work = sum(one.todo is not None and not one.stuck for one in self.processes.values())
        assert at_work <= self.limits.workers_max

    @staticmethod
    def _check_stages(todo: GiveTodo, wanted_by_client: bool) -> None:
        """Each stage is the recipe's; it reads what is there by then; what it is to write is lent for writing."""
        there = {at for at, loan in enumerate(todo.loans) if not loan.writable}
        steps = [stage.step for stage in todo.recipe.stages]
        needed = {todo.recipe.result} | {todo.loans[at].buffer for stage in todo.stages for at in stage.inputs}
        for stage in todo.stages:
            original = todo.recipe.stages[steps.index(stage.step)]
            assert not original.outputs or needed.intersection(original.outputs), "a stage that nobody needs"
            assert tuple(todo.loans[at].buffer for at in stage.inputs) == original.inputs
            assert there.issuperset(stage.inputs), "a stage reads what is not there yet"
            assert len(stage.outputs) == len(original.outputs)
            for at, buffer in zip(stage.outputs, original.outputs, strict=True):
                assert at < 0 or (todo.loans[at].buffer == buffer and todo.loans[at].writable)
                there |= {at} - {-1}
            assert not stage.outputs or max(stage.outputs) >= 0, "a stage that makes nothing"
        assert len(there) == len(todo.loans), "lent for nothing"
        if wanted_by_client:
            assert steps[-1] == todo.stages[-1].step

    def _kill(self, process: Process) -> None:
        assert process.works, "killed for nothing"
        assert process.todo is not None
        assert not self.clients[process.todo.job].waits, "killed under its client"
        unfinished = process.unfinished()
        for client in self.clients.values():
            assert not (client.waits and self._surely_needs(client, unfinished)), "killed under somebody else"
        process.killed = True

    def _surely_needs(self, client: Client, unfinished: dict[str, SegmentId]) -> bool:
        """True if there is no way to a client's result but through one of these buffers."""
        there = {memory.key for memory in self.memory.values() if memory.finished}
        needed = {client.recipe.result}
        for stage in reversed(client.recipe.stages):
            wanted = needed.intersection(stage.outputs)
            keys = {client.recipe.buffers[buffer].key for buffer in wanted} - there
            if not keys.isdisjoint(unfinished):
                return True
            if keys or not stage.outputs:
                needed.update(stage.inputs)
        return False

    def _growth(self, told: TellGrowth) -> None:
        client, memory = self.clients[told.job], self.memory[told.segment]
        assert client.waits and memory.key == client.result_key and not client.handed_over
        assert 0 <= told.used_bytes == memory.used_bytes
        assert any(told.segment == process.unfinished().get(memory.key) for process in self.processes.values())
        assert client.reads in (None, told.segment)
        client.reads, client.reads_bytes = told.segment, told.used_bytes

    def _step(self, told: TellStep) -> None:
        """A step of mine is begun by somebody, goes on, and ends, once; or its results were there all along."""
        client = self.clients[told.job]
        assert client.watched and client.waits, "told of a step after the end, or without having asked"
        stage = client.recipe.stages[told.stage]
        assert stage.outputs and not (told.cached and told.joined)
        before = client.steps.get(told.stage, "")
        assert before == {"start": "", "progress": "start", "end": "" if told.cached else "start"}[told.state]
        assert not told.elapsed_ms or (told.state, told.joined, told.cached) == ("end", False, False)
        if told.state != "progress":
            client.steps[told.stage] = told.state
        if told.state != "start" and not told.cached:
            keys = {client.recipe.buffers[index].key for index in stage.outputs}
            assert told.used_bytes <= sum(memory.used_bytes for memory in self.memory.values() if memory.key in keys)

    def _end(self, event: Event, told: TellEnd, lost_by: Process | None, lost: dict[str, SegmentId]) -> None:
        client = self.clients[told.job]
        assert client.waits and told.job not in self.ended, "told after the end, or after it left"
        self.ended[told.job] = told.outcome
        streamed = client.reads
        if client.watched and isinstance(told.outcome, Replied):
            steps = [number for number, stage in enumerate(client.recipe.stages) if stage.outputs]
            assert client.steps == dict.fromkeys(steps, "end"), "the end, before all steps have ended"
        client.leave()
        match told.outcome:
            case Replied() if client.handed_over:
                assert isinstance(event, StageDone) and told.segment == -1
                todo = self.processes[event.worker].todo
                assert todo is not None and todo.job == told.job and event.stage == len(todo.stages) - 1
            case Replied():
                memory = self.memory[told.segment]
                assert memory.finished and memory.key == client.result_key
                assert (told.used_bytes, told.facts) == (memory.used_bytes, memory.words)
                assert streamed in (None, told.segment)
                client.reads, client.reads_bytes = told.segment, told.used_bytes
            case Superseded():
                assert isinstance(event, Submitted) and event.job > told.job and client.asker.runner
                ours = (event.asker.owner, event.asker.session, event.asker.runner)
                assert ours == (client.asker.owner, client.asker.session, client.asker.runner)
            case Refused() if isinstance(event, StageFailed):
                self._check_loss(event, told, lost_by, lost)
            case Refused(reason="storage"):
                assert isinstance(event, Submitted | WorkerStuck) and self.hangs(client.place)
            case Refused():
                waiting = sum(other.waits for other in self.clients.values())
                late = isinstance(event, Ticked) and self.now_s - client.at_s > self.limits.memory_wait_s
                full = isinstance(event, Submitted) and event.job == told.job and waiting >= self.limits.queue_max
                assert late or full, "refused without need"
            case Failed() | Crashed() | TimedOut() | Stopped():
                self._check_loss(event, told, lost_by, lost)

    def _check_loss(self, event: Event, told: TellEnd, lost_by: Process | None, lost: dict[str, SegmentId]) -> None:
        """Somebody is told of a worker's loss: it is the one that it depended on."""
        client = self.clients[told.job]
        if isinstance(event, Submitted):
            assert event.job == told.job and event.worker is not None
            assert event.worker not in self.processes or self.processes[event.worker].stuck
            return
        assert isinstance(event, StageFailed | WorkerEnded | WorkerStuck) and lost_by is not None
        own = lost_by.todo is not None and lost_by.todo.job == told.job
        if own:
            assert told.outcome == event.outcome
        elif client.worker == event.worker:
            assert told.outcome in (event.outcome, Stopped())  # If it shared its own worker's work, it may try again.
        else:
            assert any(buffer.key in lost for buffer in client.recipe.buffers), "told of a stranger's loss"
            guest = lost_by.external and not isinstance(event, StageFailed)
            assert told.outcome == (Stopped() if guest else event.outcome)

    def hangs(self, place: tuple[int, int]) -> bool:
        """Tell whether workers hang at a file, or too many on its file system."""
        places = [process.place for process in self.processes.values() if process.stuck]
        return place in places or [device for device, _ in places].count(place[0]) >= self.limits.hung_max

    # What must be so between two events

    def _check(self, lost_by: Process | None, lost: dict[str, SegmentId]) -> None:
        waiting = [client for client in self.clients.values() if client.waits]
        wanted = {buffer.key for client in waiting for buffer in client.recipe.buffers}
        for process in self.processes.values():
            if process.works and process.todo is not None and not self.clients[process.todo.job].waits:
                assert not wanted.isdisjoint(process.unfinished()), "goes on for nobody"
        idle = [p for p in self.processes.values() if not (p.todo or p.external or p.dismissed or p.killed)]
        assert len(idle) <= self.limits.workers_idle_max
        if lost_by is not None and lost_by.todo is not None:
            assert not self.clients[lost_by.todo.job].waits, "its worker is lost, and it was not told"
        for client in waiting:
            assert client.handed_over or client.result_key not in lost, (
                "what it waited for is lost, and it was not told"
            )
        for client in waiting:
            assert client.worker is None or client.worker in self.processes, "waits for one that is gone"
        busy = any(process.todo is not None or process.killed for process in self.processes.values())
        reading = any(client.reads is not None for client in self.clients.values())
        assert busy or reading or not waiting, "nothing happens, and somebody waits"

    # The end of a history

    def run_dry(self) -> None:
        """Let every worker work and every reader read to the end; then nobody waits and nobody was turned away."""
        for _ in range(100_000):
            reading = [job for job, client in self.clients.items() if client.reads is not None and not client.waits]
            due = [w for w, p in self.processes.items() if p.todo is not None or p.killed or p.dismissed]
            if not reading and not due:
                break
            for job in reading:
                self.leave(job)
            for worker in due:
                if self.processes[worker].killed or self.processes[worker].dismissed:
                    self.end(worker, Stopped())
                elif self.processes[worker].todo is not None:
                    self.advance(worker)
        assert not any(client.waits for client in self.clients.values()), "somebody waits for ever"

    def leave_all(self) -> None:
        """Every client goes, and every worker ends."""
        for job, client in self.clients.items():
            if client.waits or client.reads is not None:
                self.leave(job)
        for worker in list(self.processes):
            self.end(worker, Stopped())

    def check_empty(self) -> None:
        """Assert that with nobody there nothing is held."""
        assert not self.core.jobs and not self.core.workers and not len(self.core.queue)
        statistics = self.core.pool.statistics()
        assert statistics.leased_bytes == statistics.reserved_bytes == 0
        assert set(self.memory) == set(self.core.pool.segments)
        assert not any(memory.mapped_by for memory in self.memory.values())


def some_of(segments: Sequence[SegmentId], pick: int) -> tuple[SegmentId, ...]:
    """Choose one of them, or that one and all after it."""
    first, several = divmod(pick, 2)
    first %= len(segments)
    return tuple(segments[first:] if several else segments[first : first + 1])

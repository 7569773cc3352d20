"""The end of an engine: whatever is under way, all workers are reaped, no descriptor is left, and it takes no time."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from imgd.core.events import Event, StageDone
from imgd.engine import forge, workers
from imgd.engine.reaping import End
from tests.engine.rig import ASKER, SOON_S, Running, kill, running, until, view
from tests.rig.bench import alive, census
from tests.rig.engine_steps import Frame


async def engage(rig: Running, nursery: trio.Nursery) -> None:
    """Bring jobs into all states: reading, half read, in a step, waiting for memory and for a worker, ending."""
    acts = {"ready": "", "half": rig.gate("never"), "stopped": "signal SIGSTOP"}
    for seed, (name, act) in enumerate(acts.items()):
        rig.put(name, Frame(acts={"encode/half": act}), seed)
    for name in ("waiting", "leaving"):
        rig.put(name, Frame(1100, 1100), 9)

    async def read(name: str) -> None:
        async with rig.engine.render(view(name), ASKER) as answer:
            async for _ in answer.chunks():
                pass
            await trio.sleep_forever()

    async def ask(name: str, task_status: trio.TaskStatus[trio.CancelScope]) -> None:
        with trio.CancelScope() as scope:
            task_status.started(scope)
            await rig.picture(view(name))

    nursery.start_soon(read, "ready")
    await until(lambda: rig.engine.statistics().jobs_reading == 1)
    nursery.start_soon(read, "half")
    nursery.start_soon(read, "stopped")
    await rig.until_noted("at:encode/half", 2)
    nursery.start_soon(read, "waiting")
    leaving = await nursery.start(ask, "leaving")
    await until(lambda: rig.engine.statistics().jobs_waiting == 2)
    leaving.cancel()


@pytest.mark.parametrize("how", ["cancelled", "left", "error"])
async def test_leaving_with_jobs_in_all_states(tmp_path: Path, how: str) -> None:
    before, pids = census(), list[int]()
    ending_s = 0.0
    with trio.CancelScope() as scope:
        try:
            async with running(tmp_path, check=False) as rig, trio.open_nursery() as nursery:
                await engage(rig, nursery)
                pids += [*rig.workers(), rig.engine.statistics().template_pid]
                ending_s = trio.current_time()
                match how:
                    case "cancelled":
                        scope.cancel()
                        await trio.sleep_forever()
                    case "left":
                        nursery.cancel_scope.cancel()
                    case _:
                        raise KeyError("of whoever uses the engine")
        except* KeyError:
            assert how == "error"
    assert trio.current_time() - ending_s < SOON_S
    assert len(pids) == 3
    assert not any(map(alive, pids))
    assert census() == before


async def test_leaving_before_there_is_a_template(tmp_path: Path) -> None:
    async with running(tmp_path, wait=False) as rig:
        rig.put("a")
        with trio.move_on_after(0.05):
            await rig.picture(view("a"))
        began_s = trio.current_time()
    assert trio.current_time() - began_s < SOON_S


async def test_leaving_with_a_template_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forge, "FORK_LIMIT_S", 0.2)
    monkeypatch.setattr(workers, "END_LIMIT_S", 0.2)
    async with running(tmp_path) as rig:
        rig.put("a")
        kill(rig.engine.statistics().template_pid, signal.SIGSTOP)
        with trio.move_on_after(0.05):
            await rig.picture(view("a"))
        began_s = trio.current_time()
    assert trio.current_time() - began_s < SOON_S


async def test_a_bug_of_ours_ends_the_engine_with_its_error_and_leaves_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = census()
    rigs: list[Running] = []
    pids: list[int] = []
    cancelled: list[str] = []

    async def ask(rig: Running, name: str) -> None:
        try:
            await rig.picture(view(name))
        except trio.Cancelled:
            cancelled.append(name)
            raise

    async def run_into_it() -> None:
        async with running(tmp_path, check=False) as rig:
            rigs.append(rig)
            rig.put("a", Frame(acts={"reduce": rig.gate("go")}))
            rig.put("b", Frame(acts={"parse": rig.gate("never")}), 1)
            handle = rig.floor.core.handle

            def fail_at_the_end_of_reduce(event: Event) -> list[object]:
                assert not (isinstance(event, StageDone) and event.facts.startswith('{"height_px"')), "a bug of ours"
                return handle(event)  # type: ignore[return-value]

            monkeypatch.setattr(rig.floor.core, "handle", fail_at_the_end_of_reduce)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask, rig, "a")
                nursery.start_soon(ask, rig, "b")
                await rig.until_noted("at:reduce")
                await rig.until_noted("at:parse")
                pids.extend([*rig.workers(), rig.engine.statistics().template_pid])
                rig.open_gate("go")

    with pytest.raises(BaseExceptionGroup) as caught:
        await run_into_it()
    bugs, others = caught.value.split(AssertionError)
    assert bugs is not None and others is None
    assert "a bug of ours" in str(next(leaves(bugs)))
    assert sorted(cancelled) == ["a", "b"]
    last = list(rigs[0].floor.story.lines())[-1]
    assert last.startswith("StageDone") and "height_px" in last  # What could not be is in the story, too.
    assert len(pids) == 3
    assert not any(map(alive, pids))
    assert census() == before


def leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from leaves(error)
        else:
            yield error


async def test_the_story_is_told_in_order_and_is_bounded(tmp_path: Path) -> None:
    async with running(tmp_path, story_max=5) as rig:
        rig.put("a")
        await rig.picture(view("a"))
        await rig.quiet()
        lines = list(rig.floor.story.lines(width=80))
        assert sum(not line.startswith("  -> ") for line in lines) == 5
        assert max(map(len, lines)) <= 80


def process(*command: str) -> "subprocess.Popen[bytes]":
    """Start one."""
    return subprocess.Popen(command)


async def test_an_orphan_that_does_not_die_keeps_no_other_from_being_reaped(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that waits for a file system is; here it is one that nobody kills."""
    monkeypatch.setattr(workers, "END_LIMIT_S", 0.5)
    orphans = [process("sleep", "100"), process("true"), process("true")]
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.setblocking(False)
        template = workers.Template(ours, process("sleep", "100"))
        template._ends = {number: End(each.pid, os.pidfd_open(each.pid)) for number, each in enumerate(orphans)}
        await template._bury()
        assert list(template._ends) == [0]
        assert [Path(f"/proc/{each.pid}").exists() for each in orphans] == [True, False, False]
        await template.end()
    orphans[0].kill()
    reaped(orphans)


def reaped(processes: "list[subprocess.Popen[bytes]]") -> None:
    """Have none of them left."""
    for each in processes:
        each.wait()

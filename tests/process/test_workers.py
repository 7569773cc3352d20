"""A worker's life with stand-in steps: what it says, what it holds, how it ends."""

import itertools
import os
import signal
import socket
from pathlib import Path

import pytest
import trio

from cgi_worker import process
from cgi_worker.wire.packets import (
    Bye,
    Detached,
    Done,
    Failed,
    FromWorker,
    Identity,
    Progress,
)
from imgd.engine.workers import TemplateSettings, open_template
from tests.rig import steps
from tests.rig.bench import PAGE, STAND_IN, Job, alive, make_segments
from tests.rig.crew import HERE, end_of, follow, greet, maps_segments, one_worker, state_of, until, words_of

PATTERN = bytes(range(256)) * (PAGE // 256)


async def test_a_list_is_done_step_by_step_and_each_segment_detached_at_its_end() -> None:
    async with one_worker() as (_, link, segments):
        talk = await greet(link)
        for todo in (7, 8):
            heard = await follow(link, talk, Job(segments, todo=todo))
            for message in heard:
                if isinstance(message, Done):
                    assert message.elapsed_ms >= 0
            said = [(type(m), getattr(m, "stage", None), getattr(m, "segments", None)) for m in heard]
            assert said == [
                (Progress, 0, None), (Done, 0, None), (Progress, 1, None), (Done, 1, None),
                (Detached, None, (1, 2, 3)),
            ]  # fmt: skip
            assert [m.facts for m in heard if isinstance(m, Done)] == ['{"said":1}', '{"said":1}']
            assert segments.read(3, 0, PAGE) == PATTERN
            assert not maps_segments(link.pid)
        link.send(Bye())
        assert await end_of(link) == (None, 0)


def test_much_that_is_of_no_use_any_more_is_detached_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that others may have the memory while the next step goes on."""
    segments, heard = make_segments(4), list[Progress | Done | Failed | Detached]()
    todo, descriptors = Job(segments, qualities=(1, 1, 1)).order()
    monkeypatch.setattr(process, "HELD_BYTES", 2 * PAGE - 1)
    own = [os.dup(descriptor) for descriptor in descriptors]
    process.carry_out(todo, own, steps.do, process.Channel(heard.append))
    said = [(type(m), m.segments if isinstance(m, Detached) else m.stage) for m in heard if not isinstance(m, Progress)]
    assert said == [
        (Done, 0), (Done, 1), (Detached, (1, 2)), (Done, 2), (Detached, (3, 4)),
    ]  # fmt: skip
    segments.close()


async def test_the_source_is_read_and_the_sink_is_written(tmp_path: Path) -> None:
    path = tmp_path / "frame"
    path.write_bytes(b"0123456789")
    async with one_worker() as (_, link, segments):
        talk = await greet(link)
        reader, writer = os.pipe()
        heard = await follow(link, talk, Job(segments, path, sink=writer))
        os.close(writer)
        assert [m.used_bytes for m in heard if isinstance(m, Done)] == [(10,), (10,), (10,), ()]
        assert os.read(reader, 99) == b"head:0123456789"
        assert os.read(reader, 99) == b""  # The worker has closed its own.
        os.close(reader)
        open_now = [os.readlink(f"/proc/{link.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{link.pid}/fd")]
        assert str(path) not in open_now


def make_frame(place: Path, kind: str) -> Path:
    path = place / "frame"
    match kind:
        case "a directory":
            path.mkdir()
        case "a FIFO":
            os.mkfifo(path)
        case "a device":
            return Path("/dev/null")
        case "a socket":
            with socket.socket(socket.AF_UNIX) as end:
                end.bind(str(path))
        case _:
            path.write_bytes(b"0123456789")
    return path


@pytest.mark.parametrize("kind", ["a directory", "a FIFO", "a device", "a socket"])
async def test_what_is_no_file_is_refused_in_words_and_the_worker_goes_on(tmp_path: Path, kind: str) -> None:
    async with one_worker() as (_, link, segments):
        talk = await greet(link)
        heard = await follow(link, talk, Job(segments, make_frame(tmp_path, kind)))
        assert heard[0] == Failed(7, 0, "bad_frame", f"this is {kind}, not a file")
        assert not maps_segments(link.pid)
        await follow(link, talk, Job(segments, todo=8))


async def test_a_file_that_is_not_the_one_asked_for_is_not_read(tmp_path: Path) -> None:
    path = make_frame(tmp_path, "a file")
    async with one_worker() as (_, link, segments):
        talk = await greet(link)
        job = Job(segments, path)
        todo, descriptors = job.order()
        path.write_bytes(b"another")
        talk.give(todo)
        link.send(todo, descriptors)
        job.close()
        first = await link.receive()
        assert isinstance(first, Failed)
        assert first.code == "changed"
        assert segments.read(1, 0, PAGE) == PATTERN


async def test_a_file_that_changes_in_the_middle_makes_nothing_done(tmp_path: Path) -> None:
    path = make_frame(tmp_path, "a file")
    async with one_worker() as (_, link, segments):
        talk = await greet(link)
        job = Job(segments, path, qualities=(steps.STOP, steps.WELL))
        todo, descriptors = job.order()
        talk.give(todo)
        link.send(todo, descriptors)
        job.close()
        assert isinstance(await link.receive(), Done)  # Parse.
        assert isinstance(await link.receive(), Progress)
        await until(lambda: state_of(link.pid) == "T")
        path.write_bytes(b"9876543210")
        os.utime(path, ns=(1, 1))
        os.kill(link.pid, signal.SIGCONT)
        message = await link.receive()
        assert isinstance(message, Failed)
        assert (message.stage, message.code) == (1, "changed")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can fork for another reader")
async def test_a_reader_reads_what_is_his_and_nothing_else(tmp_path: Path) -> None:
    path = make_frame(tmp_path, "a file")
    segments = make_segments()
    with trio.fail_after(20):
        async with open_template(STAND_IN) as template:
            link = await template.fork(1, Identity(65534, 65534, ()))
            talk = await greet(link)
            assert "Uid:" + "\t65534" * 4 in words_of(link.pid, "status")
            path.chmod(0o600)
            heard = await follow(link, talk, Job(segments, path))
            assert heard[0] == Failed(7, 0, "forbidden", "this file may not be read")
            path.chmod(0o644)
            heard = await follow(link, talk, Job(segments, path, todo=8))
            assert sum(isinstance(m, Done) for m in heard) == 3
            template.kill()  # A worker of another identity dies with its template too.
            await link.wait_exited()
            link.close()
    segments.close()


async def test_a_failed_step_detaches_all_and_the_worker_takes_the_next_list() -> None:
    async with one_worker() as (_, link, segments):
        talk = await greet(link)
        heard = await follow(link, talk, Job(segments, qualities=(steps.FAIL, steps.WELL)))
        assert heard[1:] == [
            Failed(7, 0, "bad_frame", "the half of it is missing"), Detached(7, (1, 2, 3)),
        ]  # fmt: skip
        heard = await follow(link, talk, Job(segments, qualities=(steps.WELL, steps.FAIL_IN_CYCLE), todo=8))
        assert isinstance(heard[-2], Failed)
        assert heard[-1] == Detached(8, (1, 2, 3))
        assert not maps_segments(link.pid)


async def test_a_worker_that_ends_says_so_by_its_status_and_never_detaches_what_it_still_sees() -> None:
    ends: list[tuple[int, tuple[int | None, int | None]]] = [
        (steps.EXIT, (None, 9)),
        (steps.KEEP_VIEW, (None, 70)),
        (steps.BUG, (None, 70)),
        (steps.WRITE_INPUT, (None, 70)),
        (steps.CRASH, (signal.SIGSEGV, None)),
    ]
    async with one_worker() as (template, _, segments):
        for number, (at, (quality, how)) in enumerate(itertools.product((0, 1), ends), 2):
            link = await template.fork(number, HERE)
            await greet(link)
            qualities = [steps.WELL, steps.WELL]
            qualities[at] = quality
            link.send(*Job(segments, qualities=qualities).order())
            heard: list[FromWorker] = []
            while (message := await link.receive()) is not None:
                heard.append(message)
            await link.wait_exited()
            assert await link.exit_status() == how
            assert not any(isinstance(message, Detached) and at + 1 in message.segments for message in heard)
            link.close()


async def test_killed_at_every_step_it_is_gone_and_its_memory_with_it() -> None:
    async with one_worker() as (template, _, segments):
        for messages in range(6):
            link = await template.fork(2 + messages, HERE)
            await greet(link)
            link.send(*Job(segments).order())
            for _ in range(messages):
                await link.receive()
            link.kill()
            link.kill()
            await link.wait_exited()
            assert not alive(link.pid)
            assert await link.exit_status() == (signal.SIGKILL, None)
            while await link.receive() is not None:
                pass
            link.close()


@pytest.mark.parametrize("quality", [steps.HANG, steps.STOP])
async def test_a_worker_that_hangs_or_is_stopped_is_killed_all_the_same(quality: int) -> None:
    async with one_worker() as (template, link, segments):
        await greet(link)
        link.send(*Job(segments, qualities=(quality, 1)).order())
        await link.receive()
        with trio.move_on_after(0.05) as waited:
            await link.receive()
        assert waited.cancelled_caught
        other = await template.fork(2, HERE)
        await follow(other, await greet(other), Job(segments))
        other.close()
        link.kill()
        assert await end_of(link) == (signal.SIGKILL, None)


async def test_own_memory_has_its_limit() -> None:
    settings = TemplateSettings(serve=STAND_IN.serve, warm=STAND_IN.warm, memory_bytes=256 << 20)
    async with one_worker(settings) as (_, link, segments):
        await greet(link)
        link.send(*Job(segments, qualities=(steps.HUNGRY, 1)).order())
        assert await end_of(link) == (None, 70)

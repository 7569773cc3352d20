"""Template and workers for real, with stand-in steps: what is open, running and mapped is equal before and after."""

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from cgi_worker import template as template_process
from cgi_worker.confine import Limits
from cgi_worker.link import Link, close_all
from cgi_worker.wire.packets import (
    FROM_TEMPLATE,
    TO_TEMPLATE,
    Bye,
    Detached,
    Done,
    Failed,
    Fork,
    FromWorker,
    Hello,
    Identity,
    Progress,
    Reaped,
    WireError,
)
from cgi_worker.wire.talk import Talk
from imgd.engine.segments import Segments
from imgd.engine.workers import NoWorker, Template, TemplateSettings, WorkerLink, become_subreaper, open_template
from tests.rig import steps
from tests.rig.bench import PAGE, STAND_IN, Job, alive, bad, census, make_segments

HERE = Identity()
PATTERN = bytes(range(256)) * (PAGE // 256)


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    become_subreaper()
    before = census()
    yield
    assert census() == before


@asynccontextmanager
async def one_worker(settings: TemplateSettings = STAND_IN) -> AsyncIterator[tuple[Template, WorkerLink, Segments]]:
    """Run a template with one greeted worker, and segments."""
    segments = make_segments()
    with trio.fail_after(20):
        async with open_template(settings) as template:
            link = await template.fork(1, HERE)
            try:
                yield template, link, segments
            finally:
                link.close()
                segments.close()


async def greet(link: WorkerLink) -> Talk:
    talk = Talk()
    message = await link.receive()
    assert message is not None
    assert message == Hello(1, link.pid)
    talk.hear(message)
    return talk


async def follow(link: WorkerLink, talk: Talk, job: Job) -> list[FromWorker]:
    """Give a job and hear the worker until it is idle again; Talk checks the order."""
    todo, descriptors = job.order()
    talk.give(todo)
    link.send(todo, descriptors)
    job.close()
    heard: list[FromWorker] = []
    while not talk.idle:
        message = await link.receive()
        assert message is not None, "the worker left"
        talk.hear(message)
        heard.append(message)
    return heard


async def end_of(link: WorkerLink) -> tuple[int | None, int | None]:
    """Hear a worker to its end; tell how it ended."""
    while await link.receive() is not None:
        pass
    await link.wait_exited()
    return await link.exit_status()


async def until(true: Callable[[], bool]) -> None:
    """Wait for what no event tells."""
    while not true():  # noqa: ASYNC110
        await trio.sleep(0.001)


def words_of(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text()


def state_of(pid: int) -> str:
    return words_of(pid, "stat").rpartition(")")[2].split()[0]


def maps_segments(pid: int) -> bool:
    return "memfd:imgd" in words_of(pid, "maps") or any(
        "memfd:imgd" in os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")
    )


async def test_a_list_is_done_step_by_step_and_each_segment_detached_when_it_is_of_no_use_any_more() -> None:
    async with one_worker() as (_, link, segments):
        talk = await greet(link)
        for todo in (7, 8):
            heard = await follow(link, talk, Job(segments, todo=todo))
            for message in heard:
                if isinstance(message, Done):
                    assert message.elapsed_ms >= 0
            said = [(type(m), getattr(m, "stage", None), getattr(m, "segment", None)) for m in heard]
            assert said == [
                (Progress, 0, None), (Done, 0, None), (Detached, None, 1),
                (Progress, 1, None), (Done, 1, None), (Detached, None, 2), (Detached, None, 3),
            ]  # fmt: skip
            assert [m.facts for m in heard if isinstance(m, Done)] == ["said", "said"]
            assert segments.read(3, 0, PAGE) == PATTERN
            assert not maps_segments(link.pid)
        link.send(Bye())
        assert await end_of(link) == (None, 0)


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
            Failed(7, 0, "bad_frame", "the half of it is missing"), Detached(7, 1), Detached(7, 2), Detached(7, 3),
        ]  # fmt: skip
        heard = await follow(link, talk, Job(segments, qualities=(steps.WELL, steps.FAIL_IN_CYCLE), todo=8))
        assert isinstance(heard[-3], Failed)
        assert heard[-2:] == [Detached(8, 2), Detached(8, 3)]
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
            assert Detached(7, at + 1) not in heard
            link.close()


async def test_killed_at_every_step_it_is_gone_and_its_memory_with_it() -> None:
    async with one_worker() as (template, _, segments):
        for messages in range(8):
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


async def test_many_workers_at_once_and_the_template_counts_them() -> None:
    async with one_worker() as (template, _, segments):
        links = [await template.fork(n, HERE) for n in range(2, 12)]
        for n, link in enumerate(links):
            await follow(link, await greet(link), Job(segments, todo=n))
        assert template.statistics().alive == 11
        for link in links:
            link.send(Bye())
        for link in links:
            assert await end_of(link) == (None, 0)
            link.close()
        assert (template.statistics().forked, template.statistics().alive) == (11, 1)


async def test_end_of_file_ends_a_worker() -> None:
    async with one_worker() as (_, link, _segments):
        await greet(link)
        link._socket.shutdown(socket.SHUT_WR)
        await link.wait_exited()
        assert await link.exit_status() == (None, 0)


async def test_killing_the_template_ends_its_workers_and_all_are_reaped() -> None:
    async with one_worker() as (template, link, segments):
        await greet(link)
        link.send(*Job(segments, qualities=(steps.HANG, 1)).order())
        await link.receive()
        os.kill(template.pid, signal.SIGKILL)
        await template.wait_lost()
        assert await end_of(link) == (signal.SIGKILL, None)
        with pytest.raises(NoWorker):
            await template.fork(2, HERE)
        assert template.statistics().pid == 0


async def test_a_template_that_does_not_answer_is_killed_by_whoever_lost_patience() -> None:
    async with one_worker() as (template, link, _):
        os.kill(template.pid, signal.SIGSTOP)
        with trio.move_on_after(0.1) as patience:
            await template.fork(2, HERE)
        assert patience.cancelled_caught
        template.kill()
        await template.wait_lost()
        await link.wait_exited()


async def test_a_fork_that_nobody_waits_for_any_more_leaves_no_worker() -> None:
    async with one_worker() as (template, _, _segments):
        os.kill(template.pid, signal.SIGSTOP)
        with trio.move_on_after(0.05):
            await template.fork(2, HERE)
        os.kill(template.pid, signal.SIGCONT)
        third = await template.fork(3, HERE)
        await greet(third)
        third.close()
        await until(lambda: template.statistics().alive == 1)


def test_the_template_outlives_a_fork_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room() -> int:
        raise BlockingIOError(11, "no room")

    monkeypatch.setattr(os, "fork", no_room)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        link = Link(ours)
        link.send(Fork(5, HERE), [0])
        link.send(Bye())
        template_process.Template(Link(theirs), lambda _: None, Limits()).run()
        assert link.receive(FROM_TEMPLATE) == (Reaped(5, template_process.EXIT_NO_FORK << 8), [])


def start_sleeper() -> "subprocess.Popen[bytes]":
    return subprocess.Popen(["sleep", "60"])


async def test_a_fork_that_fails_is_told_to_who_asked() -> None:
    """A template played by hand, which answers with Reaped and without Forked."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    with ours, theirs, start_sleeper() as process:
        played = Template(ours, process)

        async def answer() -> None:
            await trio.lowlevel.wait_readable(theirs)
            received = Link(theirs).receive(TO_TEMPLATE)
            assert received is not None
            close_all(received[1])
            Link(theirs).send(Reaped(5, template_process.EXIT_NO_FORK << 8))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(played.hear)
            nursery.start_soon(answer)
            with pytest.raises(NoWorker):
                await played.fork(5, HERE)
            nursery.cancel_scope.cancel()
        theirs.close()
        process.kill()
        await played.end()


async def test_a_worker_that_cannot_be_confined_never_lives() -> None:
    async with one_worker() as (template, _, _segments):
        link = await template.fork(2, Identity(1, None))
        assert await end_of(link) == (None, 70)
        link.close()


async def test_a_template_that_cannot_warm_is_an_error_at_once() -> None:
    with pytest.raises(NoWorker, match="exit code 1"):
        async with open_template(TemplateSettings(warm="tests.rig.nothing:warm")):
            raise AssertionError("not reached")


async def test_leaving_while_it_warms_leaves_nothing() -> None:
    with trio.move_on_after(0.02):
        async with open_template(STAND_IN):
            raise AssertionError("not reached")


async def test_nobody_can_read_what_another_workers_socket_says() -> None:
    async with one_worker() as (template, one, _):
        two = await template.fork(2, HERE)
        await greet(two)
        sockets = [
            os.readlink(f"/proc/{pid}/fd/{fd}")
            for pid in (template.pid, one.pid, two.pid)
            for fd in os.listdir(f"/proc/{pid}/fd")
            if os.readlink(f"/proc/{pid}/fd/{fd}").startswith("socket:")
        ]
        assert len(sockets) == len(set(sockets)) == 3
        two.close()


async def hear_all(link: WorkerLink, talk: Talk, job: Job) -> None:
    todo, descriptors = job.order()
    while (message := await link.receive()) is not None:
        talk.hear(message)
        if talk.idle:
            talk.give(todo)
            link.send(todo, descriptors)


BAD_WORDS = [
    "garbage", "deep", "half_packet", "huge_packet", "descriptors", "unknown_step", "wrong_todo", "done_twice",
    "detached_stranger", "too_many_bytes", "before_hello", "wrong_version",
]  # fmt: skip


@pytest.mark.parametrize("name", BAD_WORDS)
async def test_a_bad_word_is_a_wire_error_and_the_worker_is_killed(name: str) -> None:
    async with one_worker(bad(name)) as (_, link, segments):
        talk = Talk()
        with pytest.raises(WireError):
            await hear_all(link, talk, Job(segments))
        link.kill()
        await link.wait_exited()
        assert await link.exit_status() == (signal.SIGKILL, None)


@pytest.mark.parametrize(
    ("name", "how"),
    [("silent_exit", (None, 0)), ("exit_code", (None, 3)), ("segfault", (signal.SIGSEGV, None))],
)
async def test_a_worker_that_leaves_without_a_word(name: str, how: tuple[int | None, int | None]) -> None:
    async with one_worker(bad(name)) as (_, link, segments):
        await greet(link)
        link.send(*Job(segments).order())
        assert await end_of(link) == how


@pytest.mark.parametrize("name", ["closes_socket", "empty_packet"])
async def test_a_closed_socket_is_the_end_of_the_words_but_not_of_the_worker(name: str) -> None:
    async with one_worker(bad(name)) as (_, link, segments):
        await greet(link)
        link.send(*Job(segments).order())
        assert await link.receive() is None
        with trio.move_on_after(0.05) as waited:
            await link.wait_exited()
        assert waited.cancelled_caught
        assert maps_segments(link.pid)
        link.kill()
        await link.wait_exited()


@pytest.mark.parametrize("name", ["deaf", "stopped"])
async def test_a_worker_that_does_not_answer_ends_by_the_kill_alone(name: str) -> None:
    async with one_worker(bad(name)) as (_, link, segments):
        await greet(link)
        link.send(*Job(segments).order())
        with trio.move_on_after(0.05) as waited:
            await link.receive()
        assert waited.cancelled_caught
        link.kill()
        assert await end_of(link) == (signal.SIGKILL, None)


async def test_a_worker_that_never_reads_is_lost_when_its_socket_is_full() -> None:
    async with one_worker(bad("never_reads")) as (_, link, segments):
        await greet(link)
        order = Job(segments).order()
        for _ in range(1000):
            link.send(*order)
        assert await end_of(link) == (signal.SIGKILL, None)


def test_a_daemon_that_is_killed_leaves_no_template_and_no_worker() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-m", "tests.rig.parent"], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    with parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 4
        assert all(alive(pid) for pid in pids)
        parent.kill()
    deadline_s = time.monotonic() + 10
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline_s, "somebody outlived the daemon"
        time.sleep(0.005)
    for pid in pids[1:]:
        _reap(pid)


def _reap(pid: int) -> None:
    """Reap a child of the killed daemon: this process is the next subreaper above it."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)

"""Workers that break the protocol: each is told by its fault, killed, and gone with what it held."""

import signal

import pytest
import trio

from cgi_worker.wire.packets import (
    WireError,
)
from cgi_worker.wire.talk import Talk
from imgd.engine.forking import WorkerLink
from tests.rig.bench import Job, bad
from tests.rig.crew import end_of, greet, maps_segments, one_worker


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

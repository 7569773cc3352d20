"""The template: it forks, counts, begins again, and nobody outlives whom he belongs to."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
import trio

from cgi_worker import template as template_process
from cgi_worker.confine import Limits
from cgi_worker.link import Link, close_all
from cgi_worker.wire.packets import (
    FROM_TEMPLATE,
    TO_TEMPLATE,
    Bye,
    Fork,
    Identity,
    Reaped,
    Warming,
)
from imgd.engine.forking import NoWorker
from imgd.engine.workers import Template, TemplateSettings, open_template
from tests.rig import steps
from tests.rig.bench import STAND_IN, Job, alive
from tests.rig.crew import HERE, end_of, follow, greet, one_worker, until


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
        link.send(Fork(5, HERE), [0, 2])
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
            assert played.statistics().pid  # The template is as good as before.
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
    with pytest.raises(NoWorker, match="ended while warming, exit code 1"):
        async with open_template(TemplateSettings(warm="tests.rig.nothing:warm")):
            raise AssertionError("not reached")


@pytest.mark.parametrize(("warm", "starts"), [("warm", 1), ("warm_compiling", 2)])
async def test_a_template_that_has_compiled_begins_again_once_without_the_compilers_memory(
    warm: str, starts: int
) -> None:
    heard: list[Warming] = []
    settings = TemplateSettings(serve=STAND_IN.serve, warm=f"tests.rig.steps:{warm}")
    with trio.fail_after(20):
        async with open_template(settings, heard.append) as template:
            assert len(heard) == starts
            link = await template.fork(1, HERE)
            await greet(link)
            os.kill(template.pid, signal.SIGKILL)
            await template.wait_lost()
            link.close()


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

"""A template with workers, for tests: started, greeted, given todo lists, followed to their end."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from cgi_worker.wire.packets import FromWorker, Hello, Identity
from cgi_worker.wire.talk import Talk
from imgd.engine.forking import WorkerLink
from imgd.engine.segments import Segments
from imgd.engine.workers import Template, TemplateSettings, open_template
from tests.rig.bench import STAND_IN, Job, make_segments

HERE = Identity()


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
    while not true():
        await trio.sleep(0.001)


def words_of(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text()


def state_of(pid: int) -> str:
    return words_of(pid, "stat").rpartition(")")[2].split()[0]


def maps_segments(pid: int) -> bool:
    return "memfd:imgd" in words_of(pid, "maps") or any(
        "memfd:imgd" in os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")
    )

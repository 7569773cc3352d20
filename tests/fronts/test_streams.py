"""What flows through every front: streams, slow readers, websockets; and what a front says without its daemon."""

import contextlib
import json
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Final

import h11
import pytest
import trio
import trio_websocket

from tests.daemon.figures import metrics
from tests.daemon.http1 import Response
from tests.daemon.rig import RunningDaemon
from tests.frames import make
from tests.fronts.leaving import BIGGEST, LONG, SMALL_BUFFER_BYTES, fresh, until_free
from tests.fronts.rig import Front
from tests.fronts.test_fronts import VIEW, plain
from tests.web.sitting import Sitter

LIMIT_S: Final = 30.0  # A bound against hanging, on a machine with other things to do.
BACK_LIMIT_S: Final = 20.0
EVENTS: Final = {"accept": "text/event-stream"}


async def work_under_way(front: Front) -> bool:
    """Whether the engine works on anything."""
    return (await metrics(front.daemon))["imgd_engine_jobs"] > 0


async def test_a_picture_arrives_while_it_is_made(front: Front) -> None:
    if front.is_cgi:
        pytest.skip("CGI: a picture goes into the server's pipe when its last step is done")
    with trio.fail_after(LIMIT_S):
        async with front.connect() as one:
            await one.send("GET", fresh(BIGGEST))
            assert (await one.response()).status == 200
            async with aclosing(one.body()) as body:
                assert (await anext(body)).startswith(b"\xff\xd8")
            assert await work_under_way(front), "its first byte came after its last step"
    await until_free(front)
    with trio.fail_after(LIMIT_S):
        async with front.connect2() as two:
            number = await two.send("GET", fresh(BIGGEST))
            await two.begun(number)
            assert await work_under_way(front), "its first byte came after its last step"
            await two.reset(number)
    await until_free(front)


async def test_events_arrive_when_they_happen(front: Front, frames: Path) -> None:
    with trio.fail_after(LIMIT_S):
        async with front.connect() as one, front.connect2() as two:
            await one.send("GET", "/events", **EVENTS)
            head = await one.response()
            assert head.headers["content-type"].startswith("text/event-stream")
            assert "content-encoding" not in head.headers
            number = await two.send("GET", "/events", **EVENTS)
            async with aclosing(one.body()) as body:
                heard = await hear(body, b"retry: ")
                await two.until(number, b"retry: ")
                await feeds(front, 2)
                for turn in range(3):  # One by one: nothing is held back until there is more.
                    name = f"{front.kind}-{turn}.fits"
                    write_new(frames / name)
                    heard = await hear(body, name.encode(), heard)
                    await two.until(number, name.encode())
        await feeds(front, 0)


async def feeds(front: Front, count: int) -> None:
    """Wait until so many clients follow the log."""
    while (await metrics(front.daemon))["imgd_events_feeds"] != count:
        await trio.sleep(0.01)


async def hear(body: AsyncIterator[bytes], mark: bytes, heard: bytes = b"") -> bytes:
    """Read until this has come."""
    while mark not in heard:
        heard += await anext(body)
    return heard


def write_new(path: Path) -> None:
    """Have a frame arrive, whole."""
    make.write(path.with_suffix(".tmp"), make.image_hdu(make.star_field(40, 50))).rename(path)


async def test_a_long_poll_is_answered_by_what_happens(front: Front, frames: Path) -> None:
    cursor = plain(await front.daemon.get("/events"))["cursor"]
    answers: list[Response] = []

    async def ask() -> None:
        answers.append(await front.get(f"/events?since={cursor}&wait=50"))

    with trio.fail_after(LIMIT_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await feeds(front, 1)
            write_new(frames / f"{front.kind}-polled.fits")
    assert f"{front.kind}-polled.fits".encode() in answers[0].body


async def test_a_slow_reader_gets_all_of_it_and_keeps_nobody_waiting(front: Front) -> None:
    target = fresh(LONG)
    with trio.fail_after(2 * LIMIT_S):
        async with front.connect(SMALL_BUFFER_BYTES) as slow, front.connect2(SMALL_BUFFER_BYTES) as slow2:
            await slow.send("GET", target)
            assert (await slow.response()).status == 200
            number = await slow2.send("GET", target)
            await slow2.begun(number)
            async with aclosing(slow.body()) as body:
                taken = [await anext(body)]
                while (await metrics(front.daemon))["imgd_engine_workers_busy"]:
                    await trio.sleep(0.01)  # All is made; both readers take nothing meanwhile.
                for other in range(3):
                    assert (await front.get(f"/img?{VIEW}&size={60 + other},")).status == 200
                taken += [piece async for piece in body]
            second = await slow2.answer(number)
        right = await front.daemon.get(target)
        assert len(right.body) > 8 << 20, "not more than the buffers on the way"
        assert b"".join(taken) == right.body
        assert second.body == right.body
    await until_free(front)


@asynccontextmanager
async def seated(front: Front, **headers: str) -> AsyncIterator[Sitter]:
    """Open a session through the front."""
    given = [(name.encode(), value.encode()) for name, value in headers.items()]
    async with front.websocket("/live", given) as connection:
        yield Sitter(connection)


async def test_a_websocket_runs_shows_and_tells(front: Front, frames: Path) -> None:
    right = (await front.daemon.get(f"/img?{VIEW}&size=300,")).body
    with trio.fail_after(LIMIT_S):
        async with seated(front, origin=front.base_url) as client:
            hello = await client.ask("hello")
            runner = await client.open(f"{VIEW}&size=300,")
            assert (await client.run(runner))["op"] == "completed"
            assert client.shown[0].body == right, "another picture than by HTTP"
            await client.ask("viewport", runner=runner, level=0, box=[0, 0, 800, 600])
            await client.until("completed", count=2)
            tiles = [each for each in client.shown[1:] if each.level == 0]
            assert {(each.column, each.row) for each in tiles} == {(c, r) for c in range(4) for r in range(3)}
            uid = (await client.ask("src", view=f"{VIEW}&size=300,"))["uid"]
            assert (await front.get(f"/img?u={uid}")).body == right
            await client.ask("subscribe")
            name = f"{front.kind}-live.fits"
            write_new(frames / name)
            while not any(name in json.dumps(each) for each in client.told):
                await client.hear()
            long_message = await client.ask("src", view=f"{VIEW}&{'x' * 8_000}=1")
            assert long_message["op"] == "error"
        async with seated(front) as again:
            assert (await again.ask("hello", resume=hello["resume"]))["op"] == "hello"
        while (await metrics(front.daemon))["imgd_live_sessions"]:
            await trio.sleep(0.01)


async def test_steps_are_told_while_a_run_goes_on(front: Front) -> None:
    with trio.fail_after(LIMIT_S):
        async with seated(front) as client:
            runner = await client.open(fresh(BIGGEST).partition("?")[2], results=["picture"])
            await client.ask("run", runner=runner)
            await client.until("step")
            assert await work_under_way(front), "the first step was told after the last"
    await until_free(front)


@pytest.mark.parametrize("path", ["/nothing", f"/img?{VIEW}", "/events", "/metrics"])
async def test_other_websockets_are_refused_in_order(front: Front, path: str) -> None:
    with pytest.raises((trio_websocket.ConnectionRejected, ExceptionGroup)) as raised, trio.fail_after(LIMIT_S):
        async with front.websocket(path):
            pass
    error: BaseException = raised.value
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, trio_websocket.ConnectionRejected), error
    assert 200 <= error.status_code < 500 and error.status_code != 101, error
    await until_free(front)


async def test_a_page_of_another_origin_has_no_websocket(front: Front) -> None:
    with pytest.raises((trio_websocket.ConnectionRejected, ExceptionGroup)), trio.fail_after(LIMIT_S):
        async with seated(front, origin="https://elsewhere.test"):
            pass


async def test_a_daemon_that_is_gone_is_told_in_words_and_one_that_is_back_is_found(front: Front) -> None:
    """The last one for each front: it ends the daemon that all others use; the next one drops stalled readers soon."""
    async with front.connect() as kept, front.connect2() as kept2:
        for connection in (kept, kept2):
            assert (await connection.get("/healthz")).status == 200
        os.kill(front.daemon.pid, signal.SIGKILL)
        await front.daemon.settles(lambda: not front.daemon.processes())
        if front.is_server:
            for target in ("/healthz", f"/img?{VIEW}&size=70,", "/frames?dir=f"):
                for answer in (await kept.get(target), await front.get(target), await kept2.get(target)):
                    check_words(front, answer, target)
        async with front.start_again(send_limit_s=1) as daemon:
            await answers_again(front)
            for connection in (kept, kept2) if front.is_server else ():
                assert (await connection.get("/healthz")).status == 200, "a client's connection did not outlive it"
            picture = await front.get(f"/img?{VIEW}&size=70,")
            assert (picture.status, picture.body) == (200, (await daemon.get(f"/img?{VIEW}&size=70,")).body)
            async with seated(front) as client:
                assert (await client.ask("ping"))["op"] == "ping"
            await check_stalled(front, daemon)


def check_words(front: Front, answer: Response, target: str) -> None:
    """See that a front says itself what is wrong, and when to come again."""
    # lighttpd 1.4.69 has no other status for a daemon that died with the request in its backlog.
    statuses = (502, 503) if front.kind == "nginx" else (500, 502, 503)
    assert answer.status in statuses, f"{target}: {answer.status}"
    assert int(answer.headers["retry-after"]) >= 1, target
    assert len(re.sub(rb"<[^>]*>", b" ", answer.body).split()) >= 5, f"{target}: not in words: {answer.body!r}"
    assert answer.headers["content-type"] == "application/problem+json", target


async def answers_again(front: Front) -> None:
    """Ask until a front finds the daemon again: some look for it only now and then."""
    with trio.fail_after(BACK_LIMIT_S):
        while True:
            with contextlib.suppress(OSError):
                if (await front.get("/healthz")).status == 200:
                    return
            await trio.sleep(0.05)


async def check_stalled(front: Front, daemon: RunningDaemon) -> None:
    """See that a reader who takes nothing any more holds nothing for long, and does not take a part for the whole."""
    target = fresh(LONG)
    async with front.connect(SMALL_BUFFER_BYTES) as stalled:
        await stalled.send("GET", target)
        head = await stalled.response()
        assert head.status == 200
        with trio.fail_after(2 * LIMIT_S):
            while (figures := await metrics(daemon))["imgd_engine_jobs"] or figures["imgd_engine_leased_bytes"]:
                assert (await front.get("/healthz")).status == 200
                await trio.sleep(0.02)
            if front.is_cgi:  # lighttpd has taken all of it from the worker, and keeps it in a file.
                body = b"".join([piece async for piece in stalled.body()])
                assert body == (await daemon.get(target)).body
                return
            with pytest.raises((h11.RemoteProtocolError, ConnectionError, trio.BrokenResourceError)):
                async for _ in stalled.body():
                    pass

"""The CGI socket with real processes that ask: handed over to a worker, or working for themselves with what is lent."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import trio

from cgi_worker.wire.view import View, view_pairs
from imgd.core.uids import Uids, Wanted
from imgd.engine import guest
from imgd.setting_kinds import MIB
from imgd.web import cgi
from imgd.web.cgi import CgiDesk, serve_cgi, user_ids
from tests.engine.rig import ASKER, SOON_S, Picture, Running, kill, running, until, view
from tests.rig.bench import alive, census
from tests.rig.engine_steps import Frame, picture_of

BOTH = ["attach", "hand_over"]


@dataclass(frozen=True)
class Printed:
    """What a CGI printed, and its exit code: the answer's status, modulo 256."""

    code: int
    head: dict[str, str]
    body: bytes
    whole: bytes


@dataclass
class Listening:
    """An engine with a CGI socket."""

    rig: Running
    path: Path
    sessions: Uids

    @asynccontextmanager
    async def asking(self, query: str, how: str, until_path: str = "") -> AsyncIterator[trio.Process]:
        """Start a CGI; it is killed in the end."""
        command = [sys.executable, "-m", "tests.rig.engine_cgi", str(self.path), query, how, until_path]
        process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        try:
            yield process
        finally:
            with trio.CancelScope(shield=True):
                process.kill()
                await process.wait()
                await process.stdout.aclose()

    async def hold(self, query: str, how: str, task_status: trio.TaskStatus[trio.Process]) -> None:
        """Start a CGI and wait for its end, whoever ends it."""
        async with self.asking(query, how) as process:
            task_status.started(process)
            await process.wait()

    async def ask(self, query: str, how: str) -> Printed:
        """Let a CGI ask, and read what it prints."""
        async with self.asking(query, how) as process:
            return await printed_by(process)


async def printed_by(process: trio.Process) -> Printed:
    assert process.stdout is not None
    whole = b"".join([chunk async for chunk in process.stdout])
    head, _, body = whole.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    pairs = [line.split(": ", 1) for line in lines if line]
    return Printed(await process.wait(), {name.lower(): value for name, value in pairs}, body, whole)


@asynccontextmanager
async def listening(folder: Path, users: frozenset[int] | None = None, **settings: Any) -> AsyncIterator[Listening]:
    """Run an engine and answer CGI programs."""
    path = folder / "cgi"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(path))
        listener.listen(8)
        listener.setblocking(False)
        async with running(folder, **settings) as rig:
            sessions = Uids(10, 10)
            desk = CgiDesk(rig.engine, sessions, user_ids(()) if users is None else users, rig.settings.step_limit_s)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(serve_cgi, listener, desk, 8)
                yield Listening(rig, path, sessions)
                nursery.cancel_scope.cancel()


def query_of(wanted: View) -> str:
    return urlencode(view_pairs(wanted))


def check_picture(printed: Printed, body: bytes) -> None:
    assert (printed.code, printed.head["status"]) == (200, "200 OK")
    assert printed.head["content-type"] == "image/jpeg"
    assert printed.head["content-length"] == str(len(body))
    assert printed.body == body


def check_problem(printed: Printed, status: int, words: str) -> None:
    assert printed.code == status % 256
    assert printed.head["status"].startswith(f"{status} ")
    assert printed.head["content-type"] == "application/problem+json"
    assert printed.head["content-length"] == str(len(printed.body))
    assert words in json.loads(printed.body)["detail"]


@pytest.mark.parametrize("how", BOTH)
async def test_a_picture_its_validator_and_its_head(tmp_path: Path, how: str) -> None:
    async with listening(tmp_path) as here:
        octets = here.rig.put("a", Frame(200, 200))
        before = here.rig.held()
        query = query_of(view("a"))
        first = await here.ask(query, how)
        check_picture(first, picture_of(octets, view("a")))
        assert (await here.rig.picture(view("a"))).etag == first.head["etag"]
        forked = here.rig.engine.statistics().workers_forked_total
        check_picture(await here.ask(query, how), first.body)  # It is there already: it is only written.
        assert here.rig.done()["reduce"] == 1
        assert here.rig.engine.statistics().workers_forked_total == forked
        not_modified = await here.ask(f"{first.head['etag']} {query}", how)
        assert (not_modified.code, not_modified.head["status"], not_modified.body) == (
            304 % 256,
            "304 Not Modified",
            b"",
        )
        head = await here.ask(query, "head")
        assert (head.code, head.head["status"], head.body) == (200, "200 OK", b"")
        assert "content-length" not in head.head
        assert head.head["etag"] == first.head["etag"]
        await here.rig.nothing_is_left_of(before)


async def test_a_uid_stands_for_its_view_and_a_newer_one_of_its_runner_takes_its_place(tmp_path: Path) -> None:
    async with listening(tmp_path) as here:
        octets = here.rig.put("a", Frame(acts={"tone": here.rig.gate("never")}))
        other = here.rig.put("b", seed=1)
        here.sessions.open("s")
        for uid, name in (("1", "a"), ("2", "b")):
            here.sessions.src(Wanted(view(name), "s", "main"), uid)
        async with here.asking("u=1", "hand_over") as older:
            await here.rig.until_noted("at:tone")
            check_picture(await here.ask("u=2", "hand_over"), picture_of(other, view("b")))
            check_problem(await printed_by(older), 503, "newer view")
        here.rig.open_gate("never")
        check_picture(await here.ask("u=1", "attach"), picture_of(octets, view("a")))
        await here.rig.quiet()


@pytest.mark.parametrize("how", BOTH)
async def test_what_is_wrong_is_said_at_once_and_the_cgi_lives_to_print_it(tmp_path: Path, how: str) -> None:
    async with listening(tmp_path) as here:
        here.rig.put("bad", Frame(acts={"tone": "fail bad_frame"}))
        here.rig.put("huge", Frame(claims_px=(60_000, 60_000)))
        cases = [
            ("u=nobody", 404, "unknown"),
            ("frame=night/a&size=nonsense", 400, "size"),
            ("nonsense", 400, "name=value"),
            ("frame=night/missing", 404, "no frame"),
            (query_of(view("huge")), 413, "60000 x 60000"),
            (query_of(view("bad")), 422, "told to fail"),
        ]
        for query, status, words in cases:
            with trio.fail_after(guest.EXIT_LIMIT_S + 3):
                printed = await here.ask(query, how)
            if status == 400:
                assert printed.head["status"].startswith("400 ")
            else:
                check_problem(printed, status, words)
        await here.rig.quiet()


@pytest.mark.parametrize("how", ["garbage", "version", "twice"])
async def test_who_breaks_the_protocol_is_let_go_without_an_answer(
    tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guest, "EXIT_LIMIT_S", 0.3)
    async with listening(tmp_path) as here:
        here.rig.put("a")
        before = here.rig.held()
        printed = await here.ask(query_of(view("a")), how)
        assert printed.whole == b""
        assert printed.code in (1, -signal.SIGKILL)
        await here.rig.nothing_is_left_of(before)


async def test_who_may_not_ask_is_not_heard_and_who_does_not_ask_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with listening(tmp_path, frozenset({54321})) as here:
        here.rig.put("a")
        assert (await here.ask(query_of(view("a")), "hand_over")).whole == b""
        assert here.rig.done() == {}
    monkeypatch.setattr(cgi, "ASK_LIMIT_S", 0.1)
    (tmp_path / "cgi").unlink()
    async with listening(tmp_path) as here:
        assert (await here.ask("", "silent")).code == 1


async def test_a_cgi_that_is_killed_takes_its_work_with_it(tmp_path: Path) -> None:
    async with listening(tmp_path, workers_idle_max=0) as here:
        before = here.rig.held()
        places = [("hand_over", "parse"), ("hand_over", "deliver/half"), ("attach", "tone"), ("attach", "deliver/half")]
        for seed, (how, place) in enumerate(places):
            octets = here.rig.put("a", Frame(acts={place: here.rig.gate(str(seed))}), seed)
            times = here.rig.done()[f"at:{place}"]
            async with here.asking(query_of(view("a")), how) as process:
                await here.rig.until_noted(f"at:{place}", times + 1)
                workers = here.rig.busy_workers()
                kill(process.pid)
                await process.wait()
                await until(lambda: not here.rig.held().jobs)
            await here.rig.nothing_is_left_of(before)
            assert not any(map(alive, workers))
            here.rig.open_gate(str(seed))
            assert (await here.rig.picture(view("a"))).body == picture_of(octets, view("a"))
        await here.rig.quiet()


async def test_work_that_others_wait_for_outlives_the_cgi_that_asked_for_it(tmp_path: Path) -> None:
    async with listening(tmp_path) as here:
        octets = here.rig.put("a", Frame(acts={"tone": here.rig.gate("go")}))
        got: list[Picture] = []

        async def ask() -> None:
            got.append(await here.rig.picture(view("a")))

        async with here.asking(query_of(view("a")), "hand_over") as process, trio.open_nursery() as nursery:
            await here.rig.until_noted("at:tone")
            nursery.start_soon(ask)
            await until(lambda: here.rig.engine.statistics().joined_total >= 1)
            kill(process.pid)
            here.rig.open_gate("go")
        assert got[0].body == picture_of(octets, view("a"))
        assert here.rig.done()["tone"] == 1
        await here.rig.quiet()


async def test_who_waited_for_a_cgi_that_worked_for_itself_is_served_by_a_worker(tmp_path: Path) -> None:
    async with listening(tmp_path) as here:
        octets = here.rig.put("a", Frame(acts={"tone": here.rig.gate("go")}))
        got: list[Picture] = []

        async def ask() -> None:
            got.append(await here.rig.picture(view("a")))

        async with here.asking(query_of(view("a")), "attach") as process, trio.open_nursery() as nursery:
            await here.rig.until_noted("at:tone")
            nursery.start_soon(ask)
            await until(lambda: here.rig.engine.statistics().joined_total >= 1)
            kill(process.pid)
            here.rig.open_gate("go")
        assert got[0].body == picture_of(octets, view("a"))
        await here.rig.quiet()


@pytest.mark.parametrize("how", BOTH)
async def test_a_frame_that_changes_meanwhile_is_tried_again(tmp_path: Path, how: str) -> None:
    async with listening(tmp_path) as here:
        here.rig.put("a", Frame(acts={"reduce": here.rig.gate("go")}))
        async with here.asking(query_of(view("a")), how) as process:
            await here.rig.until_noted("at:reduce")
            octets = here.rig.put("a", Frame(80, 80), seed=1)
            here.rig.open_gate("go")
            printed = await printed_by(process)
        assert printed.body == picture_of(octets, view("a"))
        await here.rig.quiet()


@pytest.mark.parametrize(("place", "whole"), [("tone", True), ("deliver/half", False)])
async def test_a_template_lost_before_anything_is_written_costs_nothing_and_later_it_breaks_off(
    tmp_path: Path, place: str, whole: bool
) -> None:
    async with listening(tmp_path) as here:
        octets = here.rig.put("a", Frame(acts={place: here.rig.gate("go")}))
        async with here.asking(query_of(view("a")), "hand_over") as process:
            await here.rig.until_noted(f"at:{place}")
            workers = here.rig.workers()
            kill(here.rig.engine.statistics().template_pid)
            await until(lambda: not any(map(alive, workers)))
            here.rig.open_gate("go")
            printed = await printed_by(process)
        if whole:
            check_picture(printed, picture_of(octets, view("a")))
        else:
            assert printed.code == 500 % 256
            assert 0 < len(printed.whole) < len(picture_of(octets, view("a"))) + 200
            assert b"problem" not in printed.whole
        await here.rig.quiet()


async def test_a_guest_that_hangs_up_keeps_its_segments_from_others_until_it_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It closes its socket, and goes on writing into what it was lent."""
    monkeypatch.setattr(guest, "EXIT_LIMIT_S", 30.0)
    async with listening(tmp_path, budget_bytes=16 * MIB) as here:
        rig = here.rig
        rig.put("a", Frame(900, 900))
        await rig.engine.qualify(view("a", 900), ASKER)
        others = {f"f{n}": rig.put(f"f{n}", Frame(600, 600), n + 1) for n in range(6)}
        async with here.asking(query_of(view("a", 900)), "leave", str(tmp_path / "end")) as process:
            await rig.until_noted("left")
            leased = rig.held().leased_bytes
            assert leased > 5 * MIB
            for name, octets in others.items():
                assert (await rig.picture(view(name, 600))).body == picture_of(octets, view(name, 600))
                assert rig.held().leased_bytes >= leased
            assert rig.engine.statistics().evicted_total > 0
            (tmp_path / "end").touch()
            await process.wait()
            await rig.quiet()
            assert (await rig.picture(view("f0", 500))).body == picture_of(others["f0"], view("f0", 500))


@pytest.mark.parametrize("how", ["leave", "dawdle"])
async def test_a_guest_that_does_not_go_is_killed(tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest, "EXIT_LIMIT_S", 0.2)
    async with listening(tmp_path, step_limit_s=1.5) as here:  # A guest has so long to come to its list, too.
        here.rig.put("a")
        before = here.rig.held()
        async with here.asking(query_of(view("a")), how, str(tmp_path / "never")) as process:
            await here.rig.until_noted("todo")
            with trio.fail_after(3):
                assert await process.wait() == -signal.SIGKILL
        await here.rig.nothing_is_left_of(before)


@pytest.mark.parametrize("how", [*BOTH, "dawdle"])
async def test_ending_the_service_in_the_middle_leaves_nothing(
    tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guest, "EXIT_LIMIT_S", 0.2)
    before = census()
    async with trio.open_nursery() as outer:
        async with listening(tmp_path, check=False) as here:
            here.rig.put("a", Frame(acts={"tone": here.rig.gate("never")}))
            process = await outer.start(here.hold, query_of(view("a")), how)
            await until(lambda: here.rig.done()["todo" if how == "dawdle" else "at:tone"] == 1)
            began_s = trio.current_time()
        assert trio.current_time() - began_s < SOON_S
        assert await process.wait() in (1, -signal.SIGKILL)  # It is let go, or killed with what it was lent.
    assert census() == before

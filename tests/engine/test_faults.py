"""Workers and templates that are killed, stopped, or bad: one request pays, or none; the service goes on."""

import signal
from pathlib import Path

import pytest
import trio

from imgd.core.events import Event, Submitted, WorkerEnded
from imgd.engine import desk, forge, workers
from imgd.errors import Busy, ImgdError, Rewritten, WorkerLost, WorkerTimedOut
from tests.engine.rig import ASKER, Picture, Running, kill, running, stand_in, until, view
from tests.rig import engine_steps
from tests.rig.bench import alive
from tests.rig.engine_steps import Frame, picture_of

PLACES = ["parse", "reduce", "tone", "encode", "encode/half"]
WORDS = [
    "before_hello", "wrong_version", "garbage", "half_packet", "huge_packet", "descriptors", "unknown_step",
    "wrong_todo", "done_twice", "detached_stranger", "too_many_bytes", "silent_exit", "exit_code", "segfault",
    "closes_socket", "empty_packet",
]  # fmt: skip
SILENCES = ["stopped", "deaf", "flood", "never_reads"]

FRAMES = {"a": "parse", "b": "reduce", "c": "tone", "d": "encode"}


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


async def refused(rig: Running, name: str, kind: type[ImgdError], words: str = ".") -> None:
    with pytest.raises(kind, match=words) as caught:
        await rig.picture(view(name))
    assert type(caught.value) is kind


async def test_killed_in_the_middle_of_each_step_it_costs_that_request_alone(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        before = rig.held()
        for seed, place in enumerate(PLACES[:-1]):
            gate = place.replace("/", "-")
            octets = rig.put("a", Frame(acts={place: rig.gate(gate)}), seed)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(refused, rig, "a", Busy, "was killed")
                await rig.until_noted(f"at:{place}")
                (worker,) = rig.busy_workers()
                kill(worker)
            await rig.nothing_is_left_of(before, worker)
            rig.open_gate(gate)
            assert (await rig.picture(view("a"))).body == picture_of(octets, view("a"))


async def test_who_joined_a_worker_that_is_killed_hears_of_it_too(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        rig.put("a", Frame(acts={"tone": rig.gate("never")}))
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(refused, rig, "a", Busy, "was killed")
            await rig.until_noted("at:tone")
            await until(lambda: rig.engine.statistics().jobs == 3)
            kill(rig.busy_workers()[0])
        await rig.quiet()


@pytest.mark.parametrize("act", ["exit", "signal SIGSEGV", "signal SIGBUS"])
async def test_a_frame_that_kills_its_worker_is_told_so_each_time(tmp_path: Path, act: str) -> None:
    async with running(tmp_path) as rig:
        rig.put("a", Frame(acts={"reduce": act}))
        before = rig.held()
        cut = act.endswith("SIGBUS")  # As if the file had only been cut while it was read: that is tried again.
        for _ in range(2):
            await refused(rig, "a", Rewritten if cut else WorkerLost, "cut short" if cut else "may be broken")
        assert rig.done()["reduce"] == (8 if cut else 2)
        await rig.nothing_is_left_of(before)


async def test_an_idle_worker_that_dies_is_not_missed(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        for seed in range(5):
            octets = rig.put("a", seed=seed)
            await rig.picture(view("a"))
            await rig.quiet()
            (worker,) = rig.workers()
            kill(worker)
            await until(lambda worker=worker: not alive(worker))  # type: ignore[misc]
            await until(lambda: rig.engine.statistics().workers == 0)
            assert (await rig.picture(view("a", 20))).body == picture_of(octets, view("a", 20))


async def test_a_list_given_to_a_worker_whose_end_is_on_its_way_is_no_bug_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path) as rig:
        octets = rig.put("a")
        await rig.engine.qualify(view("a"), ASKER)
        await rig.quiet()
        put, early = rig.floor.inbox.put, list[Event]()

        def put_before_the_end(event: Event) -> None:
            if isinstance(event, Submitted) and not early:
                early.append(event)
                return
            if isinstance(event, WorkerEnded):
                put(early[0])
            put(event)

        monkeypatch.setattr(rig.floor.inbox, "put", put_before_the_end)
        got: list[Picture] = []

        async def ask() -> None:
            got.append(await rig.picture(view("a")))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await until(lambda: bool(early))
            kill(rig.workers()[0])
        monkeypatch.undo()
        assert got[0].body == picture_of(octets, view("a")), "it never had the list: another worker does it"
        await rig.quiet()


async def test_a_list_given_while_it_is_found_out_how_the_worker_ended_is_done_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path) as rig:
        octets = rig.put("a")
        await rig.engine.qualify(view("a"), ASKER)
        await rig.quiet()
        put, warn, early = rig.floor.inbox.put, desk.Desk._warn, list[Event]()

        def put_later(event: Event) -> None:
            if isinstance(event, Submitted) and not early:
                early.append(event)
            else:
                put(event)

        def warn_and_give(its: desk.Desk, words: str, *values: object) -> None:
            warn(its, words, *values)
            if words.startswith("ended by signal") and len(early) == 1:
                put(early[0])
                early.append(early[0])

        monkeypatch.setattr(rig.floor.inbox, "put", put_later)
        monkeypatch.setattr(desk.Desk, "_warn", warn_and_give)
        got: list[Picture] = []

        async def ask() -> None:
            got.append(await rig.picture(view("a")))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await until(lambda: bool(early))
            kill(rig.workers()[0])
        monkeypatch.undo()
        assert len(early) == 2 and got[0].body == picture_of(octets, view("a"))
        await rig.quiet()


async def test_a_stopped_worker_is_given_up_after_its_limit_while_twenty_others_are_served(tmp_path: Path) -> None:
    async with running(tmp_path, step_limit_s=3.0) as rig:
        rig.put("bad", Frame(acts={"reduce": "signal SIGSTOP"}))
        good = {f"g{n}": rig.put(f"g{n}", seed=n + 1) for n in range(20)}
        before = rig.held()

        async def ask(name: str) -> None:
            assert (await rig.picture(view(name))).body == picture_of(good[name], view(name))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(refused, rig, "bad", WorkerTimedOut, "limit of 3 s")
            await rig.until_noted("at:reduce")
            (worker,) = [pid for pid in rig.busy_workers() if state_of(pid) == "T"]
            async with trio.open_nursery() as others:
                for name in good:
                    others.start_soon(ask, name)
            assert alive(worker)  # None of them waited for its limit.
        await rig.nothing_is_left_of(before, worker)


@pytest.mark.parametrize("names", [WORDS, ["deep"], SILENCES], ids=["words", "deep", "silences"])
async def test_a_bad_worker_costs_its_own_request_and_the_next_is_served_by_a_new_one(
    tmp_path: Path, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "SILENT_LIMIT_S", 0.2)
    silent = names == SILENCES
    limit_s = 0.5 if silent else 10.0
    async with running(tmp_path, stand_in(engine_steps.SERVE_BADLY), step_limit_s=limit_s, lists_max=1) as rig:
        before = rig.held()
        for seed, name in enumerate(names):
            octets = rig.put("a", seed=seed)
            (tmp_path / "log.bad").write_text(name)
            with pytest.raises(WorkerLost) as caught:
                await rig.picture(view("a"))
            assert isinstance(caught.value, WorkerTimedOut) == silent, name
            await rig.nothing_is_left_of(before)
            await until(lambda: not rig.workers())
            (tmp_path / "log.bad").unlink()
            assert (await rig.picture(view("a"))).body == picture_of(octets, view("a"))
        await rig.quiet()


async def test_a_lost_template_is_replaced_and_what_was_under_way_is_done_again(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        octets = {
            name: rig.put(name, Frame(acts={place: rig.gate("go")}), seed)
            for seed, (name, place) in enumerate(FRAMES.items())
        }
        got: dict[str, Picture] = {}

        async def ask(name: str) -> None:
            got[name] = await rig.picture(view(name))

        async with trio.open_nursery() as nursery:
            for name in octets:
                nursery.start_soon(ask, name)
            await until(lambda: sum(line.startswith("at:") for line in rig.lines()) == 2)
            workers = rig.workers()
            kill(rig.engine.statistics().template_pid)
            rig.open_gate("go")
        assert {name: one.body for name, one in got.items()} == {n: picture_of(o, view(n)) for n, o in octets.items()}
        assert not any(alive(worker) for worker in workers)
        assert rig.engine.statistics().template_starts_total == 2
        assert rig.engine.ready() == ""
        rig.engine.renew_workers()  # Since a root has come: no loss, and nobody is to be woken.
        await until(lambda: rig.engine.statistics().template_starts_total == 3 and not rig.engine.ready(), 15)
        assert rig.engine.statistics().template_losses_total == 1
        await rig.quiet()


async def test_a_worker_that_was_there_before_is_given_nothing_however_slowly_it_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A root that has come is out of its reach: what it would be given would be refused."""
    async with running(tmp_path) as rig:
        octets = rig.put("a")
        await rig.engine.qualify(view("a"), ASKER)
        before, template = rig.workers(), rig.engine.statistics().template_pid
        assert len(before) == 1
        monkeypatch.setattr(workers.Template, "kill", lambda _: None)
        rig.engine.renew_workers()
        words = rig.engine.ready()
        monkeypatch.undo()
        got: list[Picture] = []

        async def ask() -> None:
            got.append(await rig.picture(view("a")))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await trio.sleep(0.5)
            assert not got, "it waits for a worker of the next template"
            kill(template)
        assert "renewed" in words and got[0].body == picture_of(octets, view("a"))
        assert not set(before) & set(rig.workers())
        assert rig.engine.statistics().template_losses_total == 0
        await rig.quiet()


async def test_a_template_that_is_being_started_is_renewed_when_it_is_there(tmp_path: Path) -> None:
    """It may have looked already at what may be read."""
    async with running(tmp_path) as rig:
        octets = rig.put("a")
        kill(rig.engine.statistics().template_pid)
        await until(lambda: rig.engine.statistics().template_starts_total == 2)
        assert rig.engine.ready()
        rig.engine.renew_workers()
        assert (await rig.picture(view("a"))).body == picture_of(octets, view("a"))
        now = rig.engine.statistics()
        assert (now.template_starts_total, now.template_losses_total) == (3, 1)
        await rig.quiet()


async def test_a_template_lost_at_any_moment_costs_nobody_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Idle workers die with it, a little later: who is given one of them in between is tried again."""
    monkeypatch.setattr(forge, "BACKOFF_S", (0.0,))
    async with running(tmp_path) as rig:
        for seed in range(4):
            octets = rig.put("a", seed=seed)
            await rig.engine.qualify(view("a"), ASKER)
            kill(rig.engine.statistics().template_pid)
            if seed % 2:
                await until(lambda: bool(rig.engine.ready()))
                assert rig.engine.ready().startswith("the worker template was lost")
            assert (await rig.picture(view("a"))).body == picture_of(octets, view("a"))
        await rig.quiet()


async def test_a_template_that_does_not_answer_is_killed_and_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forge, "FORK_LIMIT_S", 0.3)
    async with running(tmp_path, step_limit_s=0.2) as rig:  # A limit below the template's own hides nothing.
        octets = rig.put("a")
        stuck = rig.engine.statistics().template_pid
        kill(stuck, signal.SIGSTOP)
        with pytest.raises((Busy, WorkerTimedOut)):
            await rig.picture(view("a"))
        await until(lambda: not rig.engine.ready() and not alive(stuck))
        assert (await rig.picture(view("a"))).body == picture_of(octets, view("a"))


async def test_a_template_that_cannot_start_says_why_and_is_tried_ever_more_seldom(tmp_path: Path) -> None:
    template = stand_in(warm=engine_steps.WARM_NEVER)
    async with running(tmp_path, template, wait=False, step_limit_s=0.5) as rig:
        rig.put("a")
        assert rig.engine.ready() == "the worker template is starting"
        started_s: list[float] = []
        for starts in (2, 3):
            await until(lambda starts=starts: rig.engine.statistics().template_starts_total == starts, 5)  # type: ignore[misc]
            started_s.append(trio.current_time())
            times = ", 2 times in a row" if starts == 3 else ""
            assert f"it ended while warming, exit code 3 (start {starts - 1}{times})" in rig.engine.ready()
        assert started_s[1] - started_s[0] > forge.BACKOFF_S[2]
        with pytest.raises(Busy, match="ended while warming, exit code 3") as caught:
            await rig.picture(view("a"))
        assert caught.value.retry_after_s > 0
        await rig.quiet()


async def test_who_asks_while_a_template_pauses_is_told_to_come_when_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forge, "BACKOFF_S", (0.0, 600.0))
    async with running(tmp_path, stand_in(warm=engine_steps.WARM_NEVER), wait=False) as rig:
        rig.put("a")
        await until(lambda: "started again in 600 s" in rig.engine.ready(), 15)
        with pytest.raises(Busy, match="ended while warming") as caught:
            await rig.picture(view("a"))
        assert 500 < caught.value.retry_after_s <= 600


async def test_a_template_that_hangs_while_it_warms_is_found_out_and_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "SILENT_LIMIT_S", 0.5)
    async with running(tmp_path, stand_in(warm=engine_steps.WARM_FOR_EVER), wait=False) as rig:
        await until(lambda: "it has said nothing for 0.5 s while warming, and was killed" in rig.engine.ready(), 15)
        await until(lambda: rig.engine.statistics().template_starts_total > 1, 15)


async def test_readiness_tells_what_is_being_prepared(tmp_path: Path) -> None:
    async with running(tmp_path, wait=False) as rig:
        said = {rig.engine.ready()}

        def is_ready() -> bool:
            said.add(rig.engine.ready())
            return not rig.engine.ready()

        octets = rig.put("a")
        await until(is_ready, 10)
        assert said >= {"the worker template is starting", ""}
        assert all("preparing kernels, 0 of 1 ready" in text for text in said - {"the worker template is starting", ""})
        assert (await rig.picture(view("a"))).body == picture_of(octets, view("a"))

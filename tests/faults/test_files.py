"""Files that hang, change at every step, and go away with their file system."""

import json
import os
import signal
from pathlib import Path

import h11
import pytest
import trio

from tests.daemon.figures import metrics
from tests.daemon.http1 import Response
from tests.daemon.rig import PROGRAM, RunningDaemon, running_daemon
from tests.daemon.test_answers import alone_answers
from tests.faults.aftermath import LIMIT_S, is_as_before, is_served, stock_of
from tests.faults.hung import hanging, mount_memory, tmpfs, unmount
from tests.faults.program import ORDERS
from tests.faults.test_workers import order, stopped_worker
from tests.frames import make

GOOD = "/img?frame=f/good.fits"


def write_frames(folder: Path, *names: str) -> None:
    """Write small frames, all different."""
    for seed, name in enumerate(names):
        make.write(folder / f"{name}.fits", make.image_hdu(make.star_field(300, 400, seed=seed)))


async def test_files_that_block_cost_their_own_requests_and_their_file_system_is_let_alone(tmp_path: Path) -> None:
    """Killed workers that wait for FUSE do not die: their places are free all the same, their memory is not."""
    here, there, mount = tmp_path / "here", tmp_path / "there", tmp_path / "mount"
    here.mkdir()
    there.mkdir()
    write_frames(here, "good", *(f"g{n}" for n in range(8)))
    os.mkfifo(there / "fifo.fits")
    write_frames(there, "plain", "open-a", "read-b", "open-c", "read-d", "open-e", "open-f", "open-g")
    async with hanging(mount, there):
        settings = {"workers_max": 2, "step_limit_s": 1, "worker_idle_s": 0.3, "lookup_limit_s": 2}
        async with running_daemon([f"f={here}", f"hung={mount}"], **settings) as daemon:
            body = (await daemon.get(GOOD)).body
            plain = await daemon.get("/img?frame=hung/plain.fits")
            assert plain.status == 200
            before = await stock_of(daemon)
            assert (await daemon.get("/img?frame=hung/fifo.fits")).status == 422
            statuses: dict[str, int] = {}

            async def ask(name: str) -> None:
                statuses[name] = (await daemon.get(f"/img?frame=hung/{name}.fits")).status

            with trio.fail_after(LIMIT_S):
                async with trio.open_nursery() as nursery:
                    for name in ("open-a", "read-b", "open-c", "read-d"):
                        nursery.start_soon(ask, name)
            assert set(statuses.values()) <= {504, 503}
            assert statuses["open-a"] == 504
            stuck = (await metrics(daemon))["imgd_engine_workers_stuck"]
            with trio.fail_after(LIMIT_S):
                for n in range(8):  # Both places are free, whatever hangs.
                    assert (await daemon.get(f"/img?frame=f/g{n}.fits")).status == 200
            if (
                stuck
            ):  # The kernel did not let them die: nobody is sent to that file again, and others are told at once.
                again = await daemon.get("/img?frame=hung/open-a.fits")
                assert (again.status, b"does not answer" in again.body) == (503, True)
                assert int(again.headers["retry-after"]) > 0
                for name in ("open-e", "open-f", "open-g"):
                    await ask(name)
                assert (await metrics(daemon))["imgd_engine_workers_stuck"] <= 5, "more and more workers hang"
                assert 503 in (statuses["open-f"], statuses["open-g"])
                kept = await daemon.get("/img?frame=hung/plain.fits")
                assert kept.body == plain.body, "what is known is served without the file"
            (there / "go").touch()
            await is_as_before(daemon, before, GOOD, body)
            assert (await daemon.get("/img?frame=hung/open-a.fits")).status == 200


async def test_a_file_system_that_stands_still_costs_its_own_requests_and_the_daemon_can_end(tmp_path: Path) -> None:
    """A stopped FUSE process is what a dead server of files looks like: look-ups, too, wait for ever."""
    here, there, mount = tmp_path / "here", tmp_path / "there", tmp_path / "mount"
    here.mkdir()
    there.mkdir()
    write_frames(here, "good", "other")
    write_frames(there, "a", "b", "open-c")
    async with hanging(mount, there) as server:
        settings = {"workers_max": 2, "step_limit_s": 1, "worker_idle_s": 0.3, "lookup_limit_s": 0.5, "lookups_max": 2}
        async with running_daemon([f"f={here}", f"hung={mount}"], **settings) as daemon:
            body = (await daemon.get(GOOD)).body
            before = await stock_of(daemon)
            server.send_signal(signal.SIGSTOP)
            statuses: list[int] = []

            async def ask(name: str) -> None:
                statuses.append((await daemon.get(f"/img?frame=hung/{name}.fits")).status)

            with trio.fail_after(LIMIT_S):
                async with trio.open_nursery() as nursery:
                    for name in ("a", "b", "a", "b", "a", "b"):
                        nursery.start_soon(ask, name)
                    await is_served(daemon, GOOD, body)
                    assert (await daemon.get("/img?frame=f/other.fits")).status == 200
            assert statuses == [503] * 6
            server.send_signal(signal.SIGCONT)
            with trio.fail_after(LIMIT_S):
                while (await daemon.get("/img?frame=hung/a.fits")).status != 200:
                    await trio.sleep(0.05)
            await is_as_before(daemon, before, GOOD, body)
            async with trio.open_nursery() as nursery:  # The end of the daemon does not wait for who does not die.
                nursery.start_soon(daemon.get, "/img?frame=hung/open-c.fits")
                with trio.fail_after(LIMIT_S):
                    while not (await metrics(daemon))["imgd_engine_timed_out_total"]:
                        await trio.sleep(0.02)
                nursery.cancel_scope.cancel()
            daemon.process.terminate()
            with trio.fail_after(LIMIT_S):
                assert await daemon.process.wait() == 0
            server.kill()  # Who still waited for it is gone now.


ASKED = (  # What is asked of which kind of file, and the steps of it at which the file is rewritten.
    ("/img?format=png&size=max", ".fits", ("parse", "reduce", "tone", "encode")),
    ("/frame", ".fits", ("parse",)),
    ("/tile?level=0&x=0&y=0&format=png&cut=900,5000", ".fits", ("tiles",)),
    ("/tile?level=4&x=0&y=0&levels=0.1,0.9", ".fits", ("reduce", "halve")),
    ("/tile?level=0&x=0&y=0&cut=900,5000", ".fits.gz", ("read", "tiles")),
    ("/stats?", ".fits", ("measure",)),
)


async def test_a_frame_rewritten_at_the_beginning_and_the_end_of_every_step_is_never_shown_mixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, versions = tmp_path / "root", [tmp_path / "one", tmp_path / "two"]
    folder.mkdir()
    monkeypatch.setenv(PROGRAM, "tests.faults.program")
    monkeypatch.setenv(ORDERS, str(folder / "orders"))
    for seed, version in enumerate(versions):
        octets = make.image_hdu(make.star_field(700 + 300 * seed, 900, seed=seed))
        make.write(version.with_suffix(".fits"), octets)
        make.write_gzip(version.with_suffix(".fits.gz"), octets)
    async with running_daemon(f"f={folder}", workers_max=1, worker_idle_s=0.3) as daemon:
        cases = [(*asked[:2], step, moment) for asked in ASKED for step in asked[2] for moment in ("before", "after")]
        for number, (target, suffix, step, moment) in enumerate(cases):
            path, ones = folder / f"{number}{suffix}", [version.with_suffix(suffix) for version in versions]
            coming = tmp_path / "coming"
            coming.write_bytes(ones[0].read_bytes())
            os.utime(coming, ns=(10**18, 10**18))  # As one that was written long ago.
            order(folder, f"{step} {moment} stop")
            coming.rename(path)  # Not before: who looks into what has come would have done the step already.
            answer = await _ask_while_it_is_rewritten(daemon, folder, _address(target, path), (path, ones[1]))
            expected = [_alone(one, target) for one in ones]
            if answer is not None:  # It is None if it broke off: the client knows that it has not all of it.
                assert answer.status in (200, 503), (target, step, moment, answer.body[:200])
            if answer is not None and answer.status == 200:
                assert _comparable(target, answer.body) in expected, f"{target}: mixed at {step}, {moment}"
            again = await daemon.get(_address(target, path))
            assert (again.status, _comparable(target, again.body) == expected[1]) == (200, True), (target, step, moment)
        figures = await metrics(daemon)
        assert (figures["imgd_engine_crashed_total"], figures["imgd_engine_timed_out_total"]) == (0, 0)


async def _ask_while_it_is_rewritten(
    daemon: RunningDaemon, folder: Path, address: str, files: tuple[Path, Path]
) -> Response | None:
    """Ask; when the worker has stopped as it was ordered, rewrite the file and let it go on. None: it broke off."""
    answers: list[Response | None] = []

    async def ask() -> None:
        try:
            answers.append(await daemon.get(address))
        except h11.RemoteProtocolError:
            answers.append(None)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        worker = await stopped_worker(daemon)
        order(folder, "")
        files[0].write_bytes(files[1].read_bytes())
        os.kill(worker, signal.SIGCONT)
    return answers[0]


def _address(target: str, path: Path) -> str:
    if target == "/frame":
        return f"/frame/f/{path.name}"
    return f"{target}{'' if target.endswith('?') else '&'}frame=f/{path.name}"


def _alone(path: Path, target: str) -> bytes:
    if target == "/frame":
        return b"700" if path.stem == "one" else b"1000"
    return alone_answers(path, target)[0]


def _comparable(target: str, body: bytes) -> bytes:
    """Of a header document, how many rows the frame has; else all of it."""
    return str(json.loads(body)["frame"]["hdus"][0]["shape"][0]).encode() if target == "/frame" else body


async def test_a_root_is_unmounted_and_mounted_while_it_is_served(tmp_path: Path) -> None:
    here, mount = tmp_path / "here", tmp_path / "mount"
    here.mkdir()
    write_frames(here, "good")
    with tmpfs(mount):
        write_frames(mount, "a", "b")
        async with running_daemon([f"f={here}", f"m={mount}"], workers_max=2, worker_idle_s=30) as daemon:
            body = (await daemon.get(GOOD)).body
            shown = await daemon.get("/img?frame=m/a.fits")
            assert shown.status == 200
            for how in ("", "-l"):
                with trio.fail_after(LIMIT_S):
                    while not unmount(mount, how):
                        await trio.sleep(0.05)  # A worker is at it this moment; an idle one keeps nothing.
                assert (await daemon.get("/img?frame=m/a.fits")).status in (404, 503)
                await is_served(daemon, GOOD, body)
                assert not mount_memory(mount)
                write_frames(mount, "a", "b")
                with trio.fail_after(LIMIT_S):
                    while (again := await daemon.get("/img?frame=m/a.fits")).status != 200:
                        await trio.sleep(0.05)
                assert again.body == shown.body
            assert "Traceback" not in daemon.log()


async def test_a_root_that_is_taken_away_under_a_worker_is_let_go_when_the_worker_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mount, orders = tmp_path / "mount", tmp_path / "here"
    orders.mkdir()
    write_frames(orders, "good")
    monkeypatch.setenv(PROGRAM, "tests.faults.program")
    monkeypatch.setenv(ORDERS, str(orders / "orders"))
    with tmpfs(mount):
        write_frames(mount, "a", "b")
        async with running_daemon([f"f={orders}", f"m={mount}"], workers_max=2, worker_idle_s=0.3) as daemon:
            body = (await daemon.get(GOOD)).body
            expected = (await daemon.get("/img?frame=m/a.fits")).body
            before = await stock_of(daemon)
            order(orders, "reduce before stop")
            answers: list[bytes] = []

            async def ask() -> None:
                answers.append((await daemon.get("/img?frame=m/b.fits")).body)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask)
                worker = await stopped_worker(daemon)
                order(orders, "")
                assert not unmount(mount, ""), "in use, and yet unmounted"
                assert unmount(mount)
                assert (await daemon.get("/img?frame=m/a.fits")).status in (404, 503)
                os.kill(worker, signal.SIGCONT)
            assert answers[0] != expected
            assert not mount_memory(mount)
            write_frames(mount, "a", "b")
            with trio.fail_after(LIMIT_S):
                while (again := await daemon.get("/img?frame=m/a.fits")).status != 200:
                    await trio.sleep(0.05)
            assert again.body == expected
            await is_as_before(daemon, before, GOOD, body)

"""Sessions that break, that take too little, that are ended; and directories that are followed."""

import os
from pathlib import Path
from typing import Any

import pytest
import trio
from trio_websocket import ConnectionClosed

from imgd.core.sessions.events import EndOrdered
from imgd.entry import Entry, ref_of
from imgd.events.event import Draft
from imgd.web import following, outbox
from tests.events.listed import ListStore
from tests.web import peer
from tests.web.rig import MemoryEngine, Served, serving
from tests.web.sitting import Sitter, sitting
from tests.web.test_runs import VIEW, settled


async def by_hand(served: Served) -> trio.SocketStream:
    stream = await peer.connect(served.port)
    await stream.send_all(peer.request("/live", *peer.UPGRADE))
    await peer.read_until(stream, b"\r\n\r\n")
    return stream


def text(message: bytes) -> bytes:
    size = bytes([0x80 | len(message)]) if len(message) < 126 else b"\xfe" + len(message).to_bytes(2, "big")
    return b"\x81" + size + bytes(4) + message


@pytest.mark.parametrize("way", ["closing", "fin", "rst"])
async def test_only_a_closing_is_a_clean_end(tmp_path: Path, way: str) -> None:
    async with serving(tmp_path, MemoryEngine()) as served:
        stream = await by_hand(served)
        await stream.send_all(text(b'{"id":1,"op":"hello"}') + text(b'{"id":2,"op":"open","view":"frame=night/a"}'))
        await peer.read_until(stream, b'"opened"')
        if way == "closing":
            await stream.send_all(b"\x88\x82" + bytes(4) + (1001).to_bytes(2, "big"))
        elif way == "rst":
            peer.reset(stream)
        if way != "rst":
            await stream.aclose()
        await settled(lambda: not served.app.runs.statistics().sessions)
        figures = served.app.runs.statistics()
        assert (figures.sessions_parked, figures.runners) == ((0, 0) if way == "closing" else (1, 1))


async def test_an_operator_ends_a_session_and_its_client_is_told(tmp_path: Path) -> None:
    async with serving(tmp_path, MemoryEngine()) as served, sitting(served.port) as client:
        await client.run(await client.open(VIEW))
        served.app.runs.handle(EndOrdered())
        with pytest.raises(ConnectionClosed) as closed:
            await client.hear()
        assert closed.value.reason is not None
        assert (closed.value.reason.code, closed.value.reason.reason) == (4002, "ended by an operator")
        assert served.app.runs.statistics().runners == 0


async def test_who_resumes_a_living_session_takes_it_over(tmp_path: Path) -> None:
    async with serving(tmp_path, MemoryEngine()) as served, sitting(served.port) as one, sitting(served.port) as other:
        hello = await one.ask("hello")
        runner = await one.open(VIEW)
        reply = await other.ask("hello", resume=hello["resume"])
        assert [each["runner"] for each in reply["runners"]] == [runner]
        with pytest.raises(ConnectionClosed) as closed:
            await one.hear()
        assert closed.value.reason is not None
        assert closed.value.reason.code == 4001
        assert (await other.run(runner))["op"] == "completed"


async def test_tiles_for_who_takes_nothing_are_bounded(tmp_path: Path) -> None:
    engine = MemoryEngine()
    engine.course.tile_bytes = 100_000
    async with (
        serving(tmp_path, engine, session_bytes=500_000, set_rest_s=0) as served,
        sitting(served.port) as other,
        await by_hand(served) as stream,
    ):
        await stream.send_all(text(b'{"id":1,"op":"open","view":"frame=night/a","results":["picture"]}'))
        opened = await peer.read_until(stream, b"}}")
        runner = opened.split(b'"runner":"')[1].split(b'"')[0]
        waiting = [each.outbox for each in served.app._live._open.values()]  # Nobody else tells.
        for number in range(100):
            box = [0, 0, 300, 400] if number % 2 else [0, 0, 256, 400]
            asked = b'{"id":%d,"op":"viewport","runner":"%b","level":0,"box":%b,"again":true}'
            await stream.send_all(text(asked % (2 + number, runner, str(box).encode())))
            await other.ask("ping")
            assert all(each.shown_bytes <= 600_000 for each in waiting)
        await settled(lambda: max(each.shown_bytes for each in waiting) >= 200_000)  # Something has to wait.


async def test_who_leaves_too_many_texts_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "TEXTS_MAX", 20)
    engine = MemoryEngine()
    engine.course.picture_bytes = 900_000
    async with (
        serving(tmp_path, engine, set_rest_s=0, send_limit_s=1.0) as served,
        sitting(served.port) as other,
        await by_hand(served) as stream,
    ):
        await stream.send_all(text(b'{"id":1,"op":"open","view":"frame=night/a"}'))
        opened = await peer.read_until(stream, b"}}")
        runner = opened.split(b'"runner":"')[1].split(b'"')[0].decode()
        assert (await other.ask("attach", runner=runner))["op"] == "attached"
        await other.run(runner)  # Its picture fills all that lies between.
        engine.course.picture_bytes = 10
        for _ in range(10):
            await other.run(runner)
        await settled(lambda: served.app.runs.statistics().sessions == 1)
        await settled(lambda: served.sessions.statistics().sessions == 1)


class Camera:
    """A directory, and the log of what is written into it."""

    def __init__(self, tmp_path: Path) -> None:
        self.place = tmp_path / "cam"
        self.place.mkdir()
        self.count = 0
        self.store = ListStore()

    def expose(self, *, told: bool = True, folder: str = "cam") -> str:
        """Write a frame; return its name."""
        self.count += 1
        name = f"{self.count}.fits"
        if folder == "cam":
            (self.place / name).write_bytes(b"SIMPLE")
            os.utime(self.place / name, (self.count, self.count))
        frame = Entry(name, ref_of(f"night/{folder}/{name}".encode()), "frame", 6, None)
        if told:
            self.store.append(Draft(at="", type="frame.arrived", root="night", path=f"{folder}/{name}", frame=frame))
        return f"night/{folder}/{name}"


async def completed(client: Sitter, frame: str) -> None:
    while not any(each["op"] == "completed" and each["result"]["frame"] == frame for each in client.told):
        await client.hear()


async def test_a_followed_directory_shows_its_newest_and_each_newer_one(tmp_path: Path) -> None:
    camera, engine = Camera(tmp_path), MemoryEngine()
    camera.expose()
    second = camera.expose()
    async with serving(tmp_path, engine, store=camera.store, set_rest_s=0) as served, sitting(served.port) as client:
        await client.open("", follow="night/cam")
        await completed(client, second)
        camera.expose(folder="cam/below")
        camera.expose(folder="camera")
        await completed(client, camera.expose())
        assert len(engine.begun) == 2


async def test_frames_that_come_while_one_is_made_are_skipped_and_told_of(tmp_path: Path) -> None:
    camera, engine = Camera(tmp_path), MemoryEngine()
    first = camera.expose()
    engine.course.gate = trio.Event()
    async with serving(tmp_path, engine, store=camera.store, set_rest_s=0) as served, sitting(served.port) as client:
        await client.open("", follow="night/cam")
        await settled(lambda: engine.under_way)
        for _ in range(5):
            newest = camera.expose()
            await served.log.catch_up()
            await trio.sleep(0.02)
        engine.course.gate.set()
        await completed(client, newest)
        assert [each.wanted.frame for each in engine.begun] == [first, newest]
        assert served.app.runs.statistics().frames_skipped_total == 4


async def test_a_directory_that_is_not_there_yet_is_said_and_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "AGAIN_S", 0.02)
    async with serving(tmp_path, MemoryEngine()) as served, sitting(served.port) as client:
        runner = await client.open("", follow="night/cam")
        await settled(lambda: "cam" in str(served.app.runs.sessions.overview()))
        texts: list[str] = []
        with trio.fail_after(5):
            while not texts:
                log = await client.ask("log", runner=runner)
                texts = [each["text"] for each in log["entries"] if each["severity"] == "warning"]
        camera = Camera(tmp_path)
        await completed(client, camera.expose(told=False))


async def test_a_link_to_a_directory_is_followed_wherever_it_leads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "AGAIN_S", 0.02)
    camera = Camera(tmp_path)
    (tmp_path / "latest").symlink_to("cam")
    store, first = camera.store, camera.expose().rpartition("/")[2]
    async with serving(tmp_path, MemoryEngine(), store=store, set_rest_s=0) as served, sitting(served.port) as client:
        await client.open("", follow="night/latest")
        await completed(client, f"night/latest/{first}")
        newer = camera.expose().rpartition("/")[2]  # Told of as one of night/cam.
        await completed(client, f"night/latest/{newer}")
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "z.fits").write_bytes(b"SIMPLE")
        (tmp_path / "link").symlink_to("other")
        (tmp_path / "link").rename(tmp_path / "latest")
        await completed(client, "night/latest/z.fits")


async def test_a_store_that_is_down_does_not_keep_new_frames_from_being_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "AGAIN_S", 0.02)
    camera: Any = Camera(tmp_path)
    first = camera.expose()
    async with serving(tmp_path, MemoryEngine(), store=camera.store) as served, sitting(served.port) as client:
        await client.open("", follow="night/cam")
        await completed(client, first)
        camera.store.down = "away"
        served.log.nudge()
        await settled(lambda: served.log.down)
        await completed(client, camera.expose(told=False))
        camera.store.down = ""
        served.log.nudge()
        await completed(client, camera.expose())

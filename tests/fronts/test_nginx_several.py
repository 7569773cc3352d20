"""Several daemons behind nginx: each frame at one of them; one that dies or is drained costs nobody an answer."""

import json
import os
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
import trio

from tests.daemon.asking import Asking
from tests.daemon.figures import metrics
from tests.daemon.rig import RunningDaemon, running_daemon, starting_daemon
from tests.frames import make
from tests.fronts.nginx import FILES, Site, is_reloaded, reload, running_nginx
from tests.fronts.place import Certificate, Place, make_certificate

FRAMES = 24
LIMIT_S = 30.0
FAIL_TIMEOUT_S = 1
UPSTREAM = "include imgd/upstreams.conf;"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with some frames, one level deep."""
    place = tmp_path_factory.mktemp("frames")
    (place / "night").mkdir()
    for number in range(FRAMES):
        make.write(place / "night" / f"{number}.fits", make.image_hdu(make.star_field(60, 80, seed=number)))
    return place


@dataclass
class Several:
    """Two daemons by their names, and whom their readers ask."""

    folder: Path
    daemons: dict[str, RunningDaemon]
    front: Asking
    place: Place

    def answered(self, path: str) -> list[str]:
        """Tell which daemons have answered at this path, in order; "" where none has."""
        lines = map(json.loads, self.place.logs[1].read_text().splitlines())
        return [Path(line["daemon"].rpartition(",")[2].strip()).stem for line in lines if line["path"] == path]

    async def asks(self, address: str, **headers: str) -> str:
        """Ask; tell which daemon answered."""
        path = address.partition("?")[0]
        before = len(self.answered(path))
        answer = await self.front.get(address, **headers)
        assert answer.status == 200, (address, answer.body)
        with trio.fail_after(LIMIT_S):
            while len(answered := self.answered(path)) == before:  # It is written down when it is sent already.
                await trio.sleep(0.001)
        return answered[-1]

    async def homes(self) -> dict[str, str]:
        """Tell which daemon each frame is at."""
        return {frame: await self.asks(f"/frame/{frame}") for frame in frames()}

    async def say(self, **marks: str) -> None:
        """Write the list of daemons, each with a mark such as "down", and have nginx read it."""
        write_list(self.folder, marks)
        older = reload(self.place)
        with trio.fail_after(LIMIT_S):
            while not is_reloaded(self.place, older):
                await trio.sleep(0.02)


def frames() -> list[str]:
    """Name all frames."""
    return [f"f/night/{number}.fits" for number in range(FRAMES)]


def write_list(folder: Path, marks: dict[str, str]) -> None:
    """Write which daemons there are."""
    lines = [
        f"server unix:{folder}/{name}.sock max_fails=1 fail_timeout={FAIL_TIMEOUT_S}s {marks.get(name, '')};\n"
        for name in ("a", "b")
    ]
    place = folder / "nginx" / "imgd"
    place.mkdir(parents=True, exist_ok=True)
    (place / "imgd-daemons.conf").write_text("".join(lines))


@asynccontextmanager
async def several(folder: Path, at: Path) -> AsyncIterator[Several]:
    """Start two daemons over the same frames, and nginx before them, in the folder `at`."""
    certificate: Certificate = make_certificate(at)
    write_list(at, {})
    async with AsyncExitStack() as opened:
        daemons = {
            name: await opened.enter_async_context(
                running_daemon(f"f={folder}", bind=f"127.0.0.1:0,unix:{at}/{name}.sock")
            )
            for name in ("a", "b")
        }
        site = Site(upstream=UPSTREAM)
        place = await opened.enter_async_context(running_nginx(at / "nginx", at, certificate, site=site))
        front = Asking(host=place.host, port=place.tls_port, certificate=certificate)
        yield Several(at, daemons, front, place)


async def test_each_frame_is_at_one_daemon_and_moves_only_when_that_one_goes(folder: Path, tmp_path: Path) -> None:
    async with several(folder, tmp_path) as them:
        homes = await them.homes()
        assert min(Counter(homes.values()).values()) >= 3, homes
        for frame, home in list(homes.items())[:6]:
            whole = quote(frame, safe="")
            for address in (
                f"/img?frame={frame}&size=20,", f"/img?size=20,&frame={whole}", f"/stats?frame={whole}",
                f"/tiles/{frame}/tiles.json?stretch=log", f"/tiles/{frame}/0/0/0.png", f"/dzi/{frame}.dzi",
                f"/dzi/{frame}_files/0/0_0.jpg", f"/iiif/3/{whole}/info.json", f"/iiif/3/{whole};stretch=log/info.json",
                f"/iiif/3/{whole}/full/max/0/default.jpg", f"/runs?frame={frame}",
            ):  # fmt: skip
                assert await them.asks(address) == home, address
        await readers_stay(them)
        dead = them.daemons["a"]
        os.kill(dead.pid, signal.SIGKILL)
        await dead.process.wait()
        assert set((await them.homes()).values()) == {"b"}, "nobody sees an error"
        async with starting_daemon(f"f={folder}", bind=f"127.0.0.1:0,unix:{tmp_path}/a.sock") as again:
            await again.until_ready()
            with trio.fail_after(LIMIT_S):
                while await them.homes() != homes:  # It is tried again after fail_timeout.
                    await trio.sleep(0.1)
            await one_is_drained(them)


async def readers_stay(them: Several) -> None:
    """Check that what names no frame belongs to who asks: session, pictures by UID, whatever the address."""
    page = await them.front.get("/")
    assert page.headers["set-cookie"].endswith("; Path=/; Secure; HttpOnly; SameSite=Lax")
    kept = re.search(rb"ui/[\w/]+-[\w-]{8}\.\w+", page.body)
    assert kept is not None
    for address in (f"/{kept[0].decode()}", "/docs", "/frames"):
        answer = await them.front.get(address)
        assert "set-cookie" not in answer.headers, address
        assert ("immutable" in answer.headers["cache-control"]) == address.startswith("/ui/"), address
    assert "set-cookie" not in (await them.front.get("/", cookie="imgd_place=1")).headers
    homes = set()
    for number in range(12):
        cookie = f"imgd_place={number}"
        async with them.front.websocket("/live", headers=[(b"cookie", cookie.encode())]) as live:
            await live.send_message(json.dumps({"id": 1, "op": "src", "view": {"frame": frames()[number]}}))
            uid = json.loads(await live.get_message())["uid"]
            homes.add(await them.asks(f"/img?u={uid}", cookie=cookie))
    assert homes == {"a", "b"}
    assert len({await them.asks("/frames") for _ in range(8)}) == 1, "who has no cookie is known by the address"


async def one_is_drained(them: Several) -> None:
    """Take a daemon out, back in, and out again to end it, while readers go on."""
    drained, answers, ended = them.daemons["b"], Counter[int](), trio.Event()
    name = "imgd_web_answers_total"

    async def load(first: int) -> None:
        number = first
        while not ended.is_set():
            number += 1
            frame = frames()[number % FRAMES]
            answers[(await them.front.get(f"/img?frame={frame}&size={30 + number % 40},")).status] += 1

    async def answered(count: int) -> None:
        until = answers.total() + count
        with trio.fail_after(LIMIT_S):
            while answers.total() < until:
                await trio.sleep(0.01)

    async with trio.open_nursery() as nursery:
        for first in range(3):
            nursery.start_soon(load, first)
        await answered(20)
        for is_last in (False, True):
            await them.say(b="down")
            before = (await metrics(drained))[name]
            await answered(30)
            assert (await metrics(drained))[name] == before, "it is asked still"
            if not is_last:
                await them.say()
                with trio.fail_after(LIMIT_S):
                    while (await metrics(drained))[name] < before + 5:
                        await trio.sleep(0.02)
        drained.process.send_signal(signal.SIGTERM)
        assert await drained.process.wait() == 0
        await answered(30)
        ended.set()
    assert set(answers) == {200}, answers


async def test_a_daemon_at_another_machine_speaks_tls_and_shows_who_it_is(folder: Path, tmp_path: Path) -> None:
    """The lines are those that upstreams.conf shows."""
    shown = re.findall(r"^#   (map .*|proxy_ssl.*)$", (FILES / "upstreams.conf").read_text(), re.MULTILINE)
    assert len(shown) == 5
    outside, inside = make_certificate(tmp_path), tmp_path / "inside"
    inside.mkdir()
    own = make_certificate(inside)
    async with running_daemon(f"f={folder}", certificate=own) as daemon:
        upstream = f"upstream imgd {{ server {daemon.host}:{daemon.port}; keepalive 8; }}"
        for authority, status in ((own.authority, 200), (outside.authority, 502)):
            lines = [line.replace("/etc/ssl/imgd/authority.pem", str(authority)) for line in shown[1:]]
            more = "\n".join(lines).replace("imgd-daemons.example.org", "localhost")
            site = Site(upstream=upstream, beside=shown[0], more=more)
            async with running_nginx(tmp_path / f"nginx-{status}", tmp_path, outside, site=site) as place:
                front = Asking(host=place.host, port=place.tls_port, certificate=outside)
                for address in (
                    "/frames",
                    "/tiles/f/night/1.fits/tiles.json",
                    "/img?frame=f%2Fnight%2F1.fits&size=20,",
                ):
                    assert (await front.get(address)).status == status, address
                if status == 200:
                    async with front.websocket("/live") as live:
                        await live.send_message('{"id":1,"op":"ping"}')
                        assert json.loads(await live.get_message())["op"] == "ping"

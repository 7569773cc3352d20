"""What nginx keeps: tiles and pictures whose address names a version, for those who may see them, and nothing else."""

import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from tests.daemon.figures import metrics
from tests.daemon.http1 import Response
from tests.frames import make
from tests.fronts.nginx import Fronted, Site, daemon_behind_nginx

CROWD = 50
LIMIT_S = 20.0

# Stands in for whoever will know tickets: who says who they are is let in, by a class of rights.
BY_NAME = """
location = /imgd-auth {
    internal;
    if ($http_x_reader = "") { return 401; }
    if ($http_x_reader = "mallory") { return 403; }
    proxy_pass http://127.0.0.1:%d/class/$http_x_reader;
    proxy_pass_request_body off;
    proxy_set_header Content-Length "";
}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with frames."""
    place = tmp_path_factory.mktemp("frames")
    make.write(place / "a.fits", make.image_hdu(make.star_field(700, 1100)))
    return place


async def template_of(fronted: Fronted, frame: str, look: str = "") -> str:
    """Tell the address of the one tile that shows all of a frame; it names the version."""
    document = json.loads((await fronted.front.get(f"/tiles/f/{frame}/tiles.json{look}")).body)
    address: str = document["template"]
    return address.replace("{z}", "0").replace("{x}", "0").replace("{y}", "0")


async def asked(fronted: Fronted) -> float:
    """Count what the daemon was asked for, of pictures and tiles."""
    figures = await metrics(fronted.daemon)
    names = ("answers", "not_modified", "problems", "broken")
    return sum(figures[f"imgd_web_{name}_total"] for name in names)


async def test_a_kept_tile_never_reaches_the_daemon(folder: Path, tmp_path: Path) -> None:
    async with daemon_behind_nginx(tmp_path, f"f={folder}") as fronted:
        address = await template_of(fronted, "a.fits")
        version = address.partition("?v=")[2]
        own = await fronted.daemon.get(address)
        told = [await fronted.front.get(address) for _ in range(3)]
        assert [answer.headers["x-imgd-cache"] for answer in told] == ["MISS", "MISS", "HIT"], "the second one is kept"
        before = await asked(fronted)
        for answer in told[2], await fronted.front.get(address), await fronted.front.get(address, x_other="1"):
            assert (answer.status, answer.headers["x-imgd-cache"], answer.body) == (200, "HIT", own.body)
            mine = {name: value for name, value in answer.headers.items() if name in own.headers}
            assert {**mine, "date": "", "accept-ranges": ""} == {**own.headers, "date": "", "accept-ranges": ""}
        head = await fronted.front.head(address)
        assert (head.status, head.headers["x-imgd-cache"], head.body) == (200, "HIT", b"")
        known = await fronted.front.get(address, if_none_match=own.headers["etag"])
        assert (known.status, known.headers["x-imgd-cache"], known.body) == (304, "HIT", b"")
        part = await fronted.front.get(address, range="bytes=2-5")
        assert (part.status, part.body) == (206, own.body[2:6])
        async with fronted.front.connect2() as connection:
            assert (await connection.get(address)).body == own.body
        assert await asked(fronted) == before, "the daemon was asked for what nginx has"
        await a_crowd_has_a_tile_made_once(fronted, address.replace(".jpg", ".webp"))
        await heads_are_not_kept(fronted, address.replace(".jpg", ".png"))
        await what_does_not_last_is_asked_for(fronted, version)
        await each_form_is_its_own(fronted, version)
        fronted.daemon.process.send_signal(signal.SIGTERM)
        await fronted.daemon.process.wait()
        gone = await fronted.front.get(address)
        assert (gone.status, gone.headers["x-imgd-cache"], gone.body) == (200, "HIT", own.body)
        assert (await fronted.front.get(address + "&stretch=log")).status == 502


async def heads_are_not_kept(fronted: Fronted, address: str) -> None:
    """Check that the head of what was never asked for whole takes the place of nothing."""
    for _ in range(3):
        head = await fronted.front.head(address)
        assert (head.status, head.headers["x-imgd-cache"], head.body) == (200, "MISS", b"")
    assert (await fronted.front.get(address)).body.startswith(b"\x89PNG")
    assert (await fronted.front.get(address)).body.startswith(b"\x89PNG")


async def what_does_not_last_is_asked_for(fronted: Fronted, version: str) -> None:
    """Check that what has no version, and what is an error, is asked for each time."""
    other = "0" * len(version)
    for address, status in (
        ("/tiles/f/a.fits/0/0/0.jpg", 200),
        ("/tiles/f/a.fits/0/0/0.jpg?rev=1", 400),
        (f"/tiles/f/a.fits/0/0/0.jpg?v={other}", 404),
        (f"/tiles/f/a.fits/0/9/9.jpg?v={version}", 404),
        (f"/tiles/f/none.fits/0/0/0.jpg?v={version}", 404),
        (f"/dzi/f/a.fits_files/99/0_0.jpg?v={version}", 404),
        (f"/iiif/3/f%2Fa.fits;v={other}/full/max/0/default.jpg", 404),
        (f"/img?frame=f/a.fits&v={version}", 400),
        (f"/thumbnail?frame=f/a.fits&v={version}", 400),
    ):
        for _ in range(3):
            before = await asked(fronted)
            answer = await fronted.front.get(address)
            assert answer.status == status, address
            assert answer.headers.get("x-imgd-cache", "MISS") == "MISS", address
            assert await asked(fronted) == before + 1, address


async def each_form_is_its_own(fronted: Fronted, version: str) -> None:
    """Check that what depends on more than the address is kept by all that it depends on."""
    address = f"/iiif/3/f%2Fa.fits;v={version}/info.json"
    for accept, expected in (("*/*", "application/json"), ("application/ld+json", "application/ld+json")) * 4:
        answer = await fronted.front.get(address, accept=accept)
        assert answer.headers["content-type"].startswith(expected), (accept, answer.headers)
    assert answer.headers["x-imgd-cache"] == "HIT"
    for name in ("one.test", "other.test") * 4:
        named = await fronted.front.get(address, host=name)
        assert json.loads(named.body)["id"].startswith(f"https://{name}/iiif/3/")
    assert named.headers["x-imgd-cache"] == "HIT"
    picture = f"/iiif/3/f%2Fa.fits;v={version}/10,10,300,200/150,/90/default.jpg"
    bodies = {(await fronted.front.get(picture)).body for _ in range(2)}
    kept = await fronted.front.get(picture)
    assert kept.headers["x-imgd-cache"] == "HIT"
    assert bodies == {kept.body}


async def a_crowd_has_a_tile_made_once(fronted: Fronted, address: str) -> None:
    """Ask many times at once for a tile that nobody has asked for before, and then for one that is kept."""
    before = await metrics(fronted.daemon)
    await crowd(fronted, address)
    made = await metrics(fronted.daemon)
    name = "imgd_engine_submitted_total"
    assert made[name] == before[name] + 1
    await fronted.front.get(address)  # The crowd may have been too fast for the answer to be kept already.
    asked_before = await asked(fronted)
    assert await crowd(fronted, address) == {"HIT"}
    assert await asked(fronted) == asked_before


async def crowd(fronted: Fronted, address: str) -> set[str]:
    """Ask many times at once; tell where the answers came from."""
    answers: list[Response] = []

    async def ask() -> None:
        answers.append(await fronted.front.get(address))

    async with trio.open_nursery() as nursery:
        for _ in range(CROWD):
            nursery.start_soon(ask)
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    return {answer.headers["x-imgd-cache"] for answer in answers}


async def test_nobody_gets_from_the_cache_what_they_may_not_see(folder: Path, tmp_path: Path) -> None:
    async with rights() as port, daemon_behind_nginx(tmp_path, f"f={folder}", Site(authorisation=BY_NAME % port)) as it:

        async def told(address: str, reader: str) -> tuple[int, str]:
            answer = await it.front.get(address, **({"x_reader": reader} if reader else {}))
            return answer.status, answer.headers.get("x-imgd-cache", "")

        document = await it.front.get("/tiles/f/a.fits/tiles.json", x_reader="ann")
        template: str = json.loads(document.body)["template"]
        address = template.replace("{z}", "0").replace("{x}", "0").replace("{y}", "0")
        assert [await told(address, "ann") for _ in range(3)] == [(200, "MISS"), (200, "MISS"), (200, "HIT")]
        before = await asked(it)
        for reader, status in (("", 401), ("mallory", 403), ("nobody", 403)):
            for where in (address, "/", "/ui/icon.svg", "/img?frame=f/a.fits", "/frames", "/events", "/live"):
                assert (await told(where, reader))[0] == status, (where, reader)
            refused = await it.front.get(address, **({"x_reader": reader} if reader else {}))
            assert refused.headers["content-type"] == "application/problem+json"
            async with it.front.connect2() as connection:
                assert (await connection.get(address, x_reader=reader or "nobody")).status == (
                    status if reader else 403
                )
        assert await asked(it) == before, "a refused reader's request reached the daemon"
        assert await told(address, "ben") == (200, "HIT"), "of the same class"
        assert [await told(address, "zoe") for _ in range(3)] == [(200, "MISS"), (200, "MISS"), (200, "HIT")]
        claimed = await it.front.get(address, x_reader="eve", x_imgd_class="staff")
        assert claimed.headers["x-imgd-cache"] == "MISS", "a class is not what a reader says"


@asynccontextmanager
async def rights() -> AsyncIterator[int]:
    """Answer who may, as the part that knows tickets would: by a status and a class; tell the port."""
    classes = {"ann": "staff", "ben": "staff", "zoe": "guests", "eve": "public"}

    async def answer(stream: trio.SocketStream) -> None:
        async with stream:
            reader = (await stream.receive_some()).split(b" ")[1].rpartition(b"/")[2].decode()
            found = classes.get(reader)
            head = f"HTTP/1.1 204 No Content\r\nX-Imgd-Class: {found}\r\n" if found else "HTTP/1.1 403 Forbidden\r\n"
            await stream.send_all(f"{head}Content-Length: 0\r\nConnection: close\r\n\r\n".encode())

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, answer, 0, host="127.0.0.1"))
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()

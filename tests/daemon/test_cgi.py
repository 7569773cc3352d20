"""`imgd-cgi` as a web server runs it: with the daemon's workers, with the daemon's memory, and alone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from tests.daemon.figures import metrics, until_free
from tests.daemon.rig import PROJECT, RunningDaemon, running_daemon
from tests.daemon.test_cancel import FREE_LIMIT_S
from tests.daemon.test_crowd import alone_bytes
from tests.daemon.test_faults import BIG
from tests.frames import make

QUERY = "frame=f/a.fits&size=300,&levels=0.05,0.999"
PAIRS = [("frame", "f/a.fits"), ("size", "300,"), ("levels", "0.05,0.999")]


async def run_cgi(query: str, **environment: str) -> tuple[int, dict[str, str], bytes]:
    """Run it with CGI's environment; return exit code, header lines, body."""
    ran = await trio.run_process(
        [sys.executable, "-m", "cgi_worker.cli"],
        env=cgi_environment(query, **environment),
        capture_stdout=True,
        capture_stderr=True,
        check=False,
    )
    assert b"Traceback" not in ran.stderr, ran.stderr
    head, _, body = ran.stdout.partition(b"\r\n\r\n")
    lines = [line.partition(": ") for line in head.decode().split("\r\n")]
    return ran.returncode, {name.lower(): value for name, _, value in lines}, body


def cgi_environment(query: str, **more: str) -> dict[str, str]:
    """What a web server sets."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("IMGD_")}
    fixed = {"GATEWAY_INTERFACE": "CGI/1.1", "REQUEST_METHOD": "GET", "QUERY_STRING": query, "PYTHONPATH": str(PROJECT)}
    return kept | fixed | more


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small frame and a big one."""
    import numpy as np

    place = tmp_path_factory.mktemp("frames")
    make.write(place / "a.fits", make.image_hdu(make.star_field(600, 900)))
    sky = np.tile(make.star_field(BIG[0] // 10, BIG[1] // 10), (10, 10))
    make.write(place / "big.fits", make.image_hdu(sky))
    return place


@pytest.mark.parametrize("mode", ["hand_over", "attach", "alone"])
async def test_every_answer_is_right_in_each_mode(folder: Path, tmp_path: Path, mode: str) -> None:
    socket = str(tmp_path / "cgi.sock")
    async with running_daemon(f"f={folder}", workers_max=2, cgi_socket=socket) as daemon:
        where = {"alone": {"IMGD_ROOTS": f"f={folder}"}, "attach": {"IMGD_SOCKET": socket, "IMGD_CGI": "attach"}}
        given = where.get(mode, {"IMGD_SOCKET": socket})
        code, head, body = await run_cgi(QUERY, **given)
        assert (code, head["status"][:3]) == (0, "200")
        assert head["content-type"] == "image/jpeg"
        assert body == alone_bytes(folder, PAIRS), "not the picture that the daemon gives"
        assert int(head["content-length"]) == len(body)
        etag = head["etag"]
        assert (await daemon.get("/img?" + QUERY)).headers["etag"] == etag
        code, head, body = await run_cgi(QUERY, HTTP_IF_NONE_MATCH=etag, **given)
        assert (code, head["status"][:3], body) == (0, "304", b"")
        code, head, body = await run_cgi(QUERY, REQUEST_METHOD="HEAD", **given)
        assert (code, head["status"][:3], body) == (0, "200", b"")
        assert (await run_cgi(QUERY, REQUEST_METHOD="POST", **given))[1]["status"][:3] == "405"
        for query, status in (
            ("frame=f/none.fits", "404"),
            ("frame=f/a.fits&size=x", "400"),
            ("u=unknown", "503" if mode == "alone" else "404"),
        ):
            code, head, body = await run_cgi(query, **given)
            assert head["status"].startswith(status), (query, head)
            assert head["content-type"] == "application/problem+json"
            assert code == 0, "an answer was given in full"
        await until_free(daemon, FREE_LIMIT_S)


@pytest.mark.parametrize("mode", ["hand_over", "attach"])
async def test_a_cgi_that_is_killed_frees_everything(folder: Path, tmp_path: Path, mode: str) -> None:
    socket = str(tmp_path / "cgi.sock")
    async with running_daemon(f"f={folder}", workers_max=2, worker_threads=1, cgi_socket=socket) as daemon:
        await daemon.get("/frame/f/big.fits")
        environment = cgi_environment(
            "frame=f/big.fits&size=max&format=png",
            IMGD_SOCKET=socket,
            **({"IMGD_CGI": mode} if mode == "attach" else {}),
        )
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "cgi_worker.cli"], env=environment, stdout=subprocess.DEVNULL
        )
        with trio.fail_after(20):
            while not (await metrics(daemon))["imgd_engine_leased_bytes"]:
                await trio.sleep(0.005)
        process.kill()
        await process.wait()
        await until_free(daemon, FREE_LIMIT_S)
        assert (await daemon.get("/img?" + QUERY)).status == 200


async def test_a_uid_of_a_session_serves_a_cgi(folder: Path, tmp_path: Path) -> None:
    import json

    socket = str(tmp_path / "cgi.sock")
    async with running_daemon(f"f={folder}", workers_max=1, cgi_socket=socket) as daemon:
        async with daemon.websocket("/live") as live:
            await live.send_message(json.dumps({"id": 7, "op": "src", "view": dict(PAIRS)}))
            uid = json.loads(await live.get_message())["uid"]
            code, head, body = await run_cgi(f"u={uid}", IMGD_SOCKET=socket)
        assert (code, head["status"][:3]) == (0, "200")
        assert body == alone_bytes(folder, PAIRS)


async def test_without_a_daemon_it_works_alone(folder: Path, tmp_path: Path) -> None:
    gone = str(tmp_path / "nobody.sock")
    code, head, body = await run_cgi(QUERY, IMGD_SOCKET=gone, IMGD_ROOTS=f"f={folder}")
    assert (code, head["status"][:3]) == (0, "200")
    assert body == alone_bytes(folder, PAIRS)


async def ask_while_the_daemon_dies(daemon: RunningDaemon, socket: str, answers: list[dict[str, str]]) -> None:
    """Run a CGI for a big picture."""
    answers.append((await run_cgi("frame=f/big.fits&size=max&format=png", IMGD_SOCKET=socket))[1])


async def test_a_daemon_that_dies_meanwhile_is_a_503(folder: Path, tmp_path: Path) -> None:
    socket = str(tmp_path / "cgi.sock")
    answers: list[dict[str, str]] = []
    async with running_daemon(f"f={folder}", workers_max=1, worker_threads=1, cgi_socket=socket) as daemon:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask_while_the_daemon_dies, daemon, socket, answers)
            with trio.fail_after(20):
                while not (await metrics(daemon))["imgd_engine_leased_bytes"]:
                    await trio.sleep(0.005)
            daemon.process.kill()
            await daemon.process.wait()
        await daemon.settles(lambda: not daemon.processes())
    assert answers[0]["status"].startswith("503")
    assert "retry-after" in answers[0]

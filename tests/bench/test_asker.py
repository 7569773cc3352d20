"""What the benches ask with reads answers as a library does, of every form that the daemon answers in."""

import http.client
from functools import partial
from pathlib import Path

import pytest
import trio

from bench.asker import Asker
from tests.daemon.rig import running_daemon
from tests.frames import make


def as_the_library_reads(host: str, port: int, target: str, **headers: str) -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection(host, port, timeout=30)
    connection.request("GET", target, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    try:
        return answer.status, answer.getheader("etag", ""), answer.read()
    finally:
        connection.close()


async def test_answers_are_read_as_a_library_reads_them(tmp_path: Path) -> None:
    make.write(tmp_path / "a.fits", make.image_hdu(make.star_field(900, 1200)))
    async with running_daemon(f"f={tmp_path}", workers_max=1) as daemon:
        host, port = daemon.host, daemon.port

        def compare() -> None:
            with Asker(host, port) as asker:
                picture = asker.picture("/img?frame=f/a.fits&format=png&size=max")  # Long, and in chunks at first.
                assert picture.levels.startswith("{")
                for target, headers in (
                    ("/img?frame=f/a.fits&format=png&size=max", {}),
                    ("/img?frame=f/a.fits&format=png&size=max", {"if_none_match": picture.etag}),
                    ("/img?frame=f/none.fits", {}),
                    ("/nowhere", {}),
                ):
                    mine = asker.ask(target, **headers)
                    status, etag, body = as_the_library_reads(host, port, target, **headers)
                    assert (mine.status, mine.etag) == (status, etag)
                    assert mine.body == body or (status == 404 and len(mine.body) == len(body)), "a problem has its id"
                    assert mine.spent_ms > 0
                assert picture.body == asker.picture("/img?frame=f/a.fits&format=png&size=max").body

        await trio.to_thread.run_sync(compare)


async def test_an_answer_that_ends_early_is_an_error() -> None:
    async def half(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 200 \r\ncontent-length: 10\r\n\r\nhalf")
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, half, 0, host="127.0.0.1"))
        with Asker("127.0.0.1", listener.socket.getsockname()[1]) as asker, pytest.raises(ConnectionError):
            await trio.to_thread.run_sync(asker.ask, "/")
        nursery.cancel_scope.cancel()

"""A browser directly: TLS with HTTP/2 and HTTP/1.1 on one port, what does not speak it, and http that leads there."""

import contextlib
import os
import re
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

import pytest
import trio

from imgd.cli import EXIT_NOT_NOW, EXIT_WRONG_SETTING
from tests.daemon.http1 import connect, open_stream
from tests.daemon.rig import PROJECT, RunningDaemon, running_daemon
from tests.frames import make
from tests.fronts.place import make_certificate

LIMIT_S = 30.0  # Against hanging.
REDIRECTS = re.compile(r"http at http://127\.0\.0\.1:(\d+)/ leads to https")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make.write(tmp_path / "a.fits", make.image_hdu(make.star_field(60, 80)))
    return tmp_path


@asynccontextmanager
async def secure_daemon(folder: Path, **settings: object) -> AsyncIterator[RunningDaemon]:
    certificate = make_certificate(folder)
    async with running_daemon(f"f={folder}", certificate=certificate, workers_max=1, **settings) as daemon:
        yield daemon


async def connected(daemon: RunningDaemon, context: ssl.SSLContext) -> trio.SSLStream[trio.SocketStream]:
    stream = await open_stream(daemon.host, daemon.port, 0, context)
    assert isinstance(stream, trio.SSLStream)
    return stream


async def read_all(stream: trio.abc.ReceiveStream) -> bytes:
    """Read to the end, however it comes."""
    data = b""
    with trio.fail_after(LIMIT_S), contextlib.suppress(trio.BrokenResourceError):
        while more := await stream.receive_some(65_536):
            data += more
    return data


@cache
def client_hello() -> bytes:
    """What a client says first."""
    hello = ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client = context.wrap_bio(ssl.MemoryBIO(), hello, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return hello.read()


async def run_cli(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    with trio.fail_after(LIMIT_S):
        return await trio.run_process(
            [sys.executable, "-m", "imgd.cli", *arguments],
            capture_stdout=True, capture_stderr=True, check=False, env=environment,
        )  # fmt: skip


async def speaks_both(daemon: RunningDaemon) -> None:
    """Ask in all that it speaks, and see what was agreed on."""
    assert daemon.certificate is not None
    for offered, agreed in ((("h2", "http/1.1"), "h2"), (("http/1.1",), "http/1.1"), ((), None), (("x",), None)):
        stream = await connected(daemon, daemon.certificate.client_context(*offered))
        assert (stream.selected_alpn_protocol(), stream.version()) == (agreed, "TLSv1.3")
        await stream.aclose()
    picture = await daemon.get("/img?frame=f/a.fits")
    assert picture.status == 200
    async with daemon.connect() as one:
        for _ in range(3):
            assert (await one.get("/img?frame=f/a.fits")).body == picture.body
    async with daemon.connect2() as both:
        numbers = [await both.send("GET", "/img?frame=f/a.fits") for _ in range(5)]
        assert [(await both.answer(number)).body for number in numbers] == [picture.body] * 5
    async with daemon.websocket("/live") as live:
        await live.send_message('{"id":1,"op":"ping"}')
        assert '"op":"ping"' in await live.get_message()
    manifest = await daemon.get("/iiif/3/f%2Fa.fits/info.json")
    assert f"https://{daemon.host}:{daemon.port}/iiif/3/".encode() in manifest.body  # What it says of itself.
    assert "strict-transport-security" not in manifest.headers  # It would bind all other ports of this host too.


async def tells_the_end(daemon: RunningDaemon) -> None:
    """Ask as HTTP/1.0 does: without TLS' own end (close_notify) a whole answer looks like one that was cut off."""
    assert daemon.certificate is not None
    below = await trio.open_tcp_stream(daemon.host, daemon.port)
    stream = trio.SSLStream(below, daemon.certificate.client_context(), server_hostname=daemon.host)
    await stream.send_all(b"GET /healthz HTTP/1.0\r\n\r\n")
    data = b""
    with trio.fail_after(LIMIT_S):
        while more := await stream.receive_some():  # Would raise, as this end insists on a word.
            data += more
    assert data.endswith(b'{"status":"ok"}')
    await stream.aclose()


async def refuses_old_tls(daemon: RunningDaemon) -> None:
    """Offer what is no longer safe."""
    assert daemon.certificate is not None
    old = daemon.certificate.client_context()
    old.set_ciphers("DEFAULT@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(trio.BrokenResourceError) as refused:
        await connected(daemon, old)
    assert isinstance(refused.value.__cause__, ssl.SSLError)
    assert refused.value.__cause__.reason == "TLSV1_ALERT_PROTOCOL_VERSION"
    weak = daemon.certificate.client_context()
    weak.maximum_version = ssl.TLSVersion.TLSv1_2
    weak.set_ciphers("AES128-SHA@SECLEVEL=0")  # No forward secrecy, and not authenticated.
    with pytest.raises(trio.BrokenResourceError):
        await connected(daemon, weak)
    good = daemon.certificate.client_context()
    good.maximum_version = ssl.TLSVersion.TLSv1_2
    stream = await connected(daemon, good)
    assert stream.version() == "TLSv1.2"
    await stream.aclose()


async def is_trusted_by_our_clients(daemon: RunningDaemon) -> None:
    """Ask with `imgd watch` and `imgd stat`, told and not told whom to trust."""
    assert daemon.certificate is not None
    told = ("--cafile", str(daemon.certificate.authority))
    for asking, answer in (
        (("watch", daemon.base_url, "--since", "0", "--count", "1"), b"daemon.started"),
        (("stat", daemon.base_url, "--json"), b"sessions"),
    ):
        seen = await run_cli(*asking, *told)
        assert (seen.returncode, answer in seen.stdout) == (0, True), seen.stderr
        refused = await run_cli(*asking)
        assert (refused.returncode, b"not trusted" in refused.stderr) == (1, True), refused.stderr
        odd = await run_cli(*asking, "--cafile", str(daemon.folder / "none.pem"))
        assert odd.returncode in (1, 2)
        assert b"cafile" in odd.stderr
        assert odd.stderr.count(b"\n") == 1


async def test_one_port_speaks_all_that_is_safe(folder: Path) -> None:
    async with secure_daemon(folder) as daemon:
        for look in (speaks_both, tells_the_end, refuses_old_tls, is_trusted_by_our_clients):
            await look(daemon)


@pytest.mark.parametrize("connections_max", [60, 10])  # More handshakes than may be, and fewer.
async def test_what_is_no_handshake_costs_nothing_and_keeps_nobody_out(folder: Path, connections_max: int) -> None:
    hello = client_hello()
    async with secure_daemon(folder, handshake_s=3, handshakes_max=20, connections_max=connections_max) as daemon:
        before = daemon.census()
        spoke_http = await trio.open_tcp_stream(daemon.host, daemon.port)
        await spoke_http.send_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = await read_all(spoke_http)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"https" in answer
        await spoke_http.aclose()

        async def is_ended(sent: bytes) -> None:
            stream = await trio.open_tcp_stream(daemon.host, daemon.port)
            with contextlib.suppress(trio.BrokenResourceError):
                await stream.send_all(sent)
            await read_all(stream)  # At once, or when its time is over.
            await stream.aclose()

        async with trio.open_nursery() as nursery:
            for sent in (b"\x00\xff garbage", b"\x16\x03\x01\xff\xff" + bytes(70_000), hello[:50], hello, b""):
                nursery.start_soon(is_ended, sent)
        half = []
        for _ in range(100):
            half.append(await trio.open_tcp_stream(daemon.host, daemon.port))
            await half[-1].send_all(hello[:100])
        with trio.fail_after(LIMIT_S):
            assert (await daemon.get("/img?frame=f/a.fits")).status == 200
        for stream in half:
            await stream.aclose()
        await daemon.settles(lambda: daemon.census().processes <= before.processes + 1)
        figures = (await daemon.get("/metrics")).body
        assert b"imgd_http_handshakes 0.0" in figures
        assert b"imgd_http_connections_refused_total 0.0" in figures


async def is_at_rest(daemon: RunningDaemon) -> None:
    """Wait until nobody is connected but who asks for it."""
    with trio.fail_after(LIMIT_S):
        while b"imgd_http_connections 1.0" not in (await daemon.get("/metrics")).body:  # Nobody tells us.
            await trio.sleep(0.02)


async def test_leaving_and_stalling_end_a_connection_behind_tls(folder: Path) -> None:
    make.write(folder / "big.fits", make.image_hdu(make.star_field(2000, 3000)))
    async with secure_daemon(folder, send_limit_s=1, keep_alive_s=2) as daemon:
        for reset in (False, True):
            async with daemon.connect() as leaver:
                await leaver.send("GET", f"/img?frame=f/big.fits&size=max&low={10 + reset}")
                await leaver.leave(reset=reset)
            await is_at_rest(daemon)
        async with daemon.connect(receive_buffer_bytes=4096) as slow:
            for _ in range(20):  # More than the kernel keeps for it.
                await slow.stream.send_all(b"GET /img?frame=f/big.fits&size=max&format=png HTTP/1.1\r\nHost: x\r\n\r\n")
            await is_at_rest(daemon)
        async with daemon.connect2(receive_buffer_bytes=4096) as slow2:
            for number in range(20):
                await slow2.send("GET", f"/img?frame=f/big.fits&size=max&format=png&high={1000 + number}")
            await is_at_rest(daemon)
        assert b"imgd_http_connections_stalled_total 1.0" in (await daemon.get("/metrics")).body
        assert (await daemon.get("/img?frame=f/a.fits")).status == 200


async def redirected(daemon: RunningDaemon, request: bytes) -> tuple[int, str]:
    """Ask the place of plain HTTP; tell the status, and where it leads."""
    found = REDIRECTS.search(daemon.log())
    assert found is not None
    stream = await trio.open_tcp_stream(daemon.host, int(found[1]))
    await stream.send_all(request)
    answer = (await read_all(stream)).decode()
    await stream.aclose()
    location = re.search(r"\r\nlocation: (.*)\r\n", answer)
    return int(answer.split()[1]), location[1] if location else ""


LEADS = {
    "/": "/",
    "/img?frame=f/a.fits&size=50%25": "/img?frame=f/a.fits&size=50%25",
    "//elsewhere.test/x": "//elsewhere.test/x",
    "/%0d%0aSet-Cookie:x": "/%0d%0aSet-Cookie:x",
    "http://named.test/x?y": "/x?y",
}


async def test_plain_http_leads_to_https(folder: Path) -> None:
    async with secure_daemon(folder, redirect_bind="127.0.0.1:0", keep_alive_s=1) as daemon:
        for target, path in LEADS.items():
            head = f"GET {target} HTTP/1.1\r\nHost: localhost:81\r\nConnection: close\r\n\r\n".encode()
            host = "named.test" if "named" in target else "localhost"
            assert await redirected(daemon, head) == (308, f"https://{host}:{daemon.port}{path}"), target
        post = b"POST /runs HTTP/1.1\r\nHost: [::1]\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
        assert await redirected(daemon, post) == (308, f"https://[::1]:{daemon.port}/runs")
        for host in (
            b"",
            b"a b",
            b"a/b",
            b"a@b",
            b"evil.test/",
            b"x\\y",
            b"a..b",
            b"-",
            b"[::1",
            b"a:b",
            b"a:1:2",
            b"x" * 300,
        ):
            refused = b"GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % host
            assert await redirected(daemon, refused) == (400, ""), host
        assert (await redirected(daemon, b"GET / HTTP/1.0\r\n\r\n"))[0] == 400  # No host is named.
        upgrade = b"GET /live HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        upgrade += b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        assert (await redirected(daemon, upgrade))[0] == 403
        found = REDIRECTS.search(daemon.log())
        assert found is not None
        async with connect(daemon.host, int(found[1])) as plain:  # Followed, it arrives.
            answer = await plain.get("/healthz", connection="close")
        assert answer.headers["location"].endswith(f":{daemon.port}/healthz")


async def test_the_daemon_says_so_and_ends(tmp_path: Path) -> None:
    """With one code for what is wrong, and another for what a supervisor is to try again."""
    busy = socket.create_server(("127.0.0.1", 0))
    port = busy.getsockname()[1]
    for given, code, words in (
        (("--certfile", str(tmp_path / "none.pem")), EXIT_NOT_NOW, "imgd: certfile: cannot read"),
        (("--bind", f"127.0.0.1:{port}"), EXIT_NOT_NOW, f"imgd: bind: cannot listen at 127.0.0.1:{port}"),
        (("--keyfile", "/k"), EXIT_WRONG_SETTING, "imgd: keyfile: is of no use without certfile"),
        (("--redirect-bind", "127.0.0.1:0"), EXIT_WRONG_SETTING, "imgd: redirect_bind: there is no https to lead to"),
    ):
        ended = await run_cli("serve", str(tmp_path), "--bind", "127.0.0.1:0", *given)
        assert ended.returncode == code
        assert ended.stderr.decode().startswith(words)
        assert ended.stderr.count(b"\n") == 1
    busy.close()

"""What lighttpd/imgd.conf promises: what reaches the daemon, what is closed, what is written down, what is refused."""

import re
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

from tests.daemon.http1 import Http1, Response, connect
from tests.daemon.http2 import connect2
from tests.fronts.lighttpd import HOST, accesses_of, checked, errors_of, packaged_main, running_lighttpd
from tests.fronts.place import Certificate, Place, make_certificate

LIMIT_S = 20.0  # Against hanging.


@dataclass
class Behind:
    """lighttpd before somebody who answers everything with "yes" and keeps the requests' heads as they came."""

    place: Place
    certificate: Certificate
    heads: list[bytes] = field(default_factory=list)

    async def get(self, target: str, **headers: str) -> Response:
        """Ask by HTTP/1.1."""
        context = self.certificate.client_context("http/1.1")
        with trio.fail_after(LIMIT_S):
            async with connect(self.place.host, self.place.tls_port, context=context) as browser:
                return await browser.get(target, **headers)

    async def get2(self, target: str, **headers: str) -> Response:
        """Ask by HTTP/2."""
        context = self.certificate.client_context("h2")
        with trio.fail_after(LIMIT_S):
            async with connect2(self.place.host, self.place.tls_port, context=context) as browser:
                return await browser.get(target, **headers)

    def last(self) -> tuple[str, dict[str, str]]:
        """Take the last request apart: its target, and its headers by name in lower case."""
        first, *lines = self.heads[-1].decode("latin-1").split("\r\n")
        pairs = [line.split(": ", 1) for line in lines if line]
        assert len({name.lower() for name, _ in pairs}) == len(pairs), f"a header twice: {lines}"
        return first.split(" ")[1], {name.lower(): value for name, value in pairs}


@asynccontextmanager
async def behind_lighttpd(folder: Path, **site: str) -> AsyncIterator[Behind]:
    certificate = make_certificate(folder)
    heads: list[bytes] = []

    async def answer(stream: trio.SocketStream) -> None:
        async with stream:
            head = b""
            while b"\r\n\r\n" not in head and (data := await stream.receive_some(65_536)):
                head += data
            if head:
                heads.append(head.partition(b"\r\n\r\n")[0])
                await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nyes")

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "d.sock"))
        listener.listen()
        listener.setblocking(False)
        async with trio.open_nursery() as nursery:
            serving = trio.SocketListener(trio.socket.from_stdlib_socket(listener))
            nursery.start_soon(trio.serve_listeners, answer, [serving])
            async with running_lighttpd(folder / "l", folder / "d.sock", certificate, **site) as place:
                yield Behind(place, certificate, heads)
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("by", ["get", "get2"])
async def test_an_address_reaches_the_daemon_as_it_was_sent(tmp_path: Path, by: str) -> None:
    async with behind_lighttpd(tmp_path) as behind:
        for target in (
            "/frame/f%2Fsub%20dir%2Fb.fits", "/frame/f/%41%7e%2d", "/img?frame=f%2Fa+b%20c.fits&x=%41", "//a//b/",
            "/a/./b/../c", "/iiif/3/f%252Fa/info.json", "/frame/%E9%C3%A9", "/?", "/a%00b", "/img?u=%0a",
        ):  # fmt: skip
            answer = await getattr(behind, by)(target)
            assert (answer.status, answer.body) == (200, b"yes"), target
            assert behind.last()[0] == target


@pytest.mark.parametrize("by", ["get", "get2"])
async def test_the_daemon_hears_of_the_client_what_is_so(tmp_path: Path, by: str) -> None:
    claims = {
        "x_forwarded_for": "192.0.2.1", "x_forwarded_proto": "http", "x_forwarded_host": "elsewhere.test",
        "forwarded": "for=192.0.2.1", "x_request_id": "mine",
    }  # fmt: skip
    async with behind_lighttpd(tmp_path) as behind:
        assert (await getattr(behind, by)("/", **claims)).status == 200
        _, headers = behind.last()
        assert headers["x-forwarded-for"] == "127.0.0.1"
        assert headers["x-forwarded-proto"] == "https"
        assert headers["x-forwarded-host"] == headers["host"] == f"{behind.place.host}:{behind.place.tls_port}"
        assert "forwarded" not in headers
        assert "x-request-id" not in headers


async def test_metrics_and_admin_are_closed_however_they_are_written(tmp_path: Path) -> None:
    async with behind_lighttpd(tmp_path) as behind:
        for target in (
            "/metrics", "/metrics/", "/metrics?x=1", "/%6detrics", "//metrics", "/x/../metrics", "/./metrics",
            "/admin", "/admin/", "/admin/story", "/a/..//admin", "/%61dmin/x", "/admin%2Fx", "/metrics%2f",
        ):  # fmt: skip
            for answer in (await behind.get(target), await behind.get2(target)):
                assert answer.status == 403, target
                assert b"closed to the outside" in answer.body
        assert behind.heads == []
        for target in ("/administration", "/metricsx", "/img?frame=/metrics"):
            assert (await behind.get(target)).status == 200, target


async def test_plain_http_sends_people_on_to_the_same_address(tmp_path: Path) -> None:
    async with behind_lighttpd(tmp_path) as behind, connect(behind.place.host, behind.place.plain_port) as plain:
        answer = await plain.get("/a%2Fb//c?x=1&y=%41+b")
        where = f"https://{behind.place.host}:{behind.place.tls_port}/a%2Fb//c?x=1&y=%41+b"
        assert (answer.status, answer.headers["location"]) == (308, where)
        assert (await plain.get("/metrics")).status == 308
        assert (await without_host(behind.place.host, behind.place.plain_port)).startswith(b"HTTP/1.0 400 ")
        assert behind.heads == []


async def without_host(host: str, port: int) -> bytes:
    """Ask as they did thirty years ago: without saying whom."""
    async with await trio.open_tcp_stream(host, port) as stream:
        await stream.send_all(b"GET /frames HTTP/1.0\r\n\r\n")
        with trio.fail_after(LIMIT_S):
            return b"".join([data async for data in stream])


@pytest.mark.parametrize("conf", ["imgd.conf", "imgd-cgi.conf"])
def test_lighttpd_takes_the_files_with_the_main_file_of_debian(tmp_path: Path, conf: str) -> None:
    main = packaged_main(tmp_path)
    assert "server.http-parseopts" in main, "what the project's file has to override is gone"
    assert checked(tmp_path, conf, make_certificate(tmp_path), main=main) == ""


async def test_with_the_main_file_of_debian_all_is_as_promised(tmp_path: Path) -> None:
    """Its rules for names, its kinds of files, and the ports that it opens besides, are not imgd's."""
    main = packaged_main(tmp_path / "l")
    # What use-ipv6.pl prints, but at this machine's own address alone; none where there is no IPv6.
    other = f'server.bind = "{HOST}"\n'
    if has_ipv6():
        other += '$SERVER["socket"] == "[::1]:@PORT@" { }\n'
    main, count = re.subn(r"include_shell .*use-ipv6.*\n", other, main)
    assert count == 1
    async with behind_lighttpd(tmp_path, main=main) as behind:
        for target in ("/frame/f%2Fa/..%2Fb~", "/frame/f/a.inc", "/javascript/x.php"):
            assert (await behind.get(target)).body == b"yes", target
            assert behind.last()[0] == target
        refused = await behind.get("/", x_long="x" * 20_000)
        assert (refused.status, refused.headers["content-type"]) == (431, "application/problem+json")
        assert (await behind.get("/metrics")).status == 403
        behind.heads.clear()
        for host in (HOST, "::1") if has_ipv6() else (HOST,):
            assert (await without_host(host, behind.place.plain_port)).startswith(b"HTTP/1.0 400 "), host
            async with Http1(await trio.open_tcp_stream(host, behind.place.plain_port), "imgd.test") as plain:
                assert (await plain.get("/frames")).status == 308, host
        assert behind.heads == []


def has_ipv6() -> bool:
    """Tell whether this machine can listen at ::1."""
    try:
        with socket.socket(socket.AF_INET6) as listener:
            listener.bind(("::1", 0))
    except OSError:
        return False
    return True


async def test_tls_is_of_today(tmp_path: Path) -> None:
    async with behind_lighttpd(tmp_path) as behind:
        for offered, chosen in ((("h2", "http/1.1"), "h2"), (("http/1.1",), "http/1.1"), ((), None)):
            context = behind.certificate.client_context(*offered)
            stream = await trio.open_ssl_over_tcp_stream(behind.place.host, behind.place.tls_port, ssl_context=context)
            await stream.do_handshake()
            assert stream.selected_alpn_protocol() == chosen
            await stream.aclose()
        old = behind.certificate.client_context()
        old.set_ciphers("DEFAULT@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1"):
            old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        stream = await trio.open_ssl_over_tcp_stream(behind.place.host, behind.place.tls_port, ssl_context=old)
        with pytest.raises(trio.BrokenResourceError):
            await stream.do_handshake()
        await stream.aclose()


async def test_what_is_too_large_is_refused_in_words(tmp_path: Path) -> None:
    async with behind_lighttpd(tmp_path) as behind:
        refused = await behind.get("/", x_long="x" * 20_000)
        assert (refused.status, refused.headers["content-type"]) == (431, "application/problem+json")
        assert b"larger than the daemon takes" in refused.body
        context = behind.certificate.client_context("http/1.1")
        async with connect(behind.place.host, behind.place.tls_port, context=context) as browser:
            head = f"POST / HTTP/1.1\r\nHost: imgd.test\r\nContent-Length: {1 << 20}\r\n\r\n"
            await browser.stream.send_all(head.encode())
            answer = b""
            with trio.fail_after(LIMIT_S):
                while b"larger than any" not in answer:
                    data = await browser.stream.receive_some(65_536)
                    assert data, answer
                    answer += data
            assert answer.startswith(b"HTTP/1.1 413 ")
        assert behind.heads == []


async def test_no_log_holds_a_uid(tmp_path: Path) -> None:
    """An address may hold one, and it is a key: neither in the log of accesses, nor in that of errors."""
    certificate = make_certificate(tmp_path)
    logs = {}
    for name, target in (("any", "/img?told"), ("uid", "/img?u=told"), ("more", "/img?x=1&%75=told&y=2")):
        async with running_lighttpd(tmp_path / name, tmp_path / "nobody.sock", certificate) as place:
            nobody = Behind(place, certificate)
            for answer in (await nobody.get(target), await nobody.get2(target)):
                assert (answer.status, answer.headers["retry-after"]) == (503, "2")
                assert b"try again in a moment" in answer.body
        assert ' HTTP/2.0" 503 ' in accesses_of(place)
        assert "told" not in accesses_of(place)
        logs[name] = errors_of(place)
    assert "told" in logs["any"], "lighttpd writes whole addresses there: what is tested is gone"
    assert "told" not in logs["uid"] + logs["more"]

"""Who may, as nginx/imgd-site.conf shows it: somebody beside the daemon is asked, and decides by the frame."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import trio

from tests.daemon.asking import Asking
from tests.daemon.http1 import Http1
from tests.frames import make
from tests.fronts.nginx import FILES, Site, daemon_behind_nginx, running_nginx
from tests.fronts.place import make_certificate

LIMIT_S = 60.0  # Against hanging: of a body that nobody sends, for one.
HIDDEN = "f/hidden.fits"
RUN = json.dumps({"view": {"frame": "f/open.fits"}, "results": ["facts"]}).encode()


@dataclass
class Authoriser:
    """Somebody who lets everybody in but to the hidden frame, and not without being told who and what."""

    port: int = 0
    heads: list[dict[str, str]] = field(default_factory=list)
    firsts: list[str] = field(default_factory=list)

    async def answer(self, stream: trio.SocketStream) -> None:
        """Decide once, as a program would that knows of HTTP/1.1 what there is to know, and waits for a body."""
        async with stream:
            sent = b""
            while b"\r\n\r\n" not in sent:
                if not (data := await stream.receive_some()):
                    return
                sent += data
            head, _, body = sent.partition(b"\r\n\r\n")
            self.firsts.append(head.decode().split("\r\n")[0])
            pairs = [line.split(": ", 1) for line in head.decode("latin-1").split("\r\n")[1:]]
            headers = {name.lower(): value for name, value in pairs}
            assert len(headers) == len(pairs), f"a header twice: {pairs}"
            self.heads.append(headers)
            while len(body) < int(headers.get("content-length", 0)):
                body += await stream.receive_some()
            address = urlsplit(headers.get("x-original-uri", ""))
            named = {*parse_qs(address.query).get("frame", []), unquote(address.path).removeprefix("/frame/")}
            status = "403 Forbidden" if HIDDEN in named else "204 No Content"
            await stream.send_all(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())


@asynccontextmanager
async def authoriser() -> AsyncIterator[Authoriser]:
    who = Authoriser()
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, who.answer, 0, host="127.0.0.1"))
        who.port = listeners[0].socket.getsockname()[1]
        yield who
        nursery.cancel_scope.cancel()


def as_shown(port: int) -> str:
    """Take the location from the example of a site, with the lines for an authoriser in the place of the answer."""
    found = re.search(r"location = /imgd-auth \{.*?\n    \}", (FILES / "imgd-site.conf").read_text(), re.DOTALL)
    assert found is not None
    text, answers = re.subn(r"return 204;.*", "", found[0])
    text, lines = re.subn(r"^( +)# ", r"\1", text, flags=re.MULTILINE)
    assert answers == 1
    assert lines > 10
    assert "http://127.0.0.1:9000/may" in text
    return text.replace("127.0.0.1:9000", f"127.0.0.1:{port}")


async def test_an_authoriser_is_told_what_it_needs_and_nothing_breaks(tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    for name in ("open", "hidden"):
        make.write(frames / f"{name}.fits", make.image_hdu(make.star_field(20, 20)))
    async with (
        authoriser() as who,
        daemon_behind_nginx(tmp_path, f"f={frames}", Site(authorisation=as_shown(who.port))) as it,
    ):
        with trio.fail_after(LIMIT_S):
            for address in (f"/img?frame={HIDDEN}", "/stats?frame=f%2Fhidden.fits", f"/frame/{HIDDEN}"):
                assert (await it.front.get(address)).status == 403, address
                assert (await it.front.get(address.replace("hidden", "open"))).status == 200, address
            await a_body_is_not_waited_for(it.front, who)
            await a_websocket_is_asked_for_as_anything_else(it.front, who)
            claimed = {"x_original_uri": "/", "x_original_method": "PUT", "x_forwarded_for": "192.0.2.1"}
            assert (await it.front.get(f"/img?frame={HIDDEN}", **claimed)).status == 403
        told = who.heads[-1]
        assert (told["x-original-method"], told["x-forwarded-for"]) == ("GET", "127.0.0.1")
        assert set(who.firsts) == {"GET /may HTTP/1.1"}, "addresses belong into no ordinary log"


async def a_body_is_not_waited_for(front: Asking, who: Authoriser) -> None:
    """Send a run, in one piece and in chunks."""
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(RUN), RUN)
    for length, sent in ((f"Content-Length: {len(RUN)}", RUN), ("Transfer-Encoding: chunked", chunked)):
        async with front.connect() as connection:
            head = f"POST /runs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{length}\r\n\r\n"
            await connection.stream.send_all(head.encode() + sent)
            answer = await connection.stream.receive_some()
        assert answer.startswith(b"HTTP/1.1 200 "), (length, answer)
        told = who.heads[-1]
        assert (told["x-original-method"], told["x-original-uri"]) == ("POST", "/runs")
        assert not {"content-length", "transfer-encoding"} & told.keys()


async def a_websocket_is_asked_for_as_anything_else(front: Asking, who: Authoriser) -> None:
    async with front.websocket("/live") as live:
        await live.send_message('{"id":1,"op":"ping"}')
        assert json.loads(await live.get_message())["op"] == "ping"
    assert who.heads[-1]["x-original-uri"] == "/live"
    assert not {"upgrade", "connection"} & who.heads[-1].keys()
    refused = await front.get(f"/live?frame={HIDDEN}", connection="Upgrade", upgrade="websocket")
    assert refused.status == 403


async def test_an_authoriser_that_is_gone_lets_nobody_in_and_has_no_uid_written_down(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    async with authoriser() as who:
        gone = as_shown(who.port)
    site = Site(authorisation=gone)
    async with running_nginx(tmp_path / "nginx", tmp_path / "nobody.sock", certificate, site=site) as place:
        front = Asking(host=place.host, port=place.tls_port, certificate=certificate)
        for address in ("/img?u=SECRET", "/img?x=1&%75=SECRET", "/", "/ui/icon.svg"):
            assert (await front.get(address)).status == 500, address
        async with await trio.open_tcp_stream(place.host, place.plain_port) as stream:
            assert (await Http1(stream, "localhost").get("/")).status == 308
    for log in place.logs:
        assert "SECRET" not in log.read_text(), log
    assert "/may" in place.logs[0].read_text(), "who looks for the reason finds it"

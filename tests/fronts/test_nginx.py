"""What nginx answers itself: the page, its own errors, what is closed, and what it writes down."""

import gzip
import json
import re
import socket
import ssl
import subprocess
from pathlib import Path
from urllib.parse import quote

import h11
import pytest
import trio
import trio_websocket

from tests.daemon.asking import Asking
from tests.daemon.http1 import Http1, Response, open_stream
from tests.frames import make
from tests.fronts.nginx import (
    FILES,
    MODULES,
    PAGE,
    Fronted,
    Site,
    daemon_behind_nginx,
    nginx_program,
    running_nginx,
    write_files,
)
from tests.fronts.place import Place, make_certificate

OWN = {"date", "server", "connection", "etag"}  # Of each server; a tag is compared only with its own.
BEYOND_LIMIT = 300  # Requests at the same time, of one client: more than 256.
LIMIT_S = 20.0
ODD_NAMES = ("a b.fits", "a%20b.fits", "a;v=1&c?d#e.fits", "ü+ö.fits", "night/x%2Fy.fits")
BELOW_A_PREFIX = Site(
    monitor="1",
    more="listen unix:{folder}/front.sock; set_real_ip_from unix:; real_ip_header X-Forwarded-For;",
    beside="""
        upstream imgd_front { server unix:{folder}/front.sock; keepalive 8; }
        server { listen unix:{folder}/other.sock; root {folder}/none; include imgd/imgd-prefix.conf; }
    """,
)


async def test_the_page_is_as_from_the_daemon(tmp_path: Path) -> None:
    make.write(tmp_path / "a.fits", make.image_hdu(make.star_field(10, 10)))
    async with daemon_behind_nginx(tmp_path, f"f={tmp_path}") as fronted:
        files = [path for path in PAGE.rglob("*") if path.is_file() and path.suffix in (".html", ".js", ".css", ".svg")]
        assert len(files) >= 5
        for path in files:
            address = {"index.html": "/", "docs.html": "/docs"}.get(path.name, f"/{path.relative_to(PAGE)}")
            for packing in ("identity", "gzip"):
                await same(fronted, address, packing, path.read_bytes())
        packed = next(path for path in PAGE.rglob("*.js.gz")).relative_to(PAGE)
        missing = ("/ui/none.js", f"/{packed}", "/ui/", "/ui/../.built-from")
        for address in missing:
            answer = await fronted.front.get(address)
            assert (answer.status, problem(answer)["title"]) == (404, "Not Found"), address
        async with fronted.front.connect() as connection:
            refused = await connection.ask("POST", "/docs")
        assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")
        accesses = [await fronted.access(method="GET", path=address) for address in missing]
        accesses.append(await fronted.access(method="POST", path="/docs"))
        assert [line["daemon"] != "" for line in accesses] == [False, False, False, True, False]


async def same(fronted: Fronted, address: str, packing: str, body: bytes) -> None:
    """Check that a page's answers agree: of GET, of HEAD, and to who has it."""
    own = await fronted.daemon.get(address, accept_encoding=packing)
    front = await fronted.front.get(address, accept_encoding=packing)
    assert front.status == own.status == 200
    assert front.headers.get("content-encoding") == (packing if packing == "gzip" else None), address
    assert (gzip.decompress(front.body) if packing == "gzip" else front.body) == body
    assert shown(front) == shown(own), address
    assert shown(await fronted.front.head(address, accept_encoding=packing)) == shown(front), address
    again = await fronted.front.get(address, accept_encoding=packing, if_none_match=front.headers["etag"])
    assert (again.status, again.body) == (304, b"")
    kept = ("cache-control", "content-security-policy", "x-content-type-options")
    assert [again.headers.get(name) for name in kept] == [own.headers[name] for name in kept], address


def shown(answer: Response) -> dict[str, str]:
    """Tell the headers that have to agree; `Vary` names headers, which have no case."""
    return {
        name: value.lower() if name == "vary" else value for name, value in answer.headers.items() if name not in OWN
    }


def problem(answer: Response) -> dict[str, object]:
    """Read a problem; check its form."""
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    read: dict[str, object] = json.loads(answer.body)
    assert list(read)[:5] == ["type", "title", "status", "detail", "parameter"]
    assert (read["type"], read["status"]) == ("about:blank", answer.status)
    assert read["detail"]
    return read


async def test_what_nginx_refuses_is_a_problem_in_the_daemons_form(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    async with running_nginx(tmp_path / "nginx", tmp_path / "nobody.sock", certificate) as place:
        front = Asking(host=place.host, port=place.tls_port, certificate=certificate)
        down = await front.get("/img?frame=f/a.fits")
        assert (down.status, problem(down)["title"], down.headers["retry-after"]) == (502, "Bad Gateway", "2")
        for address in ("/admin", "/admin/sessions", "/%61dmin", "//admin", "/x/../admin", "/metrics", "/%6detrics"):
            closed = await front.get(address)
            assert (closed.status, problem(closed)["title"]) == (403, "Forbidden"), address
        assert (await front.get("/imgd-auth")).status == (await front.get("/imgd-uid")).status == 404
        assert (await front.get("/imgd-problem")).status == 404
        long = await front.get("/img?frame=" + "x" * 8_200)
        assert (long.status, problem(long)["title"]) == (414, "Request-URI Too Long")
        for headers in ({"x_long": "x" * 8_200}, {f"x_{number}": "x" * 4_000 for number in range(5)}):
            large = await front.get("/img", **headers)
            assert (large.status, problem(large)["title"]) == (431, "Request Header Fields Too Large")
        assert problem(await posted(front, 16_384))["title"] == "Bad Gateway"
        assert problem(await posted(front, 16_385))["title"] == "Request Entity Too Large"
        await leads_to_tls(place, place.tls_port)
        await leads_to_tls(place, place.plain_port)
    assert "/img?frame" in place.logs[0].read_text(), "errors without a UID are written down with their address"


async def posted(front: Asking, size_bytes: int) -> Response:
    """Send a body of this size."""
    peer = h11.Connection(h11.CLIENT)
    headers = [("host", "localhost"), ("content-length", str(size_bytes)), ("connection", "close")]
    request = h11.Request(method="POST", target="/runs", headers=headers)
    sent = [request, h11.Data(data=b" " * size_bytes), h11.EndOfMessage()]
    async with await open_stream(front.host, front.port, 0, front.context("http/1.1")) as stream:
        await stream.send_all(b"".join(peer.send(part) or b"" for part in sent))
        head: h11.Response | None = None
        body = b""
        while not isinstance(event := peer.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                peer.receive_data(await stream.receive_some())
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
    assert head is not None
    return Response(head.status_code, {name.decode(): value.decode() for name, value in head.headers}, body)


async def leads_to_tls(place: Place, port: int) -> None:
    """Check that plain HTTP is sent to TLS, with all of its address, by a status that keeps the method."""
    async with await trio.open_tcp_stream(place.host, port) as stream:
        answer = await Http1(stream, f"{place.host}:{place.tls_port}").get("/img?frame=a%2Fb&x=%20")
    assert (answer.status, answer.headers["location"]) == (308, f"{place.base_url}/img?frame=a%2Fb&x=%20")


async def test_what_is_sent_on_arrives_as_it_was_asked(tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    (frames / "night").mkdir(parents=True)
    for name in ODD_NAMES:
        make.write(frames / quote(name, safe=" %;=&?#+/").replace("%2F", "%2F"), make.image_hdu(make.star_field(9, 9)))
    async with daemon_behind_nginx(tmp_path, f"f={frames}", BELOW_A_PREFIX) as fronted:
        for path in frames.rglob("*.fits"):
            ref = quote(str(path.relative_to(frames)), safe="/")
            every = quote(f"f/{path.relative_to(frames)}", safe="")
            for address in (f"/frame/f/{ref}", f"/tiles/f/{ref}/tiles.json?stretch=log", f"/stats?frame={every}"):
                own, front = await fronted.daemon.get(address), await fronted.front.get(address)
                assert front.status == 200, (address, front.body)
                assert front.body == own.body, address
            named = await fronted.front.get(f"/iiif/3/{every}/info.json")
            assert json.loads(named.body)["id"] == f"{fronted.place.base_url}/iiif/3/{every}"
        assert b"imgd_web_answers_total" in (await fronted.front.get("/metrics")).body
        missing = await fronted.front.get("/frame/f/none.fits", x_request_id="mine", x_forwarded_for="192.0.2.1")
        access = await fronted.access(request=str(problem(missing)["request"]))
        assert access["path"] == "/frame/f/none.fits", "one id in both logs and in the answer"
        make.write(frames / "night" / "a b.fits", make.image_hdu(make.star_field(9, 9)))
        await it_can_live_below_a_prefix(fronted, tmp_path / "nginx" / "other.sock")


async def it_can_live_below_a_prefix(fronted: Fronted, at: Path) -> None:
    """Ask another server, a plain one at the UNIX socket `at`."""

    async def get(target: str) -> Response:
        async with Http1(await trio.open_unix_socket(str(at)), "far.test") as other:
            return await other.get(target)

    moved = await get("/imgd?frame=1")
    assert (moved.status, moved.headers["location"]) == (308, "http://far.test/imgd/?frame=1")
    for address in ("/", "/docs", "/ui/icon.svg", "/frame/f/night/a%20b.fits", "/stats?frame=f%2Fnight%2Fa%20b.fits"):
        there, here = await get(f"/imgd{address}"), await fronted.front.get(address)
        assert (there.status, there.body) == (200, here.body), address
    info = await get("/imgd/iiif/3/f%2Fnight%2Fa%20b.fits/info.json")
    assert json.loads(info.body)["id"] == "http://far.test/iiif/3/f%2Fnight%2Fa%20b.fits"
    assert (await get("/imgd/x/../admin")).status == 403
    assert (await get("/frames")).status == 404, "the other server's own"
    async with await trio.open_unix_socket(str(at)) as stream, trio.open_nursery() as nursery:
        live = await trio_websocket.wrap_client_stream(nursery, stream, "far.test", "/imgd/live")
        await live.send_message('{"id":1,"op":"ping"}')
        assert json.loads(await live.get_message())["op"] == "ping"
        await live.aclose()


async def test_a_uid_is_in_no_log(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    async with running_nginx(tmp_path / "nginx", tmp_path / "nobody.sock", certificate) as place:
        front = Asking(host=place.host, port=place.tls_port, certificate=certificate)
        for address in ("/img?u=SECRET", "/img?%75=SECRET", "/img?x=1&u=SECRET", "/img?u=SECRET&u=2"):
            assert (await front.get(address)).status == 502
        async with await trio.open_tcp_stream(place.host, place.plain_port) as stream:
            await Http1(stream, "localhost").get("/img?u=SECRET")
    assert '"path":"/img"' in place.logs[1].read_text()
    for log in place.logs:
        assert "SECRET" not in log.read_text(), log


async def test_one_client_has_a_bounded_number_of_requests(tmp_path: Path) -> None:
    """The daemon is one that takes connections and says nothing; HTTP/2 counts each request."""
    certificate, at = make_certificate(tmp_path), tmp_path / "daemon.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as silent:
        silent.bind(str(at))
        silent.listen(2 * BEYOND_LIMIT)
        async with (
            running_nginx(tmp_path / "nginx", at, certificate, site=Site(is_counted=True)) as place,
            trio.open_nursery() as nursery,
        ):
            front = Asking(host=place.host, port=place.tls_port, certificate=certificate)
            found: list[Response] = []
            told = trio.Event()

            async def ask() -> None:
                answer = await front.get("/img?frame=f/a.fits")
                found.append(answer)
                if len(found) == BEYOND_LIMIT - 256:
                    told.set()

            for _ in range(BEYOND_LIMIT):
                nursery.start_soon(ask)
            with trio.fail_after(LIMIT_S):
                await told.wait()
            assert {(answer.status, answer.headers["retry-after"]) for answer in found} == {(429, "1")}
            assert problem(found[0])["title"] == "Too Many Requests"
            nursery.cancel_scope.cancel()


async def test_brotli_is_an_addition_that_nginx_can_do_without(tmp_path: Path) -> None:
    modules = ("brotli_filter", "brotli_static")
    if not all((MODULES / f"ngx_http_{name}_module.so").exists() for name in modules):
        pytest.skip("nginx has no modules for brotli")
    certificate = make_certificate(tmp_path)
    site = Site(modules=modules, more="include imgd/imgd-brotli.conf;")
    async with running_nginx(tmp_path / "nginx", tmp_path / "nobody.sock", certificate, site=site) as place:
        front = Asking(host=place.host, port=place.tls_port, certificate=certificate)
        for path in (PAGE / "ui").glob("*.js"):
            plain = await front.get(f"/ui/{path.name}", accept_encoding="identity")
            packed = await front.get(f"/ui/{path.name}", accept_encoding="br, gzip")
            assert plain.body == path.read_bytes()
            assert packed.headers["content-encoding"] == "br", path.name
            assert packed.headers["vary"].lower() == "accept-encoding"
            assert len(packed.body) < len(plain.body) / 2
            assert (await front.get(f"/ui/{path.name}", accept_encoding="gzip")).headers["content-encoding"] == "gzip"


async def test_tls_is_new_enough_and_offers_http2(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    async with running_nginx(tmp_path / "nginx", tmp_path / "nobody.sock", certificate) as place:
        for offered, agreed in ((("h2", "http/1.1"), "h2"), (("http/1.1",), "http/1.1")):
            stream = await trio.open_ssl_over_tcp_stream(
                place.host, place.tls_port, https_compatible=True, ssl_context=certificate.client_context(*offered)
            )
            async with stream:
                await stream.do_handshake()
                assert (stream.selected_alpn_protocol(), stream.version()) == (agreed, "TLSv1.3")
        old = certificate.client_context()
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_2
        async with await trio.open_ssl_over_tcp_stream(
            place.host, place.tls_port, https_compatible=True, ssl_context=old
        ) as stream:
            await stream.do_handshake()
            assert stream.version() == "TLSv1.2"


def test_the_example_of_a_site_is_a_good_one(tmp_path: Path) -> None:
    program = nginx_program()
    certificate = make_certificate(tmp_path)
    place = Place("127.0.0.1", 0, 0)
    write_files(tmp_path, tmp_path / "nobody.sock", certificate, place, Site())
    site = tmp_path / "imgd" / "imgd-site.conf"
    text = (FILES / "imgd-site.conf").read_text()
    for told, own in (
        ("/etc/ssl/imgd/fullchain.pem", certificate.certfile),
        ("/etc/ssl/private/imgd.key", certificate.keyfile),
        ("/var/cache/nginx/imgd", tmp_path / "cache"),
        ("/var/log/nginx/imgd.log", tmp_path / "access.log"),
    ):
        assert told in text
        text = text.replace(told, str(own))
    # There may be no IPv6 here, nor the right to low ports; that a port is in use is no matter for nginx -t.
    text = re.sub(r"listen (\d+)", r"listen 127.0.0.1:8\1", text)
    text = re.sub(r"listen \[::\]:(\d+)", r"listen 127.0.0.2:8\1", text)
    for several in (False, True):
        if several:
            (site.parent / "imgd-daemons.conf").write_text(
                "server unix:/run/imgd/a.sock max_fails=2;\nserver 192.0.2.1:8765 down;\n"
            )
            text = re.sub(r"upstream imgd \{.*?\n\}", "include imgd/upstreams.conf;", text, flags=re.DOTALL)
        site.write_text(text)
        command = [program, "-t", "-q", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

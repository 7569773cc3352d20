"""The same list through every front: what is answered is what the daemon answers, to the byte."""

import gzip
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

import h2.exceptions
import h11
import pytest
import trio

from tests.daemon.http1 import Response
from tests.fronts.rig import Front

VIEW: Final = "frame=f/a.fits"
PICTURES: Final = (
    f"/img?{VIEW}&size=300,",
    f"/img?{VIEW}&size=200,&format=png",
    f"/img?{VIEW}&size=200,&format=webp&stretch=log",
    f"/thumbnail?{VIEW}",
    f"/tile?{VIEW}&level=0&x=1&y=1",
    "/tiles/f/a.fits/1/0/0.jpg",
    "/dzi/f/a.fits_files/10/0_0.jpg",
    "/iiif/3/f%2Fa.fits/full/200,/0/default.jpg",
)
DOCUMENTS: Final = (
    "/tiles/f/a.fits/tiles.json",
    "/dzi/f/a.fits.dzi",
    "/iiif/3/f%2Fa.fits/info.json",
    "/frames?dir=f&order=name",
    "/catalogue?search=a.fits",
    "/frame/f/a.fits",
    f"/pixel?{VIEW}&x=10&y=20",
    f"/profile?{VIEW}&line=1,1,100,50",
    f"/region?{VIEW}&shape=circle&numbers=100,100,20",
    f"/stats?{VIEW}",
    f"/histogram?{VIEW}&bins=32",
    f"/stars?{VIEW}&count=5",
    f"/export?{VIEW}&format=npy&region=0,0,20,20",
    "/openapi.json",
    "/healthz",
    "/readyz",
)
REFUSED: Final = (
    "/img?frame=f/none.fits",
    f"/img?{VIEW}&size=x",
    f"/img?{VIEW}&frame=f/a.fits",
    "/img?u=unknown",
    f"/wcs?{VIEW}",
    "/thumbnail?frame=f%ZZ",
    "/stats?frame=f/none.fits",
    "/tiles/f/a.fits/99/0/0.jpg",
    "/tiles/f/a.fits/1/0/0.jpg?v=another",
    "/frames?dir=none",
    "/nothing/here",
)
# What a front may say besides, or in its own way: its name, its time, how the connection goes on, what it keeps.
OF_THE_FRONT: Final = frozenset(
    ("server", "date", "connection", "keep-alive", "transfer-encoding", "content-length", "strict-transport-security",
     "x-imgd-cache", "vary", "priority")
)  # fmt: skip
OF_FILES: Final = frozenset(("etag", "last-modified", "accept-ranges"))  # A page's file has its own in each server.
SECURITY: Final = ("content-security-policy", "x-content-type-options", "referrer-policy")
BY_CGI: Final = re.compile(r"/(img|thumbnail|tile)\?")


async def truth(front: Front, target: str, **headers: str) -> Response:
    """Ask the daemon itself, as the front would."""
    as_front = {"host": f"{front.host}:{front.port}", "x_forwarded_proto": front.base_url.partition(":")[0]}
    return await front.daemon.get(target, **as_front, **headers)


def check_same(answer: Response, right: Response, what: str, but: frozenset[str] = frozenset()) -> None:
    """Compare status, headers and body."""
    assert answer.status == right.status, (what, answer)
    ignored = OF_THE_FRONT | but
    told, known = ({k: v for k, v in each.headers.items() if k not in ignored} for each in (answer, right))
    assert told == known, f"{what}: other headers"
    assert named(right.headers, "vary") <= named(answer.headers, "vary"), what
    if "request" in plain(right):  # A problem: the id of each request is its own.
        assert {**plain(answer), "request": ""} == {**plain(right), "request": ""}, what
    else:
        assert answer.body == right.body, f"{what}: other bytes"
    for name in SECURITY:
        assert answer.headers[name] == right.headers[name], f"{what}: {name} is missing, or there twice"


def named(headers: Mapping[str, str], name: str) -> set[str]:
    """Take a list in a header apart."""
    return {each.strip().lower() for each in headers.get(name, "").split(",")} - {""}


def plain(answer: Response) -> dict[str, Any]:
    """Read a JSON object; {} if it is none."""
    if "json" not in answer.headers.get("content-type", ""):
        return {}
    found = json.loads(answer.body)
    return found if isinstance(found, dict) else {}


async def assets(front: Front) -> list[str]:
    """List the page and what it loads."""
    page = (await truth(front, "/")).body.decode()
    found = re.findall(r'(?:src|href)="\./([^"]+)"|(?:src|href)="(ui/[^"]+)"', page)
    loaded = ["/" + (one or other) for one, other in found]
    assert any(path.endswith(".js") for path in loaded) and any(path.endswith(".css") for path in loaded), page
    return ["/", "/docs", *loaded]


async def test_every_answer_is_the_daemons(front: Front) -> None:
    async with front.connect() as one, front.connect2() as two:
        for target in (*PICTURES, *DOCUMENTS, *REFUSED):
            right = await truth(front, target)
            assert (right.status == 200) == (target not in REFUSED), (target, right)
            check_same(await one.get(target), right, f"{target} by HTTP/1.1")
            check_same(await two.get(target), right, f"{target} by HTTP/2")


async def test_the_page_is_the_daemons(front: Front) -> None:
    async with front.connect() as one, front.connect2() as two:
        for path in await assets(front):
            right = await truth(front, path)
            for answer in (await one.get(path), await two.get(path)):
                check_same(answer, right, path, OF_FILES)
            packed = await one.get(path, accept_encoding="gzip")
            if "content-encoding" in (await truth(front, path, accept_encoding="gzip")).headers:
                assert packed.headers["content-encoding"] == "gzip", f"{path} is not packed"
                assert "accept-encoding" in named(packed.headers, "vary"), path
                assert gzip.decompress(packed.body) == right.body, path


async def test_a_run_by_plain_http_is_the_daemons(front: Front) -> None:
    async with front.connect() as one, front.connect2() as two:
        target = f"/runs?{VIEW}&results=facts,levels,histogram"
        right = plain(await truth(front, target))
        for answer in (await one.get(target), await two.get(target)):
            assert answer.headers["cache-control"] == "no-store"
            found = plain(answer)
            assert (found["run"], found["version"]) == (right["run"], right["version"])
            for name in ("facts", "levels", "histogram"):
                assert found["result"][name] == right["result"][name], name
        assert plain(await one.get("/events?limit=2")).keys() == plain(await truth(front, "/events?limit=2")).keys()


async def test_only_texts_are_packed(front: Front) -> None:
    async with front.connect() as one:
        for target in (*PICTURES, *DOCUMENTS):
            right = await truth(front, target)
            answer = await one.get(target, accept_encoding="gzip, br")
            if target in PICTURES or target.startswith("/export"):
                assert "content-encoding" not in answer.headers, f"{target} is packed twice"
                assert answer.body == right.body, target
            elif "content-encoding" in answer.headers:
                assert answer.headers["content-encoding"] == "gzip"
                assert gzip.decompress(answer.body) == right.body, target


async def test_what_is_known_is_not_sent_again(front: Front) -> None:
    async with front.connect() as one, front.connect2() as two:
        for target in (*PICTURES, "/tiles/f/a.fits/tiles.json", *await assets(front)):
            first = await one.get(target)
            for etag in (first.headers["etag"], f'"other", W/{first.headers["etag"]}'):
                for again in (await one.get(target, if_none_match=etag), await two.get(target, if_none_match=etag)):
                    assert (again.status, again.body) == (304, b""), f"{target}: {again.status}"
                    for name in ("etag", "cache-control"):
                        assert again.headers[name] == first.headers[name], f"{target}: another {name}"
            other = await one.get(target, if_none_match='"other"')
            assert (other.status, other.body) == (200, first.body), target


async def test_head_tells_what_get_would_and_sends_no_body(front: Front) -> None:
    async with front.connect() as one, front.connect2() as two:
        for target in (*PICTURES, *DOCUMENTS, *REFUSED, *await assets(front)):
            full = await one.get(target)
            for head in (await one.head(target), await two.head(target)):
                assert (head.status, head.body) == (full.status, b""), target
                left_out = OF_THE_FRONT | {"x-imgd-levels"}  # Of a picture that need not be made to tell the rest.
                told, known = ({k: v for k, v in each.headers.items() if k not in left_out} for each in (head, full))
                assert told == known, f"{target}: other headers for HEAD"
                length = head.headers.get("content-length", str(len(full.body)))
                assert length == str(len(full.body)), f"{target}: {length} bytes are promised"


RANGES: Final = ("bytes=0-9", "bytes=5-", "bytes=-7", "bytes=0-1,4-9", "bytes=99999999-", "bytes=9-1", "lines=1-2")


async def test_a_range_is_right_or_refused(front: Front) -> None:
    version = plain(await truth(front, "/tiles/f/a.fits/tiles.json"))["version"]
    kept = f"/tiles/f/a.fits/1/0/0.jpg?v={version}"
    async with front.connect() as one, front.connect2() as two:
        for _ in range(3):
            await one.get(kept)  # A front that keeps it has it now.
        for target in (*PICTURES, kept, f"/stats?{VIEW}", "/openapi.json", *await assets(front)):
            whole = await one.get(target)
            for asked in RANGES:
                check_range(await one.get(target, range=asked), whole, f"{asked} of {target}")
                check_range(await two.get(target, range=asked), whole, f"{asked} of {target} by HTTP/2")
            other = await one.get(target, range="bytes=0-9", if_range='"other"')
            assert (other.status, other.body) == (200, whole.body), f"{target}: a part of something else"
            unchanged = await one.get(target, range="bytes=0-9", if_none_match=whole.headers.get("etag", "x"))
            assert unchanged.status == (304 if "etag" in whole.headers else 200), target


def check_range(answer: Response, whole: Response, what: str) -> None:
    """See that an answer is all of it, or just those parts that it names."""
    match answer.status:
        case 200:
            assert answer.body == whole.body, f"{what}: neither a part nor all"
            assert "content-range" not in answer.headers, what
        case 206:
            assert answer.headers.get("etag") == whole.headers.get("etag"), what
            assert whole.headers.get("accept-ranges") != "none", f"{what}: a part of what has none"
            parts = list(parts_of(answer))
            assert parts, what
            for told, body in parts:
                first, last, total = map(int, re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", told).groups())
                assert (body, total) == (whole.body[first : last + 1], len(whole.body)), f"{what}: {told}"
        case status:
            assert status == 416, what
            assert answer.headers["content-range"] == f"bytes */{len(whole.body)}", what


def parts_of(answer: Response) -> Iterator[tuple[str, bytes]]:
    """Take an answer of one part, or of many, apart."""
    boundary = re.search(r"multipart/byteranges; *boundary=(\S+)", answer.headers["content-type"])
    if boundary is None:
        yield answer.headers["content-range"], answer.body
        return
    for part in answer.body.split(f"--{boundary[1]}".encode())[1:-1]:
        head, _, body = part.partition(b"\r\n\r\n")
        told = re.search(rb"content-range: *(bytes \S+)", head, re.IGNORECASE)
        assert told is not None, head
        yield told[1].decode(), body.removesuffix(b"\r\n")


async def test_names_reach_the_daemon_as_they_are(front: Front) -> None:
    listed = plain(await truth(front, "/frames?dir=f/odd"))["entries"]
    assert len(listed) == 7
    async with front.connect() as one, front.connect2() as two:
        for ref in [each["ref"] for each in listed]:
            for target in (
                f"/img?frame={ref}&size=50,",
                f"/stats?frame={ref}",
                f"/frame/{ref}",
                f"/tiles/{ref}/tiles.json",
                f"/tiles/{ref}/0/0/0.png",
                f"/iiif/3/{quote(ref.replace('/', '%2F'), safe='%')}/info.json",
            ):
                right = await truth(front, target)
                assert right.status == 200, (target, right)
                check_same(await one.get(target), right, f"{target} by HTTP/1.1")
                check_same(await two.get(target), right, f"{target} by HTTP/2")


async def test_odd_addresses_lead_nowhere_else(front: Front) -> None:
    odd = (
        "/frame/f%2Fa.fits",
        "/frame/f//a.fits",
        "/frame/f/./a.fits",
        "/frame/f/odd/../a.fits",
        "//frame/f/a.fits",
        "/frame/f/%2e%2e/f/a.fits",
        "/frame/../frame/f/a.fits",
        "/frame/f/a.fits/",
        "/frame/f/a.fits%00",
        "/img?frame=f%2fa.fits&size=20,",
        "/img?frame=f/a.fits&size=20,&",
        "/img?frame=f/a.fits&size=20%2C",
        "/img/?frame=f/a.fits",
        "/IMG?frame=f/a.fits",
        "/img;x?frame=f/a.fits",
        "/%69mg?frame=f/a.fits&size=20,",
    )
    for target in odd:
        right = await truth(front, target)
        answer = await front.get(target)
        if answer.status in (400, 403, 404):  # The front itself may refuse what is no proper address.
            assert not answer.headers["content-type"].startswith("image/"), target
        else:
            check_same(answer, right, target)


CLOSED: Final = ("/metrics", "/metrics/", "//metrics", "/metrics?x=1", "/./metrics", "/x/../metrics", "/%6detrics",
                 "/metrics%2f", "/metrics;x", "/admin", "/admin/", "//admin", "/%61dmin", "/x/..//admin", "/admin%2Fx",
                 "/admin/sessions/end", "/x/%2e%2e/admin")  # fmt: skip


async def test_what_is_for_operators_is_closed_outside(front: Front) -> None:
    if not front.is_server:
        pytest.skip("direct: who may reach the daemon may read its figures; /admin looks at the client")
    assert (await front.daemon.get("/metrics")).status == 200
    for target in CLOSED:
        for headers in ({}, {"host": "localhost", "x_forwarded_for": "127.0.0.1"}):
            answer = await front.get(target, **headers)
            assert answer.status in (400, 403, 404), f"{target}: {answer.status}"
            assert b"imgd_engine" not in answer.body, target
        async with front.connect() as one:
            assert (await one.ask("POST", target, content_length="0")).status in (400, 403, 404, 405), target


async def test_links_are_those_that_the_client_can_follow(front: Front) -> None:
    for claims in ({}, {"x_forwarded_proto": "gopher"}, {"x_forwarded_host": "elsewhere.test"}):
        info = plain(await front.get("/iiif/3/f%2Fa.fits/info.json", **claims))
        assert info["id"] == f"{front.base_url}/iiif/3/f%2Fa.fits", claims
    if front.is_server:
        info = plain(await front.get("/iiif/3/f%2Fa.fits/info.json", x_forwarded_proto="http"))
        assert info["id"].startswith("https://"), "a client's claim went through the front"
    picture = await front.get("/iiif/3/f%2Fa.fits/full/200,/0/default.jpg")
    assert f"<{front.base_url}/" in picture.headers["link"]
    if front.plain_port:
        plainly = replace(front, port=front.plain_port, certificate=None)
        answer = await plainly.get(f"/img?{VIEW}&size=20%2C", host=f"{front.host}:{front.plain_port}")
        assert answer.status in (301, 308), answer
        assert answer.headers["location"] == f"{front.base_url}/img?{VIEW}&size=20%2C"


async def test_a_long_head_passes_and_an_endless_one_is_refused(front: Front) -> None:
    long_name = "/img?frame=f/" + "%C3%A9" * 1_000
    right = await truth(front, long_name)
    async with front.connect() as one, front.connect2() as two, front.connect() as beside:
        await beside.get("/healthz")
        for answer in (await one.get(long_name), await two.get(long_name)):
            check_same(answer, right, "a query of 6 kB")
        for answer in (await one.get("/healthz", x_long="y" * 6_000), await two.get("/healthz", x_long="y" * 6_000)):
            assert answer.status == 200, "a header of 6 kB"
        for target, header in (("/healthz", "y" * 64_000), (f"/img?frame={'y' * 64_000}", "y")):
            for way in (front.connect, front.connect2):
                refused = await refusal(front, way, target, header)
                assert refused in (None, 400, 413, 414, 431), refused
        assert (await beside.get("/healthz")).status == 200, "others paid for it"
    assert (await front.get("/healthz")).status == 200


async def refusal(front: Front, way: Any, target: str, header: str) -> int | None:
    """Tell the status of a request; None when its connection, or its stream, was ended instead."""
    try:
        with trio.fail_after(20):
            async with way() as connection:
                answer: Response = await connection.get(target, x_long=header)
                return answer.status
    except (OSError, trio.BrokenResourceError, h11.RemoteProtocolError, h2.exceptions.ProtocolError):
        return None

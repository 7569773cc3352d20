"""`imgd-cgi` run by a web server: with a daemon played here, and without one."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import hypothesis
import msgspec
import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import Image

from cgi_worker import cgi, cgi_alone, cgi_question
from cgi_worker.alone import render
from cgi_worker.formats.fits import walk
from cgi_worker.link import Link, close_all
from cgi_worker.source import source_of
from cgi_worker.steps.parse import fit_facts
from cgi_worker.wire.packets import (
    FROM_CGI,
    PACKET_BYTES_MAX,
    VERSION,
    Answer,
    Ask,
    Bye,
    Failed,
    Hello,
    Lent,
    Todo,
    encode,
)
from cgi_worker.wire.recipe import delivered, picture_recipe
from cgi_worker.wire.talk import Talk
from cgi_worker.wire.view import View
from imgd.engine.segments import PAGE_BYTES, Segments
from tests.frames.make import image_hdu, write

Daemon = Callable[[Link, Ask, list[int]], None]
PROJECT = Path(__file__).resolve().parents[2]
CGI = [sys.executable, "-m", "cgi_worker.cli"]


def environment(**given: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "HOME") if name in os.environ}
    return kept | {"GATEWAY_INTERFACE": "CGI/1.1", "REQUEST_METHOD": "GET", "QUERY_STRING": ""} | given


@contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(20)
        yield listener


@contextmanager
def asked(
    path: Path, stdout: int = subprocess.PIPE, **given: Any
) -> Iterator[tuple["subprocess.Popen[bytes]", Link, Ask, list[int]]]:
    """Start the CGI against a daemon played by the caller; give what it asked."""
    with (
        listening(path) as listener,
        subprocess.Popen(
            CGI, stdout=stdout, stderr=subprocess.PIPE, env=environment(IMGD_SOCKET=str(path), **given)
        ) as cgi,
    ):
        connected, _ = listener.accept()
        with connected:
            link = Link(connected)
            received = link.receive(FROM_CGI)
            assert received is not None
            ask, descriptors = received
            assert isinstance(ask, Ask)
            yield cgi, link, ask, descriptors
            close_all(descriptors)
        cgi.kill()


def let_go(descriptors: list[int]) -> None:
    """Close what the CGI handed over, as the daemon does once a worker has it."""
    close_all(descriptors)
    descriptors.clear()


def run_alone(**given: str) -> tuple[int, dict[str, str], bytes]:
    """Run the CGI without a daemon; tell its exit code, header and body."""
    done = subprocess.run(CGI, capture_output=True, env=environment(**given), timeout=60, check=False)
    assert done.stderr == b""
    return done.returncode, *parts(done.stdout)


def parts(printed: bytes) -> tuple[dict[str, str], bytes]:
    head, _, body = printed.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    return {name: value for name, _, value in (line.partition(": ") for line in lines)}, body


def check_problem(printed: tuple[int, dict[str, str], bytes], status: int, parameter: str = "") -> dict[str, str]:
    code, head, body = printed
    assert code == 0
    assert head["Status"].startswith(f"{status} ")
    assert head["Content-Type"] == "application/problem+json"
    assert int(head["Content-Length"]) == len(body)
    problem = json.loads(body)
    assert (problem["status"], problem["type"], problem.get("parameter", "")) == (status, "about:blank", parameter)
    assert problem["title"]
    assert problem["detail"]
    return head


def test_it_hands_its_output_over_and_waits(tmp_path: Path) -> None:
    given: dict[str, Any] = {
        "QUERY_STRING": "frame=a/b&size=max",
        "HTTP_IF_NONE_MATCH": '"tag"',
        "REQUEST_METHOD": "HEAD",
    }
    with asked(tmp_path / "s", **given) as (cgi, link, ask, descriptors):
        assert ask == Ask(VERSION, "frame=a/b&size=max", True, '"tag"', True)
        os.write(descriptors[0], b"Status: 200 OK\r\n\r\npicture")
        let_go(descriptors)
        link.send(Answer(200, "", ""))
        out, err = cgi.communicate(timeout=20)
        assert (cgi.returncode, out, err) == (0, b"Status: 200 OK\r\n\r\npicture", b"")


def test_it_prints_what_the_daemon_says_itself(tmp_path: Path) -> None:
    with asked(tmp_path / "s") as (cgi, link, _, descriptors):
        let_go(descriptors)
        link.send(Answer(404, "Status: 404 No such frame\r\n\r\n", "körper"))
        out, err = cgi.communicate(timeout=20)
        assert (cgi.returncode, out.decode(), err) == (0, "Status: 404 No such frame\r\n\r\nkörper", b"")


def test_an_answer_that_broke_off_is_no_success(tmp_path: Path) -> None:
    with asked(tmp_path / "s") as (cgi, link, _, descriptors):
        os.write(descriptors[0], b"Status: 200 OK\r\n\r\nhalf")
        let_go(descriptors)
        link.send(Answer(500, "", ""))
        out, err = cgi.communicate(timeout=20)
        assert (cgi.returncode, out, err) == (5, b"Status: 200 OK\r\n\r\nhalf", b"")


@pytest.mark.parametrize("how", ["close", "bye"])
def test_a_daemon_that_leaves_is_a_503_when_nothing_was_printed(tmp_path: Path, how: str) -> None:
    with asked(tmp_path / "s") as (cgi, link, _, descriptors):
        if how == "bye":
            link.send(Bye())
        else:
            link._socket.shutdown(socket.SHUT_RDWR)
        let_go(descriptors)
        out, err = cgi.communicate(timeout=20)
        assert err == b""
        head = check_problem((cgi.returncode, *parts(out)), 503)
        assert head["Retry-After"].isdigit()


def test_half_an_answer_is_not_continued(tmp_path: Path) -> None:
    with (
        (tmp_path / "out").open("wb") as out,
        asked(tmp_path / "s", stdout=out.fileno()) as (cgi, link, _, descriptors),
    ):
        os.write(descriptors[0], b"Status: 200 OK\r\n")
        link._socket.shutdown(socket.SHUT_RDWR)
        assert cgi.wait(timeout=20) == 5
    assert (tmp_path / "out").read_bytes() == b"Status: 200 OK\r\n"


def test_it_leaves_when_its_reader_has_left_and_the_daemon_sees_it(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    with asked(tmp_path / "s", stdout=writer) as (cgi, link, _, descriptors):
        os.close(writer)
        let_go(descriptors)
        os.close(reader)
        assert cgi.wait(timeout=20) == 5
        assert link.receive(FROM_CGI) is None


def test_sigterm_ends_it_quietly(tmp_path: Path) -> None:
    with asked(tmp_path / "s") as (cgi, link, _, descriptors):
        cgi.terminate()
        let_go(descriptors)
        _, err = cgi.communicate(timeout=20)
        assert (cgi.returncode, err) == (-signal.SIGTERM, b"")
        assert link.receive(FROM_CGI) is None


def test_a_query_that_is_not_ascii_is_passed_on_percent_encoded(tmp_path: Path) -> None:
    with asked(tmp_path / "s", QUERY_STRING="frame=a/\u00e9\udcff", IMGD_CGI="attach") as (_, _link, ask, descriptors):
        assert ask.query == "frame=a/%C3%A9%FF"
        assert not ask.hand_over
        assert descriptors == []


def test_without_a_daemon_and_without_roots_it_is_busy(tmp_path: Path) -> None:
    check_problem(run_alone(), 503)
    check_problem(run_alone(IMGD_SOCKET=str(tmp_path / "nobody")), 503)
    with listening(tmp_path / "left"):
        pass
    check_problem(run_alone(IMGD_SOCKET=str(tmp_path / "left")), 503)


def test_only_get_and_head_are_for_pictures() -> None:
    head = check_problem(run_alone(REQUEST_METHOD="POST"), 405)
    assert head["Allow"] == "GET, HEAD"


def test_head_has_no_body() -> None:
    code, head, body = run_alone(REQUEST_METHOD="HEAD")
    assert (code, head["Status"], body) == (0, "503 Busy", b"")


def test_a_query_too_long_for_a_packet_is_refused() -> None:
    check_problem(run_alone(QUERY_STRING="x" * (PACKET_BYTES_MAX - 20)), 414)


def test_a_stranger_gives_no_arguments(tmp_path: Path) -> None:
    """A web server passes a query without `=` as arguments."""
    out = tmp_path / "out"
    done = subprocess.run(
        [*CGI, "-o", str(out), "/etc/passwd"], capture_output=True, env=environment(), timeout=60, check=False
    )
    assert b"Status: 503" in done.stdout
    assert not out.exists()


def test_asking_waits_for_no_library() -> None:
    """What is left of the start is Python itself: these would each take as long again."""
    slow = ["numpy", "numba", "msgspec", "socket", "json", "typing", "re", "enum", "collections", "signal"]
    check = f"import sys; sys.path += [{str(PROJECT)!r}]; import cgi_worker.cli, cgi_worker.cgi\n"
    check += f"print(sorted(set({slow!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-IS", "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@hypothesis.given(st.text(), st.text(), st.text(), st.booleans(), st.sampled_from(["GET", "HEAD"]))
def test_a_question_is_written_as_the_wire_has_it(
    name: str, query: str, tag: str, hand_over: bool, method: str
) -> None:
    environ = {"QUERY_STRING": query, "HTTP_IF_NONE_MATCH": tag, "PATH_INFO": f"/{name}", "REQUEST_METHOD": method}
    try:
        question = cgi_question.Question(environ)
    except UnicodeEncodeError:
        return  # No environment holds such text.
    asked = FROM_CGI.decode(question.packet(hand_over))
    assert asked == Ask(VERSION, question.query, hand_over, question.tag, method == "HEAD", question.name)
    if query.isascii():
        assert question.query == query


def test_what_is_known_by_heart_is_what_the_wire_says() -> None:
    assert encode(Answer(200, "", "")) == cgi.WRITTEN
    assert (cgi_question.VERSION, cgi.PACKET_BYTES_MAX) == (VERSION, PACKET_BYTES_MAX)


@pytest.mark.parametrize(
    ("script", "more", "name"),
    [
        ("/img", "", "img"), ("/stats", "", "stats"), ("/cgi-bin/imgd-cgi", "", "img"), ("", "", "img"),
        ("/cgi-bin/imgd-cgi", "/stats", "stats"), ("/cgi-bin/imgd-cgi", "/tiles/f/a", "tiles/f/a"), ("/x", "/", "img"),
    ],
)  # fmt: skip
def test_what_is_asked_follows_from_the_path(script: str, more: str, name: str) -> None:
    assert cgi_question.Question({"SCRIPT_NAME": script, "PATH_INFO": more}).name == name


def test_the_launcher_is_the_same_program(tmp_path: Path) -> None:
    launcher = tmp_path / "imgd-cgi"
    launcher.write_text(subprocess.run([*CGI, "--launcher"], capture_output=True, text=True, check=True).stdout)
    launcher.chmod(0o755)
    for given in ({}, {"QUERY_STRING": "u=1", "IMGD_ROOTS": "a=/nowhere", "SCRIPT_NAME": "/stats"}):
        own = run_alone(**given)
        done = subprocess.run([launcher], capture_output=True, env=environment(**given), timeout=60, check=False)
        assert (done.returncode, *parts(done.stdout), done.stderr) == (*own, b"")
    check_problem(run_alone(SCRIPT_NAME="/stats", IMGD_ROOTS="a=/nowhere"), 503)


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("roots")
    (place / "night" / "sub").mkdir(parents=True)
    write(place / "night" / "sub" / "a b.fits", image_hdu(np.arange(4800, dtype=np.uint16).reshape(60, 80)))
    (place / "night" / "text.fits").write_text("no frame")
    write(place / "secret.fits", image_hdu(np.zeros((6, 8), np.uint8)))
    (place / "night" / "out.fits").symlink_to(place / "secret.fits")
    return place


def test_without_a_daemon_it_works_alone_below_its_roots(roots: Path, tmp_path: Path) -> None:
    given = {"IMGD_ROOTS": f"other=/nowhere:night={roots}/night", "IMGD_SOCKET": str(tmp_path / "nobody")}
    query = "frame=night/sub/a+b.fits&size=40,&format=png"
    code, head, body = run_alone(QUERY_STRING=query, **given)
    assert (code, head["Status"], head["Content-Type"]) == (0, "200 OK", "image/png")
    assert int(head["Content-Length"]) == len(body)
    assert Image.open(BytesIO(body)).size == (40, 30)
    assert len(head["ETag"]) == 34
    for tag in (head["ETag"], f'"x", W/{head["ETag"]}', "*"):
        code, again, nothing = run_alone(QUERY_STRING=query, HTTP_IF_NONE_MATCH=tag, **given)
        assert (code, again, nothing) == (0, {"Status": "304 Not Modified", "ETag": head["ETag"]}, b"")
    _, other, _ = run_alone(QUERY_STRING=query + "&quality=1", HTTP_IF_NONE_MATCH=head["ETag"], **given)
    assert other["Status"] == "200 OK"
    assert other["ETag"] != head["ETag"]
    _, only, nothing = run_alone(QUERY_STRING=query, REQUEST_METHOD="HEAD", **given)
    assert (only, nothing) == (head, b"")


def test_what_it_refuses_alone(roots: Path) -> None:
    given = {"IMGD_ROOTS": f"night={roots}/night"}
    for frame in (
        "secret.fits", "night", "night/", "night/missing", "night/../secret.fits", "night/sub/../text.fits",
        "night/out.fits", "night//etc/passwd", f"night/{roots}/secret.fits", "/etc/passwd", "night/text.fits[0]",
        "night/text.fits/below", "nowhere/a",
    ):  # fmt: skip
        with pytest.raises(cgi_alone.Refused) as refused:
            cgi_alone.open_frame(View(frame), {"night": f"{roots}/night"})
        assert refused.value.status == 404
    check_problem(run_alone(QUERY_STRING="frame=night/out.fits", **given), 404, "frame")
    check_problem(run_alone(QUERY_STRING="frame=night/a%00b", **given), 400, "frame")
    check_problem(run_alone(QUERY_STRING="", **given), 400, "frame")
    check_problem(run_alone(QUERY_STRING="frame", **given), 400)
    check_problem(run_alone(QUERY_STRING="frame=night/text.fits&bin=2", **given), 400, "bin")
    check_problem(run_alone(QUERY_STRING="frame=night/sub/a%20b.fits&hdu=7", **given), 400, "hdu")
    check_problem(run_alone(QUERY_STRING="frame=night/text.fits", **given), 422, "frame")
    check_problem(run_alone(QUERY_STRING="frame=night/sub", **given), 422, "frame")
    check_problem(run_alone(QUERY_STRING="u=12345", **given), 503, "u")


def test_it_does_the_todo_list_itself_when_told_to(roots: Path, tmp_path: Path) -> None:
    """The daemon played here gives the real list for a picture, ending in the CGI's own standard output."""
    path = roots / "night" / "sub" / "a b.fits"
    path_fd = os.open(path, os.O_PATH)
    source_fd = os.open(path, os.O_RDONLY)
    view = View("f", format="png")
    expected, _, _ = render(source_fd, view)
    source = source_of(source_fd)
    recipe = delivered(picture_recipe(view, fit_facts(walk(source_fd).facts), source), "Status: 200 OK\r\n\r\n")
    os.close(source_fd)
    segments = Segments()
    for number, buffer in enumerate(recipe.buffers):
        segments.create(number, -(-buffer.size_bytes // PAGE_BYTES) * PAGE_BYTES)
    lent = tuple(Lent(buffer, number, True) for number, buffer in enumerate(recipe.buffers))
    todo = Todo(3, recipe.stages, lent, msgspec.json.encode(source).decode(), True, False, 1)
    talk = Talk()
    talk.hear(Hello(VERSION, 0))
    talk.give(todo)
    with asked(tmp_path / "s", IMGD_CGI="attach") as (cgi, link, ask, _):
        assert not ask.hand_over
        link.send(todo, [path_fd, *(segments.writer_fd(number) for number in range(len(lent)))])
        while not talk.idle:
            received = link.receive(FROM_CGI)
            assert received is not None
            assert not isinstance(received[0], Ask)
            assert not isinstance(received[0], Failed), received[0]
            talk.hear(received[0])
        link.send(Answer(200, "", ""))
        out, err = cgi.communicate(timeout=20)
        assert (cgi.returncode, err) == (0, b"")
        assert parts(out)[1] == expected
    os.close(path_fd)
    segments.close()

"""The log: what lines say, where they go, and that no log holds up who writes to it."""

import json
import logging
import os
import signal
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from imgd import logs
from imgd.log_sinks import JournalSink, Line, StderrSink, SyslogSink, as_json, as_text, line_of
from imgd.logs import LINES_MAX, LineQueue
from imgd.origin import Origin
from tests.daemon.figures import until_free
from tests.daemon.rig import running_daemon
from tests.daemon.test_faults import catch_worker
from tests.daemon.test_sessions import seated
from tests.frames import make

LIMIT_S = 30.0
LINE = Line(1_700_000_000_123_456_789, logging.WARNING, "imgd.web", "word\nword", "r1", "run1", "ws1", "Traceback: x")


async def until(is_so: object) -> None:
    """Wait until this is true."""
    assert callable(is_so)
    with trio.fail_after(LIMIT_S):
        while not is_so():
            await trio.sleep(0.005)


# What lines say


def test_json_lines_have_what_is_known() -> None:
    assert json.loads(as_json(LINE)) == {
        "time": "2023-11-14T22:13:20.123Z", "level": "warning", "logger": "imgd.web", "message": "word\nword",
        "request": "r1", "run": "run1", "session": "ws1", "exception": "Traceback: x",
    }  # fmt: skip
    assert b"\n" not in as_json(LINE)
    assert "request" not in json.loads(as_json(Line(0, logging.INFO, "imgd", "x")))
    assert as_text(LINE).startswith(b"2023-11-14T22:13:20.123Z WARNING imgd.web: word\nword (request r1, run run1, ")


def test_a_line_is_said_in_the_name_of_who_is_served() -> None:
    record = logging.LogRecord("imgd.x", logging.INFO, "f.py", 7, "frame %s", ("\udcff" + "x" * 20_000,), None)
    mine = Origin([(b"x-request-id", b"front-1")], None, run="r")
    line = line_of(record, mine)
    assert (line.request, line.run) == ("front-1", "r")
    assert line.message.startswith("frame \\udcff") and len(line.message) < 9_000
    record.origin = Origin(run="other")
    assert line_of(record, mine).run == "other"


@pytest.mark.parametrize(
    ("client", "given", "taken"),
    [
        (None, b"a-1_B.z", True),
        (("127.0.0.1", 5), b"abc", True),
        (("::1", 5), b"abc", True),
        (("192.0.2.7", 5), b"abc", False),
        (None, b"", False),
        (None, b"x" * 65, False),
        (None, b"a b", False),
        (None, b'a"', False),
        (("nonsense", 5), b"abc", False),
    ],
)
def test_only_a_front_of_this_machine_names_requests(client: tuple[str, int] | None, given: bytes, taken: bool) -> None:
    made = Origin([(b"host", b"x"), (b"x-request-id", given)], client)
    assert (made.request == given.decode()) is taken
    assert made.request == made.request and len(made.request) >= 3
    assert Origin().request == ""


# Logs that are full, blocked or gone


def test_a_blocked_log_holds_nobody_up(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    lines = LineQueue(StderrSink(as_text, writing))
    count = LINES_MAX + 5_000
    for number in range(count):
        lines.put(Line(0, logging.INFO, "imgd", f"{number} " + "x" * 100))
    assert lines.statistics().dropped_total > 0
    got = b""
    numbers: list[int] = []
    told: list[int] = []
    while len(numbers) + sum(told) < count:  # Each line is either there or counted where it is missing.
        got += os.read(reading, 65_536)
        said = got.decode().splitlines()
        numbers = [int(line.split(": ")[1].split(" ")[0]) for line in said if line.endswith("x" * 100)]
        told = [int(line.split(": ")[1].split(" ")[0]) for line in said if line.endswith("blocked or gone")]
    assert numbers == sorted(numbers)
    lines.close()
    os.close(reading)
    os.close(writing)
    figures = lines.statistics()
    assert (figures.dropped_total, figures.lines_total) == (sum(told), len(numbers) + len(told))


def test_a_full_disk_loses_no_line_that_waits() -> None:
    try:
        full = os.open("/dev/full", os.O_WRONLY)
    except OSError:
        pytest.skip("there is no /dev/full")
    lines = LineQueue(StderrSink(as_text, full))
    lines.put(Line(0, logging.INFO, "imgd", "one"))
    while not lines.statistics().down:
        pass
    reading, writing = os.pipe()
    os.dup2(writing, full)
    assert os.read(reading, 100).endswith(b"imgd: one\n")
    lines.close()
    for descriptor in (reading, writing, full):
        os.close(descriptor)


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """A datagram socket in the file system, as syslog's and the journal's are."""
    path = f"{tmp_path}/log"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        sock.settimeout(LIMIT_S)
        yield path, sock


def test_syslog_gets_what_it_reads(receiver: tuple[str, socket.socket]) -> None:
    path, sock = receiver
    lines = LineQueue(SyslogSink(as_json, path))
    lines.put(LINE)
    head, _, body = sock.recv(65_536).partition(b"]: ")
    assert head.startswith(b"<28>Nov 1") and head.endswith(f"imgd[{os.getpid()}".encode())
    assert json.loads(body)["request"] == "r1"
    lines.put(Line(0, logging.ERROR, "imgd", "x", exception="\n".join(["line"] * 10_000)))
    long = sock.recv(65_536)
    assert len(long) <= 8_000 and json.loads(long.partition(b"]: ")[2])["level"] == "error"
    lines.close()


def test_a_log_that_is_started_again_is_found_again(receiver: tuple[str, socket.socket], tmp_path: Path) -> None:
    path, sock = receiver
    lines = LineQueue(SyslogSink(as_text, path))
    lines.put(LINE)
    sock.recv(65_536)
    os.unlink(path)
    sock.close()
    lines.put(Line(0, logging.INFO, "imgd", "while it is gone"))
    while not lines.statistics().down:
        pass
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as again:
        again.settimeout(LIMIT_S)
        again.bind(path)
        assert b"while it is gone" in again.recv(65_536)
    lines.close()
    assert lines.statistics().dropped_total == 0


def fields(data: bytes) -> dict[str, bytes]:
    """Read the journal's native protocol."""
    found: dict[str, bytes] = {}
    while data:
        line, _, data = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            (size,) = struct.unpack_from("<Q", data)
            value, data = data[8 : 8 + size], data[9 + size :]
        found[name.decode()] = value
    return found


def test_the_journal_gets_fields(receiver: tuple[str, socket.socket]) -> None:
    path, sock = receiver
    lines = LineQueue(JournalSink(path))
    lines.put(LINE)
    got = fields(sock.recv(65_536))
    assert got["MESSAGE"] == b"word\nword\nTraceback: x"
    named = {name: got[name] for name in ("PRIORITY", "SYSLOG_IDENTIFIER", "IMGD_REQUEST", "IMGD_RUN", "IMGD_SESSION")}
    assert list(named.values()) == [b"4", b"imgd", b"r1", b"run1", b"ws1"]
    large = "y" * 2_000_000  # More than any datagram holds: it comes as a sealed memory file.
    lines.put(Line(0, logging.ERROR, "imgd", large))
    data, passed, _, _ = socket.recv_fds(sock, 1, 1)
    assert data == b""
    size = os.fstat(passed[0]).st_size
    assert fields(os.pread(passed[0], size, 0))["MESSAGE"] == large.encode()
    with pytest.raises(PermissionError):
        os.pwrite(passed[0], b"x", 0)
    os.close(passed[0])
    lines.close()


def test_a_log_that_is_missing_at_the_start_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logs, "SYSLOG_PATH", f"{tmp_path}/dev-log")
    with logs.open_log_lines("syslog", "auto", "info") as lines:
        assert "nothing is at" in capsys.readouterr().err
        logging.getLogger("imgd").info("early")
        logging.getLogger("hpack").debug("a table of headers")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.settimeout(LIMIT_S)
            sock.bind(f"{tmp_path}/dev-log")
            assert b'"message":"early"' in sock.recv(65_536)
        assert lines.statistics().lines_total <= 1


def test_others_do_not_log_at_their_lower_levels() -> None:
    """Some of them log the addresses that are asked for, in which keys stand."""
    with logs.open_log_lines("stderr", "json", "debug"):
        assert logging.getLogger("imgd.web").isEnabledFor(logging.DEBUG)
        assert not logging.getLogger("hpack").isEnabledFor(logging.INFO)


# The real daemon


async def test_lines_carry_ids_and_no_secrets(tmp_path: Path) -> None:
    """A worker that is killed is told of under the request it worked for; keys are in no line, at no level."""
    make.write(tmp_path / "a.fits", make.image_hdu(make.star_field(300, 400)))
    make.write(tmp_path / "cut.fits", make.image_hdu(make.star_field(300, 400), pad=False))
    make.cut(tmp_path / "cut.fits", 2880 + 200 * 400 * 2)
    make.write(tmp_path / "big.fits", make.image_hdu(make.star_field(3000, 4000)))
    async with running_daemon(f"f={tmp_path}", log_level="debug", workers_max=1) as daemon:
        problem = json.loads((await daemon.get("/img?frame=f/no.fits", x_request_id="front-7")).body)
        assert problem["request"] == "front-7"
        made = json.loads((await daemon.get("/img?frame=f/no.fits", x_request_id="not a name")).body)["request"]
        assert len(made) == 16
        async with seated(daemon) as sitter:
            resume = (await sitter.ask("hello"))["resume"]
            uid = (await sitter.ask("src", view="frame=f/a.fits"))["uid"]
            async with daemon.connect2() as second:
                assert (await second.get(f"/img?u={uid}")).status == 200
            runner = await sitter.open("frame=f/cut.fits&quality=44")
            await sitter.run(runner)
            run = next(told["run"] for told in sitter.told if told.get("run"))
        await until_free(daemon)  # The worker that is caught is at no one else's frame.

        async with trio.open_nursery() as nursery:

            async def ask() -> None:
                await daemon.get("/img?frame=f/big.fits&levels=0.2,0.9&size=max&format=png", x_request_id="front-8")

            nursery.start_soon(ask)
            await catch_worker(daemon, signal.SIGKILL)
        await daemon.settles(lambda: "ended by signal 9" in daemon.log())
        lines = [json.loads(line) for line in daemon.log().splitlines()]
        assert [line["request"] for line in lines if "ended by signal 9" in line["message"]] == ["front-8"]
        assert any(line.get("run") == run and line["logger"] == "imgd.runs" for line in lines)
        assert uid not in daemon.log() and resume not in daemon.log() and runner not in daemon.log()

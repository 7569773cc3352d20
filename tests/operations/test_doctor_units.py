"""The doctor and a daemon that systemd starts: the delivered units, their sockets, and the fronts that lead there."""

import re
import shutil
import socket
from pathlib import Path

import pytest
import trio

import imgd.doctor.run
import imgd.reaching
from imgd.cli import main
from imgd.config import Settings
from imgd.doctor.finding import Finding
from imgd.doctor.fronts import LIGHTTPD_MIN, NGINX_MIN, check_files
from imgd.doctor.network import check_bind
from imgd.doctor.sockets import check_units, places_of
from imgd.doctor.unit import Unit, installed_units, read_shown
from imgd.reaching import NotReached, Place, ask
from tests.daemon.rig import PROJECT, running_daemon
from tests.operations.test_doctor import by_name
from tests.operations.users import as_nobody, open_way

SHOWN = """LoadState=loaded
ActiveState=active
User=imgd
ExecStart={ path=/opt/imgd/bin/imgd ; argv[]=/opt/imgd/bin/imgd serve --config /etc/imgd/imgd.toml ; ignore_errors=no }
Environment=NUMBA_CACHE_DIR=/var/cache/imgd "IMGD_LOG=a b"
LimitNOFILE=65536
LimitNOFILESoft=1024
MemoryMax=infinity
TasksMax=4915
StateDirectory=imgd
"""
SHOWN_SOCKET = """LoadState=loaded
Listen=/run/imgd/web.sock (Stream)
Listen=8765 (Stream)
Listen=/run/imgd/cgi.sock (SequentialPacket)
"""


def ask_nobody(name: str) -> dict[str, list[str]]:
    """Stand for a machine on which systemd is not to be asked."""
    return {}


def install(folder: Path, sockets: Path) -> Path:
    """Copy the delivered units as docs/systemd.md says, with sockets at another place, and a site's own lines."""
    folder.mkdir()
    shutil.copy(PROJECT / "systemd/imgd.service", folder)
    text = (PROJECT / "systemd/imgd.socket").read_text().replace("/run/imgd", str(sockets))
    (folder / "imgd.socket").write_text(text)
    (folder / "imgd.service.d").mkdir()
    (folder / "imgd.service.d/override.conf").write_text(
        "[Service]\nLimitNOFILE=\nLimitNOFILE=1024:3000\nMemoryMax=3G\n"
    )
    return folder


def fronts(socket_path: Path, user: str) -> list[Finding]:
    """Judge the delivered site files of both web servers, with their socket at another place."""
    found = []
    for program, line in (("nginx", f"user {user};"), ("lighttpd", f'server.username = "{user}"')):
        text = (PROJECT / f"{program}/imgd-site.conf").read_text().replace("/run/imgd/web.sock", str(socket_path))
        texts = [("main.conf", line), ("imgd-site.conf", text)]
        found += check_files(program, texts, [f"unix:{socket_path.parent}/web.sock"])
    return found


async def test_a_daemon_that_systemd_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    web, cgi = tmp_path / "web.sock", tmp_path / "cgi.sock"
    folder = install(tmp_path / "units", tmp_path)
    monkeypatch.setattr(imgd.doctor.run, "installed_units", lambda: installed_units([folder], ask_nobody))

    def examine(*arguments: str) -> str:
        main(["doctor", "--config", str(PROJECT / "systemd/imgd.toml"), *arguments])
        return re.sub(r"\s+", " ", capsys.readouterr().out)

    text = await trio.to_thread.run_sync(examine)
    assert f"BAD imgd.socket {web}: No such file" in text and "systemctl enable --now imgd.socket" in text
    (tmp_path / "frames").mkdir()
    async with running_daemon(tmp_path / "frames", bind=f"127.0.0.1:0,unix:{web}", cgi_socket=cgi):
        web.chmod(0o600)
        text = await trio.to_thread.run_sync(examine)
        assert re.search(rf"ok imgd\.socket {web}: \S+ may connect \(0600\); a daemon of ours answers", text)
        assert re.search(rf"ok imgd\.socket {cgi}: .*? somebody listens", text)
        assert (
            "descriptors: at most 3000 (imgd.service): connections_max is lowered" in text and "ulimit -H" not in text
        )
        assert "/var/cache/imgd" in text and "systemd makes its folder" in text and "bind 127.0.0.1" not in text
        assert "control group: 3 GiB at most" in text and "sudo -u imgd /opt/imgd/bin/imgd doctor" in text
        by_hand = await trio.to_thread.run_sync(examine, str(tmp_path / "frames"))
        assert "imgd.service" not in by_hand and "bind 127.0.0.1:8765" in by_hand

        assert {each.verdict for each in fronts(web, "root")} == {"ok"}
        assert {each.verdict for each in fronts(web, "nobody")} == {"bad"}
        elsewhere = fronts(tmp_path / "other.sock", "root")
        assert len(elsewhere) == 2 and all("no daemon of ours answers" in each.found for each in elsewhere)
        await stat_finds_it(web, monkeypatch, capsys)
    web.unlink(missing_ok=True)
    assert "no daemon is reached" in await stat_says(capsys)


async def stat_finds_it(web: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without an address `imgd stat` asks at the loopback, then at the socket that the unit has."""
    assert [imgd.reaching.url_of(each) for each in imgd.reaching.USUAL_PLACES] == [
        "http://127.0.0.1:8765/", "unix:/run/imgd/web.sock",
    ]  # fmt: skip
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        closed = Place("127.0.0.1", taken.getsockname()[1])  # Nobody listens there.
    monkeypatch.setattr(imgd.reaching, "USUAL_PLACES", (closed, Place(path=str(web))))
    assert f"unix:{web}" in await stat_says(capsys)


async def stat_says(capsys: pytest.CaptureFixture[str]) -> str:
    """Tell what `imgd stat --once` prints; where nobody is reached, it names both places."""
    code = await trio.to_thread.run_sync(main, ["stat", "--once"])
    printed = capsys.readouterr()
    if code:
        assert all(imgd.reaching.url_of(each) in printed.err for each in imgd.reaching.USUAL_PLACES)
    return printed.out + printed.err


def test_what_systemd_tells_goes_before_the_files(tmp_path: Path) -> None:
    folder = install(tmp_path / "units", tmp_path)
    shown = {"imgd.service": read_shown(SHOWN), "imgd.socket": read_shown(SHOWN_SOCKET)}
    (unit,) = installed_units([folder], lambda name: shown[name])
    assert unit.streams == ("unix:/run/imgd/web.sock", "[::]:8765") and unit.packets == ("/run/imgd/cgi.sock",)
    assert unit.limits["LimitNOFILE"] == 65536 and unit.limits["TasksMax"] == 4915 and unit.is_active
    assert unit.environment["IMGD_LOG"] == "a b" and unit.environment["STATE_DIRECTORY"] == "/var/lib/imgd"
    assert (unit.program, unit.config, unit.user) == ("/opt/imgd/bin/imgd", "/etc/imgd/imgd.toml", "imgd")
    assert read_shown(SHOWN.replace("loaded", "not-found")) == {}
    assert installed_units([tmp_path / "none"]) == []


def test_instances_that_are_enabled(tmp_path: Path) -> None:
    shutil.copy(PROJECT / "systemd/imgd@.service", tmp_path)
    shutil.copy(PROJECT / "systemd/imgd@.socket", tmp_path)
    wants = tmp_path / "sockets.target.wants"
    wants.mkdir()
    for name in "ab":
        (wants / f"imgd@{name}.socket").symlink_to("../imgd@.socket")
    units = installed_units([tmp_path], ask_nobody)
    assert places_of(units, Settings()) == ["unix:/run/imgd/a.sock", "unix:/run/imgd/b.sock"]
    assert [unit.environment["STATE_DIRECTORY"] for unit in units] == ["/var/lib/imgd/a", "/var/lib/imgd/b"]


def test_a_service_that_does_not_run_is_not_started_by_being_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "web.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        listening.setblocking(False)
        unit = Unit("imgd.service", streams=(f"unix:{path}",), is_active=False)
        found = by_name(check_units([unit], Settings(bind=("127.0.0.1:1",))))
        with pytest.raises(BlockingIOError):
            listening.accept()
    assert found["imgd.service"].verdict == "warn" and found[f"imgd.socket {path}"].verdict == "ok"
    assert "ListenStream=" in found["bind"].change


def test_versions_of_web_servers_are_those_of_the_page() -> None:
    page = (PROJECT / "docs/fronts.md").read_text()
    for program, least in (("nginx", NGINX_MIN), ("lighttpd", LIGHTTPD_MIN)):
        told = re.search(rf"For {program} ([0-9.]+) or later", page)
        assert told is not None and told[1] == ".".join(map(str, least))


def test_the_page_s_commands_are_those_of_the_installation() -> None:
    page = (PROJECT / "docs/operations.md").read_text()
    (unit,) = installed_units([PROJECT / "systemd"], ask_nobody)
    assert set(re.findall(r"--config (\S+)", page)) == {unit.config}
    assert set(re.findall(r"(?m)^sudo (?:-u imgd )?(\S+)", page)) == {unit.program}


def test_no_advice_is_what_the_unit_forbids(tmp_path: Path) -> None:
    (found,) = check_bind(f"unix:{tmp_path}/none/web.sock")
    assert "imgd.socket makes it" in found.change and "RuntimeDirectory" not in found.change


def test_who_may_not_connect_is_told_who_may(tmp_path: Path) -> None:
    open_way(tmp_path)
    path = tmp_path / "web.sock"
    unit = Unit("imgd.service", streams=(f"unix:{path}",))

    def look() -> tuple[Finding, str]:
        with pytest.raises(NotReached) as refused:
            ask(Place(path=str(path)), "/readyz")
        return check_units([unit], Settings())[1], str(refused.value)

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        path.chmod(0o660)
        found, refused = as_nobody(look)
    assert found.verdict == "ok" and " and group " in found.found and "was not asked" in found.found
    assert "root may" in refused

"""The doctor and places: roots, databases, addresses, certificates and fronts that are really wrong."""

import contextlib
import datetime
import os
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trustme

from imgd.config import Settings
from imgd.doctor.finding import Finding
from imgd.doctor.fronts import check_files, check_fronts
from imgd.doctor.network import check_bind, check_certificate, check_network
from imgd.doctor.rooms import Room, kind_of, look_around
from imgd.doctor.roots import check_nesting, check_room, check_roots, check_watches
from imgd.doctor.store import check_sqlite, check_store
from imgd.events.opening import open_store
from imgd.setting_kinds import Root
from imgd.web.tls import Certificate
from tests.fronts.place import make_certificate
from tests.operations.test_doctor import by_name
from tests.operations.users import as_nobody, open_way

MIB = 1024**2
SETTINGS = Settings()


def expiry(certfile: str, keyfile: str) -> float:
    """Tell when a certificate expires, as the doctor is told."""
    return Certificate(certfile, keyfile).expires_at


def of_root(directory: Path, settings: Settings = SETTINGS) -> list[Finding]:
    """Judge one root."""
    return check_room("root night", look_around(directory), settings)


@contextlib.contextmanager
def mounted_tmpfs(folder: Path, size: str) -> Iterator[Path]:
    """Mount a small file system; where that is not allowed, the test is skipped."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


# Roots


def test_a_root_as_it_should_be(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b.fits").touch()
    (tmp_path / "a/link.fits").symlink_to("b.fits")
    (found,) = of_root(tmp_path)
    assert found.verdict == "ok" and "1 files in 2 directories" in found.found


def test_links_that_lead_out_are_counted(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "root-2"
    root.mkdir()
    outside.mkdir()
    (root / "out").symlink_to(outside)
    (root / "dead").symlink_to("nowhere")
    found = by_name(of_root(root))["root night"]
    assert found.verdict == "warn" and "1 links lead out" in found.found and str(root / "out") in found.found


def test_what_another_user_may_not_read_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep/secret.fits").touch(mode=0o600)
    open_way(folder)
    found = by_name(as_nobody(lambda: of_root(folder)))["root night"]
    assert found.verdict == "warn" and "secret.fits" in found.found and "setfacl" in found.change
    (folder / "deep").chmod(0o700)
    found = by_name(as_nobody(lambda: of_root(folder)))["root night"]
    assert found.verdict == "warn" and "deep" in found.found
    folder.chmod(0o700)
    found = by_name(as_nobody(lambda: of_root(folder)))["root night"]
    assert found.verdict == "bad" and "may not be read" in found.found


def test_clocks_that_differ_and_times_that_are_coarse(tmp_path: Path) -> None:
    for number in range(25):
        (tmp_path / f"{number}.fits").touch()
        os.utime(tmp_path / f"{number}.fits", (1_700_000_000, 1_700_000_000))
    assert by_name(of_root(tmp_path))["root night: times"].verdict == "warn"
    later_s = time.time() + 3600.5
    os.utime(tmp_path / "3.fits", (later_s, later_s))
    found = by_name(of_root(tmp_path))
    assert "in the future" in found["root night"].found and "root night: times" not in found


def test_a_directory_of_too_many_names(tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / f"{number}").touch()
    found = by_name(of_root(tmp_path, Settings(scan_max=20, listing_max=20)))["root night"]
    assert found.verdict == "warn" and "scan_max = 60" in found.change


def test_roots_that_are_missing_or_lie_in_each_other(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    roots = (Root("all", tmp_path), Root("inner", tmp_path / "inner"), Root("gone", tmp_path / "gone"))
    found = by_name(check_roots(replace(SETTINGS, roots=roots)))
    assert "two names" in found["root inner"].found and found["root gone"].verdict == "warn"
    assert found["root all"].verdict == "ok" and found["watches"].verdict == "ok"
    assert by_name(check_roots(SETTINGS))["roots"].verdict == "bad"
    assert check_nesting({"a": look_around(tmp_path), "b": look_around(tmp_path)}) != []


def test_a_network_file_system_has_to_be_polled(tmp_path: Path) -> None:
    for kind in ("nfs4", "fuse.sshfs", "cifs", "overlay"):
        room = Room(tmp_path, tmp_path, kind=kind, entered=True, files=3)
        assert by_name(check_room("root x", room, SETTINGS))["root x: changes"].change == "poll_s = 5"
        assert by_name(check_room("root x", room, Settings(poll_s=5)))["root x: changes"].verdict == "ok"


def test_more_directories_than_watches() -> None:
    assert check_watches(10, 8192, 0).verdict == "ok"
    assert "max_user_watches=524288" in check_watches(8000, 8192, 0).change
    assert check_watches(8000, 8192, 5.0).verdict == "ok"


def test_the_kind_of_a_file_system_is_that_of_the_nearest_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    line = "36 35 98:0 / {} rw,noatime master:1 - {} /dev/root rw\n"
    rows = (("/", "ext4"), ("/data", "xfs"), ("/data/my\\040night", "nfs4"), ("/data", "btrfs"))
    mounts.write_text("".join(line.format(*row) for row in rows))
    paths = ("/x", "/data", "/database", "/data/a", "/data/my night/b")
    assert [kind_of(Path(path), mounts) for path in paths] == ["ext4", "btrfs", "ext4", "btrfs", "nfs4"]
    assert kind_of(Path("/proc")) == "proc"


# Where events are kept


async def test_databases_that_are_wrong(tmp_path: Path) -> None:
    path = tmp_path / "events.sqlite"
    async with open_store(f"sqlite:{path}") as store:
        await store.head()
    database = by_name(check_sqlite(path, SETTINGS))["database"]
    assert database.verdict == "ok" and "journal wal" in database.found
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=delete")
    database = by_name(check_sqlite(path, SETTINGS))["database"]
    assert database.verdict == "warn" and "journal_mode=wal" in database.change
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version=999")
    assert "newer imgd" in by_name(check_sqlite(path, SETTINGS))["database"].found
    with contextlib.closing(sqlite3.connect(tmp_path / "other.sqlite")) as connection:
        connection.execute("CREATE TABLE a (b)")
    assert "another program" in by_name(check_sqlite(tmp_path / "other.sqlite", SETTINGS))["database"].found
    (tmp_path / "garbage.sqlite").write_bytes(b"garbage" * 1000)
    found = by_name(check_sqlite(tmp_path / "garbage.sqlite", SETTINGS))["database"]
    assert found.verdict == "bad" and ".recover" in found.change


def test_a_place_that_another_user_may_not_write(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o755)
    open_way(folder)
    found = by_name(as_nobody(lambda: check_sqlite(folder / "events.sqlite", SETTINGS)))["database"]
    assert found.verdict == "bad" and "may not write" in found.found
    assert by_name(check_sqlite(tmp_path / "none/events.sqlite", SETTINGS))["database"].verdict == "bad"


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    with mounted_tmpfs(tmp_path / "small", "1m") as folder:
        (folder / "rest").write_bytes(bytes(900 * 1024))
        found = by_name(check_sqlite(folder / "events.sqlite", SETTINGS))["room for events"]
        assert found.verdict == "bad" and "KiB left" in found.found
        assert kind_of(folder) == "tmpfs"


def test_a_server_of_databases_that_does_not_answer() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # Nobody listens there.
        address = f"postgresql://imgd@127.0.0.1:{taken.getsockname()[1]}/imgd"
        (found,) = check_store(replace(SETTINGS, database=address))
    assert found.verdict == "bad" and "refused" in found.found


# Addresses and certificates


def test_a_port_that_is_taken_is_named_with_its_holder(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = by_name(check_bind(f"127.0.0.1:{port}"))[f"bind 127.0.0.1:{port}"]
        assert found.verdict == "bad" and f"(process {os.getpid()})" in found.found
    assert check_bind(f"127.0.0.1:{port}")[0].verdict == "ok"
    assert "no address of this machine" in check_bind("192.0.2.1:8765")[0].found
    path = tmp_path / "a.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    assert "an earlier daemon left" in check_bind(f"unix:{path}")[0].found
    path.unlink()
    path.touch()
    assert check_bind(f"unix:{path}")[0].verdict == "bad"
    assert check_bind(f"unix:{tmp_path}/none/a.sock")[0].verdict == "bad"


def test_a_port_for_root_alone() -> None:
    if int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) <= 81:
        pytest.skip("here everybody may listen at low ports")
    found = as_nobody(lambda: check_bind("127.0.0.1:81"))[0]
    assert found.verdict == "bad" and "ListenStream=81 in imgd.socket" in found.change


def test_what_can_be_reached_from_outside_wants_tls(tmp_path: Path) -> None:
    made = make_certificate(tmp_path)
    assert [each.verdict for each in check_bind("0.0.0.0:0")] == ["ok", "warn"]
    assert [each.verdict for each in check_bind("0.0.0.0:0", certfile=str(made.certfile))] == ["ok"]
    settings = replace(SETTINGS, certfile=str(made.certfile), keyfile=str(made.keyfile))
    settings = replace(settings, bind=("127.0.0.1:0",), redirect_bind=("0.0.0.0:0",))
    made.keyfile.chmod(0o600)
    assert {each.verdict for each in check_network(settings, expiry)} == {"ok"}
    made.keyfile.chmod(0o644)
    assert "chmod 640" in by_name(check_network(settings, expiry))["certificate"].change


def test_certificates_that_are_wrong(tmp_path: Path) -> None:
    authority = trustme.CA()
    now = datetime.datetime.now(datetime.UTC)
    names = ("soon", "past", "other")
    for name, days in zip(names, (3.5, -1, 90), strict=True):
        issued = authority.issue_cert(
            "localhost", not_before=now - datetime.timedelta(days=9), not_after=now + datetime.timedelta(days=days)
        )
        issued.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / f"{name}.pem"))
        (tmp_path / f"{name}.pem").chmod(0o600)

    def judge(certfile: str, keyfile: str = "") -> Finding:
        given = replace(SETTINGS, certfile=str(tmp_path / certfile), keyfile=keyfile and str(tmp_path / keyfile))
        return by_name(check_certificate(given, expiry))["certificate"]

    assert judge("other.pem").verdict == "ok"
    assert judge("soon.pem").verdict == "warn" and "expires in 3 days" in judge("soon.pem").found
    assert judge("past.pem").verdict == "bad" and "expired" in judge("past.pem").found
    assert judge("soon.pem", "other.pem").verdict == "bad" and "not that of" in judge("soon.pem", "other.pem").found
    assert judge("none.pem").verdict == "bad"


async def test_another_program_at_our_socket_is_found(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "a.sock"))
        other.listen()
        other.settimeout(20)

        def hang_up() -> None:
            for _ in range(2):  # It is asked as one of ours, then whether anybody is there.
                other.accept()[0].close()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, hang_up)
            (found,) = await trio.to_thread.run_sync(check_bind, f"unix:{tmp_path}/a.sock")
    assert found.verdict == "bad" and "none of ours" in found.found


# Fronts

NGINX = """
server {{
    location / {{
        proxy_pass http://{place};
        {more}
    }}
}}
"""
GOOD = """proxy_buffering off; proxy_set_header Upgrade $http_upgrade; proxy_set_header X-Forwarded-For $remote_addr;
    } location /admin { deny all;"""


def test_a_front_that_buffers_and_leaves_admin_open_is_found() -> None:
    place = "127.0.0.1:8765"

    def judge(text: str) -> list[str]:
        return [each.found for each in check_files("nginx", [("/etc/nginx/x.conf", text)], SETTINGS.bind)]

    (wrong,) = judge(NGINX.format(place=place, more="# proxy_buffering off;"))
    assert all(words in wrong for words in ("proxy_buffering", "websockets", "X-Forwarded-For", "/admin"))
    (right,) = judge(NGINX.format(place=place, more=GOOD))
    assert right.startswith("forwards")
    assert judge(NGINX.format(place="127.0.0.1:1", more="")) == []
    lighttpd = 'proxy.server = ( "" => (( "host" => "127.0.0.1", "port" => {} )) )'
    (wrong,) = (each.found for each in check_files("lighttpd", [("x", lighttpd.format(8765))], SETTINGS.bind))
    assert all(words in wrong for words in ("stream-response-body", "websockets", "/admin"))
    assert check_files("lighttpd", [("x", lighttpd.format(87))], SETTINGS.bind) == []


def test_what_is_installed_here_is_looked_at() -> None:
    findings = check_fronts(SETTINGS.bind)
    assert findings and all(each.verdict in ("ok", "warn") for each in findings)

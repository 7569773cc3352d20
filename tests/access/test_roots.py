"""Roots: a name finds a file beneath its root or nothing; a hung file system costs only those who ask it."""

import os
import socket
import threading
import time
from pathlib import Path

import pytest
import trio

from imgd.access import lookup, roots
from imgd.access.roots import Roots
from imgd.config import Settings
from imgd.errors import BadFrame, Busy, ImgdError, NoSuchFrame, NotNow, NotYours
from imgd.setting_kinds import Root


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "a.fits").write_bytes(b"12345")
    (root / "sub" / "b.fits").write_bytes(b"1")
    (tmp_path / "secret.fits").write_bytes(b"secret")
    (tmp_path / "root-2").mkdir()
    (tmp_path / "root-2" / "c.fits").write_bytes(b"")
    (root / "inside").symlink_to("sub/b.fits")
    (root / "sub" / "up").symlink_to("../a.fits")
    (root / "out").symlink_to("../secret.fits")
    (root / "out-to-nothing").symlink_to("../no-such.fits")
    (root / "absolute").symlink_to(tmp_path / "secret.fits")
    (root / "absolute-inside").symlink_to(root / "a.fits")
    (root / "loop").symlink_to("loop")
    (root / "proc").symlink_to("/proc/self/fd/0")
    os.mkfifo(root / "fifo")
    return root


@pytest.fixture
def night(tree: Path) -> Roots:
    return Roots(Settings(roots=(Root("night", tree),), lookup_limit_s=2.0, lookups_max=2))


@pytest.mark.parametrize(
    ("name", "real"),
    [("a.fits", "a.fits"), ("sub/b.fits", "sub/b.fits"), ("inside", "sub/b.fits"), ("sub/up", "a.fits")],
)
async def test_found(night: Roots, tree: Path, name: str, real: str) -> None:
    async with night.open(f"night/{name}") as found:
        facts = os.stat(tree / real)
        source = found.source
        assert (source.device, source.inode) == (facts.st_dev, facts.st_ino)
        assert (source.size_bytes, source.mtime_ns) == (facts.st_size, facts.st_mtime_ns)
        assert os.readlink(f"/proc/self/fd/{found.path_fd}") == str(tree / real)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.read(found.path_fd, 1)  # It is a place, not an open file.
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(found.path_fd)


@pytest.mark.parametrize(
    "name",
    [
        "", "/", "/etc/passwd", "..", "../secret.fits", "night/..", "night/../secret.fits", "night/sub/../a.fits",
        "night/sub/../../secret.fits", "night//a.fits", "night/./a.fits", "night//etc/passwd", "night/sub/",
        "night/out", "night/out-to-nothing", "night/absolute", "night/absolute-inside", "night/loop", "night/proc",
        "night/a.fits/", "night/a.fits/x", "night/no", "night/sub/no", "day/a.fits", "nigh/a.fits",
        "night/a.fits[0]", "night/a.fits[1:2,3:4]", "night/a.fits(out)", "night/|id", "night/-", "night/a.fits+1",
        "night/http://localhost/a.fits", "http://localhost/a.fits", "night/mem://a", "night/!a.fits",
        "night/a\0.fits", "night/" + "x" * 300, "night/" + "x/" * 3000 + "x", "night-2/c.fits",
    ],
)  # fmt: skip
async def test_not_found(night: Roots, name: str) -> None:
    with pytest.raises(NoSuchFrame) as caught:
        async with night.open(name):
            pass
    assert "secret" not in caught.value.text or "secret" in name


async def test_only_names_that_could_be_are_looked_up(night: Roots, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roots, "open_beneath", lambda *_: pytest.fail("looked up"))
    for name in ("/etc/passwd", "night/../x", "night/a\0b", "day/a", "night//a"):
        with pytest.raises(NoSuchFrame):
            async with night.open(name):
                pass


def held(folder: Path) -> int:
    """Count the descriptors of what is beneath a folder; others of this process come and go."""
    found = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            found += Path(os.readlink(f"/proc/self/fd/{name}")).is_relative_to(folder)
        except FileNotFoundError:  # The listing's own.
            continue
    return found


@pytest.mark.parametrize(("name", "words"), [("fifo", "a FIFO"), ("sub", "a directory"), ("socket", "a socket")])
async def test_what_is_no_file(tree: Path, night: Roots, name: str, words: str) -> None:
    before = held(tree.parent)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tree / "socket"))
        with trio.fail_after(2), pytest.raises(BadFrame, match=words):
            async with night.open(f"night/{name}"):
                pass
    assert held(tree.parent) == before


async def test_a_device() -> None:
    with pytest.raises(BadFrame, match="a device"):
        async with Roots(Settings(roots=(Root("dev", Path("/dev")),))).open("dev/null"):
            pass


async def test_names_that_are_no_text(tree: Path, night: Roots) -> None:
    os.close(os.open(os.fsencode(tree) + b"/\xff.fits", os.O_CREAT))
    async with night.open("night/\udcff.fits") as found:
        assert found.source.size_bytes == 0


async def test_a_change_within_the_clocks_step_is_another_source(tree: Path, night: Roots) -> None:
    async def identity() -> tuple[int, int]:
        async with night.open("night/a.fits") as found:
            return found.source.mtime_ns, found.source.salt

    now = time.time_ns()
    os.utime(tree / "a.fits", ns=(now, now))
    first, second = await identity(), await identity()
    assert first[0] == second[0]
    assert 0 not in (first[1], second[1])
    assert first[1] != second[1]
    for old in (now - 2 * roots.RACE_NS, now + 3600 * 10**9):
        os.utime(tree / "a.fits", ns=(old, old))
        assert (await identity())[1] == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
async def test_no_permission(tree: Path, night: Roots) -> None:
    (tree / "sub").chmod(0)
    try:
        with pytest.raises(NotYours):
            async with night.open("night/sub/b.fits"):
                pass
    finally:
        (tree / "sub").chmod(0o755)


@pytest.mark.parametrize(
    ("number", "kind"),
    [(13, NotYours), (2, NoSuchFrame), (18, NoSuchFrame), (40, NoSuchFrame), (24, Busy), (5, Busy), (116, Busy)],
)
def test_what_the_kernel_says(number: int, kind: type[ImgdError]) -> None:
    assert type(lookup.failure_of(OSError(number, "x"), "night/a")) is kind


class Hung:
    """A file system that answers when it is let."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, module: object, slow: bytes) -> None:
        monkeypatch.setattr(module, "open_at_once", lambda *_: -1)  # What is hung, the kernel has not in memory.
        self.go = threading.Event()
        self.entered = 0
        self.opened = threading.Event()
        real = lookup.open_beneath

        def open_slowly(directory_fd: int, path: bytes, flags: int) -> int:
            if path == slow:
                self.entered += 1
                self.go.wait(10)
            fd = real(directory_fd, path, flags)
            if path == slow:
                self.opened.set()
            return fd

        monkeypatch.setattr(module, "open_beneath", open_slowly)


async def test_a_hung_file_system_is_left_at_once(tree: Path, night: Roots, monkeypatch: pytest.MonkeyPatch) -> None:
    hung = Hung(monkeypatch, roots, b"a.fits")
    before = held(tree.parent)
    with trio.move_on_after(0.05) as left:
        async with night.open("night/a.fits"):
            pass
    assert left.cancelled_caught
    async with night.open("night/sub/b.fits"):
        pass  # Others are served meanwhile.
    hung.go.set()
    assert hung.opened.wait(5)
    with trio.fail_after(5):
        while held(tree.parent) > before:  # The thread closes what nobody wants.
            await trio.sleep(0.01)


async def test_a_hung_file_system_costs_only_its_own_root(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(roots=(Root("slow", tree), Root("fast", tree)), lookup_limit_s=0.1, lookups_max=2)
    hung = Hung(monkeypatch, roots, b"a.fits")
    try:
        opened = Roots(settings)
        for _ in range(4):
            with pytest.raises(Busy, match="'slow' does not answer"):
                async with opened.open("slow/a.fits"):
                    pass
        assert hung.entered == 2  # No more threads than allowed, however many ask.
        async with opened.open("fast/sub/b.fits"):
            pass
    finally:
        hung.go.set()


def test_roots_none_of_which_is_there_may_come_later(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    before = held(tmp_path)
    with pytest.raises(NotNow, match=r"roots: cannot open .*/no: No such file"):
        Roots(Settings(roots=(Root("a", tmp_path / "no"), Root("b", tmp_path / "file"))))
    assert held(tmp_path) == before


@pytest.mark.parametrize("local", [False, True])
async def test_a_root_comes_goes_and_comes_back_as_another(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local: bool
) -> None:
    monkeypatch.setattr(roots, "is_local", lambda _: local)
    opened = Roots(Settings(roots=(Root("here", tree), Root("later", tmp_path / "later"))))
    before, news = held(tmp_path), []
    opened.tell_news(lambda: news.append(len(news)))
    assert [entry.name for entry in (await opened.list("", "name", 10, "")).entries] == ["here", "later"]
    for _ in range(2):
        with pytest.raises(Busy, match="directory of root 'later' is not there"):
            async with opened.open("later/a.fits"):
                pass
    for count in (1, 2):
        tree.rename(tmp_path / "away") if count == 2 else None
        (tmp_path / "made").mkdir()
        (tmp_path / "made" / "a.fits").write_bytes(b"x" * count)
        (tmp_path / "made").rename(tmp_path / "later")
        for _ in range(3):
            async with opened.open("later/a.fits") as found:
                assert found.source.size_bytes == count
            assert len((await opened.list("later", "name", 10, "")).entries) == 1
        assert len(news) == count
        (tmp_path / "later").rename(tmp_path / f"gone{count}")
        with pytest.raises(Busy, match="is not there"):
            await opened.list("later", "name", 10, "")
    with pytest.raises(Busy, match="'here' is not there"):
        async with opened.open("here/a.fits"):
            pass
    assert held(tmp_path) == before


async def test_what_is_in_memory_needs_no_thread_and_every_look_is_fresh(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tree / "a.fits"
    path.stat()
    monkeypatch.setattr(roots, "is_local", lambda _: True)
    night = Roots(Settings(roots=(Root("night", tree),)))
    with monkeypatch.context() as patched:
        patched.setattr(trio.to_thread, "run_sync", None)
        async with night.open("night/a.fits") as found:
            assert found.source.inode == path.stat().st_ino
        (tree / "new.fits").write_bytes(b"new")
        (tree / "new.fits").rename(path)
        async with night.open("night/a.fits") as found:
            assert found.source.inode == path.stat().st_ino
            assert found.source.size_bytes == 3
    path.unlink()
    with pytest.raises(NoSuchFrame):
        async with night.open("night/a.fits"):
            pass


def test_only_local_file_systems_are_asked_without_a_thread() -> None:
    for place, local in ((Path("/dev/shm"), True), (Path("/proc"), False)):
        fd = os.open(place, os.O_PATH | os.O_DIRECTORY)
        try:
            assert lookup.is_local(fd) is local
        finally:
            os.close(fd)

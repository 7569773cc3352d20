"""Confinement, tried from the inside: each test is a process that confines itself and then tries."""

import os
import resource
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from cgi_worker.confine import open_beneath

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


def inside(script: str, *arguments: object) -> str:
    """Run a script in a process of its own; tell what it printed."""
    head = "import os, sys, errno, socket, mmap, resource, signal\nfrom cgi_worker.confine import *\n"
    head += "from cgi_worker.wire.packets import Identity\n"
    command = [sys.executable, "-c", head + textwrap.dedent(script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@as_root
def test_another_identity_is_taken_whole_and_for_good() -> None:
    printed = inside(f"""
        os.setgroups([5, 6])
        become(Identity({NOBODY}, {NOBODY}, (7,)))
        print(os.getresuid(), os.getresgid(), os.getgroups())
        for back in (lambda: os.setuid(0), lambda: os.setgid(0), lambda: os.setgroups([0])):
            try: back()
            except PermissionError: print("no way back")
    """)
    three = str((NOBODY,) * 3)
    assert printed.split("\n") == [f"{three} {three} [7]", *["no way back"] * 3]


@as_root
def test_who_cannot_become_the_reader_does_no_work() -> None:
    printed = inside(f"""
        os.setuid({NOBODY})
        try: become(Identity(0, 0))
        except NotConfined as error: print(error)
    """)
    assert "may not become user 0" in printed


def test_a_reader_without_a_group_is_refused() -> None:
    printed = inside("""
        try: become(Identity(1, None))
        except NotConfined as error: print(error)
    """)
    assert "both a user and a group" in printed


def test_no_new_privileges_no_core_few_descriptors() -> None:
    printed = inside("""
        become(Identity())
        print(open("/proc/self/status").read().split("NoNewPrivs:")[1].split()[0])
        print(resource.getrlimit(resource.RLIMIT_CORE), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    """)
    assert printed.split("\n") == ["1", "(0, 0) 256"]


def test_own_memory_is_bounded_and_shared_memory_is_not() -> None:
    printed = inside("""
        become(Identity(), Limits(memory_bytes=64 << 20))
        shared = os.memfd_create("imgd-test")
        os.ftruncate(shared, 1 << 30)
        mmap.mmap(shared, 1 << 30)
        bytearray(32 << 20)
        try: bytearray(128 << 20)
        except MemoryError: print("no more")
    """)
    assert printed == "no more"


def test_files_are_read_and_never_changed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    printed = inside(
        """
        os.chdir(sys.argv[1])
        held = os.open("file", os.O_RDWR)
        pipe = os.pipe()
        rules = make_ruleset(())
        if rules < 0:
            print("no Landlock"); sys.exit()
        become(Identity(), Limits(ruleset_fd=rules))
        print(open("file").read(), os.listdir("."))
        tries = [
            lambda: open("file", "w"), lambda: open("new", "w"), lambda: os.mkdir("dir"), lambda: os.unlink("file"),
            lambda: os.rename("file", "other"), lambda: os.symlink("a", "b"), lambda: os.truncate("file", 0),
            lambda: os.execv("/bin/true", ["true"]), lambda: os.kill(os.getppid(), 0),
            lambda: os.mkfifo("fifo"), lambda: socket.socket().bind(("127.0.0.1", 0)),
            lambda: socket.socket().connect(("127.0.0.1", 9)),
        ]
        for one in tries:
            try: one(); print("done!")
            except PermissionError: pass
        os.write(held, b"TEXT"); os.write(pipe[1], b"x")
        print(open("file").read(), open("/proc/self/fd/%d" % held).read())
        """,
        tmp_path,
    )
    if printed == "no Landlock":
        pytest.skip("this kernel has no Landlock")
    assert printed.split("\n") == ["text ['file']", "TEXT TEXT"]


def test_files_are_read_only_where_they_may_be(tmp_path: Path) -> None:
    for name in ("roots", "elsewhere"):
        (tmp_path / name / "below").mkdir(parents=True)
        (tmp_path / name / "below" / "file").write_text(name)
    printed = inside(
        """
        roots, elsewhere = sys.argv[1] + "/roots", sys.argv[1] + "/elsewhere/below/file"
        before = os.open(elsewhere, os.O_PATH)
        rules = make_ruleset((roots, roots + "/nowhere"))
        if rules < 0:
            print("no Landlock"); sys.exit()
        become(Identity(), Limits(ruleset_fd=rules))
        print(open(roots + "/below/file").read(), os.listdir(roots))
        within = os.open(roots + "/below/file", os.O_PATH)
        print(open("/proc/self/fd/%d" % within).read())
        for one in (elsewhere, "/etc/passwd", "/proc/self/fd/%d" % before):
            try: open(one); print("done!")
            except PermissionError: pass
        """,
        tmp_path,
    )
    if printed == "no Landlock":
        pytest.skip("this kernel has no Landlock")
    assert printed.split("\n") == ["roots ['below']", "roots"]


def test_the_parents_end_is_the_childs_even_after_becoming_another(tmp_path: Path) -> None:
    become = f"Identity({NOBODY}, {NOBODY})" if os.geteuid() == 0 else "Identity()"
    printed = inside(f"""
        import ctypes
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # Subreaper: the grandchild is ours to reap.
        ours, theirs = socket.socketpair()
        middle = os.fork()
        if middle == 0:
            me = os.getpid()
            if os.fork() == 0:
                become({become})
                die_with_parent(me)
                ours.close()
                theirs.send(b"ready")
                signal.pause()
            signal.pause()
        theirs.close()
        assert ours.recv(9) == b"ready"
        os.kill(middle, signal.SIGKILL)
        os.waitpid(middle, 0)
        print(ours.recv(9))
        os.wait()
    """)
    assert printed == "b''"


def test_a_child_whose_parent_is_gone_already_is_told() -> None:
    printed = inside("""
        try: die_with_parent(os.getppid() + 1)
        except NotConfined as error: print(error)
    """)
    assert printed == "the parent has ended"


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    inner = tmp_path / "root"
    (inner / "sub").mkdir(parents=True)
    (inner / "file").write_text("inside")
    (tmp_path / "secret").write_text("outside")
    (inner / "link_in").symlink_to("sub/../file")
    (inner / "link_out").symlink_to("../secret")
    (inner / "link_absolute").symlink_to(inner / "file")
    (inner / "link_dir").symlink_to("..")
    (inner / "link_magic").symlink_to("/proc/self/root")
    opened = os.open(inner, os.O_PATH)
    yield opened
    os.close(opened)


@pytest.mark.parametrize("name", ["file", "sub/../file", "link_in", "./file", "sub//..//file"])
def test_what_lies_beneath_is_opened(root: int, name: str) -> None:
    found = open_beneath(root, name, os.O_RDONLY)
    assert os.read(found, 99) == b"inside"
    assert not os.get_inheritable(found)
    os.close(found)


@pytest.mark.parametrize(
    "name",
    ["../secret", "sub/../../secret", "link_out", "link_absolute", "link_dir/secret", "link_magic/etc/passwd",
     "/etc/passwd", "//etc/passwd", "file\0", "", "missing", "file/", "x" * 5000, "file[1]", "|cat file", "file(out)"],
)  # fmt: skip
def test_nothing_else_is(root: int, name: str) -> None:
    with pytest.raises(OSError, match=r"."):
        open_beneath(root, name)


def test_the_limits_are_not_this_process_own() -> None:
    """The tests above confine other processes; this one must still be free."""
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 256

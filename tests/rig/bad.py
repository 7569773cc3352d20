"""Workers that break the protocol, each in one way: `--serve tests.rig.bad:garbage`.

Each says Hello as it should, and misbehaves at its first todo list (`before_hello` at once).
"""

import os
import signal
import socket
import time
from collections.abc import Callable

from cgi_worker.link import Link, close_all
from cgi_worker.wire.packets import (
    PACKET_BYTES_MAX,
    TO_WORKER,
    VERSION,
    Detached,
    Done,
    Hello,
    Progress,
    Todo,
    encode,
)


def before_hello(descriptor: int) -> None:
    """Say something else first."""
    with socket.socket(fileno=descriptor) as end:
        Link(end).send(Detached(1, (1,)))
        _linger(end)


def wrong_version(descriptor: int) -> None:
    """Speak another version."""
    with socket.socket(fileno=descriptor) as end:
        Link(end).send(Hello(VERSION + 1, os.getpid()))
        _linger(end)


def garbage(descriptor: int) -> None:
    """Say what is no JSON."""
    _misbehave(descriptor, lambda end, _: end.send(b"\xff\x00 garbage"))


def deep(descriptor: int) -> None:
    """Say JSON that is nested without end."""
    _misbehave(descriptor, lambda end, _: end.send(b'{"more":' + b"[" * (PACKET_BYTES_MAX - 100)))


def half_packet(descriptor: int) -> None:
    """Say half of what is due."""

    def act(end: socket.socket, todo: Todo) -> None:
        packet = encode(_done(todo))
        end.send(packet[: len(packet) // 2])

    _misbehave(descriptor, act)


def empty_packet(descriptor: int) -> None:
    """Say nothing, in a packet."""
    _misbehave(descriptor, lambda end, _: end.send(b""))


def huge_packet(descriptor: int) -> None:
    """Say more than a packet may carry."""
    _misbehave(descriptor, lambda end, _: end.send(b" " * (PACKET_BYTES_MAX + 1)))


def descriptors(descriptor: int) -> None:
    """Send descriptors, which a worker never does."""

    def act(end: socket.socket, todo: Todo) -> None:
        Link(end).send(_done(todo), [0, 1, 2])

    _misbehave(descriptor, act)


def unknown_step(descriptor: int) -> None:
    """Say that a step is done which is not in the list."""
    _misbehave(descriptor, lambda end, todo: Link(end).send(Done(todo.todo, 99, (), "{}", 0.0)))


def wrong_todo(descriptor: int) -> None:
    """Talk about another todo list."""
    _misbehave(descriptor, lambda end, todo: Link(end).send(Progress(todo.todo + 1, 0, 0)))


def done_twice(descriptor: int) -> None:
    """Say Done twice for the first step."""

    def act(end: socket.socket, todo: Todo) -> None:
        Link(end).send(_done(todo))
        Link(end).send(_done(todo))

    _misbehave(descriptor, act)


def detached_stranger(descriptor: int) -> None:
    """Detach what was never lent."""
    _misbehave(descriptor, lambda end, todo: Link(end).send(Detached(todo.todo, (1_000_000,))))


def too_many_bytes(descriptor: int) -> None:
    """Announce more bytes than the buffer has."""
    _misbehave(descriptor, lambda end, todo: Link(end).send(Progress(todo.todo, 0, 1 << 60)))


def silent_exit(descriptor: int) -> None:
    """Exit with code 0 in the middle of a todo list, without a word."""
    _misbehave(descriptor, lambda _, __: os._exit(0))


def exit_code(descriptor: int) -> None:
    """Exit with code 3 in the middle of a todo list."""
    _misbehave(descriptor, lambda _, __: os._exit(3))


def segfault(descriptor: int) -> None:
    """Die of SIGSEGV in the middle of a todo list."""
    _misbehave(descriptor, lambda _, __: os.kill(os.getpid(), signal.SIGSEGV))


def closes_socket(descriptor: int) -> None:
    """Close the socket and live on, holding what was lent."""

    def act(end: socket.socket, _: Todo) -> None:
        end.close()
        time.sleep(3600)

    _misbehave(descriptor, act)


def stopped(descriptor: int) -> None:
    """Stop (SIGSTOP) while holding what was lent."""
    _misbehave(descriptor, lambda _, __: os.kill(os.getpid(), signal.SIGSTOP))


def deaf(descriptor: int) -> None:
    """Take the todo list and never answer; ends only by SIGKILL."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _misbehave(descriptor, lambda _, __: time.sleep(3600))


def flood(descriptor: int) -> None:
    """Say the same progress for ever."""

    def act(end: socket.socket, todo: Todo) -> None:
        while True:
            Link(end).send(Progress(todo.todo, 0, 0))

    _misbehave(descriptor, act)


def never_reads(descriptor: int) -> None:
    """Say Hello and read nothing."""
    with socket.socket(fileno=descriptor) as end:
        Link(end).send(Hello(VERSION, os.getpid()))
        time.sleep(3600)


def _misbehave(descriptor: int, act: Callable[[socket.socket, Todo], object]) -> None:
    with socket.socket(fileno=descriptor) as end:
        link = Link(end)
        link.send(Hello(VERSION, os.getpid()))
        received = link.receive(TO_WORKER)
        if received is None or not isinstance(received[0], Todo):
            return
        act(end, received[0])
        _linger(end)
        close_all(received[1])


def _linger(end: socket.socket) -> None:
    """Stay, holding everything, until killed or until the daemon closes its end."""
    end.recv(1)


def _done(todo: Todo) -> Done:
    return Done(todo.todo, 0, tuple(0 for _ in todo.stages[0].outputs), "{}", 0.0)

"""One packet, with its descriptors: whole, or refused with nothing left open."""

import os
import socket
import struct
from collections.abc import Iterator

import pytest

from cgi_worker.link import Link, close_all
from cgi_worker.wire.packets import (
    DESCRIPTORS_MAX,
    PACKET_BYTES_MAX,
    TO_CGI,
    TO_WORKER,
    Answer,
    Bye,
    WireError,
    encode,
)
from tests.rig.bench import census


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    before = census()
    one, two = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with one, two:
        yield one, two
    assert census() == before


def send_raw(end: socket.socket, packet: bytes, descriptors: list[int]) -> None:
    rights = struct.pack(f"={len(descriptors)}i", *descriptors)
    end.sendmsg([packet], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])


def test_messages_keep_their_borders_and_their_descriptors(ends: tuple[socket.socket, socket.socket]) -> None:
    one, two = Link(ends[0]), Link(ends[1])
    reader, writer = os.pipe()
    one.send(Bye())
    one.send(Answer(200, "head", "body"), [writer] * DESCRIPTORS_MAX)
    one.send(Bye())
    assert two.receive(TO_CGI) == (Bye(), [])
    received = two.receive(TO_CGI)
    assert received is not None
    message, descriptors = received
    assert message == Answer(200, "head", "body")
    assert len(set(descriptors)) == DESCRIPTORS_MAX
    assert not any(os.get_inheritable(one) for one in descriptors)
    os.write(descriptors[-1], b"through")
    assert os.read(reader, 99) == b"through"
    assert two.receive(TO_CGI) == (Bye(), [])
    close_all([reader, writer, *descriptors])


def test_the_longest_packet_with_all_descriptors_passes_at_once(ends: tuple[socket.socket, socket.socket]) -> None:
    ends[0].setblocking(False)
    body = "x" * (PACKET_BYTES_MAX - len(encode(Answer(200, "", ""))))
    Link(ends[0]).send(Answer(200, "", body), [0] * DESCRIPTORS_MAX)
    received = Link(ends[1]).receive(TO_CGI)
    assert received is not None
    assert received[0] == Answer(200, "", body)
    close_all(received[1])


@pytest.mark.parametrize(
    ("packet", "count"),
    [
        (b"garbage", 3),
        (encode(Bye())[:-1], 1),
        (encode(Bye()) + b" " * PACKET_BYTES_MAX, 2),
        (encode(Bye()), DESCRIPTORS_MAX + 1),
        (encode(Answer(200, "", "")), 1),
    ],
)
def test_what_is_refused_leaves_nothing_open(
    ends: tuple[socket.socket, socket.socket], packet: bytes, count: int
) -> None:
    before = census()
    send_raw(ends[0], packet, [0] * count)
    with pytest.raises(WireError):
        Link(ends[1]).receive(TO_WORKER)
    assert census() == before
    Link(ends[0]).send(Bye())
    assert Link(ends[1]).receive(TO_WORKER) == (Bye(), [])


def test_the_end_comes_after_all_that_was_said_even_when_something_was_left_unread(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    one, two = Link(ends[0]), Link(ends[1])
    two.send(Bye())
    one.send(Bye())
    ends[0].close()
    assert two.receive(TO_WORKER) == (Bye(), [])
    assert two.receive(TO_WORKER) is None
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        two.send(Bye())

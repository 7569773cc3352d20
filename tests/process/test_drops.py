"""Drop: items that nobody wants any more, told to a worker in the middle of its list, and nothing else there."""

import os
import signal
import socket
from collections.abc import Iterator

import pytest
import trio

from cgi_worker.link import Link
from cgi_worker.wire.packets import PACKET_BYTES_MAX, Bye, Drop, Lent, Message, Progress, Todo, WireError, encode
from cgi_worker.wire.steps import Buffer, Encode, Stage
from cgi_worker.wire.talk import Talk
from cgi_worker.wire.tile_lists import tile_list_recipe
from cgi_worker.wire.tiles import TilePlace
from cgi_worker.wire.view import View
from imgd.engine.forking import WorkerLink
from imgd.engine.segments import Segments
from tests.rig.bench import PAGE
from tests.rig.crew import end_of, greet, one_worker, state_of, until
from tests.wire.test_tiles import FACTS, SOURCE

COUNT = 6
PLACES = tuple(TilePlace(0, column, 0) for column in range(COUNT))
TILES = tile_list_recipe(View("a/b"), PLACES, FACTS, SOURCE).stages[-1].step
COPY = Encode("png", 1)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, two = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with one, two:
        yield one, two


def test_what_was_dropped_is_taken_without_waiting(ends: tuple[socket.socket, socket.socket]) -> None:
    one, two = Link(ends[0]), Link(ends[1])
    assert two.drops() == []
    one.send(Drop(1, (2, 3)))
    one.send(Drop(2, ()))
    assert two.drops() == [Drop(1, (2, 3)), Drop(2, ())]
    assert two.drops() == []
    ends[0].close()
    assert two.drops() == []  # The end is for `receive`, or for the next to be sent, to find.


@pytest.mark.parametrize("packet", [encode(Bye()), b"garbage", b" " * (PACKET_BYTES_MAX + 1)])
def test_anything_else_is_a_wire_error(ends: tuple[socket.socket, socket.socket], packet: bytes) -> None:
    Link(ends[0]).send(Drop(1, (0,)))
    ends[0].send(packet)
    with pytest.raises(WireError):
        Link(ends[1]).drops()


def todo_of(number: int, *, unwanted: tuple[int, ...] = (), first: bool = False) -> Todo:
    """A list of tiles from segment 1 to 2; or first of all, before a copy of them to 3."""
    lent = [Lent(Buffer("k0", PAGE, "u1", (PAGE,)), 1, False, PAGE, "{}"), Lent(Buffer("k1", PAGE), 2, True)]
    stages = [Stage(TILES, (0,), (1,))]
    if first:
        lent.append(Lent(Buffer("k2", PAGE), 3, True))
        stages.append(Stage(COPY, (1,), (2,)))
    return Todo(number, tuple(stages), tuple(lent), "", False, False, 1, unwanted)


async def make(link: WorkerLink, talk: Talk, segments: Segments, todo: Todo, *between: Message) -> bytes:
    """Have a list made, and say something after its first item; tell which items were made."""
    talk.give(todo)
    fds = [
        segments.writer_fd(lent.segment) if lent.writable else segments.reader_fd(lent.segment) for lent in todo.lent
    ]
    link.send(todo, fds)
    await until(lambda: state_of(link.pid) == "T")
    for message in between:
        assert isinstance(message, Drop)
        link.send(message)
    os.kill(link.pid, signal.SIGCONT)
    grown = []
    while not talk.idle:
        message_ = await link.receive()
        assert message_ is not None, "the worker left"
        talk.hear(message_)
        if isinstance(message_, Progress) and message_.stage == 0:
            grown.append(message_.used_bytes)
    assert len(grown) == COUNT  # One for each, made or not.
    return segments.read(2, 0, grown[-1])


async def test_what_is_dropped_in_the_middle_is_not_made() -> None:
    async with one_worker() as (_, link, segments):
        talk = await greet(link)
        assert await make(link, talk, segments, todo_of(7)) == bytes(range(COUNT))
        assert await make(link, talk, segments, todo_of(8), Drop(8, (2, 5))) == bytes([0, 1, 3, 4])
        assert await make(link, talk, segments, todo_of(9), Drop(9, (1,)), Drop(9, (1, 4))) == bytes([0, 2, 3, 5])
        every = Drop(10, tuple(range(COUNT)))
        assert await make(link, talk, segments, todo_of(10), every) == bytes([0])  # That one was made before.
        assert await make(link, talk, segments, todo_of(11, unwanted=(1, 2)), Drop(11, (4,))) == bytes([0, 3, 5])


async def test_a_drop_for_another_list_or_after_the_end_or_of_what_there_is_not_changes_nothing() -> None:
    async with one_worker() as (_, link, segments):
        talk = await greet(link)
        link.send(Drop(1, (0, 1)))
        assert await make(link, talk, segments, todo_of(7), Drop(6, (1,)), Drop(8, (2,))) == bytes(range(COUNT))
        link.send(Drop(7, (3,)))
        link.send(Drop(8, (4,)))  # Before its list: `unwanted` is for that.
        assert await make(link, talk, segments, todo_of(8), Drop(7, (5,)), Drop(8, (99, -1))) == bytes(range(COUNT))
        link.send(Drop(8, (0,)))
        link.send(Bye())
        assert await end_of(link) == (None, 0)


async def test_items_are_those_of_the_last_step() -> None:
    async with one_worker() as (_, link, segments):
        talk = await greet(link)
        todo = todo_of(7, unwanted=(0, 1), first=True)
        assert await make(link, talk, segments, todo, Drop(7, (2,))) == bytes(range(COUNT))


@pytest.mark.parametrize("what", ["another list", "bye", "garbage"])
async def test_anything_else_in_the_middle_ends_the_worker(what: str) -> None:
    async with one_worker() as (_, link, segments):
        await greet(link)
        descriptors = [segments.reader_fd(1), segments.writer_fd(2)]
        link.send(todo_of(7), descriptors)
        await until(lambda: state_of(link.pid) == "T")
        match what:
            case "another list":
                link.send(todo_of(8), descriptors)
            case "bye":
                link.send(Bye())
            case _:
                link._socket.send(b"garbage")
        os.kill(link.pid, signal.SIGCONT)
        with trio.fail_after(5):
            assert await end_of(link) == (None, 70)

"""Settling: each change is told once, when it is complete or quiet, at once if it can be; random histories."""

import math
from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from imgd.watching.settling import AGAIN_S, LINK_S, Ask, Settling

SETTLE_S = 2.0
A, B = b"a.fits", b"b.fits"


def only(asks: list[Ask]) -> Ask:
    (ask,) = asks
    return ask


def test_complete_when_closed_is_told_at_once() -> None:
    settling = Settling(SETTLE_S)
    settling.created(A, 10.0)
    settling.touched(A, 10.0)
    assert settling.asks(10.0, 4) == []
    settling.finished(A, 10.1)
    ask = only(settling.asks(10.1, 4))
    assert not ask.quiet
    assert settling.looked(ask, True, 10.2)
    assert len(settling) == 0
    assert settling.asks(20.0, 4) == []
    assert settling.next_at() == math.inf


def test_not_complete_is_told_when_it_was_quiet_and_not_before() -> None:
    settling = Settling(SETTLE_S)
    settling.finished(A, 10.0)
    assert not settling.looked(only(settling.asks(10.0, 4)), False, 10.0)
    settling.touched(A, 11.5)
    assert settling.asks(13.4, 4) == []
    ask = only(settling.asks(13.5, 4))
    assert ask.quiet
    assert settling.looked(ask, False, 13.6)


def test_what_changes_while_it_is_looked_into_is_looked_into_again() -> None:
    settling = Settling(SETTLE_S)
    settling.finished(A, 10.0)
    ask = only(settling.asks(10.0, 4))
    settling.touched(A, 10.1)
    assert not settling.looked(ask, True, 10.2)
    settling.finished(A, 10.3)
    assert settling.looked(only(settling.asks(10.3, 4)), True, 10.3)


def test_a_name_that_comes_again_is_another_file() -> None:
    settling = Settling(SETTLE_S)
    settling.finished(A, 10.0)
    ask = only(settling.asks(10.0, 4))
    settling.gone(A)
    settling.finished(A, 10.1)
    assert not settling.looked(ask, True, 10.2)
    assert settling.looked(only(settling.asks(10.2, 4)), True, 10.2)


def test_a_directory_that_goes_takes_its_files_along() -> None:
    settling = Settling(SETTLE_S)
    for path in (b"d/a.fits", b"d/e/b.fits", b"da.fits"):
        settling.finished(path, 10.0)
    asks = settling.asks(10.0, 4)
    settling.gone_below(b"d")
    assert [ask.path for ask in asks if settling.looked(ask, True, 10.1)] == [b"da.fits"]
    assert len(settling) == 0


def test_the_latest_come_first_and_no_more_than_there_is_room_for() -> None:
    settling = Settling(SETTLE_S)
    for number in range(5):
        settling.finished(b"%d.fits" % number, 10.0 + number)
    assert [ask.path for ask in settling.asks(15.0, 2)] == [b"4.fits", b"3.fits"]
    settling.finished(b"live.fits", 15.0)
    assert [ask.path for ask in settling.asks(15.0, 2)] == [b"live.fits", b"2.fits"]
    assert settling.next_at() == -math.inf


def test_closed_over_and_over_it_is_looked_into_ever_more_seldom() -> None:
    settling = Settling(SETTLE_S)
    looks = 0
    for step in range(1000):
        settling.finished(A, step / 100)
        for ask in settling.asks(step / 100, 4):
            looks += 1
            assert not settling.looked(ask, False, step / 100)
    assert 5 < looks < 15


def test_a_link_is_looked_into_soon_and_a_writer_puts_that_off() -> None:
    settling = Settling(SETTLE_S)
    settling.created(A, 10.0)
    settling.created(B, 10.0)
    settling.touched(B, 10.01)
    assert only(settling.asks(10.0 + LINK_S, 4)).path == A
    assert settling.asks(11.9, 4) == []
    assert only(settling.asks(12.01, 4)).path == B


def test_two_looks_that_see_the_same_are_enough_to_ask() -> None:
    settling = Settling(SETTLE_S)
    settling.seen(A, "1:1", 10.0)
    assert settling.asks(10.5, 4) == []
    settling.seen(A, "2:2", 10.5)
    assert settling.asks(10.9, 4) == []
    settling.seen(A, "2:2", 11.0)
    ask = only(settling.asks(11.0, 4))
    assert (ask.identity, ask.quiet) == ("2:2", False)
    settling.changed(ask, "3:3", 11.1)
    assert settling.asks(13.0, 4) == []
    ask = only(settling.asks(13.1, 4))
    assert (ask.identity, ask.quiet) == ("3:3", True)


def test_who_is_busy_is_asked_later() -> None:
    settling = Settling(SETTLE_S)
    settling.finished(A, 10.0)
    settling.later(only(settling.asks(10.0, 4)), 15.0)
    assert settling.asks(14.9, 4) == []
    assert settling.looked(only(settling.asks(15.0, 4)), True, 15.0)


@dataclass
class File:
    """What is true of one name."""

    version: int
    complete: bool
    changed_at: float
    untold: bool
    closed_at: float = -math.inf


@dataclass
class Asked:
    ask: Ask
    at: float
    version: int | None


class Histories(RuleBasedStateMachine):
    """Writers and deleters who are seen, a clock that goes on, and looks that take their time."""

    paths = st.sampled_from([A, B, b"c.fits"])

    def __init__(self) -> None:
        super().__init__()
        self.settling = Settling(SETTLE_S)
        self.now = 100.0
        self.files: dict[bytes, File] = {}
        self.asked: list[Asked] = []
        self.versions = 0

    def change(self, path: bytes, complete: bool) -> File:
        self.versions += 1
        self.files[path] = File(self.versions, complete, self.now, True)
        return self.files[path]

    @rule(path=paths, complete=st.booleans())
    def write(self, path: bytes, complete: bool) -> None:
        if path not in self.files:
            self.settling.created(path, self.now)
        self.change(path, complete)
        self.settling.touched(path, self.now)

    @rule(path=paths, complete=st.booleans())
    def write_and_close(self, path: bytes, complete: bool) -> None:
        self.change(path, complete).closed_at = self.now
        self.settling.finished(path, self.now)

    @rule(path=paths)
    def link(self, path: bytes) -> None:
        if path not in self.files:
            self.change(path, True)
            self.settling.created(path, self.now)

    @rule(path=paths)
    def close_as_it_was(self, path: bytes) -> None:
        if path in self.files:
            self.files[path].untold = True  # Nobody can know that it was.
            self.settling.finished(path, self.now)

    @rule(path=paths)
    def delete(self, path: bytes) -> None:
        self.files.pop(path, None)
        self.settling.gone(path)

    @rule(quarters=st.integers(1, 12))
    def go_on(self, quarters: int) -> None:
        self.now += quarters / 4

    @rule(room=st.integers(0, 2))
    def ask(self, room: int) -> None:
        asks = self.settling.asks(self.now, room)
        assert len(asks) <= room
        for ask in asks:
            file = self.files.get(ask.path)
            assert all(other.ask.path != ask.path or other.ask.serial != ask.serial for other in self.asked)
            self.asked.append(Asked(ask, self.now, file.version if file else None))

    @precondition(lambda self: self.asked)
    @rule(which=st.integers(0, 9), busy=st.booleans())
    def answer(self, which: int, busy: bool) -> None:
        asked = self.asked.pop(which % len(self.asked))
        file = self.files.get(asked.ask.path)
        if busy:
            self.settling.later(asked.ask, self.now + 0.25)
        elif file is None:
            assert not self.settling.missing(asked.ask)  # It was said to have gone before.
        elif file.version != asked.version:
            self.settling.changed(asked.ask, "", self.now)
        elif self.settling.looked(asked.ask, file.complete, self.now):
            assert file.untold, "told twice"
            assert file.complete or asked.at - file.changed_at >= SETTLE_S, "told too early"
            file.untold = False

    @invariant()
    def nothing_untold_is_forgotten(self) -> None:
        assert all(path in self.settling for path, file in self.files.items() if file.untold)
        assert len(self.settling) <= len(self.files)

    def teardown(self) -> None:
        """In the end all is told, in time."""
        while self.asked:
            self.answer(0, False)
        last = max([self.now, *(file.changed_at for file in self.files.values())])
        for _ in range(100):
            self.ask(9)
            while self.asked:
                self.answer(0, False)
            at = self.settling.next_at()
            if at == math.inf:
                break
            self.now = max(self.now, at)
        assert not any(file.untold for file in self.files.values())
        assert len(self.settling) == 0
        assert self.now <= last + SETTLE_S + AGAIN_S


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)

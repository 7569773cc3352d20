"""How far a look through a root has come: told at its start, each half second and at its end; short routine is not."""

from pathlib import Path

import pytest
import trio

from imgd.events.event import Draft, Scalar
from imgd.setting_kinds import Root
from imgd.watching.state import RootState, WatchSettings
from imgd.watching.telling import telling
from tests.events.listed import ListStore
from tests.watching.rig import Watched


@pytest.fixture(name="told")
def nothing_yet() -> list[tuple[float, dict[str, Scalar]]]:
    return []


@pytest.fixture(name="state")
def told_of(tmp_path: Path, told: list[tuple[float, dict[str, Scalar]]]) -> RootState:
    def tell(draft: Draft) -> None:
        assert (draft.type, draft.root) == ("root.scanning", "night")
        told.append((trio.current_time() - began, draft.detail))

    began = 0.0
    return RootState(Root("night", tmp_path), ListStore(), Watched.describe, WatchSettings(), tell)  # type: ignore[arg-type]


async def look(state: RootState, parts: int, *, routine: bool = False) -> None:
    """Look through a root in parts of 100 frames; each takes an eighth of a second."""
    state.scanned = 0
    with telling(state, routine=routine) as step:
        for _ in range(parts):
            await trio.sleep(0.125)
            state.scanned += 100
            step()


Told = list[tuple[float, dict[str, Scalar]]]


async def test_start_each_half_second_and_end(
    state: RootState, told: Told, autojump_clock: trio.testing.MockClock
) -> None:
    await look(state, 11)
    begun = told[0][0]
    assert [(at - begun, detail) for at, detail in told] == [
        (0.0, {"scanned": 0}),
        (0.5, {"scanned": 400}),
        (1.0, {"scanned": 800}),
        (1.375, {"scanned": 1100, "done": True}),
    ]


async def test_a_look_that_is_broken_off_says_so(state: RootState, told: Told, autojump_clock: object) -> None:
    with pytest.raises(OSError, match="unplugged"), telling(state, routine=False):
        raise OSError("unplugged")
    with trio.move_on_after(0.3):
        await look(state, 100)
    assert [detail for _, detail in told] == [
        {"scanned": 0},
        {"scanned": 0, "done": False},
        {"scanned": 0},
        {"scanned": 200, "done": False},
    ]


async def test_a_routine_look_is_told_of_when_it_takes_long(
    state: RootState, told: Told, autojump_clock: object
) -> None:
    await look(state, 3, routine=True)
    assert told == []
    await look(state, 6, routine=True)
    assert [detail for _, detail in told] == [{"scanned": 400}, {"scanned": 600, "done": True}]

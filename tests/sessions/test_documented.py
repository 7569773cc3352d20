"""`docs/live.md` tells of every message, every field of a runner's state, every limit, and the header of pictures."""

from pathlib import Path
from typing import Final, get_args, get_type_hints

import pytest

from imgd.core.sessions.events import CLOSE_ENDED, CLOSE_TAKEN_OVER
from imgd.core.sessions.messages import RESULTS, RunnerMessage
from imgd.core.sessions.told import OF_RUNNERS, REPLIES
from imgd.web.frames_out import FORMATS, HEADER, NO_LEVEL, PICTURE, TILE
from tests.sessions.desk import Desk

TEXT: Final = (Path(__file__).parents[2] / "docs/live.md").read_text()


@pytest.mark.parametrize("message", get_args(RunnerMessage))
def test_each_message_and_its_fields_are_told(message: type) -> None:
    row = next(line for line in TEXT.splitlines() if f'"op":"{message.__struct_config__.tag}"' in line)  # type: ignore[attr-defined]
    for name in message.__struct_fields__:  # type: ignore[attr-defined]
        assert f'"{name}":' in row or (name == "follow" and '"op":"open","follow":' in TEXT)


@pytest.mark.parametrize(
    "op",
    ["opened", "attached", "closed", "changed", "accepted", "step", "completed", "failed", "cancelled", "following"],
)
def test_whatever_is_told_is_told_of(op: str) -> None:
    assert f'"op":"{op}"' in TEXT


def test_each_field_and_limit_and_result_is_told() -> None:
    desk = Desk()
    limits = desk.connect("ws1")["limits"]
    state = desk.open("ws1", "r")["state"]
    for name in (*limits, *state, *RESULTS):
        assert f"`{name}`" in TEXT, name


def test_each_field_of_what_is_told_of_runners_is_told_of() -> None:
    for kind in (*REPLIES, *OF_RUNNERS):
        for name in get_type_hints(kind):
            assert f'"{name}"' in TEXT or f"`{name}`" in TEXT, (kind.__name__, name)


def test_the_codes_and_the_header_are_as_told() -> None:
    assert f"{CLOSE_TAKEN_OVER} a newer connection" in TEXT and f"{CLOSE_ENDED} an operator" in TEXT
    assert (HEADER.format, HEADER.size) == ("<BBBBIIIIIII", 32)
    assert (PICTURE, TILE, NO_LEVEL) == (1, 2, 255) and "1 a picture, 2 a tile" in TEXT and "255 for a picture" in TEXT
    assert FORMATS == {"jpeg": 1, "png": 2, "webp": 3, "avif": 4} and "1 JPEG, 2 PNG, 3 WebP, 4 AVIF" in TEXT

"""The page's types of the protocol are those of the daemon."""

from pathlib import Path

from imgd.web.page_types import page_types

SCHEMA = Path(__file__).parents[2] / "imgd/web/ui/src/protocol/schema.ts"


def test_the_types_that_the_page_is_built_with_are_those_of_the_protocol() -> None:
    assert SCHEMA.read_text() == page_types(), "python -m imgd.web.page_types > imgd/web/ui/src/protocol/schema.ts"

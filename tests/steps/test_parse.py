"""The parse step: facts and header document, bounded and never cut in the middle."""

import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from cgi_worker.formats.fits import walk
from cgi_worker.steps import parse
from cgi_worker.wire.facts import FACTS_BYTES_MAX, HEADER_BYTES_MAX, decode_facts
from cgi_worker.wire.failure import StepFailed
from cgi_worker.wire.steps import Parse
from tests.frames.make import card, empty_hdu, image_hdu, raw_card, write
from tests.steps.lending import Lending

PIXELS = np.zeros((4, 4), "i2")


def parsed(path: Path, facts_bytes: int = FACTS_BYTES_MAX, header_bytes: int = HEADER_BYTES_MAX) -> tuple[bytes, Any]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        work = Lending(descriptor, outputs=[np.zeros(facts_bytes, np.uint8), np.zeros(header_bytes, np.uint8)])
        made = parse.do(Parse(), work)
    finally:
        os.close(descriptor)
    facts, document = (bytes(work.output_bytes(index)[:used]) for index, used in enumerate(made.used_bytes))
    return facts, msgspec.json.decode(document)


def test_document(tmp_path: Path) -> None:
    cards = [card("EXPTIME", 30.5, "[s] exposure"), raw_card("COMMENT hello"), raw_card("HIERARCH ESO A B = 'x'")]
    facts, document = parsed(write(tmp_path / "a", image_hdu(PIXELS, cards=cards)))
    assert document["frame"] == msgspec.json.decode(facts)
    assert decode_facts(facts).default_hdu == 0
    (hdu,) = document["hdus"]
    assert (hdu["index"], hdu["name"]) == (0, "PRIMARY")
    assert hdu["cards"][0] == {"keyword": "SIMPLE", "value": True, "comment": "", "unit": ""}
    assert hdu["cards"][-3:] == [
        {"keyword": "EXPTIME", "value": 30.5, "comment": "[s] exposure", "unit": "s"},
        {"keyword": "COMMENT", "value": "hello", "comment": "", "unit": ""},
        {"keyword": "ESO A B", "value": "x", "comment": "", "unit": ""},
    ]


def test_only_what_is_wanted(tmp_path: Path) -> None:
    descriptor = os.open(write(tmp_path / "a", image_hdu(PIXELS)), os.O_RDONLY)
    try:
        work = Lending(descriptor, outputs=[None, np.zeros(HEADER_BYTES_MAX, np.uint8)])
        facts_used, header_used = parse.do(Parse(), work).used_bytes
    finally:
        os.close(descriptor)
    assert facts_used == 0
    assert header_used > 100


def test_a_header_too_long_is_cut_between_cards(tmp_path: Path) -> None:
    cards = [raw_card("COMMENT " + "\x07" * 72)] * 70_000  # Each grows to 3 bytes a character.
    facts, document = parsed(write(tmp_path / "a", empty_hdu(cards), image_hdu(PIXELS, primary=False)))
    listed = document["hdus"][0]["cards"]
    assert 10_000 < len(listed) < 70_000
    assert document["frame"]["warnings"][-1] == (
        f"the header is too long to be listed whole: it stops after card {len(listed)} of HDU 0"
    )
    assert decode_facts(facts).default_hdu == 1


@pytest.mark.parametrize("limit", [3000, 20_000, 120_000])
def test_limits_hold(tmp_path: Path, limit: int) -> None:
    units = [image_hdu(PIXELS, primary=False, cards=[card("EXTNAME", f"CHIP{n}")]) for n in range(300)]
    descriptor = os.open(write(tmp_path / "a", empty_hdu(), *units), os.O_RDONLY)
    try:
        walked = walk(descriptor)
    finally:
        os.close(descriptor)
    facts = parse.fit_facts(walked.facts, limit)
    assert len(msgspec.json.encode(facts)) <= limit
    document = parse.header_document(facts, walked, limit + 8192)
    assert len(document) <= limit + 8192
    msgspec.json.decode(document)
    if len(facts.hdus) < 301:
        assert facts.warnings[-1] == f"facts of the first {len(facts.hdus)} of 301 HDUs are listed"


def test_no_room_at_all(tmp_path: Path) -> None:
    path = write(tmp_path / "a", image_hdu(PIXELS))
    with pytest.raises(StepFailed) as caught:
        parsed(path, header_bytes=50)
    assert caught.value.code == "too_big"

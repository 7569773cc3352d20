"""Parse: a frame's structure as facts for the planner, and all its header cards for people."""

from typing import Final

import msgspec

from cgi_worker.formats.cards import Card
from cgi_worker.formats.fits import Walked, walk
from cgi_worker.steps.work import Made, Work
from cgi_worker.wire.facts import FACTS_BYTES_MAX, HEADER_BYTES_MAX, Facts, Hdu, encode_facts
from cgi_worker.wire.failure import StepFailed
from cgi_worker.wire.steps import Parse


class _Listed(msgspec.Struct, frozen=True):
    index: int
    name: str
    cards: list[Card]


class _Document(msgspec.Struct, frozen=True):
    frame: Facts
    hdus: list[_Listed]


_ENCODER: Final = msgspec.json.Encoder()
_FRAMING_BYTES: Final = 4096  # Of the header document around facts and HDUs, the last warning included.


def do(step: Parse, work: Work) -> Made:
    """Write the facts (output 0) and the header document (output 1)."""
    walked = walk(work.source_fd)
    facts = fit_facts(walked.facts)
    used = [0, 0]
    if work.wants(0):
        used[0] = _put(work, 0, encode_facts(facts))
    if work.wants(1):
        used[1] = _put(work, 1, header_document(facts, walked))
    return Made((used[0], used[1]))


def fit_facts(facts: Facts, limit_bytes: int = FACTS_BYTES_MAX) -> Facts:
    """Leave out the last HDUs of facts that are over the limit, and say so."""
    sizes = [len(_ENCODER.encode(hdu)) + 1 for hdu in facts.hdus]
    room = limit_bytes - len(_ENCODER.encode(msgspec.structs.replace(facts, hdus=()))) - 256
    if sum(sizes) <= room:
        return facts
    kept: list[Hdu] = []
    for hdu, size in zip(facts.hdus, sizes, strict=True):
        room -= size
        if room < 0:
            break
        kept.append(hdu)
    warning = f"facts of the first {len(kept)} of {len(facts.hdus)} HDUs are listed"
    default = next((hdu.index for hdu in kept if hdu.reason is None), None)
    return Facts(facts.format, tuple(kept), default, (*facts.warnings, warning), facts.whole)


def header_document(facts: Facts, walked: Walked, limit_bytes: int = HEADER_BYTES_MAX) -> bytes:
    """Write facts and all cards as JSON: {"frame": ..., "hdus": [{"index", "name", "cards": [...]}]}.

    Cards that would lead over the limit are left out, from the first such card on, and a warning says so.
    """
    listed = [_Listed(hdu.index, hdu.name, cards) for hdu, cards in zip(facts.hdus, walked.cards, strict=False)]
    document = _ENCODER.encode(_Document(facts, listed))
    if len(document) <= limit_bytes:
        return document
    room = limit_bytes - len(_ENCODER.encode(facts)) - _FRAMING_BYTES
    fitting: list[_Listed] = []
    for entry in listed:
        room -= len(_ENCODER.encode(_Listed(entry.index, entry.name, []))) + 1
        if room < 0:
            break
        kept, room = _fitting_cards(entry.cards, room)
        fitting.append(_Listed(entry.index, entry.name, kept))
        if len(kept) < len(entry.cards):
            break
    last = fitting[-1] if fitting else _Listed(0, "", [])
    warning = f"the header is too long to be listed whole: it stops after card {len(last.cards)} of HDU {last.index}"
    facts = msgspec.structs.replace(facts, warnings=(*facts.warnings, warning))
    return _ENCODER.encode(_Document(facts, fitting))


def _fitting_cards(cards: list[Card], room: int) -> tuple[list[Card], int]:
    kept: list[Card] = []
    for card in cards:
        size = len(_ENCODER.encode(card)) + 1
        if size > room:
            break
        room -= size
        kept.append(card)
    return kept, room


def _put(work: Work, index: int, octets: bytes) -> int:
    output = work.output_bytes(index)
    if len(octets) > len(output):
        raise StepFailed("too_big", f"the frame's description takes {len(octets)} bytes, more than there is room for")
    output[: len(octets)] = octets
    return len(octets)

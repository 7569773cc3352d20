"""What a frame holds, as its event tells it: by a worker, out of the header document that pictures' readers get too."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from typing import Final

import msgspec

from cgi_worker.wire.facts import Facts
from imgd.engine.answer import Answer
from imgd.errors import BadFrame
from imgd.events.event import Scalar
from imgd.model import Asker
from imgd.threads import NoThread, in_thread
from imgd.watching.drafts import Describe, Described

KEYWORDS_MAX: Final = 48
TEXT_MAX: Final = 80
ROOM_BYTES: Final = 2048  # Of an event's facts: they are kept in memory, and sent to everybody.
LARGE_BYTES: Final = 1 << 18  # A document that takes so long to be read that others should go on meanwhile.
ASKER: Final = Asker(owner="events", session="events")  # As urgent as a picture: somebody waits for the news.
FIRST: Final = (  # Who filters by a keyword does so by one of these, more often than not.
    "OBJECT", "FILTER", "EXPTIME", "EXPOSURE", "IMAGETYP", "OBSTYPE", "DATE-OBS", "MJD-OBS", "INSTRUME", "TELESCOP",
    "CAMERA", "DETECTOR", "OBSERVER", "PROGRAM", "PROPID", "RA", "DEC", "OBJCTRA", "OBJCTDEC", "AIRMASS", "ALT", "AZ",
    "GAIN", "OFFSET", "CCD-TEMP", "XBINNING", "YBINNING", "FOCUSPOS", "SEEING", "BAYERPAT", "ROWORDER", "EXTNAME",
    "BUNIT", "BITPIX", "NAXIS1", "NAXIS2", "NAXIS3",
)  # fmt: skip
SAY_NOTHING: Final = frozenset(
    {"", "COMMENT", "HISTORY", "CONTINUE", "END", "SIMPLE", "EXTEND", "XTENSION", "PCOUNT", "GCOUNT", "NAXIS", "BSCALE",
     "BZERO", "CHECKSUM", "DATASUM"}
)  # fmt: skip

Header = Callable[[str, Asker], AbstractAsyncContextManager[Answer]]


class _Card(msgspec.Struct, frozen=True):
    keyword: str
    value: Scalar = None


class _Listed(msgspec.Struct, frozen=True):
    index: int
    cards: list[_Card]


class _Document(msgspec.Struct, frozen=True):
    frame: Facts
    hdus: list[_Listed]


_read: Final = msgspec.json.Decoder(_Document).decode


async def _read_beside(octets: bytes) -> _Document:
    if len(octets) > LARGE_BYTES:
        with suppress(NoThread):
            return await in_thread(_read, octets)
    return _read(octets)


def describe_by(header: Header, asker: Asker = ASKER) -> Describe:
    """Make the function that looks into frames by the engine's header documents."""

    async def describe(frame: str) -> Described:
        async with header(frame, asker) as answer:
            octets = b"".join([chunk async for chunk in answer.chunks()])
        try:
            document = await _read_beside(octets)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise BadFrame("its header came back unreadable", "frame") from error
        return described(document.frame, {listed.index: listed.cards for listed in document.hdus})

    return describe


def described(facts: Facts, cards: Mapping[int, list[_Card]]) -> Described:
    """Choose what an event says of a frame: cards of the HDU that is shown, then of the first one."""
    found: dict[str, Scalar] = {}
    for index in (facts.default_hdu, 0):
        for card in cards.get(index, []) if index is not None else []:
            if card.keyword not in SAY_NOTHING and len(card.keyword) <= 8 and card.value is not None:
                value = card.value[:TEXT_MAX] if isinstance(card.value, str) else card.value
                found.setdefault(card.keyword, value)
    told: dict[str, Scalar] = {}
    room = ROOM_BYTES
    for keyword in [*(each for each in FIRST if each in found), *(each for each in found if each not in FIRST)]:
        room -= len(keyword) + len(str(found[keyword]).encode()) + 6
        if room < 0 or len(told) == KEYWORDS_MAX:
            break
        told[keyword] = found[keyword]
    return Described(complete=facts.whole, hdu=told)

"""Mutations: from a good frame to a hostile one. The same random numbers give the same frame."""

import gzip
import zlib
from collections.abc import Callable
from random import Random
from typing import Final, NamedTuple

from tests.frames.make import BLOCK, card, raw_card

CARD: Final = 80
NUMBERS: Final = (
    0, 1, -1, 2, 3, 4, 7, 8, 9, 16, 32, 64, -32, -64, 255, 256, 999, 1000, 4095, 32_767, 32_768, 65_535, 65_536, 10**6,
    2**28, 2**31 - 1, 2**31, 2**32, 2**32 + 1, 2**53, 2**53 + 1, 2**62, 2**63 - 1, 2**63, -(2**31), -(2**63), 10**20,
    10**40,
)  # fmt: skip
REALS: Final = (
    "0.5", "-0.0", "1E-320", "1E-38", "1E-37", "1E30", "3.5E38", "1E300", "-1E308", "1E309", "1D10", "NAN", "INF",
    "-INF", "1E", "0x10", "'1'", "T", "F", "", "/", "''", "'", "(1,2)", "1.0000000001", "2147483647.5",
)  # fmt: skip
WORDS: Final = (
    "", " ", "RICE_1", "GZIP_1", "GZIP_2", "PLIO_1", "HCOMPRESS_1", "NOCOMPRESS", "RICE_ONE", "NONE", "NO_DITHER",
    "SUBTRACTIVE_DITHER_1", "SUBTRACTIVE_DITHER_2", "IMAGE", "BINTABLE", "TABLE", "1PB(9)", "1QB(9)", "1PI", "1PJ(0)",
    "QB", "1PE", "1QD", "1J", "1D", "1E", "0PB", "2PB", "99999999999B", "1X", "A", "RGGB", "GBRG", "XXXX", "RGG",
    "[1:10,1:10]", "[0:0,0:0]", "[-5:5,1:9]", "[10:1,9:1]", "[1:99999999999,1:2]", "[1:1000000,1:1000000]", "[a:b]",
    "RA---TAN", "DEC--TAN", "RA---TPV", "DEC--SIP", "RA---TAN-SIP", "GLON-HPX", "GLAT-HPX", "RA---SIN", "RA---ZPN",
    "RA---TNX", "RA---TAB", "FREQ-LOG", "DEC--AIT", "LINEAR", "TOP-DOWN", "x" * 68, "\x00\x01\x02", "&", "a&",
    "CPDIS", "LOOKUP", "TPD", "2099-99-99T99:99:99",
)  # fmt: skip
KEYWORDS: Final = (
    "SIMPLE", "XTENSION", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "NAXIS3", "PCOUNT", "GCOUNT", "GROUPS", "EXTEND",
    "TFIELDS", "TFORM1", "TFORM2", "TFORM3", "TFORM4", "TTYPE1", "TTYPE2", "TTYPE3", "TTYPE4", "THEAP", "ZIMAGE",
    "ZCMPTYPE", "ZBITPIX", "ZNAXIS", "ZNAXIS1", "ZNAXIS2", "ZNAXIS3", "ZTILE1", "ZTILE2", "ZTILE3", "ZNAME1", "ZVAL1",
    "ZNAME2", "ZVAL2", "ZQUANTIZ", "ZDITHER0", "ZBLANK", "ZSCALE", "ZZERO", "ZBLOCKSIZE", "ZSIMPLE", "ZTENSION",
    "BSCALE", "BZERO", "BLANK", "BAYERPAT", "COLORTYP", "XBAYROFF", "YBAYROFF", "ROWORDER", "SATURATE", "DATAMAX",
    "DETSEC", "DATASEC", "CCDSEC", "DETSIZE", "BIASSEC", "EXTNAME", "EXTVER", "INHERIT", "CTYPE1", "CTYPE2", "CTYPE3",
    "CRPIX1", "CRPIX2", "CRVAL1", "CRVAL2", "CDELT1", "CDELT2", "CD1_1", "CD1_2", "CD2_1", "CD2_2", "PC1_1", "PC2_2",
    "CROTA2", "CUNIT1", "CUNIT2", "LONPOLE", "LATPOLE", "WCSAXES", "EQUINOX", "RADESYS", "A_ORDER", "B_ORDER",
    "AP_ORDER", "BP_ORDER", "A_2_0", "A_0_3", "B_1_1", "PV1_0", "PV1_1", "PV2_1", "PV1_39", "PV2_99", "CPDIS1",
    "DP1", "D2IM1", "DATE-OBS", "MJD-OBS", "CONTINUE", "HIERARCH", "COMMENT", "END",
)  # fmt: skip


class Unit(NamedTuple):
    """One header-data unit: where its header begins, its data, its heap (or the end of the data), and the next one."""

    start: int
    data: int
    heap: int
    stop: int


Mutation = Callable[[Random, bytes], bytes]


def mutated(random: Random, frame: bytes) -> tuple[bytes, list[str]]:
    """Mutate a frame once to three times; tell by what."""
    names: list[str] = []
    if frame[:2] == b"\x1f\x8b":
        if random.random() < 0.5:
            inside, names = mutated(random, gzip.decompress(frame))
            return gzip.compress(inside, 1, mtime=0), ["gzip of", *names]
        return _gzip(random, frame), ["gzip"]
    for _ in range(random.choice((1, 1, 1, 2, 2, 3))):
        mutation = random.choice(MUTATIONS)
        frame = mutation(random, frame)
        names.append(mutation.__name__)
    return frame, names


def units(frame: bytes) -> list[Unit]:
    """Find the units of a frame, as far as its cards can be believed."""
    found: list[Unit] = []
    start = 0
    while start < len(frame) and len(found) < 64:
        cards = cards_of(frame, start)
        if cards is None:
            break
        data = start + -(-(len(cards) + 1) * CARD // BLOCK) * BLOCK
        table, heap = _sizes(cards)
        if table < 0 or heap < 0:
            break
        stop = data + -(-(table + heap) // BLOCK) * BLOCK
        found.append(Unit(start, data, min(data + table, len(frame)), min(stop, len(frame))))
        start = stop
    return found or [Unit(0, min(BLOCK, len(frame)), len(frame), len(frame))]


def cards_of(frame: bytes, start: int) -> list[bytes] | None:
    """Give the cards of the header at `start`, without END; None if it has none."""
    for end in range(start, len(frame) - CARD + 1, CARD):
        if frame[end : end + CARD].rstrip() == b"END":
            return [frame[at : at + CARD] for at in range(start, end, CARD)]
    return None


def _sizes(cards: list[bytes]) -> tuple[int, int]:
    values: dict[bytes, int] = {}
    for line in cards:
        number = line[10:].partition(b"/")[0].strip()
        if line[8:10] == b"= " and number.removeprefix(b"-").isdigit():
            values.setdefault(line[:8].rstrip(), int(number))
    axes = [values.get(b"NAXIS%d" % n, 0) for n in range(1, min(values.get(b"NAXIS", 0), 99) + 1)]
    size = abs(values.get(b"BITPIX", 8)) // 8 if axes else 0
    for axis in axes:
        size *= axis
    return size, values.get(b"PCOUNT", 0)


def _with_cards(frame: bytes, unit: Unit, cards: list[bytes], *, end: bool = True) -> bytes:
    header = b"".join(cards) + (raw_card("END") if end else b"")
    return frame[: unit.start] + header.ljust(-(-len(header) // BLOCK) * BLOCK) + frame[unit.data :]


def _header(random: Random, frame: bytes) -> tuple[Unit, list[bytes]]:
    unit = random.choice(units(frame))
    return unit, cards_of(frame, unit.start) or [raw_card("SIMPLE  = T")]


def _value(random: Random) -> str:
    match random.randrange(3):
        case 0:
            return f"{random.choice(NUMBERS):>20}"
        case 1:
            return f"{random.choice(REALS):>20}"
        case _:
            return f"'{random.choice(WORDS):<8}'"


def drop_card(random: Random, frame: bytes) -> bytes:
    unit, cards = _header(random, frame)
    del cards[random.randrange(len(cards))]
    return _with_cards(frame, unit, cards)


def double_card(random: Random, frame: bytes) -> bytes:
    unit, cards = _header(random, frame)
    cards.insert(random.randrange(len(cards)), random.choice(cards))
    return _with_cards(frame, unit, cards)


def swap_cards(random: Random, frame: bytes) -> bytes:
    unit, cards = _header(random, frame)
    one, other = random.randrange(len(cards)), random.randrange(len(cards))
    cards[one], cards[other] = cards[other], cards[one]
    return _with_cards(frame, unit, cards)


def absurd_number(random: Random, frame: bytes) -> bytes:
    """Change the number on a card that has one: to any, or to one near it."""
    unit, cards = _header(random, frame)
    numeric = [at for at, line in enumerate(cards) if line[10:30].strip().removeprefix(b"-").isdigit()]
    if not numeric:
        return frame
    at = random.choice(numeric)
    value = int(cards[at][10:30])
    near = (value + 1, value - 1, value * 2, value // 2, value * 1000, -value, value + 8, value ^ 1 << 16)
    number = random.choice(near) if random.random() < 0.4 else random.choice(NUMBERS)
    cards[at] = raw_card(cards[at][:10] + f"{number:>20}".encode())
    return _with_cards(frame, unit, cards)


def other_value(random: Random, frame: bytes) -> bytes:
    """Change the value of a card that matters, to anything."""
    unit, cards = _header(random, frame)
    known = {keyword.encode() for keyword in KEYWORDS}
    matter = [at for at, line in enumerate(cards) if line[:8].rstrip() in known] or [0]
    at = random.choice(matter)
    cards[at] = raw_card(cards[at][:8] + b"= " + _value(random).encode("latin-1"))
    return _with_cards(frame, unit, cards)


def new_card(random: Random, frame: bytes) -> bytes:
    """Put a card that matters before the others of its name, or after."""
    unit, cards = _header(random, frame)
    line = raw_card(f"{random.choice(KEYWORDS):<8}= {_value(random)}")
    cards.insert(random.choice((1, random.randrange(len(cards) + 1), len(cards))), line)
    return _with_cards(frame, unit, cards)


def flip_header(random: Random, frame: bytes) -> bytes:
    unit, _ = _header(random, frame)
    return _flip(random, frame, unit.start, unit.data)


def no_end(random: Random, frame: bytes) -> bytes:
    unit, cards = _header(random, frame)
    return _with_cards(frame, unit, cards, end=False)


def many_cards(random: Random, frame: bytes) -> bytes:
    """Add a thousand cards of one kind."""
    unit, cards = _header(random, frame)
    kind = random.choice((card("A_1_1", 1.0), raw_card("CONTINUE  'abc&'"), raw_card(bytes(range(200, 255)) * 2)))
    begin = [card("LONGSTRN", "a&")]
    return _with_cards(frame, unit, cards + begin + [kind] * 1000)


def _flip(random: Random, frame: bytes, start: int, stop: int) -> bytes:
    """Change some bytes: a bit, to any, to an extreme one."""
    stop = min(stop, len(frame))
    if start >= stop:
        return frame
    octets = bytearray(frame)
    for _ in range(random.choice((1, 1, 2, 4, 16))):
        at = random.randrange(start, stop)
        match random.randrange(3):
            case 0:
                octets[at] ^= 1 << random.randrange(8)
            case 1:
                octets[at] = random.randrange(256)
            case _:
                octets[at] = random.choice((0, 0x7F, 0x80, 0xFF))
    return bytes(octets)


def flip_data(random: Random, frame: bytes) -> bytes:
    unit = random.choice(units(frame))
    return _flip(random, frame, unit.data, unit.stop)


def flip_table(random: Random, frame: bytes) -> bytes:
    unit = _last(frame)
    return _flip(random, frame, unit.data, unit.heap)


def flip_heap(random: Random, frame: bytes) -> bytes:
    unit = _last(frame)
    return _flip(random, frame, unit.heap, unit.stop)


def descriptor(random: Random, frame: bytes) -> bytes:
    """Write an absurd number where a table may have a count, an offset or a scale."""
    unit = _last(frame)
    size = random.choice((4, 4, 8))
    if unit.heap - unit.data < 8:
        return frame
    at = unit.data + random.randrange((unit.heap - unit.data) // 4) * 4
    octets = (random.choice(NUMBERS) & (1 << 8 * size) - 1).to_bytes(size, "big")
    if random.random() < 0.2:
        octets = random.choice((b"\x7f\xc0\0\0", b"\x7f\x80\0\0", b"\xff\x80\0\0", b"\x7f\xf0\0\0\0\0\0\0"))
    return frame[:at] + octets + frame[at + len(octets) :]


def stretch_of_data(random: Random, frame: bytes) -> bytes:
    """Fill a stretch of the data with one byte, noise, or another stretch."""
    unit = random.choice(units(frame))
    if unit.stop <= unit.data:
        return frame
    at = random.randrange(unit.data, unit.stop)
    length = min(random.choice((1, 8, 64, 512, 5000)), unit.stop - at)
    match random.randrange(3):
        case 0:
            octets = bytes([random.choice((0, 1, 0x7F, 0x80, 0xFF))]) * length
        case 1:
            octets = random.randbytes(length)
        case _:
            other = random.randrange(len(frame))
            octets = frame[other : other + length]
    return frame[:at] + octets + frame[at + len(octets) :]


def insert_or_drop(random: Random, frame: bytes) -> bytes:
    """Shift all that follows."""
    at = random.randrange(len(frame) + 1)
    length = random.choice((1, 2, 3, 80, 2880))
    return frame[:at] + (frame[at + length :] if random.random() < 0.5 else bytes(length) + frame[at:])


def truncate(random: Random, frame: bytes) -> bytes:
    """Cut anywhere, or near an edge of something."""
    unit = random.choice(units(frame))
    edge = random.choice((unit.start, unit.data, unit.heap, unit.stop)) + random.randint(-2, 2)
    at = random.choice((random.randrange(len(frame) + 1), edge, edge // BLOCK * BLOCK))
    return frame[: max(0, at)]


def _last(frame: bytes) -> Unit:
    return units(frame)[-1]


def _gzip(random: Random, frame: bytes) -> bytes:
    """Harm the gzip stream around a frame."""
    at = random.randrange(len(frame))
    match random.randrange(7):
        case 0:
            return _flip(random, frame, 0, 18)
        case 1:
            return _flip(random, frame, 0, len(frame))
        case 2:
            return frame[:at]
        case 3:
            return frame + random.choice((b"\0" * 100, frame[:at], frame, b"\x1f\x8b", random.randbytes(50)))
        case 4:
            return frame[:at] + random.randbytes(20) + frame[at:]
        case 5:
            return gzip.compress(frame, 1, mtime=0)  # Twice.
        case _:
            inside = gzip.decompress(frame)
            return gzip.compress(inside[:BLOCK], 1, mtime=0) + gzip.compress(inside[BLOCK:], 9, mtime=0)[: at + 20]


def bomb(size_bytes: int, head: bytes = b"") -> bytes:
    """Give a small gzip file that inflates to very much."""
    stream = zlib.compressobj(1, wbits=31)
    pieces = [stream.compress(head)] + [stream.compress(bytes(1 << 20)) for _ in range(size_bytes >> 20)]
    return b"".join([*pieces, stream.flush()])


MUTATIONS: Final[tuple[Mutation, ...]] = (
    drop_card, double_card, swap_cards, absurd_number, absurd_number, absurd_number, other_value, other_value,
    other_value, new_card, new_card, new_card, flip_header, flip_header, no_end, many_cards, flip_data, flip_table,
    flip_table, flip_heap, flip_heap, flip_heap, descriptor, descriptor, descriptor, stretch_of_data, insert_or_drop,
    truncate, truncate,
)  # fmt: skip

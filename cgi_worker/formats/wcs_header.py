"""World coordinates in a header: the cards that tell them, checked and written anew for wcslib."""

import math
import re
from collections.abc import Iterable
from typing import Final

from cgi_worker.formats.cards import Value, read_card
from cgi_worker.wire.failure import StepFailed

AXES_MAX: Final = 9  # Of the header; the two of the plane are used.
ORDER_MAX: Final = 9  # Of a SIP polynomial.
PARAMETER_MAX: Final = 99  # m of PVi_m and PSi_m.
CARDS_MAX: Final = 2000

_TEXTS: Final = re.compile(r"(?:CTYPE|CUNIT)(\d+)|RADESYS|RADECSYS|SPECSYS|PLTDECSN")
_NUMBERS: Final = re.compile(
    r"(?:CRVAL|CRPIX|CDELT|CROTA)(\d+)|(?:CD|PC)(\d+)_(\d+)|LONPOLE|LATPOLE|EQUINOX|EPOCH|RESTFRQ|RESTFREQ|RESTWAV"
)
_PLATE: Final = re.compile(  # What the Digitized Sky Survey wrote of its plates.
    r"AMD[XY]\d{1,2}|PPO[1-6]|PLTRA[HMS]|PLTDEC[DMS]|PLTSCALE|[XY]PIXELSZ|CNPIX[12]"
)
_OLD_MATRIX: Final = re.compile(r"(CD|PC)(\d{3})(\d{3})")
_PARAMETERS: Final = re.compile(r"P([VS])(\d+)_(\d+)")
_SIP_ORDER: Final = re.compile(r"(?:A|B|AP|BP)_ORDER")
_SIP: Final = re.compile(r"(A|B|AP|BP)_(\d+)_(\d+)")
_TABLES: Final = re.compile(r"(?:CPDIS|CQDIS|D2IMDIS|DQ|DP|D2IM)\d+")
_SIZE_MAX: Final = 1e300


def wcs_header(cards: Iterable[bytes], lengths: tuple[int, ...]) -> bytes:
    """Write a header of nothing but the world coordinates that the cards tell; other versions (CTYPE1A) are left out.

    cards    80 bytes each, as they lie in the file.
    lengths  of the image's axes, first axis first.

    Raises  StepFailed("bad_frame") that says what is wrong with them, or what is not supported.
    """
    values: dict[str, Value] = {}
    for line in cards:
        card = read_card(line.decode("latin-1"))
        if card is not None and card.value is not None and _is_wanted(card.keyword):
            values.setdefault(card.keyword, card.value)
        if len(values) > CARDS_MAX:
            raise _broken(f"more than {CARDS_MAX} cards")
    axes = _count_axes(values, len(lengths))
    written = [_write("WCSAXES", axes)]
    written += [_write(f"NAXIS{n}", length) for n, length in enumerate(lengths[:axes], 1)]
    for keyword, value in values.items():
        _check(keyword, value, axes, values)
        if old := _OLD_MATRIX.fullmatch(keyword):
            keyword = f"{old[1]}{int(old[2])}_{int(old[3])}"  # noqa: PLW2901
        written.append(_write(keyword, value))
    return b"".join(written)


def _is_wanted(keyword: str) -> bool:
    if _TABLES.match(keyword):
        raise _tabled(keyword)
    shapes = (_TEXTS, _NUMBERS, _PLATE, _OLD_MATRIX, _PARAMETERS, _SIP_ORDER, _SIP)
    return any(shape.fullmatch(keyword) for shape in shapes)


def _count_axes(values: dict[str, Value], axes: int) -> int:
    """Find how many axes the cards are about, before wcslib makes room for so many."""
    found = max(2, axes)
    for keyword in values:
        for shape in (_TEXTS, _NUMBERS, _OLD_MATRIX, _PARAMETERS):
            if match := shape.fullmatch(keyword):
                numbers = [int(group[:9]) for group in match.groups() if group and group.isdigit()]
                found = max([found, *(numbers[:1] if shape is _PARAMETERS else numbers)])
    if found > AXES_MAX:
        raise _broken(f"they are about {found} axes; at most {AXES_MAX} are understood")
    return found


def _check(keyword: str, value: Value, axes: int, values: dict[str, Value]) -> None:
    """Make sure that a card can be meant as it says."""
    parameter = _PARAMETERS.fullmatch(keyword)
    if _TEXTS.fullmatch(keyword) or (parameter and parameter[1] == "S"):
        if not isinstance(value, str) or not value.isascii() or len(value) > 60:
            raise _broken(f"{keyword} is {value!r:.40}, which is no word")
        if keyword.startswith("CTYPE") and value.rstrip().endswith("-TAB"):
            raise StepFailed(
                "bad_frame", f"its world coordinates use a lookup table ({keyword}), which is not supported"
            )
    elif isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _SIZE_MAX:
        raise _broken(f"{keyword} is {value!r:.40}, which is no number")
    if parameter and (int(parameter[3]) > PARAMETER_MAX or not 1 <= int(parameter[2]) <= axes):
        raise _broken(f"there can be no {keyword}")
    if any(number == 0 for number in _axis_numbers(keyword)):
        raise _broken(f"there can be no {keyword}")
    if _SIP_ORDER.fullmatch(keyword) and value not in range(ORDER_MAX + 1):
        raise _broken(f"{keyword} is {value!r:.40}; orders go from 0 to {ORDER_MAX}")
    if term := _SIP.fullmatch(keyword):
        order = values.get(f"{term[1]}_ORDER")
        if not isinstance(order, int) or int(term[2]) + int(term[3]) > max(order, 1):
            raise _broken(f"{keyword} goes beyond its order, {term[1]}_ORDER")


def _axis_numbers(keyword: str) -> list[int]:
    for shape in (_TEXTS, _NUMBERS, _OLD_MATRIX):
        if match := shape.fullmatch(keyword):
            return [int(group) for group in match.groups() if group and group.isdigit()]
    return []


def _write(keyword: str, value: Value) -> bytes:
    if isinstance(value, str):
        quoted = value.replace("'", "''")
        text = f"'{quoted:<8}'"
    else:
        text = f"{value!r:>20}".upper()
    assert not isinstance(value, float) or math.isfinite(value)
    return f"{keyword:<8}= {text}"[:80].ljust(80).encode("ascii")


def _broken(what: str) -> StepFailed:
    return StepFailed("bad_frame", f"its world coordinates are broken: {what}")


def _tabled(keyword: str) -> StepFailed:
    return StepFailed("bad_frame", f"its world coordinates use a lookup table ({keyword}), which is not supported")

"""What clients ask for, checked: parameters of views, viewports, directories. Every fault names its parameter."""

import math
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

import msgspec

from cgi_worker.wire.grammar import ViewError, frame_name
from cgi_worker.wire.tiles import FIT_OVER, LEVEL_MAX, TILE_PX, ViewportView
from cgi_worker.wire.view import View, view_from_pairs, view_pairs
from imgd.core.sessions.messages import VIEW_PARTS_MAX, Open, Part, Set, ViewText
from imgd.entry import ref_of
from imgd.errors import BadRequest
from imgd.query import decode_text, is_encoded, read_pairs

COORDINATE_MAX: Final = 2**31
DPR_RANGE: Final = (0.1, 16.0)
_ANY_FRAME: Final = "-/-"

Parameters = dict[str, str]
"""Parameters of a view as they were given, by name."""


def opened(message: Open) -> tuple[Parameters, View, str | None]:
    """Read what is to be opened: parameters, their view, and the directory that is followed.

    Raises  BadRequest.
    """
    parameters = parameters_of(message.view)
    follow = None if message.follow is None else _directory_of(message.follow)
    if len(set(message.results)) != len(message.results):
        raise BadRequest("names one of them twice", "results")
    return parameters, view_of(parameters, follow), follow


def changed(parameters: Parameters, message: Set) -> Parameters:
    """Apply changes to parameters; neither is changed itself.

    Raises  BadRequest if there are too many.
    """
    after = dict(parameters)
    for name, value in message.changes.items():
        if value is None:
            after.pop(name, None)
        else:
            after[name] = _text_of(value)
    if len(after) > VIEW_PARTS_MAX:
        raise BadRequest(f"would make {len(after)} parameters, of which there are at most {VIEW_PARTS_MAX}", "changes")
    return after


def view_of(parameters: Mapping[str, str], follow: str | None) -> View:
    """Read a view; one that follows a directory has no frame yet ("").

    Raises  BadRequest.
    """
    try:
        if follow is None:
            return view_from_pairs(parameters.items())
        if "frame" in parameters:
            raise BadRequest("is found by following; view and changes name none", "frame")
        return with_frame(view_from_pairs((*parameters.items(), ("frame", _ANY_FRAME))), "")
    except ViewError as error:
        raise BadRequest(error.text, error.parameter) from error


def with_frame(view: View, frame: str) -> View:
    """Show another frame in the same way."""
    return msgspec.structs.replace(view, frame=frame)


def query_of(view: View) -> str:
    """Write a view as a query string, as `/img` reads it; without a frame, if it has none yet."""
    pairs = [(name, text) for name, text in view_pairs(view) if text or name != "frame"]
    return "&".join(f"{name}={quote(text.encode('utf-8', 'surrogateescape'), safe='/,:')}" for name, text in pairs)


def ref(name: str) -> str:
    """Write a frame's or directory's name as addresses have it."""
    return ref_of(name.encode("utf-8", "surrogateescape"))


def check_part(part: Part) -> None:
    """Look whether this can be a part of a picture.

    Raises  BadRequest.
    """
    if not 0 <= part.level <= LEVEL_MAX:
        raise BadRequest(f"must be from 0 to {LEVEL_MAX}", "level")
    if part.fit is not None:
        if part.box is not None or part.level:
            raise BadRequest("finds the level and the box; they do not go with it", "fit")
        if not all(0 < each <= COORDINATE_MAX for each in part.fit):
            raise BadRequest("must be a width and a height in pixels of the screen, above 0", "fit")
    elif part.glance:
        raise BadRequest("is of all of a picture: it goes with fit", "glance")
    elif part.box is None:
        raise BadRequest("must be given, or fit", "box")
    elif not all(abs(each) <= COORDINATE_MAX for each in part.box) or min(part.box[2:]) <= 0:
        raise BadRequest("must be x, y, width, height in pixels of the level, width and height above 0", "box")
    if not DPR_RANGE[0] <= part.dpr <= DPR_RANGE[1]:
        raise BadRequest(f"must be from {DPR_RANGE[0]:g} to {DPR_RANGE[1]:g}", "dpr")


def check_tiles(part: Part, tiles_max: int) -> None:
    """Bound the tiles that a part touches, if the picture is as large.

    Raises  BadRequest.
    """
    name, box = "box", part.box
    if part.fit is not None:
        name, box = "fit", (0.0, 0.0, part.fit[0] * FIT_OVER, part.fit[1] * FIT_OVER)
    assert box is not None
    x, y, width, height = box
    if (tiles := _tiles_across(x, width) * _tiles_across(y, height)) > tiles_max:
        raise BadRequest(f"has {tiles} tiles; the limit is {tiles_max} (setting viewport_tiles_max)", name)


def viewport_of(view: View, part: Part, *, coarse: bool, glance: bool = False) -> ViewportView:
    """Say which tiles a part is, as the engine has it."""
    if part.fit is not None:
        return ViewportView(view, fit=part.fit, coarse=coarse, glance=glance)
    assert part.box is not None
    return ViewportView(view, part.level, part.box, coarse)


def _tiles_across(start: float, length: float) -> int:
    return math.ceil((start + length) / TILE_PX) - math.floor(start / TILE_PX)


def parameters_of(asked: ViewText) -> Parameters:
    """Read the parameters of a view, as an object or as a query string.

    Raises  BadRequest.
    """
    if isinstance(asked, str):
        try:
            pairs = read_pairs(asked.encode("ascii"))
        except UnicodeEncodeError:
            raise BadRequest("a query string is ASCII, percent-encoded", "view") from None
    else:
        pairs = [(name, _text_of(value)) for name, value in asked.items()]
    if len(pairs) > VIEW_PARTS_MAX:
        raise BadRequest(f"has {len(pairs)} parameters, of which there are at most {VIEW_PARTS_MAX}", "view")
    parameters: Parameters = {}
    for name, text in pairs:
        if name in parameters:
            raise BadRequest("repeated", name[:64])
        parameters[name] = text
    return parameters


def _text_of(value: str | int | float) -> str:
    return value if isinstance(value, str) else f"{value!r}"


def _directory_of(asked: str) -> str:
    try:
        encoded = asked.encode("ascii")
    except UnicodeEncodeError:
        encoded = b"%"
    if not is_encoded(encoded):
        raise BadRequest("is not percent-encoded as it must be", "follow")
    try:
        name = frame_name("follow", decode_text(encoded))
        if not name.startswith("/"):
            return name
    except ViewError:
        pass
    raise BadRequest("must be <root name>/<relative path> of a directory", "follow")

"""What OpenAPI says of the endpoints that are plain ASGI, and of parameters that are read strictly."""

from collections.abc import Collection, Mapping
from typing import Any, Final

from cgi_worker.wire.maps import COLOUR_MAPS
from cgi_worker.wire.question import (
    BINS_MAX,
    BOX_PX_MAX,
    EXPORT_MEDIA_TYPES,
    PROFILE_WIDTH_PX_MAX,
    QUESTIONS,
    STARS_MAX,
)
from cgi_worker.wire.recipe import MEDIA_TYPES
from cgi_worker.wire.tiles import NOT_OF_TILES
from cgi_worker.wire.view import THUMBNAIL_SIDE_PX_MAX
from imgd.web import describe_values as values

Described = dict[str, Any]
Parameters = Mapping[str, tuple[str | Described, str]]
"""By name: the kind of its value, or a schema of it; and what it is for."""

_PICTURE_WORDS: Final[Parameters] = {
    "frame": ("string", "`<root name>/<relative path>`; needed, unless `u` is given."),
    "u": ("string", "A UID from `/live`, in place of all other parameters."),
    "hdu": ("string", "Number of the HDU, from 0, or `mosaic`. Not given: the mosaic, else the first with an image."),
    "plane": ("integer", "Plane of a cube, from 0; axes beyond the second are counted on in C order."),
    "rgb": ("string", "`hdu:plane,hdu:plane,hdu:plane`: three planes of one size as red, green and blue."),
    "region": ("string", "`x,y,w,h` in source pixels, counted from 0 at the first pixel stored."),
    "size": (
        "string",
        "`w,` or `,h` or `w,h`: the box to fit, never enlarged; `w,h!`: just so large; `max`; `auto` (1200,1200).",
    ),
    "pool": ("string", "`mean`, or `max`: each pixel shows the highest of those that it stands for."),
    "levels": ("string", "`auto`, `zscale`, or `lo,hi`: quantiles 0..1 (six for R, G, B). Not together with `cut`."),
    "cut": ("string", "`lo,hi`: black and white in data units (six for R, G, B). Not together with `levels`."),
    "levels_from": ("string", "Where levels that are not given come from: the `region`, or all of the `plane`."),
    "mid": ("string", "Midtone, 0.0001..0.9999 (three for R, G, B), or `auto`."),
    "stretch": ("string", "`linear`, `sqrt`, `log`, `asinh`, `power` or `mtf`."),
    "power": ("number", "Exponent of the stretch `power`, 0.05..20."),
    "link": ("string", "`1`: one black and white for all colours."),
    "neutral": ("string", "`1`: the background becomes grey; the colours are then linked."),
    "invert": ("string", "`1`: black on white."),
    "map": ("string", "Colour map: " + ", ".join(f"`{name}`" for name in COLOUR_MAPS) + "."),
    "bad": ("string", "Colour of pixels without a measurement, `rrggbb` or a name."),
    "under": ("string", "Colour of what is below black, `rrggbb`, a name, or `none`."),
    "over": ("string", "Colour of what is above white, `rrggbb`, a name, or `none`."),
    "color": ("string", "`auto`, `mono`, `bayer` or `rgb`."),
    "rows": ("string", "`up` or `down`: where the first row goes if the frame does not say it; `auto`: the setting."),
    "flip": ("string", "`none`, `h`, `v` or `hv`."),
    "turn": ("integer", "0, 90, 180 or 270 degrees clockwise, after the flip."),
    "exact": ("string", "`0`: of a huge plane, a coarse picture from some of its rows will do."),
    "format": ("string", "`jpeg`, `png`, `webp` or `avif`."),
    "quality": ("integer", "1..100, for JPEG, WebP and AVIF."),
    "subsampling": (
        "string",
        "`auto`, `444`, `422` or `420`: colour of JPEG and AVIF. `400`: without colour; `bitonal`: black and white.",
    ),
}
PICTURE_PARAMETERS: Final[Parameters] = {
    name: (values.PICTURE_VALUES.get(name, kind), words) for name, (kind, words) in _PICTURE_WORDS.items()
}
TILE_PARAMETERS: Final[Parameters] = {
    **{name: words for name, words in PICTURE_PARAMETERS.items() if name not in ("u", *NOT_OF_TILES)},
    "level": (values.LEVEL, "Level of the pyramid: one pixel stands for 2^level x 2^level of the source."),
    "x": (values.whole(0), "Column of the tile, from 0 at the left of the picture as it is seen."),
    "y": (values.whole(0), "Row of the tile, from 0 at the top."),
}
THUMBNAIL_PARAMETERS: Final[Parameters] = {
    **{name: PICTURE_PARAMETERS[name] for name in ("frame", "hdu", "plane")},
    "side": (values.whole(16, THUMBNAIL_SIDE_PX_MAX), "The box to fit, 16..1024 pixels."),
}
_FITS_PIXELS: Final = "Coordinates are FITS pixels: the centre of the first pixel stored is 1, 1."
_REGION: Final = (
    values.REGION,
    "`x,y,w,h` in source pixels, counted from 0 at the first pixel stored, as for pictures.",
)
_COLOR: Final = (values.COLOUR_KIND, "`mono`, or as for pictures: one answer for each channel.")
_QUESTIONS: Final[dict[str, tuple[str, Parameters]]] = {
    "pixel": (
        f"The value of a pixel, or of a small box around it. {_FITS_PIXELS}",
        {
            "x": (values.whole(1), "Column, from 1."),
            "y": (values.whole(1), "Row, from 1."),
            "box": ({"type": "integer", "enum": [*range(1, BOX_PX_MAX + 1, 2)]}, "Side of the box, odd, at most 63."),
        },
    ),
    "profile": (
        f"Values along a line. {_FITS_PIXELS}",
        {
            "line": (values.NUMBERS[4], "`x1,y1,x2,y2`"),
            "width": (values.whole(1, PROFILE_WIDTH_PX_MAX), "Pixels across that are averaged."),
        },
    ),
    "region": (
        f"Statistics of the pixels whose centres lie in a shape. {_FITS_PIXELS}",
        {
            "shape": (values.words("rect", "circle", "annulus"), "`rect`, `circle` or `annulus`."),
            "numbers": (
                values.SHAPE_NUMBERS,
                "`x,y,width,height`, `x,y,radius`, or `x,y,inner,outer`; x, y is the centre.",
            ),
        },
    ),
    "stats": ("Statistics of a plane, or of a rectangle of it.", {"region": _REGION, "color": _COLOR}),
    "histogram": (
        "The histogram of a plane, or of a rectangle of it.",
        {
            "region": _REGION,
            "color": _COLOR,
            "bins": (values.whole(1, BINS_MAX), f"1..{BINS_MAX}."),
            "low": (values.number(0, 1), "It begins at this quantile, 0..1."),
            "high": (values.number(0, 1), "It ends at this quantile, 0..1."),
        },
    ),
    "stars": (
        f"The brightest stars, with flux, FWHM and HFR. {_FITS_PIXELS}",
        {
            "region": _REGION,
            "threshold": (values.number(1, 1000), "Sigmas above the background, 1..1000."),
            "count": (values.whole(1, STARS_MAX), f"How many are listed, 1..{STARS_MAX}."),
        },
    ),
    "wcs": (
        f"Sky positions by the header: of a pixel, of a position, or a grid. {_FITS_PIXELS}",
        {
            "at": (values.NUMBERS[2], "`x,y`: which position is there?"),
            "sky": (values.NUMBERS[2], "`ra,dec` in degrees: which pixel is there?"),
            "step": (
                {"type": "number", "minimum": 1},
                "Pixels between the grid's nodes; not given: as wide as 0.1 px allows.",
            ),
        },
    ),
    "export": (
        "Pixels to take away: a cutout as FITS with its header, as 16-bit PNG or TIFF, or as npy.",
        {"region": _REGION, "format": (values.words(*EXPORT_MEDIA_TYPES), "`fits`, `png`, `tiff` or `npy`.")},
    ),
}
QUESTION_PARAMETERS: Final[dict[str, Parameters]] = {
    name: {**{common: PICTURE_PARAMETERS[common] for common in ("frame", "hdu", "plane")}, **own}
    for name, (_, own) in _QUESTIONS.items()
}
LISTING_PARAMETERS: Final[Parameters] = {
    "dir": ("string", "`<root name>/<relative path>`; empty: the roots."),
    "order": (values.words("name", "newest"), "`name` (the default) or `newest`."),
    "limit": ({"type": "integer", "minimum": 1}, "Names in this page, at most the setting `listing_max`."),
    "after": ("string", "The `after` of the page before."),
}
EVENTS_PARAMETERS: Final[Parameters] = {
    "since": (values.CURSOR, "A cursor, `epoch:id`: all after it. Not given: from now on."),
    "filters": ("string", "JSON: a list of `[field, operator, value]`, all of which must match."),
    "wait": (values.whole(0, 60), "Seconds to wait for the first event, at most 60; not for a stream."),
    "limit": (values.whole(1, 1000), "Events in this answer, 1..1000; not for a stream."),
}
PROBLEM: Final[Described] = {
    "type": "object",
    "description": "RFC 9457",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "parameter": {"type": "string", "description": "The request's parameter at fault, or empty."},
        "request": {"type": "string", "description": "Id of the request, under which the log has it."},
    },
    "required": ["type", "title", "status", "detail", "parameter", "request"],
}
_ERRORS: Final = {
    "400": "The request breaks the grammar; `parameter` names where.",
    "404": "No such frame, or no such UID.",
    "413": "It could never fit into the memory there is.",
    "422": "Something is wrong with the file.",
    "503": "Busy; Retry-After tells when to come again.",
    "504": "It took too long.",
}


def query_parameters(parameters: Parameters, needed: Collection[str] = ()) -> list[Described]:
    """Describe query parameters; `needed` are those without which nothing is answered."""
    return [
        {"name": name, "in": "query", "description": words, "schema": schema_of(kind), "required": name in needed}
        for name, (kind, words) in parameters.items()
    ]


def schema_of(kind: str | Described) -> Described:
    """Describe a value."""
    return {"type": kind} if isinstance(kind, str) else kind


def problem_responses(*statuses: str) -> Described:
    """Describe answers that are problems."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": _ERRORS[status], "content": content} for status in statuses}


def plain_paths() -> Described:
    """Describe the endpoints that FastAPI does not know."""
    return {
        **{f"/{name}": _question_path(name) for name in _QUESTIONS},
        "/tile": _picture_path(
            "One tile of a pyramid, 256 pixels a side", TILE_PARAMETERS, ("frame", "level", "x", "y")
        ),
        "/thumbnail": _picture_path("A small picture", THUMBNAIL_PARAMETERS, ("frame",)),
        "/img": _picture_path("A picture of a frame", PICTURE_PARAMETERS),
        "/frame/{frame}": {
            "get": {
                "summary": "Facts and header cards of a frame",
                "tags": ["frames"],
                "parameters": [
                    {
                        "name": "frame",
                        "in": "path",
                        "required": True,
                        "description": "`<root name>/<relative path>`, slashes as they are.",
                        "schema": {"type": "string"},
                    }
                ],
                "responses": {
                    "200": {
                        "description": "HDUs with their shapes, and every card with value, comment and unit.",
                        "content": {"application/json": {"schema": {"type": "object"}}},
                    },
                    **problem_responses(*_ERRORS),
                },
            }
        },
        "/events": _events_path(),
        "/runs": _runs_path(),
        "/live": {
            "get": {
                "summary": "Websocket of a session",
                "description": LIVE_WORDS,
                "tags": ["pictures"],
                "responses": {"101": {"description": "Switching to the websocket."}},
            }
        },
    }


def _runs_path() -> Described:
    view = {name: words for name, words in PICTURE_PARAMETERS.items() if name != "u"}
    results = ("string", "Some of `facts`, `levels`, `histogram`, `picture`, with commas between.")
    asked = {
        "type": "object",
        "required": ["view"],
        "properties": {
            "view": {
                "description": "Parameters of `/img` as an object, or as a query string.",
                "anyOf": [_object_of(view, ("frame",)), {"type": "string", "pattern": "^[!-~]+$"}],
            },
            "results": {
                "type": "array",
                "items": {"enum": ["facts", "levels", "histogram", "picture"]},
                "uniqueItems": True,
            },
            "viewport": values.PART,
        },
        "additionalProperties": False,
    }
    found = {
        "type": "object",
        "properties": {
            "run": {"type": "string", "description": "The same for the same view of the same frame."},
            "steps": {"type": "array", "items": {"type": "object"}, "description": "Each step, cached or not, its ms."},
            "result": {"type": "object", "description": "The document that a session is told by `completed`."},
        },
    }
    responses = {
        "200": {"description": "What it came to.", "content": {"application/json": {"schema": found}}},
        **problem_responses(*_ERRORS),
    }
    told = {"tags": ["pictures"], "responses": responses, "summary": "Run a view's plan, as a runner of `/live` does"}
    return {
        "get": {**told, "parameters": query_parameters({**view, "results": results}, ("frame",))},
        "post": {**told, "requestBody": {"required": True, "content": {"application/json": {"schema": asked}}}},
    }


def _object_of(parameters: Parameters, needed: Collection[str]) -> Described:
    """Describe parameters that are given as an object."""
    properties = {name: {**schema_of(kind), "description": words} for name, (kind, words) in parameters.items()}
    return {"type": "object", "properties": properties, "required": [*needed], "additionalProperties": False}


def _events_path() -> Described:
    page = {
        "type": "object",
        "properties": {
            "cursor": {"type": "string", "description": "The next `since`."},
            "events": {"type": "array", "items": {"type": "object"}, "description": "Ascending by `id`."},
            "live": {"type": "boolean", "description": "There is no more now."},
            "missed": {"type": "object", "description": "`from`, `to`: ids that are no longer kept."},
            "reset": {"type": "boolean", "description": "`since` is of another log; go on from `cursor`."},
        },
    }
    return {
        "get": {
            "summary": "What has happened: frames that came, changed or went",
            "description": "JSON, or to who accepts `text/event-stream` Server-Sent Events (resumed by Last-Event-ID).",
            "tags": ["events"],
            "parameters": query_parameters(EVENTS_PARAMETERS),
            "responses": {
                "200": {
                    "description": "Events since then.",
                    "content": {
                        "application/json": {"schema": page},
                        "text/event-stream": {"schema": {"type": "string"}},
                    },
                },
                **problem_responses("400", "503"),
            },
        }
    }


def _picture_path(summary: str, parameters: Parameters, needed: Collection[str] = ()) -> Described:
    picture = {"schema": {"type": "string", "format": "binary"}}
    return {
        "get": {
            "summary": summary,
            "description": "Unknown and repeated parameters are refused. `X-Imgd-Levels` tells the levels used.",
            "tags": ["pictures"],
            "parameters": query_parameters(parameters, needed),
            "responses": {
                "200": {"description": "The picture.", "content": dict.fromkeys(MEDIA_TYPES.values(), picture)},
                "304": {"description": "The picture that If-None-Match names is still right."},
                **problem_responses(*_ERRORS),
            },
        }
    }


def _question_path(name: str) -> Described:
    words, _ = _QUESTIONS[name]
    kinds = EXPORT_MEDIA_TYPES.values() if name == "export" else ["application/json"]
    kind = {"schema": {"type": "string", "format": "binary"} if name == "export" else {"type": "object"}}
    return {
        "get": {
            "summary": words.split(". ")[0],
            "description": f"{words} Unknown and repeated parameters are refused.",
            "tags": ["measurements"],
            "parameters": query_parameters(QUESTION_PARAMETERS[name], ("frame", *QUESTIONS[name][2])),
            "responses": {
                "200": {"description": "The answer.", "content": dict.fromkeys(kinds, kind)},
                "304": {"description": "The answer that If-None-Match names is still right."},
                **problem_responses(*_ERRORS),
            },
        }
    }


LIVE_WORDS: Final = (
    'JSON messages, each with an `id` that its reply repeats. `{"id":1,"op":"hello"}` tells the session. '
    '`{"id":2,"op":"src","view":{"frame":"..."}}` (or the view as a query string; optionally `runner`, the name of one '
    'open view) gives `{"id":2,"op":"src","uid":"..."}`, good for `/img?u=` until the socket closes. '
    '`{"id":3,"op":"ping"}` answers the same, and where the client is in the log of events. '
    '`{"id":4,"op":"subscribe","since":"...","filters":[...]}` tells the events of `/events`, as they come: the reply '
    "`subscribed` means that none is missed from its `head` on. "
    'What is wrong is answered by `{"op":"error","status","title","detail",'
    '"parameter"}`, and the session goes on.'
)

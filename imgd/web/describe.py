"""What OpenAPI says of the endpoints that are plain ASGI, and of parameters that are read strictly."""

from typing import Any, Final

Described = dict[str, Any]

PICTURE_PARAMETERS: Final[dict[str, tuple[str, str]]] = {
    "frame": ("string", "`<root name>/<relative path>`; needed, unless `u` is given."),
    "u": ("string", "A UID from `/live`, in place of all other parameters."),
    "hdu": ("integer", "Number of the HDU, from 0. Not given: the first one that holds an image."),
    "plane": ("integer", "Plane of a cube, from 0; axes beyond the second are counted on in C order."),
    "region": ("string", "`x,y,w,h` in source pixels, counted from 0 at the first pixel stored."),
    "size": ("string", "`w,` or `,h` or `w,h`: the box to fit, never enlarged; `max`; `auto` (1200,1200)."),
    "levels": ("string", "`auto`, or `lo,hi`: black and white as quantiles, 0..1. Not together with `cut`."),
    "cut": ("string", "`lo,hi`: black and white in data units. Not together with `levels`."),
    "mid": ("string", "Midtone, 0.0001..0.9999, or `auto`."),
    "stretch": ("string", "`linear`, `sqrt`, `log`, `asinh` or `mtf`."),
    "invert": ("string", "`1`: black on white."),
    "color": ("string", "`auto`, `mono` or `bayer`."),
    "flip": ("string", "`none`, `h`, `v` or `hv`."),
    "format": ("string", "`jpeg`, `png` or `webp`."),
    "quality": ("integer", "1..100, for JPEG and WebP."),
}
LISTING_PARAMETERS: Final[dict[str, tuple[str, str]]] = {
    "dir": ("string", "`<root name>/<relative path>`; empty: the roots."),
    "order": ("string", "`name` (the default) or `newest`."),
    "limit": ("integer", "Names in this page, at most the setting `listing_max`."),
    "after": ("string", "The `after` of the page before."),
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
    },
}
_ERRORS: Final = {
    "400": "The request breaks the grammar; `parameter` names where.",
    "404": "No such frame, or no such UID.",
    "413": "It could never fit into the memory there is.",
    "422": "Something is wrong with the file.",
    "503": "Busy; Retry-After tells when to come again.",
    "504": "It took too long.",
}


def query_parameters(parameters: dict[str, tuple[str, str]]) -> list[Described]:
    """Describe query parameters."""
    return [
        {"name": name, "in": "query", "description": words, "schema": {"type": kind}}
        for name, (kind, words) in parameters.items()
    ]


def problem_responses(*statuses: str) -> Described:
    """Describe answers that are problems."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": _ERRORS[status], "content": content} for status in statuses}


def plain_paths() -> Described:
    """Describe the endpoints that FastAPI does not know."""
    picture = {"schema": {"type": "string", "format": "binary"}}
    return {
        "/img": {
            "get": {
                "summary": "A picture of a frame",
                "description": "Unknown and repeated parameters are refused. `X-Imgd-Levels` tells the levels used.",
                "tags": ["pictures"],
                "parameters": query_parameters(PICTURE_PARAMETERS),
                "responses": {
                    "200": {
                        "description": "The picture.",
                        "content": {"image/jpeg": picture, "image/png": picture, "image/webp": picture},
                    },
                    "304": {"description": "The picture that If-None-Match names is still right."},
                    **problem_responses(*_ERRORS),
                },
            }
        },
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
        "/live": {
            "get": {
                "summary": "Websocket of a session",
                "description": LIVE_WORDS,
                "tags": ["pictures"],
                "responses": {"101": {"description": "Switching to the websocket."}},
            }
        },
    }


LIVE_WORDS: Final = (
    'JSON messages, each with an `id` that its reply repeats. `{"id":1,"op":"hello"}` tells the session. '
    '`{"id":2,"op":"src","view":{"frame":"..."}}` (or the view as a query string; optionally `runner`, the name of one '
    'open view) gives `{"id":2,"op":"src","uid":"..."}`, good for `/img?u=` until the socket closes. '
    '`{"id":3,"op":"ping"}` answers the same. What is wrong is answered by `{"op":"error","status","title","detail",'
    '"parameter"}`, and the session goes on.'
)

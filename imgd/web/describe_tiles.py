"""What OpenAPI says of the addresses of tiles: our own, Deep Zoom's, IIIF's."""

from typing import Final

from cgi_worker.wire.recipe import MEDIA_TYPES
from cgi_worker.wire.tiles import NOT_OF_TILES
from imgd.web import describe_values as values
from imgd.web.describe import (
    PICTURE_PARAMETERS,
    Described,
    Parameters,
    problem_responses,
    query_parameters,
    schema_of,
)
from imgd.web.iiif import CONTEXT
from imgd.web.iiif_grammar import QUALITIES
from imgd.web.pyramids import FORMATS, VERSION

_FRAME: Final[tuple[str | Described, str]] = (
    "string",
    "`<root name>/<relative path>`, percent-encoded; slashes as they are.",
)
_IDENTIFIER: Final[tuple[str | Described, str]] = (
    "string",
    "A frame, percent-encoded with its slashes, and perhaps parameters of a view: `night%2Fm31.fits;stretch=log`.",
)
LOOK_PARAMETERS: Final[Parameters] = {
    **{name: words for name, words in PICTURE_PARAMETERS.items() if name not in ("u", "frame", *NOT_OF_TILES)},
    VERSION: (values.VERSION, "Version of the frame, as a document told it: the answer is right for ever, or 404."),
}
_EXTENSION: Final = (values.words(*FORMATS), ", ".join(f"`{extension}`" for extension in FORMATS) + ".")
_PLACE: Final[Parameters] = {
    "x": (values.whole(0), "Column, from 0 at the left."),
    "y": (values.whole(0), "Row, from 0 at the top."),
    "format": _EXTENSION,
}
_PROBLEMS: Final = ("400", "404", "413", "422", "503", "504")


def tile_paths() -> Described:
    """Describe the endpoints of tiles."""
    picture = {"schema": {"type": "string", "format": "binary"}}
    pictures = {MEDIA_TYPES[form]: picture for form in FORMATS.values()}
    json = {"application/json": {"schema": {"type": "object"}}}
    linked = {**json, f'application/ld+json;profile="{CONTEXT}"': {"schema": {"type": "object"}}}
    xml = {"application/xml": {"schema": {"type": "string"}}}
    ours = (values.LEVEL, "0: all of the picture in one tile; each further one shows twice as much detail.")
    deep = (values.LEVEL, "0: all of the picture in one pixel; each further one shows twice as much detail.")
    iiif: Parameters = {
        "identifier": _IDENTIFIER,
        "region": (values.IIIF_REGION, "`full`, `square`, `x,y,w,h` or `pct:x,y,w,h`, of the picture as it is seen."),
        "size": (values.IIIF_SIZE, "`max`, `w,`, `,h`, `w,h`, `!w,h` or `pct:n`; `^` before it: may be enlarged."),
        "rotation": (values.IIIF_ROTATION, "0, 90, 180 or 270 degrees clockwise; `!` before it: mirrored first."),
        "quality": (values.words(*QUALITIES), ", ".join(f"`{quality}`" for quality in QUALITIES) + "."),
        "format": _EXTENSION,
    }
    base: Parameters = {"identifier": _IDENTIFIER}
    return {
        "/tiles/{frame}/tiles.json": _path("Size, levels, version and tiles' addresses", {"frame": _FRAME}, json),
        "/tiles/{frame}/{z}/{x}/{y}.{format}": _path(
            "A tile, 256 pixels a side", {"frame": _FRAME, "z": ours, **_PLACE}, pictures
        ),
        "/dzi/{frame}.dzi": _path("A Deep Zoom image", {"frame": _FRAME}, xml),
        "/dzi/{frame}_files/{level}/{x}_{y}.{format}": _path(
            "A tile of a Deep Zoom image", {"frame": _FRAME, "level": deep, **_PLACE}, pictures
        ),
        "/iiif/3/{identifier}": _path("Leads to info.json (303)", base, {}, look=False),
        "/iiif/3/{identifier}/info.json": _path("A picture's service, as IIIF has it", base, linked, look=False),
        "/iiif/3/{identifier}/{region}/{size}/{rotation}/{quality}.{format}": _path(
            "A picture, or a part of it (IIIF Image API 3.0, level 2)", iiif, pictures, look=False
        ),
    }


def _path(summary: str, parts: Parameters, content: Described, *, look: bool = True) -> Described:
    """Describe one address; `look`: the query may hold parameters of a view."""
    place = [
        {"name": name, "in": "path", "required": True, "description": words, "schema": schema_of(kind)}
        for name, (kind, words) in parts.items()
    ]
    found = (
        {
            "200": {"description": "It.", "content": content},
            "304": {"description": "What If-None-Match names is right."},
        }
        if content
        else {"303": {"description": "It is elsewhere."}}
    )
    queries = query_parameters(LOOK_PARAMETERS) if look else []
    return {
        "get": {
            "summary": summary,
            "tags": ["tiles"],
            "parameters": [*place, *(each for each in queries if each["name"] not in parts)],
            "responses": {**found, **problem_responses(*_PROBLEMS)},
        }
    }

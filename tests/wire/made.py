"""Strategies that make well-formed messages and views."""

from typing import Any

import msgspec
from hypothesis import strategies as st

from cgi_worker.wire import packets as p
from cgi_worker.wire.facts import MOSAIC, Hdu
from cgi_worker.wire.grammar import COORDINATE_MAX
from cgi_worker.wire.maps import COLOUR_MAPS
from cgi_worker.wire.question import Pixel, Shape, Sky
from cgi_worker.wire.steps import (
    Buffer,
    Deliver,
    Encode,
    Halve,
    Measure,
    Parse,
    Read,
    Reduce,
    Sample,
    Stage,
    Tile,
    TilePart,
    Tiles,
    Tone,
)
from cgi_worker.wire.view import (
    SIDE_PX_MAX,
    AutoLevels,
    Cut,
    PerChannel,
    Place,
    Quantiles,
    Region,
    Size,
    View,
    Zscale,
)

whole = st.integers(-(2**63), 2**63 - 1)
number = st.floats(allow_nan=False, allow_infinity=False)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
said = text.map(lambda words: msgspec.json.encode({"said": words}).decode())
kinds = st.sampled_from(["image", "compressed", "table", "empty", "other"])
side = st.integers(1, SIDE_PX_MAX)

hdus = st.builds(
    Hdu,
    index=st.integers(0, 2**63 - 1),
    name=text,
    kind=kinds,
    shape=st.lists(st.integers(1, 1 << 20), min_size=2, max_size=4).map(tuple),
    stored=st.sampled_from(["u1", "i2", "i4", "i8", "f4", "f8"]),
    bscale=number,
    bzero=number,
    blank=st.none() | whole,
    cfa=st.none() | st.sampled_from(["RGGB", "GBRG"]),
    top_down=st.none() | st.booleans(),
    reason=st.none() | text,
)
regions = st.builds(
    Region,
    st.integers(0, COORDINATE_MAX),
    st.integers(0, COORDINATE_MAX),
    st.integers(1, COORDINATE_MAX),
    st.integers(1, COORDINATE_MAX),
)
quantiles = st.tuples(st.floats(0, 1), st.floats(0, 1)).filter(lambda q: q[0] < q[1]).map(lambda q: Quantiles(*q))
cuts = st.tuples(number, number).filter(lambda c: c[0] < c[1]).map(lambda c: Cut(*c))
levels = st.one_of(
    st.builds(AutoLevels),
    st.builds(Zscale),
    quantiles,
    cuts,
    st.builds(PerChannel, quantiles, quantiles, quantiles),
    st.builds(PerChannel, cuts, cuts, cuts),
)
mids = st.floats(0.0001, 0.9999)
colours = st.none() | st.integers(0, 0xFFFFFF)
places = st.builds(Place, st.integers(0, 99_999), st.integers(0, COORDINATE_MAX))
questions = st.one_of(
    st.builds(Pixel, frame=text, x=whole, y=whole),
    st.builds(Shape, frame=text, shape=st.sampled_from(["rect", "circle"]), numbers=st.lists(number).map(tuple)),
    st.builds(Sky, frame=text, at=st.none() | st.tuples(number, number)),
)
reduces = st.builds(Reduce, hdus, whole, regions, whole, st.none() | text)
tones = st.builds(Tone, side, side, levels, st.none() | number)
encodes = st.builds(Encode, st.sampled_from(["jpeg", "png", "webp", "avif"]), st.integers(1, 100))
tiles = st.builds(Tile, reduces.map(lambda one: (one,)), regions, st.sampled_from(["file", "level"]), tones, encodes)
tile_parts = st.builds(TilePart, whole, st.lists(st.tuples(whole, whole), max_size=3).map(tuple), tiles)
steps = st.one_of(
    st.just(Parse()),
    st.builds(Read, hdus, whole),
    reduces,
    st.builds(Sample, hdus, whole, regions),
    st.just(Halve()),
    tones,
    encodes,
    tiles,
    st.builds(Tiles, st.lists(tile_parts, max_size=2).map(tuple), st.lists(whole, max_size=3).map(tuple)),
    st.builds(Measure, questions, hdus, st.lists(hdus, max_size=2).map(tuple)),
    st.builds(Deliver, text),
)
indices = st.lists(st.integers(-1, 9), max_size=3).map(tuple)
stages = st.builds(Stage, steps, indices, indices)
buffers = st.builds(
    Buffer, text, whole, st.sampled_from(["", "u1", "f4", "u8"]), st.lists(st.integers(0, 9), max_size=3).map(tuple)
)
lents = st.builds(p.Lent, buffers, whole, st.booleans(), whole, text)
identities = st.builds(p.Identity, st.none() | whole, st.none() | whole, st.lists(whole, max_size=4).map(tuple))
todos = st.builds(
    p.Todo,
    whole,
    st.lists(stages, max_size=4).map(tuple),
    st.lists(lents, max_size=4).map(tuple),
    text,
    st.booleans(),
    st.booleans(),
    whole,
    st.lists(whole, max_size=3).map(tuple),
)
BY_TYPE: dict[type[Any], st.SearchStrategy[Any]] = {
    p.Hello: st.builds(p.Hello, whole, whole),
    p.Warming: st.builds(p.Warming, whole, whole, text),
    p.Warmed: st.just(p.Warmed()),
    p.Fork: st.builds(p.Fork, whole, identities),
    p.Forked: st.builds(p.Forked, whole, whole),
    p.Reaped: st.builds(p.Reaped, whole, whole),
    p.Todo: todos,
    p.Drop: st.builds(p.Drop, whole, st.lists(whole, max_size=3).map(tuple)),
    p.Bye: st.just(p.Bye()),
    p.Progress: st.builds(p.Progress, whole, whole, whole),
    p.Done: st.builds(p.Done, whole, whole, st.lists(whole, max_size=3).map(tuple), said, number),
    p.Failed: st.builds(p.Failed, whole, whole, st.sampled_from(["bad_frame", "changed", "forbidden"]), text),
    p.Detached: st.builds(p.Detached, whole, st.lists(whole, max_size=3).map(tuple)),
    p.Ask: st.builds(p.Ask, whole, text, st.booleans(), text, st.booleans()),
    p.Answer: st.builds(p.Answer, whole, text, text),
}
frames = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=30)
sizes = st.builds(Size, st.none() | side, st.none() | side) | st.builds(Size, side, side, st.just(True))
_looks: dict[str, st.SearchStrategy[Any]] = dict(
    region=st.none() | regions,
    size=sizes,
    levels=levels,
    pool=st.sampled_from(["mean", "max"]),
    mid=st.none() | mids | st.tuples(mids, mids, mids),
    stretch=st.sampled_from(["linear", "sqrt", "log", "asinh", "power", "mtf"]),
    power=st.floats(0.05, 20),
    link=st.booleans(),
    neutral=st.booleans(),
    invert=st.booleans(),
    map=st.sampled_from(["", *COLOUR_MAPS]),
    bad=colours,
    under=colours,
    over=colours,
    rows=st.sampled_from(["auto", "up", "down"]),
    flip=st.sampled_from(["none", "h", "v", "hv"]),
    turn=st.sampled_from([0, 90, 180, 270]),
    exact=st.booleans(),
    format=st.sampled_from(["jpeg", "png", "avif"]),
    quality=st.integers(1, 100),
    subsampling=st.sampled_from(["auto", "444", "422", "420", "400", "bitonal"]),
)
views = st.one_of(
    st.builds(
        View,
        frame=frames,
        hdu=st.none() | st.just(MOSAIC) | st.integers(0, 99_999),
        plane=st.integers(0, COORDINATE_MAX),
        color=st.sampled_from(["auto", "mono", "bayer", "rgb"]),
        **_looks,
    ),
    st.builds(View, frame=frames, rgb=st.tuples(places, places, places), **_looks),
)

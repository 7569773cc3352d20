"""The colour maps that can be asked for, by the name in a view and in the library that keeps them."""

from typing import Final

COLOUR_MAPS: Final[dict[str, str]] = {
    "viridis": "bids:viridis",
    "inferno": "bids:inferno",
    "magma": "bids:magma",
    "plasma": "bids:plasma",
    "cividis": "cividis:cividis",
    "turbo": "google:turbo",
    "cubehelix": "cubehelix:cubehelix",
    "hot": "matlab:hot",
    "cool": "matlab:cool",
    "bone": "matlab:bone",
    "copper": "matlab:copper",
    "jet": "matlab:jet",
    "hsv": "matlab:hsv",
    "heat": "matplotlib:gist_heat",
    "rainbow": "gnuplot:rainbow",
    "afmhot": "gnuplot:afmhot",
    "gnuplot2": "gnuplot:gnuplot2",
    "blues": "colorbrewer:Blues",
    "reds": "colorbrewer:Reds",
    "spectral": "colorbrewer:Spectral",
    "coolwarm": "matplotlib:coolwarm",
    "seismic": "matplotlib:seismic",
    "twilight": "matplotlib:twilight",
    "thermal": "cmocean:thermal",
    "ice": "cmocean:ice",
    "fire": "colorcet:fire",
}

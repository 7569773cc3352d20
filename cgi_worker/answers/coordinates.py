"""Coordinates: how every answer says where something is."""

from typing import Final

COORDINATES: Final = "FITS pixels, 1-based, at pixel centres"


def section(x: int, y: int, width: int, height: int) -> str:
    """Write a rectangle, counted from 0, as FITS headers do."""
    return f"[{x + 1}:{x + width},{y + 1}:{y + height}]"

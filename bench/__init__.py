"""Measurements against the bounds that the project sets itself: ratios within one run, never absolute claims."""

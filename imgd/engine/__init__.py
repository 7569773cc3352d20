"""Trio around the core: segments, workers, the supervise loop, and render, the one facade that the web calls."""

"""Faults: whatever happens to the real daemon, nothing is lost, nothing is leaked, and the next request is served."""

"""Decisions without I/O: what a plan needs, what memory and which worker it gets. No clock, no randomness."""

"""Tests: the folders mirror the floors; `tidy` is about the source text, `daemon` about the whole program."""

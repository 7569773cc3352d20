"""Rules about the source text itself: floors, sizes, purity, docstrings, names that have no place here."""

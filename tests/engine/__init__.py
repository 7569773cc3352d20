"""Floor 2 with real processes: an engine that runs, and stand-in steps in its workers."""

"""Events: the log, its stores, and everybody who follows it."""

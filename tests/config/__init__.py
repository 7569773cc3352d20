"""Settings, their sources, their errors, and the command line."""

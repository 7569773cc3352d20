"""The demonstration folder that `./scripts/run` makes."""

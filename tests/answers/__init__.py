"""Steps, and whole pictures made alone."""

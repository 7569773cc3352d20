"""Real web servers before the real daemon, with the files that users get: one list of tests for all of them."""

"""Seeing what happens below the roots: names, facts of files and inotify. It never opens an image file."""

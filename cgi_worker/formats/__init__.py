"""One module a file format, and `sniff`, which tells them apart by content, never by name."""

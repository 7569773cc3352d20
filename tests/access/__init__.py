"""Names to sources: what is found, what is refused, what a hung file system costs."""

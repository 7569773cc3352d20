"""Who may read which frames: roots today, tickets later. It resolves names to sources; it opens no image."""

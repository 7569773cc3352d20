"""Arrays in, arrays out: compiled loops without the GIL. They decide no policy and open nothing."""

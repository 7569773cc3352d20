"""What is said between daemon and workers, byte by byte, without a socket."""

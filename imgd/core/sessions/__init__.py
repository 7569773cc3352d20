"""Sessions: who is connected, which pictures each has open, and which run is next. No sockets, clocks or tokens."""

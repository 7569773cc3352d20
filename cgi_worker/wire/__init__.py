"""What daemon and worker say to each other: views, facts, recipes and packets.

Pure: bytes and values in, values and bytes out. The only part of cgi_worker that imgd imports, so that
the daemon and a worker that runs alone make the same picture from the same view.
"""

"""The ASGI application, directly and through HTTP on the loopback, above an engine held in memory."""

"""The ASGI application: HTTP and websockets. It decides no scheduling and holds no pixels."""

"""The whole program, through HTTP and websocket, measured by the kernel's own figures."""

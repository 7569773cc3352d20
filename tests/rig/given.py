"""The daemon, started as systemd does it with an imgd.socket of three places: GIVEN names a folder for two of them."""

import fcntl
import os
import socket
import sys


def main() -> None:
    """Listen, then become the daemon."""
    folder = os.environ["GIVEN"]
    tcp = socket.create_server(("127.0.0.1", 0))
    unix = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    unix.bind(f"{folder}/web.sock")
    cgi = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    cgi.bind(f"{folder}/cgi.sock")
    places = [tcp, unix, cgi]
    for sock in places:
        sock.listen(16)
    moved = [fcntl.fcntl(sock, fcntl.F_DUPFD, 100) for sock in places]  # Out of each other's way.
    for number, descriptor in enumerate(moved, start=3):
        os.dup2(descriptor, number, inheritable=True)
    os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "3", "LISTEN_FDNAMES": "http:http:cgi"}
    os.execv(sys.executable, [sys.executable, "-m", "imgd.cli", *sys.argv[1:]])


if __name__ == "__main__":
    main()

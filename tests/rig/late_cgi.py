"""A CGI that hangs up in the middle of its work and goes on writing: `python -m tests.rig.late_cgi`, or imported.

It asks at IMGD_SOCKET to be lent memory, takes its todo list, closes its socket, says so by making the file that
LATE_NOTE names, and then fills every buffer that it may write with nonsense until it is killed, or LIFE_S is over.
SIGTERM, which a web server sends when the browser leaves, does not move it.
"""

import mmap
import os
import signal
import socket
import time
from pathlib import Path

from cgi_worker.cgi_question import Question
from cgi_worker.link import Link
from cgi_worker.wire.packets import TO_CGI, Todo

NONSENSE = b"\xee"
LIFE_S = 60.0


def main() -> None:
    """Be late."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    end.connect(os.environ["IMGD_SOCKET"])
    end.send(Question(os.environ).packet(hand_over=False))
    received = Link(end).receive(TO_CGI)
    assert received is not None
    todo, descriptors = received
    assert isinstance(todo, Todo), todo
    lent = zip(todo.lent, descriptors[todo.has_source :], strict=True)
    maps = [mmap.mmap(fd, one.buffer.size_bytes) for one, fd in lent if one.writable]
    end.close()
    Path(os.environ["LATE_NOTE"]).write_text(str(os.getpid()))
    until_s = time.monotonic() + LIFE_S
    while time.monotonic() < until_s:
        for mapped in maps:
            mapped[: len(mapped)] = NONSENSE * len(mapped)


if __name__ == "__main__":
    main()

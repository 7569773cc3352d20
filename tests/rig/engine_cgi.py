"""A stand-in for a CGI that a web server started: `python -m tests.rig.engine_cgi SOCKET QUERY HOW [PATH]`.

It asks the daemon, does what it is told with stand-in steps, and prints the answer to standard output. HOW:

attach, hand_over   as a CGI does.               head       asks for the head alone.
garbage, version    asks nonsense.               silent     never asks.
leave               takes its todo list, closes its socket, and writes into every buffer until PATH exists.
dawdle              takes its todo list and does nothing, ends by nothing but SIGKILL.
twice               asks a second time instead of doing its todo list.
"""

import mmap
import os
import signal
import socket
import sys
import time

from cgi_worker.link import Link
from cgi_worker.wire.packets import TO_CGI, VERSION, Answer, Ask, Todo

STDOUT = 1


def main(path: str, query: str, how: str, until: str = "") -> int:
    """Ask once; return the answer's status modulo 256."""
    if_none_match, _, query = query.rpartition(" ")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as end:
        end.connect(path)
        link = Link(end)
        match how:
            case "garbage":
                end.send(b"what?")
            case "silent":
                pass
            case _:
                version = VERSION + (how == "version")
                hand_over = how == "hand_over"
                ask = Ask(version, query, hand_over, if_none_match, how == "head")
                link.send(ask, [STDOUT] if hand_over else [])
        while (received := link.receive(TO_CGI)) is not None:
            message, descriptors = received
            match message:
                case Answer():
                    os.write(STDOUT, message.head.encode() + message.body.encode())
                    return message.status % 256
                case Todo():
                    _work(end, message, descriptors, (how, until))
    return 1


def _work(end: socket.socket, todo: Todo, descriptors: list[int], how: tuple[str, str]) -> None:
    from cgi_worker.process import Channel, carry_out
    from tests.rig import engine_steps

    engine_steps.warm(lambda *_: None)
    engine_steps.note("todo")
    match how:
        case "leave", until:
            lent = zip(todo.lent, descriptors[todo.has_source :], strict=True)
            maps = [mmap.mmap(fd, one.buffer.size_bytes) for one, fd in lent if one.writable]
            end.close()
            engine_steps.note("left")
            while not os.path.exists(until):
                for mapped in maps:
                    mapped[: len(mapped)] = b"\xee" * len(mapped)
                time.sleep(0.001)
            os._exit(0)
        case "dawdle", _:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(3600)
        case "twice", _:
            Link(end).send(Ask(VERSION, "", False))
        case _:
            carry_out(todo, descriptors, engine_steps.do, Channel(Link(end).send))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

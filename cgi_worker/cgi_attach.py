"""A CGI that does its request's work itself, in the memory that the daemon lends it."""

import socket

from cgi_worker.cgi_answer import print_answer, wait
from cgi_worker.link import Link, close_all
from cgi_worker.wire.packets import TO_CGI, Answer, Bye, Identity, Todo


def follow(descriptor: int) -> int:
    """Do what the daemon says at this socket until it gives the answer; return the exit code.

    Raises  BrokenPipeError when it leaves without one.
    """
    with socket.socket(fileno=descriptor) as end:
        link = Link(end)
        while True:
            wait(descriptor)
            received = link.receive(TO_CGI)
            if received is None:
                raise BrokenPipeError("the daemon left without an answer")
            message, descriptors = received
            match message:
                case Answer():
                    close_all(descriptors)
                    return print_answer(message.status, message.head, message.body)
                case Todo():
                    _carry_out(link, message, descriptors)
                case Bye():
                    close_all(descriptors)
                    raise BrokenPipeError("the daemon ends")


def _carry_out(link: Link, todo: Todo, descriptors: list[int]) -> None:
    from cgi_worker import confine, process  # noqa: PLC0415 Numpy and numba are only for those who compute.
    from cgi_worker.run import do  # noqa: PLC0415

    confine.become(Identity(), confine.Limits(ruleset_fd=confine.make_ruleset(())))
    process.carry_out(todo, descriptors, do, process.Channel(link.send))

"""The CGI/1.1 program: ask the daemon, or work alone when there is none. Starts fast; computing is imported late."""

import os
import select
import signal
import socket
import sys
from collections.abc import Mapping
from typing import Final

from cgi_worker.cgi_answer import STDOUT, answer_problem, answer_with
from cgi_worker.link import Link, close_all
from cgi_worker.wire.packets import TO_CGI, VERSION, Answer, Ask, Bye, Identity, Todo, WireError, encode

CONNECT_LIMIT_S: Final = 5.0
EXIT_NO_ANSWER: Final = 5


class NoDaemon(Exception):
    """Nobody listens at IMGD_SOCKET, or it names nothing."""


def run(environ: Mapping[str, str]) -> int:
    """Answer one CGI request on standard output; 0 when an HTTP answer was given in full."""
    method = environ.get("REQUEST_METHOD", "GET")
    head_only = method == "HEAD"
    if method not in ("GET", "HEAD"):
        return answer_problem(405, f"{method} is not for pictures", allow="GET, HEAD")
    query = _ascii(environ.get("QUERY_STRING", ""))
    if_none_match = _ascii(environ.get("HTTP_IF_NONE_MATCH", ""))
    ask = Ask(VERSION, query, environ.get("IMGD_CGI") != "attach", if_none_match, head_only)
    try:
        encode(ask)
    except WireError:
        return answer_problem(414, "the query is too long", head_only=head_only)
    try:
        return _ask_daemon(environ.get("IMGD_SOCKET", ""), ask)
    except NoDaemon as reason:
        if environ.get("IMGD_ROOTS"):
            from cgi_worker import cgi_alone  # noqa: PLC0415 Numpy and numba are only for those who compute.

            return cgi_alone.answer(ask, environ["IMGD_ROOTS"])
        return answer_problem(503, str(reason), head_only=head_only)


def _ask_daemon(path: str, ask: Ask) -> int:
    """Let the daemon answer; what it says, or a worker of its says for it, goes to standard output.

    Raises  NoDaemon if there is none; nothing was printed then.
    """
    if not path:
        raise NoDaemon("no daemon is named (IMGD_SOCKET)")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC) as end:
        end.settimeout(CONNECT_LIMIT_S)
        try:
            end.connect(path)
        except OSError as error:
            if not isinstance(error, FileNotFoundError | ConnectionRefusedError):
                print(f"imgd-cgi: IMGD_SOCKET: {error}", file=sys.stderr)
            raise NoDaemon("the daemon cannot be reached") from None
        end.settimeout(None)
        before = _mark()
        link = Link(end)
        try:
            link.send(ask, [STDOUT] if ask.hand_over else [])
            return _follow(link)
        except (BrokenPipeError, ConnectionResetError):
            if _mark() != before:  # Half an answer cannot be taken back; the web server notices that it is half.
                return EXIT_NO_ANSWER
            return answer_problem(503, "the daemon went away", head_only=ask.head_only)


def _follow(link: Link) -> int:
    """Do what the daemon says until it gives the answer.

    Raises  BrokenPipeError when it leaves without one.
    """
    while True:
        _wait(link)
        received = link.receive(TO_CGI)
        if received is None:
            raise BrokenPipeError("the daemon left without an answer")
        message, descriptors = received
        match message:
            case Answer(status=status, head=head, body=body):
                close_all(descriptors)
                if head:
                    return answer_with(head, body.encode("utf-8"))
                return 0 if status == 200 else EXIT_NO_ANSWER  # Written by a worker: in full, or only half of it.
            case Todo():
                _carry_out(link, message, descriptors)
            case Bye():
                close_all(descriptors)
                raise BrokenPipeError("the daemon ends")


def _carry_out(link: Link, todo: Todo, descriptors: list[int]) -> None:
    from cgi_worker import confine, process  # noqa: PLC0415 Numpy and numba are only for those who compute.
    from cgi_worker.run import do  # noqa: PLC0415

    signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # A sink that is gone is then a step that failed.
    confine.become(Identity(), confine.Limits(ruleset_fd=confine.make_ruleset(())))
    process.carry_out(todo, descriptors, do, process.Channel(link.send))


def _wait(link: Link) -> None:
    """Wait for the daemon's next message; end this process if meanwhile nobody reads its output any more."""
    poll = select.poll()
    poll.register(link.fileno(), select.POLLIN)
    poll.register(STDOUT, 0)  # Only its being closed at the other end is of interest.
    while True:
        ready = dict(poll.poll())
        if link.fileno() in ready:
            return
        if ready.get(STDOUT, 0) & (select.POLLERR | select.POLLHUP):
            sys.exit(EXIT_NO_ANSWER)  # The daemon sees this process leave, and stops working for it.
        poll.unregister(STDOUT)  # It cannot be watched (POLLNVAL): wait for the daemon alone.


def _mark() -> tuple[int, int]:
    """Tell what changes when somebody, here or in a worker, writes to standard output: a file's or a pipe's times."""
    found = os.fstat(STDOUT)
    return found.st_size, found.st_mtime_ns


def _ascii(text: str) -> str:
    """Percent-encode what is not ASCII, as it should have been."""
    return "".join(chr(octet) if octet < 128 else f"%{octet:02X}" for octet in os.fsencode(text))

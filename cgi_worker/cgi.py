"""The CGI/1.1 program: ask the daemon, or work alone when there is none.

It is started anew for each request, so that what is imported here is what each of them waits for: only what is written
in C or there already. `socket`, `json`, `typing` and msgspec would cost more than all the rest.
"""

import _socket
import os
import sys

from cgi_worker.cgi_answer import EXIT_NO_ANSWER, STDOUT, answer_problem, print_answer, wait
from cgi_worker.cgi_question import PICTURE, Question

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

CONNECT_LIMIT_S = 5.0
# The same as in `wire.packets`, which may not be imported here; a test holds them together.
PACKET_BYTES_MAX = 131_072
WRITTEN = b'{"say":"answer","status":200,"head":"","body":""}'


class NoDaemon(Exception):
    """Nobody listens at IMGD_SOCKET, or it names nothing."""


def run(environ: "Mapping[str, str]") -> int:
    """Answer one CGI request on standard output; 0 when an HTTP answer was given in full."""
    question = Question(environ)
    head_only = question.head_only
    if question.method not in ("GET", "HEAD"):
        return answer_problem(405, f"{question.method} is not for pictures", allow="GET, HEAD")
    if len(question.packet(hand_over=True)) > PACKET_BYTES_MAX:
        return answer_problem(414, "the query is too long", head_only=head_only)
    try:
        return _ask_daemon(environ.get("IMGD_SOCKET", ""), question, environ.get("IMGD_CGI") != "attach")
    except NoDaemon as reason:
        roots = environ.get("IMGD_ROOTS")
        if not roots:
            return answer_problem(503, str(reason), head_only=head_only)
        if question.name != PICTURE:
            return answer_problem(503, f"/{question.name} is the daemon's to answer, and {reason}", head_only=head_only)
        from cgi_worker import cgi_alone  # noqa: PLC0415 Numpy and numba are only for those who compute.

        return cgi_alone.answer(question, roots)


def _ask_daemon(path: str, question: Question, hand_over: bool) -> int:
    """Let the daemon answer; what it says, or a worker of its says for it, goes to standard output.

    Raises  NoDaemon if there is none; nothing was printed then.
    """
    end = _connect(path)
    before = _mark()
    try:
        rights = STDOUT.to_bytes(4, sys.byteorder)
        descriptors = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)] if hand_over else []
        end.sendmsg([question.packet(hand_over)], descriptors, _socket.MSG_NOSIGNAL)
        if hand_over:
            return _hear_answer(end)
        from cgi_worker import cgi_attach  # noqa: PLC0415 Only for those who compute.

        return cgi_attach.follow(end.detach())
    except (BrokenPipeError, ConnectionResetError):
        if _mark() != before:  # Half an answer cannot be taken back; the web server notices that it is half.
            return EXIT_NO_ANSWER
        return answer_problem(503, "the daemon went away", head_only=question.head_only)
    finally:
        end.close()


def _connect(path: str) -> _socket.socket:
    if not path:
        raise NoDaemon("no daemon is named (IMGD_SOCKET)")
    end = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
    end.settimeout(CONNECT_LIMIT_S)
    try:
        end.connect(path)
    except OSError as error:
        if not isinstance(error, FileNotFoundError | ConnectionRefusedError):
            print(f"imgd-cgi: IMGD_SOCKET: {error}", file=sys.stderr)
        raise NoDaemon("the daemon cannot be reached") from None
    end.settimeout(None)
    return end


def _hear_answer(end: _socket.socket) -> int:
    """Wait for the answer, and print what of it nobody has printed.

    Raises  BrokenPipeError when the daemon leaves without one.
    """
    wait(end.fileno())
    while True:
        try:
            packet = end.recv(PACKET_BYTES_MAX)
            break
        except ConnectionResetError:
            continue  # The daemon left something of ours unread; what it said before is still to be heard.
    if packet == WRITTEN:
        return 0
    import json  # noqa: PLC0415 It costs as much as all else; a picture does without.

    message = json.loads(packet or "{}")
    if message.get("say") != "answer":
        raise BrokenPipeError("the daemon left without an answer")
    return print_answer(message["status"], message["head"], message["body"])


def _mark() -> tuple[int, int]:
    """Tell what changes when somebody, here or in a worker, writes to standard output: a file's or a pipe's times."""
    found = os.fstat(STDOUT)
    return found.st_size, found.st_mtime_ns

"""The CGI/1.1 program: ask the daemon, or work alone when there is none.

It is started anew for each request, so that what is imported here is what each of them waits for: only what is written
in C or there already. `socket`, `json`, `typing` and msgspec would cost more than all the rest.
"""

import _socket
import os
import select
import sys

from cgi_worker.cgi_answer import EXIT_NO_ANSWER, STDOUT, answer_problem, answer_with

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

CONNECT_LIMIT_S = 5.0
# The same as in `wire.packets`, which may not be imported here; a test holds them together.
VERSION = 1
PACKET_BYTES_MAX = 131_072
WRITTEN = b'{"say":"answer","status":200,"head":"","body":""}'
PICTURE = "img"
NAMES = ("img", "thumbnail", "pixel", "profile", "region", "stats", "histogram", "stars", "wcs", "export")
_ESCAPES = {octet: f"\\u{octet:04x}" for octet in range(32)} | {34: '\\"', 92: "\\\\"}


class NoDaemon(Exception):
    """Nobody listens at IMGD_SOCKET, or it names nothing."""


class Question:
    """What the web server was asked, as text that is ASCII.

    name   what kind of answer, as the daemon's addresses name them: "img", "stats".
    query  the view, or the question's parameters, as they came.
    tag    the If-None-Match header.
    """

    def __init__(self, environ: "Mapping[str, str]") -> None:
        self.method = environ.get("REQUEST_METHOD", "GET")
        self.head_only = self.method == "HEAD"
        self.name = _name(environ.get("SCRIPT_NAME", ""), environ.get("PATH_INFO", ""))
        self.query = _ascii(environ.get("QUERY_STRING", ""))
        self.tag = _ascii(environ.get("HTTP_IF_NONE_MATCH", ""))

    def packet(self, hand_over: bool) -> bytes:
        """Write it as `wire.packets.Ask`."""
        texts = {"query": self.query, "if_none_match": self.tag, "name": self.name}
        told = "".join(f',"{field}":"{text.translate(_ESCAPES)}"' for field, text in texts.items())
        truths = {"hand_over": hand_over, "head_only": self.head_only}
        told += "".join(f',"{field}":{"true" if truth else "false"}' for field, truth in truths.items())
        return f'{{"say":"ask","version":{VERSION}{told}}}'.encode("ascii")


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


def _name(script: str, more: str) -> str:
    """Tell what kind of answer is asked for: by the path after the program's, or the program's own if it is one."""
    if more.strip("/"):
        return _ascii(more.strip("/"))
    last = script.rpartition("/")[2]
    return last if last in NAMES else PICTURE


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


def print_answer(status: int, head: str, body: str) -> int:
    """Print what the daemon says itself; return the exit code."""
    if head:
        return answer_with(head, body.encode("utf-8"))
    return 0 if status == 200 else EXIT_NO_ANSWER  # Written by a worker: in full, or only half of it.


def wait(socket_fd: int) -> None:
    """Wait for the daemon's next message; end this process if meanwhile nobody reads its output any more."""
    poll = select.poll()
    poll.register(socket_fd, select.POLLIN)
    poll.register(STDOUT, 0)  # Only its being closed at the other end is of interest.
    while True:
        ready = dict(poll.poll())
        if socket_fd in ready:
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
    if text.isascii():
        return text
    return "".join(chr(octet) if octet < 128 else f"%{octet:02X}" for octet in os.fsencode(text))

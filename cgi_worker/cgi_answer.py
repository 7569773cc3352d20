"""A CGI/1.1 answer on standard output, whoever found out what it is. It imports nothing slow: see `cgi`."""

import os
import select
import sys

RETRY_AFTER_S = 2
STDOUT = 1
EXIT_NO_ANSWER = 5
TITLES = {
    400: "Bad request",
    403: "Not yours",
    404: "No such frame",
    405: "Method not allowed",
    413: "Too big",
    414: "URI too long",
    422: "Bad frame",
    500: "Internal error",
    503: "Busy",
}


def answer_problem(status: int, detail: str, *, parameter: str = "", allow: str = "", head_only: bool = False) -> int:
    """Print a problem as the whole answer; return the exit code for it."""
    import json  # noqa: PLC0415 A picture does without.

    title = TITLES[status]
    problem = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    body = json.dumps(problem | ({"parameter": parameter} if parameter else {}), ensure_ascii=False).encode()
    head = f"Status: {status} {title}\r\nContent-Type: application/problem+json\r\nContent-Length: {len(body)}\r\n"
    head += "Cache-Control: no-store\r\n"
    head += f"Allow: {allow}\r\n" if allow else ""
    head += f"Retry-After: {RETRY_AFTER_S}\r\n" if status == 503 else ""
    return answer_with(head + "\r\n", b"" if head_only else body)


def answer_with(head: str, body: bytes) -> int:
    """Print a whole answer; return the exit code for it. Ends this process if nobody reads it."""
    rest = memoryview(head.encode("utf-8") + body)
    while rest:
        try:
            rest = rest[os.write(STDOUT, rest) :]
        except BrokenPipeError:
            sys.exit(EXIT_NO_ANSWER)
    return 0


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

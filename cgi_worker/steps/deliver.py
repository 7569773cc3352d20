"""Deliver: the encoded picture to whoever holds the other end of a CGI's standard output."""

import os
import select

from cgi_worker.steps.work import Made, Work
from cgi_worker.wire.failure import StepFailed
from cgi_worker.wire.steps import Deliver
from cgi_worker.wire.told import levels_text


def do(step: Deliver, work: Work) -> Made:
    """Write the head and the encoded bytes (input 0) to the sink."""
    sink_fd = work.sink_fd()
    try:
        octets = work.input_bytes(0)
        _write(sink_fd, memoryview(_head(step.head, len(octets), work.input_facts(0)).encode()))
        _write(sink_fd, octets)
    except (BrokenPipeError, ConnectionResetError) as error:
        raise StepFailed("sink_gone", "nobody reads the answer any more") from error
    return Made(())


def _head(head: str, size_bytes: int, facts: str) -> str:
    told = levels_text(facts)
    line = f"x-imgd-levels: {told}\r\n" if told else ""
    return head.replace("{bytes}", str(size_bytes)).replace("{levels}", line)


def _write(sink_fd: int, octets: memoryview) -> None:
    with octets:
        at = 0
        while at < len(octets):
            try:
                at += os.write(sink_fd, octets[at:])
            except BlockingIOError:  # The web server made its pipe non-blocking, and shares that with us.
                ready = select.poll()
                ready.register(sink_fd, select.POLLOUT)
                ready.poll()

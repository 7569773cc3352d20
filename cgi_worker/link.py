"""One end of a SOCK_SEQPACKET socket: one message a packet, descriptors beside it."""

import array
import os
import select
import socket
from collections.abc import Sequence
from typing import TypeVar

from cgi_worker.wire.packets import (
    DESCRIPTORS_MAX,
    PACKET_BYTES_MAX,
    TO_WORKER,
    Drop,
    Grammar,
    Message,
    WireError,
    encode,
)

M = TypeVar("M")
_DESCRIPTOR_BYTES = array.array("i").itemsize


class Link:
    """Send and receive whole messages, blocking. The socket is the caller's to close."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._poll = select.poll()
        self._poll.register(end, select.POLLIN)

    def fileno(self) -> int:
        """Tell the descriptor, for polling."""
        return self._socket.fileno()

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Send one message; the descriptors stay open here.

        Raises  BrokenPipeError or ConnectionResetError when the other end is closed.
        """
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        self._socket.sendmsg([encode(message)], rights, socket.MSG_NOSIGNAL)

    def drops(self) -> list[Drop]:
        """Take what is there already, without waiting: only Drop may come while a todo list is carried out.

        Raises  WireError for anything else.
        """
        found: list[Drop] = []
        while True:
            try:
                packet = self._socket.recv(PACKET_BYTES_MAX, socket.MSG_DONTWAIT)
            except (BlockingIOError, ConnectionResetError):
                return found
            if not packet:
                return found  # The end: what comes next to be sent will fail.
            message = TO_WORKER.decode(packet)
            if not isinstance(message, Drop):
                raise WireError(f"{type(message).__name__} before the end of the todo list")
            found.append(message)

    def receive(self, grammar: Grammar[M]) -> tuple[M, list[int]] | None:
        """Receive one message and the descriptors sent with it, which are now the caller's to close; None at the end.

        Raises  WireError for a packet or descriptors cut short, and for a malformed message; all descriptors that came
                with it are closed then.
        """
        while True:
            # Killed while it waits, this process must not take out what comes meanwhile: left unread, it is known there
            # to be given to another.
            self._poll.poll()
            try:
                packet, ancillary, flags, _ = self._socket.recvmsg(
                    PACKET_BYTES_MAX, socket.CMSG_SPACE(DESCRIPTORS_MAX * _DESCRIPTOR_BYTES), socket.MSG_CMSG_CLOEXEC
                )
                break
            except ConnectionResetError:
                continue  # The peer left something of ours unread; what it said before is still to be heard.
        descriptors = _descriptors(ancillary)
        if not packet and not descriptors and not flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            return None
        try:
            if flags & socket.MSG_TRUNC:
                raise WireError(f"packet over the limit of {PACKET_BYTES_MAX} bytes")
            if flags & socket.MSG_CTRUNC:
                raise WireError(f"more than {DESCRIPTORS_MAX} descriptors, or too many open already")
            return grammar.decode(packet), descriptors
        except WireError:
            close_all(descriptors)
            raise


def close_all(descriptors: Sequence[int]) -> None:
    """Close descriptors that came with a message."""
    for descriptor in descriptors:
        os.close(descriptor)


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    found = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found.frombytes(data[: len(data) - len(data) % _DESCRIPTOR_BYTES])
    return found.tolist()

"""The daemon's end of a SOCK_SEQPACKET socket, in Trio: one message a packet, descriptors beside it."""

import array
import errno
import os
import socket
from collections.abc import Callable, Sequence
from typing import Final

import trio

from cgi_worker.wire.packets import PACKET_BYTES_MAX, Message, WireError, encode

_SENDING: Final = int(socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)  # Plain numbers: flags of enum take microseconds.
_RECEIVING: Final = int(socket.MSG_CMSG_CLOEXEC | socket.MSG_DONTWAIT)
_PACKET_CUT: Final = int(socket.MSG_TRUNC)
_RIGHTS_CUT: Final = int(socket.MSG_CTRUNC)
AT_ONCE_MAX: Final = 32  # Packets that one task takes before others have their turn: a worker could send without end.


def send(end: socket.socket, message: Message, descriptors: Sequence[int]) -> bool:
    """Send without waiting; False if the other end is gone or full."""
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    try:
        end.sendmsg([encode(message)], rights, _SENDING)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EPIPE, errno.ECONNRESET, errno.ETOOMANYREFS):
            return False
        raise
    return True


class Shorn(WireError):
    """A packet has come whole, but without its descriptor: this process may have no more of them open."""

    def __init__(self, packet: bytes) -> None:
        super().__init__("a descriptor was lost on its way: too many files are open")
        self.packet = packet


def _nothing() -> None:
    """Nothing is to be noted."""


async def receive(end: socket.socket, on_unread: Callable[[], None] = _nothing) -> tuple[bytes, int] | None:
    """Take one packet, or wait for it; None when the other end is closed.

    on_unread  is called when the other end was closed with something of ours unread.

    Returns  the packet, and the descriptor that came with it, now the caller's (-1: none).

    Raises  WireError for what is cut short or has more descriptors; those that came are closed. Shorn for a packet that
            is whole, and whose descriptor could not be had.
    Cancelled  without losing a packet.
    """
    while True:
        try:
            packet, ancillary, flags, _ = end.recvmsg(PACKET_BYTES_MAX, socket.CMSG_SPACE(4), _RECEIVING)
        except BlockingIOError:
            await trio.lowlevel.wait_readable(end)
            continue
        except ConnectionResetError:
            on_unread()  # What was said before is still to be heard.
            continue
        found = array.array("i")
        for _level, _kind, data in ancillary:
            found.frombytes(data[: len(data) - len(data) % found.itemsize])
        if flags & _RIGHTS_CUT and not flags & _PACKET_CUT and not found:
            raise Shorn(packet)
        if flags & (_PACKET_CUT | _RIGHTS_CUT) or len(found) > 1:
            for descriptor in found:
                os.close(descriptor)
            raise WireError("a packet over the limit, or with more descriptors than it may have")
        if not packet:
            for descriptor in found:
                os.close(descriptor)
            return None
        return packet, found[0] if found else -1

"""The daemon's end of a SOCK_SEQPACKET socket, in Trio: one message a packet, descriptors beside it."""

import array
import errno
import os
import socket
from collections.abc import Sequence

import trio

from cgi_worker.wire.packets import PACKET_BYTES_MAX, Message, WireError, encode


def send(end: socket.socket, message: Message, descriptors: Sequence[int]) -> bool:
    """Send without waiting; False if the other end is gone or full."""
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    try:
        end.sendmsg([encode(message)], rights, socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EPIPE, errno.ECONNRESET, errno.ETOOMANYREFS):
            return False
        raise
    return True


async def receive(end: socket.socket) -> tuple[bytes, int] | None:
    """Wait for one packet, with at most one descriptor (-1: none), now the caller's; None when the other end is closed.

    Raises  WireError for what is cut short or has more descriptors; those that came are closed.
    Cancelled  without losing a packet.
    """
    while True:
        await trio.lowlevel.wait_readable(end)
        try:
            packet, ancillary, flags, _ = end.recvmsg(
                PACKET_BYTES_MAX, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC | socket.MSG_DONTWAIT
            )
        except (BlockingIOError, ConnectionResetError):
            continue  # Reset: something of ours was left unread; what was said before is still to be heard.
        found = array.array("i")
        for _level, _kind, data in ancillary:
            found.frombytes(data[: len(data) - len(data) % found.itemsize])
        if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC) or len(found) > 1:
            for descriptor in found:
                os.close(descriptor)
            raise WireError("a packet over the limit, or with more descriptors than it may have")
        if not packet:
            for descriptor in found:
                os.close(descriptor)
            return None
        return packet, found[0] if found else -1

"""Trying again: which ends of a job a further try may change, and what the others mean to the person who asked."""

import signal
from typing import Final

import trio

from cgi_worker.wire import packets
from imgd.engine.client import Client
from imgd.engine.forges import Forges
from imgd.errors import BadFrame, BrokeOff, Busy, Gone, NotYours, PlanTooBig, Rewritten, WorkerLost, WorkerTimedOut
from imgd.model import Crashed, Failed, Outcome, Refused, Replied, Stopped, Superseded, TimedOut

TRIES_MAX: Final = 4  # A frame that changes under the worker, or a lost template, is tried again; then it is told.


def tries() -> list[bool]:
    """Tell, for each try, whether it is the last."""
    return [False] * (TRIES_MAX - 1) + [True]


async def succeeds(client: Client, forge: Forges, last: bool, *, whole: bool = False) -> bool:
    """Wait for a job's first bytes, or its end; False if it is worth another try.

    Raises  ImgdError for an outcome that a further try would not change, and for any at the last try.
    """
    began_s = trio.current_time()
    outcome = await client.ended() if whole else await client.begun()
    return outcome is None or await judge(outcome, client, forge, last=last, since_s=began_s)


async def judge(outcome: Outcome, client: Client, forge: Forges, *, last: bool, since_s: float) -> bool:
    """Tell whether a job has ended well; False if it is worth another try.

    since_s  when it was begun.

    Raises  as `succeeds`.
    """
    match outcome:
        case Replied():
            return True
        case _ if client.writing:
            raise BrokeOff("the worker was lost while it was writing the answer")
        case Stopped() | Failed(code="changed") | Refused(reason="lost") if not last:
            return False
        case Crashed(signal=signal.SIGBUS) if not last:
            return False  # The file was cut while it was being read.
        case Crashed() | Failed(code="forbidden") if not last and await forge.lost_since(since_s):
            return False  # Workers of a template that is gone may read less than new ones: a root may have come since.
        case Crashed() | TimedOut() | Stopped() if forge.state:
            raise Busy(forge.state, forge.retry_s, "template")
    raise_outcome(outcome)
    return False


def rewritten(outcome: Outcome) -> bool:
    """Tell whether the frame is no longer the one that the job was about."""
    match outcome:
        case Failed(code="changed") | Crashed(signal=signal.SIGBUS):
            return True
    return False


def raise_outcome(outcome: Outcome) -> None:
    """Raise what an outcome other than Replied means to the person who asked."""
    match outcome:
        case Failed("forbidden", text):
            raise NotYours(text)
        case Failed("too_big", text):
            raise PlanTooBig(text)
        case Failed("changed", _):
            raise Rewritten("the frame is being rewritten; try again in a moment", 1.0)
        case Failed(_, text):
            raise BadFrame(text)
        case TimedOut(limit_s):
            raise WorkerTimedOut(f"it took longer than the limit of {limit_s:g} s, and was stopped")
        case Crashed(signal=signal.SIGBUS):
            raise Rewritten("the frame was cut short while it was being read; try again in a moment", 1.0)
        case Crashed(signal=signal.SIGKILL):  # No frame does that: the system was short of memory, or somebody did it.
            raise Busy("the worker that was making this was killed; try again in a moment", 1.0, "lost")
        case Crashed(exit_code=packets.EXIT_OUR_FAULT):
            raise WorkerLost("a bug of imgd itself ended the worker that was at this frame; the log says which")
        case Crashed():
            raise WorkerLost("the worker that was decoding this frame crashed; the frame may be broken")
        case Superseded():
            raise Gone("a newer view took its place")
        case Refused(why, retry_after_s, reason):
            raise Busy(why, retry_after_s, reason)
        case Stopped():
            raise Gone("it was stopped")
        case Replied():
            raise AssertionError("a reply is not an error")

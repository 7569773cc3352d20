"""The error tree: who is at fault decides the form. Texts are meant for the person who asked."""

from typing import TypeVar

Error = TypeVar("Error", bound=Exception)


class ImgdError(Exception):
    """An answer other than the one asked for.

    status     HTTP status of the answer.
    title      the kind of problem, the same for each of its kind.
    text       what is wrong this time; no path of the daemon's machine, no stack.
    parameter  the request's parameter at fault, "" if none.
    reason     in one word what was short, for figures; "" where nothing was.
    """

    status = 500
    title = "Internal error"
    reason = ""

    def __init__(self, text: str, parameter: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.parameter = parameter


class RequestError(ImgdError):
    """The client is at fault."""


class BadRequest(RequestError):
    """The request breaks the grammar, or asks for what its frame does not have."""

    status, title = 400, "Bad request"


class NoTicket(RequestError):
    """Nobody in particular asks."""

    status, title = 401, "No ticket"


class NotYours(RequestError):
    """The frame is not for this reader."""

    status, title = 403, "Not yours"


class NoSuchFrame(RequestError):
    """There is no such frame, or no such UID."""

    status, title = 404, "No such frame"


class NoSuchRunner(RequestError):
    """There is no such runner, or it is not held by this session: which of them it is, is not said."""

    status, title = 404, "No such runner"


class NoSuchTile(RequestError):
    """The frame is there, but no such tile of it."""

    status, title = 404, "No such tile"


class OtherVersion(RequestError):
    """The frame is there, but no longer, or not yet, as the address names it."""

    status, title = 404, "Another version"


class NotOffered(RequestError):
    """The request is understood; such pictures are not made."""

    status, title = 501, "Not implemented"


class PlanTooBig(RequestError):
    """It could never fit into the memory there is."""

    status, title = 413, "Too big"


class BadFrame(ImgdError):
    """The file is at fault."""

    status, title = 422, "Bad frame"


class Busy(ImgdError):
    """Nobody is at fault; try again later."""

    status, title = 503, "Busy"

    def __init__(self, text: str, retry_after_s: float, reason: str = "") -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s
        self.reason = reason or self.reason


class Rewritten(Busy):
    """The frame is no longer the one that it was when the job was planned."""

    reason = "rewritten"


class WorkerLost(ImgdError):
    """The worker crashed or overran its limit; the request was its own only victim."""

    status, title = 500, "Worker lost"


class WorkerTimedOut(WorkerLost):
    """The worker overran its limit."""

    status, title = 504, "Took too long"


class BrokeOff(WorkerLost):
    """The worker was lost while it was writing the answer itself: part of it may be out already."""


class Gone(ImgdError):
    """The job was stopped: superseded by a newer view, or the daemon is ending."""

    status, title = 503, "Stopped"
    reason = "stopped"


class ConfigError(Exception):
    """A wrong setting; one line, names the setting."""


class NotNow(ConfigError):
    """A setting that may be right, and names what cannot be had now: it may be there when it is tried again."""


def first_of(errors: BaseExceptionGroup[Error]) -> Error:
    """Take one error out of what `except*` caught, however many nurseries it came out of."""
    first = errors.exceptions[0]
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first

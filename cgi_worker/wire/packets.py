"""Packets: one JSON message each over SOCK_SEQPACKET, with descriptors beside it. Sans-IO."""

from typing import Final, Generic, Literal, TypeVar

import msgspec

from cgi_worker.wire.steps import Buffer, Stage

VERSION: Final = 1
PACKET_BYTES_MAX: Final = 131_072  # Below the kernel's default socket buffer (212,992) with its overhead.
DESCRIPTORS_MAX: Final = 64  # Of one packet; the kernel allows 253.
TEXT_MAX: Final = 2000
STEP_FACTS_BYTES_MAX: Final = 16_384
EXIT_OUR_FAULT: Final = 70  # EX_SOFTWARE of sysexits.h: a bug of ours ended the process; its stderr says which.
EXIT_NO_FORK: Final = 71  # EX_OSERR, told for a worker that could not be forked.

FailureCode = Literal["bad_frame", "changed", "forbidden", "too_big", "sink_gone"]


class WireError(Exception):
    """A packet that breaks the grammar or the order of the conversation; nothing has changed by it."""


class _Message(msgspec.Struct, frozen=True, tag_field="say", forbid_unknown_fields=True):
    pass


class Identity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom a worker acts for; None: as the daemon itself."""

    uid: int | None = None
    gid: int | None = None
    groups: tuple[int, ...] = ()


class Hello(_Message, frozen=True, tag="hello"):
    """First packet of template and worker."""

    version: int
    pid: int


class Warming(_Message, frozen=True, tag="warming"):
    """Template -> daemon: `done` of `total` kernels are ready, `what` comes next."""

    done: int
    total: int
    what: str


class Warmed(_Message, frozen=True, tag="warmed"):
    """Template -> daemon: workers can be forked from now on."""


class Fork(_Message, frozen=True, tag="fork"):
    """Daemon -> template, with two descriptors: the new worker's end of its socket pair, and its stderr."""

    worker: int
    identity: Identity


class Forked(_Message, frozen=True, tag="forked"):
    """Template -> daemon, with one descriptor: the new worker's pidfd."""

    worker: int
    pid: int


class Reaped(_Message, frozen=True, tag="reaped"):
    """Template -> daemon: waitpid's status of a worker that is gone."""

    worker: int
    status: int


class Lent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A buffer as a todo list lends it: which segment, what of it is filled, and what was said when it was made."""

    buffer: Buffer
    segment: int
    writable: bool
    used_bytes: int = 0
    facts: str = ""


class Todo(_Message, frozen=True, tag="todo"):
    """Daemon -> worker: the steps to do, in order.

    Descriptors, in this order: the source (O_PATH) if has_source; one per entry of `lent`; the sink if has_sink.
    stages    indices point into `lent`; an output of -1 exists already and is not to be written.
    unwanted  items of the last stage that nobody wants any more, as `Drop` tells of them.
    """

    todo: int
    stages: tuple[Stage, ...]
    lent: tuple[Lent, ...]
    source: str  # The source identity as JSON, "" without a source.
    has_source: bool
    has_sink: bool
    threads: int
    unwanted: tuple[int, ...] = ()


class Drop(_Message, frozen=True, tag="drop"):
    """Daemon -> worker: of the items that the last stage of this todo list makes, nobody wants these any more.

    It may cross them on their way, or the end of the list: then it changes nothing.
    """

    todo: int
    items: tuple[int, ...]


class Bye(_Message, frozen=True, tag="bye"):
    """Daemon -> worker: nothing more will come; exit."""


class Progress(_Message, frozen=True, tag="progress"):
    """Worker -> daemon: the first `used_bytes` of this step's first output are final and may be read.

    ends  where the items end that have become final, of a step that makes many, the last one at `used_bytes`; none:
          one item.
    """

    todo: int
    stage: int
    used_bytes: int
    ends: tuple[int, ...] = ()


class Done(_Message, frozen=True, tag="done"):
    """Worker -> daemon: a step is finished; bytes used of each output (in the stage's order, 0 for -1).

    facts  JSON said by the step about its outputs: levels, bins, counts.
    """

    todo: int
    stage: int
    used_bytes: tuple[int, ...]
    facts: str
    elapsed_ms: float


class Failed(_Message, frozen=True, tag="failed"):
    """Worker -> daemon: this step and all after it will not be done. The worker itself is well.

    code  bad_frame: the file is at fault; changed: it is no longer the source asked for; forbidden: the reader
          may not open it; too_big: the result outgrew its buffer; sink_gone: nobody reads the sink any more.
    """

    todo: int
    stage: int
    code: FailureCode
    text: str


class Detached(_Message, frozen=True, tag="detached"):
    """Worker -> daemon: these segments are no longer mapped, and their descriptors are closed."""

    todo: int
    segments: tuple[int, ...]


class Ask(_Message, frozen=True, tag="ask"):
    """CGI -> daemon: about a UID, or a view as its query string; with its standard output if `hand_over`.

    if_none_match  that header's text.
    name           what the query is about, as in the daemon's addresses: a picture, or a question such as "stats".
    """

    version: int
    query: str
    hand_over: bool
    if_none_match: str = ""
    head_only: bool = False
    name: str = "img"


class Answer(_Message, frozen=True, tag="answer"):
    """Daemon -> CGI: how it ended. `head` is the CGI header block still to be printed ("" if a worker printed it)."""

    status: int
    head: str
    body: str


FromWorker = Hello | Progress | Done | Failed | Detached
FromTemplate = Hello | Warming | Warmed | Forked | Reaped
FromCgi = Ask | Progress | Done | Failed | Detached
ToWorker = Todo | Drop | Bye
ToTemplate = Fork | Bye
ToCgi = Todo | Answer | Bye
Message = FromWorker | FromTemplate | FromCgi | ToWorker | ToTemplate | ToCgi

M = TypeVar("M")


class Grammar(Generic[M]):
    """The messages that may arrive in one direction."""

    def __init__(self, messages: type[M]) -> None:
        self._decoder = msgspec.json.Decoder(messages)

    def decode(self, packet: bytes) -> M:
        """Read one packet.

        Raises  WireError for an empty, too long or malformed packet, and for one that has no place in this direction.
        """
        if not packet:
            raise WireError("empty packet")
        if len(packet) > PACKET_BYTES_MAX:
            raise WireError(f"packet of {len(packet)} bytes is over the limit of {PACKET_BYTES_MAX}")
        try:
            message = self._decoder.decode(packet)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise WireError(f"malformed packet: {error}") from error
        match message:
            case Done(facts=text):
                _check_facts(text)
            case Failed(text=text) if len(text) > TEXT_MAX:
                raise WireError("text of a failure is over the limit")
        return message


def _check_facts(text: str) -> None:
    """Raise WireError for facts that are no JSON, or over the limit as they will be written again."""
    if len(msgspec.json.encode(text)) > STEP_FACTS_BYTES_MAX:
        raise WireError("facts of a step are over the limit")
    if not text:
        return  # Nothing was said.
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        raise WireError(f"facts of a step are no JSON: {error}") from error


def encode(message: Message) -> bytes:
    """Write one packet.

    Raises  WireError if it would be over the limit; nothing is to be sent then.
    """
    packet = msgspec.json.encode(message)
    if len(packet) > PACKET_BYTES_MAX:
        raise WireError(f"{type(message).__name__} of {len(packet)} bytes is over the limit of {PACKET_BYTES_MAX}")
    return packet


FROM_WORKER: Final[Grammar[FromWorker]] = Grammar(FromWorker)  # type: ignore[arg-type]
FROM_TEMPLATE: Final[Grammar[FromTemplate]] = Grammar(FromTemplate)  # type: ignore[arg-type]
FROM_CGI: Final[Grammar[FromCgi]] = Grammar(FromCgi)  # type: ignore[arg-type]
TO_WORKER: Final[Grammar[ToWorker]] = Grammar(ToWorker)  # type: ignore[arg-type]
TO_TEMPLATE: Final[Grammar[ToTemplate]] = Grammar(ToTemplate)  # type: ignore[arg-type]
TO_CGI: Final[Grammar[ToCgi]] = Grammar(ToCgi)  # type: ignore[arg-type]

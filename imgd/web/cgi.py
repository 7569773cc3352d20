"""The CGI socket: programs that a web server starts ask here about a UID or a view, and get a worker or a todo list."""

import errno
import logging
import os
import pwd
import socket
import struct
from collections.abc import Collection
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import trio

from cgi_worker.wire.grammar import ViewError
from cgi_worker.wire.packets import FROM_CGI, VERSION, Answer, Ask, WireError
from cgi_worker.wire.question import QUESTIONS, Export, question_from_pairs
from cgi_worker.wire.view import thumbnail_from_pairs, view_from_pairs
from cgi_worker.wire.wanted import Wanted
from imgd.core.uids import Uids
from imgd.engine import seqpacket
from imgd.engine.answer import Qualified
from imgd.engine.client import Terms
from imgd.engine.guest import Guest, pidfd_of_peer
from imgd.engine.render import Engine
from imgd.errors import BadRequest, BrokeOff, ConfigError, ImgdError, NoSuchFrame, NotOffered, NotYours, first_of
from imgd.model import Asker
from imgd.origin import ORIGIN, Origin
from imgd.query import read_pairs
from imgd.web.gone import SECURITY_HEADERS
from imgd.web.images import file_name
from imgd.web.problems import Headers, body_of, headers_of, problem_of
from imgd.web.reply import ASKED_ABOUT, matches

log = logging.getLogger("imgd.cgi")

ASK_LIMIT_S: Final = 5.0  # A peer that has not asked by then is let go.
ACCEPT_AGAIN_S: Final = 0.1  # After the system had no room for one more connection.
_NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ECONNABORTED})
_NOBODY: Final = Answer(499, "", "")  # For a CGI that has left: it is not read.
_WRITTEN: Final = Answer(200, "", "")  # Nothing is left to be printed.


@dataclass(slots=True)
class CgiDesk:
    """What answering a CGI needs; users and limit_s may become others."""

    engine: Engine
    sessions: Uids
    users: frozenset[int]
    limit_s: float


def user_ids(names: Collection[str]) -> frozenset[int]:
    """Find the users who may ask: those named, the daemon's own, and root.

    Raises  ConfigError for a name that is not one.
    """
    ids = {0, os.getuid()}
    for name in names:
        try:
            ids.add(int(name) if name.isdigit() else pwd.getpwnam(name).pw_uid)
        except KeyError as error:
            raise ConfigError(f"cgi_users: there is no user {name}") from error
    return frozenset(ids)


async def serve_cgi(
    listener: socket.socket, desk: CgiDesk, connections_max: int, stopping: trio.Event | None = None
) -> None:
    """Answer CGI programs until cancelled; the listener is a SOCK_SEQPACKET socket, and the caller's to close.

    stopping  when it is set no further one is taken; this returns when those that were taken are answered.
    """
    places = trio.CapacityLimiter(connections_max)
    guests = 0
    listening = trio.socket.from_stdlib_socket(listener)
    async with trio.open_nursery() as nursery:
        taking = trio.CancelScope()
        if stopping is not None:
            nursery.start_soon(_cancel_when, stopping, taking)
        with taking:
            while True:
                await places.acquire_on_behalf_of(token := object())
                end = await _accept(listening)
                guests += 1
                nursery.start_soon(_attend, end, desk, -guests, (places, token))


async def _cancel_when(stopping: trio.Event, taking: trio.CancelScope) -> None:
    await stopping.wait()
    taking.cancel()


async def _accept(listening: "trio.socket.SocketType") -> "trio.socket.SocketType":
    while True:
        try:
            end, _ = await listening.accept()
            return end
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            log.error("cannot accept a CGI's connection: %s", error.strerror)
            await trio.sleep(ACCEPT_AGAIN_S)


async def _attend(
    end: "trio.socket.SocketType", desk: CgiDesk, worker: int, place: tuple[trio.CapacityLimiter, object]
) -> None:
    raw = socket.socket(fileno=end.detach())
    ORIGIN.set(Origin(()))
    try:
        with raw:
            raw.setblocking(False)
            await _answer_one(raw, desk, worker)
    except (WireError, ProcessLookupError) as error:
        log.warning("a CGI was let go: %s", error)
    finally:
        place[0].release_on_behalf_of(place[1])


async def _answer_one(raw: socket.socket, desk: CgiDesk, worker: int) -> None:
    credentials = raw.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _ = struct.unpack("3i", credentials)
    if uid not in desk.users:
        raise WireError(f"user {uid} may not ask (see cgi_users)")
    received = None
    with trio.move_on_after(ASK_LIMIT_S):
        received = await seqpacket.receive(raw)
    if received is None:
        return
    packet, sink_fd = received
    try:
        ask = FROM_CGI.decode(packet)
        if not isinstance(ask, Ask) or ask.version != VERSION or ask.hand_over != (sink_fd >= 0):
            raise WireError("a question of another version, or without its descriptor")
        if not ask.hand_over and os.getuid() not in (0, uid):
            words = "a CGI of another user cannot be lent memory, since it could not be ended; let it hand over"
            seqpacket.send(raw, _problem(NotYours(words)), [])
            return
        pidfd = pidfd_of_peer(raw, pid)
        try:
            seqpacket.send(raw, await _reply(raw, desk, ask, (worker, sink_fd, pidfd)), [])
        finally:
            os.close(pidfd)
    finally:
        if sink_fd >= 0:
            os.close(sink_fd)


async def _reply(raw: socket.socket, desk: CgiDesk, ask: Ask, who: tuple[int, int, int]) -> Answer:
    """Answer one question; by the time this returns a worker, or the CGI itself, has written the picture."""
    worker, sink_fd, pidfd = who
    answer, head = _NOBODY, ""
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_when_gone, raw, nursery.cancel_scope)
            wanted, asker = _wanted(desk.sessions, ask)
            known = await desk.engine.qualify(wanted, asker)
            if matches(ask.if_none_match, known.etag):
                answer = Answer(304, _not_modified(known, _named(wanted)), "")
            elif ask.head_only:
                answer = Answer(200, _head(known, _named(wanted)), "")
            else:
                head = _head(known, _named(wanted), of_body="content-length: {bytes}\r\n{levels}")
                if ask.hand_over:
                    await desk.engine.deliver(wanted, asker, head, Terms(sink_fd=sink_fd, continues=True))
                    answer = _WRITTEN
            nursery.cancel_scope.cancel()
        if head and not ask.hand_over:
            guest = Guest(desk.engine.floor, worker, raw, pidfd)
            answer = await _lend(guest, desk, (wanted, asker), head)
    except* ImgdError as errors:
        answer = _failure(first_of(errors))
    return answer


async def _lend(guest: Guest, desk: CgiDesk, asked: tuple[Wanted, Asker], head: str) -> Answer:
    """Let the CGI make and write the picture itself; answer when it holds nothing of ours any more."""
    answer = _NOBODY
    wanted, asker = asked
    async with trio.open_nursery() as nursery:

        async def follow(task_status: trio.TaskStatus[None]) -> None:
            await guest.run(asker.owner, desk.limit_s, task_status)
            nursery.cancel_scope.cancel()

        await nursery.start(follow)
        try:
            await desk.engine.deliver(wanted, asker, head, Terms(worker=guest.worker, continues=True))
            answer = _WRITTEN
        except ImgdError as error:
            answer = _failure(error)
        await guest.drained()  # Whatever came of it: it is killed if it leaves this scope with anything in its hands.
        nursery.cancel_scope.cancel()
    return answer


async def _cancel_when_gone(raw: socket.socket, answering: trio.CancelScope) -> None:
    """A CGI that waits says nothing: whatever can be read is its end."""
    await trio.lowlevel.wait_readable(raw)
    answering.cancel()


def _failure(error: ImgdError) -> Answer:
    """Put an error into an answer, unless part of the picture is out already."""
    if isinstance(error, BrokeOff):
        log.warning("a CGI's answer broke off: %s", error.text)
        return Answer(500, "", "")
    return _problem(error)


def _wanted(sessions: Uids, ask: Ask) -> tuple[Wanted, Asker]:
    pairs = read_pairs(ask.query.encode("utf-8", "surrogateescape"))
    asker = Asker(session="cgi")
    try:
        match ask.name:
            case "img" if len(pairs) == 1 and pairs[0][0] == "u":
                known = sessions.lookup(pairs[0][1])
                if known is None:
                    raise NoSuchFrame("is unknown, or no longer known", "u")
                return known.view, Asker(session=known.session, runner=known.runner)
            case "img":
                return view_from_pairs(pairs), asker
            case "thumbnail":
                return thumbnail_from_pairs(pairs), asker
            case name if name in QUESTIONS:
                return question_from_pairs(name, pairs), asker
    except ViewError as error:
        raise BadRequest(error.text, error.parameter) from error
    raise NotOffered("a CGI makes pictures (/img, /thumbnail) and answers questions; the rest is the daemon's")


def _named(wanted: Wanted) -> Headers:
    return [(b"content-disposition", file_name(wanted))] if isinstance(wanted, Export) else []


def _head(known: Qualified, more: Headers, of_body: str = "") -> str:
    """Write the header block of a picture; `of_body` is filled in by who writes it (see `wire.steps.Deliver`)."""
    kind = (b"content-type", known.media_type.encode())
    return _block(200, [*_kept(known), kind, (b"accept-ranges", b"none"), *more], of_body)


def _not_modified(known: Qualified, more: Headers) -> str:
    return _block(304, [*_kept(known), *more])


def _kept(known: Qualified) -> Headers:
    return [(b"etag", known.etag.encode()), (b"cache-control", ASKED_ABOUT)]


def _block(status: int, headers: Headers, more: str = "", phrase: str = "") -> str:
    """Write a CGI header block, its empty line included; the headers are those of the same answer over HTTP."""
    lines = [f"Status: {status} {phrase or HTTPStatus(status).phrase}\r\n"]
    lines += [f"{name.decode()}: {value.decode()}\r\n" for name, value in [*headers, *SECURITY_HEADERS]]
    return "".join(lines) + more + "\r\n"


def _problem(error: ImgdError) -> Answer:
    body = body_of(problem_of(error)).decode()
    length = f"content-length: {len(body.encode())}\r\n"
    return Answer(error.status, _block(error.status, headers_of(error), length, error.title), body)

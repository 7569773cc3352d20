"""`/img`, `/frame/...`, `/tile`, `/thumbnail` and the questions: which answer of the engine is asked for."""

from typing import Final

import trio

from cgi_worker.wire.grammar import ViewError
from cgi_worker.wire.question import QUESTIONS, Export, question_from_pairs
from cgi_worker.wire.tiles import tile_from_pairs
from cgi_worker.wire.view import View, thumbnail_from_pairs, view_from_pairs
from cgi_worker.wire.wanted import Wanted
from imgd.core.uids import Uids
from imgd.errors import BadRequest, Gone, NoSuchFrame
from imgd.model import Asker
from imgd.query import decode_text, read_pairs
from imgd.web.query import read_known
from imgd.web.reply import Answers, Reply, asker_of
from imgd.web.seam import Receive, Scope, Send

FRAME_PATH: Final = b"/frame/"
BY_PATH: Final = frozenset(("/thumbnail", "/tile", *(f"/{name}" for name in QUESTIONS)))


class Images:
    """Answer requests for pictures and for headers."""

    def __init__(self, answers: Answers, sessions: Uids) -> None:
        self._answers = answers
        self._sessions = sessions
        self._of_sessions: dict[str, set[trio.CancelScope]] = {}

    async def picture(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer `/img`."""
        await self._answers.answer(scope, send, self._picture)

    async def by_path(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer `/thumbnail`, `/tile`, or a question: the path is its name."""
        await self._answers.answer(scope, send, self._by_path)

    async def header(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer `/frame/...`."""
        await self._answers.answer(scope, send, self._header)

    def end_session(self, session: str) -> None:
        """Withdraw the pictures that are on their way for a session that has ended."""
        for answering in self._of_sessions.pop(session, ()):
            answering.cancel()

    async def _picture(self, reply: Reply) -> None:
        view, asker = self._wanted(reply.scope)
        with trio.CancelScope() as answering:
            mine = self._of_sessions.setdefault(asker.session, set())
            mine.add(answering)
            try:
                await self._answers.give(reply, view, asker)
            finally:
                mine.discard(answering)
                if not mine and self._of_sessions.get(asker.session) is mine:
                    del self._of_sessions[asker.session]
        if answering.cancelled_caught:
            raise Gone("its session has ended")

    async def _by_path(self, reply: Reply) -> None:
        pairs = read_pairs(reply.scope["query_string"])
        try:
            match reply.scope["path"].removeprefix("/"):
                case "thumbnail":
                    wanted: Wanted = thumbnail_from_pairs(pairs)
                case "tile":
                    wanted = tile_from_pairs(pairs)
                case name:
                    wanted = question_from_pairs(name, pairs)
        except ViewError as error:
            raise BadRequest(error.text, error.parameter) from error
        if isinstance(wanted, Export):
            reply.more_headers.append((b"content-disposition", file_name(wanted)))
        await self._answers.give(reply, wanted, asker_of(reply.scope))

    async def _header(self, reply: Reply) -> None:
        read_known(reply.scope["query_string"], ())
        raw_path: bytes = reply.scope.get("raw_path") or reply.scope["path"].encode()
        frame = decode_text(raw_path[len(FRAME_PATH) :])
        await self._answers.stream(reply, self._answers.engine.header(frame, asker_of(reply.scope)))

    def _wanted(self, scope: Scope) -> tuple[View, Asker]:
        pairs = read_pairs(scope["query_string"])
        if any(name == "u" for name, _ in pairs):
            if len(pairs) > 1:
                raise BadRequest("stands alone: the view is known by it", "u")
            wanted = self._sessions.lookup(pairs[0][1])
            if wanted is None:
                raise NoSuchFrame("is unknown, or no longer known", "u")
            return wanted.view, Asker(session=wanted.session, runner=wanted.runner)
        try:
            return view_from_pairs(pairs), asker_of(scope)
        except ViewError as error:
            raise BadRequest(error.text, error.parameter) from error


def file_name(wanted: Export) -> bytes:
    """Propose a name to save an export under: the frame's own, with nothing in it that a header or a disk minds."""
    stem = wanted.frame.rsplit("/", 1)[-1].split(".", 1)[0]
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in stem)[:100] or "frame"
    return f'attachment; filename="{plain}-cutout.{wanted.format}"'.encode()

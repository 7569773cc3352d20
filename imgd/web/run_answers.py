"""`/runs`: one run by plain HTTP, as a runner of a websocket has it: the same steps, the same result document."""

from typing import Any, Final, cast, get_args

import msgspec
import trio

from imgd.config import Settings
from imgd.core.sessions.asking import check_part, check_tiles, opened, viewport_of
from imgd.core.sessions.messages import Figures, Open, Part, Picture, Result, ViewText
from imgd.entry import ref_of
from imgd.errors import BadRequest, ImgdError, PlanTooBig
from imgd.origin import note_run
from imgd.query import read_pairs
from imgd.running import RunLimits, StepNews
from imgd.web.carrying import Means, Wish, carry
from imgd.web.problems import REASON, Headers, send_body, send_problem, send_status
from imgd.web.reply import asker_of
from imgd.web.seam import Engine, Receive, Scope, Send

_DEFAULT: Final = Open(0).results
_HEADERS: Final[Headers] = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]


class _Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a POST; all as in the messages `open` and `viewport` of a session."""

    view: ViewText
    results: tuple[Result, ...] = _DEFAULT
    viewport: Part | None = None


_ASKED: Final = msgspec.json.Decoder(_Asked)


class RunAnswers:
    """Answer `/runs`."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._rows = settings.rows
        self.take(settings)

    def take(self, settings: Settings) -> None:
        """Take up other settings, for runs that begin from now on."""
        self._body_max = settings.message_bytes
        self._body_limit_s = settings.keep_alive_s
        self._tiles_max = settings.viewport_tiles_max
        self._limits = RunLimits(settings.run_steps_max, settings.run_bytes)
        self._limit_s = settings.run_limit_s

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; the caller cancels it when the client leaves, and the run with it."""
        if scope["method"] not in ("GET", "POST"):
            await send_status(send, 405, "only GET and POST", [(b"allow", b"GET, POST")])
            return
        if any(name == b"content-encoding" and value != b"identity" for name, value in scope["headers"]):
            await send_status(
                send, 415, "is to come as it is: nothing is unpacked here", [(b"accept-encoding", b"identity")]
            )
            return
        try:
            asked = _of_query(scope["query_string"]) if scope["method"] == "GET" else await self._of_body(receive)
            body = await self._run(self._wish(asked), scope)
        except ImgdError as error:
            scope[REASON] = error.reason
            await send_problem(send, error)
            return
        await send_body(send, 200, _HEADERS, body)

    async def _of_body(self, receive: Receive) -> _Asked:
        body = b""
        with trio.move_on_after(self._body_limit_s) as limit:
            body = (await receive())["body"]
        if limit.cancelled_caught:
            raise BadRequest("did not come in time", "body")
        if len(body) > self._body_max:
            raise PlanTooBig(f"is longer than {self._body_max} bytes (setting message_bytes)", "body")
        try:
            return _ASKED.decode(body)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise BadRequest(str(error), "body") from error

    def _wish(self, asked: _Asked) -> Wish:
        _, view, _ = opened(Open(0, asked.view, None, asked.results))
        if not asked.results:
            raise BadRequest("names none", "results")
        part = asked.viewport
        if part is None:
            return Wish(view, asked.results)
        check_part(part)
        check_tiles(part, self._tiles_max)
        return Wish(viewport_of(view, part, coarse=True), asked.results)

    async def _run(self, wish: Wish, scope: Scope) -> bytes:
        heard = _Heard()
        document = await carry(wish, Means(self._engine, asker_of(scope), self._limits, self._limit_s), heard)
        answer = {"run": document["run"], "version": heard.version, "rows": self._rows, "steps": heard.steps()}
        return msgspec.json.encode({**answer, "result": document})


class _Heard:
    """Notes the steps of a run, and the version of its frame."""

    def __init__(self) -> None:
        self._ended: dict[int, StepNews] = {}
        self.version = ""

    def steps(self) -> list[dict[str, Any]]:
        """Tell what became of each step, in order."""
        return [
            {
                "number": number, "step": news.step, "cached": news.cached, "joined": news.joined,
                "bytes": news.used_bytes, "ms": round(news.elapsed_ms, 3),
            }
            for number, news in sorted(self._ended.items())
        ]  # fmt: skip

    def accepted(self, run: str, frame: str, version: str) -> None:
        """Note the version; the rest the document has."""
        note_run(run)
        self.version = version

    def known(self) -> None:
        """Nothing waits for this."""

    def stepped(self, news: StepNews) -> None:
        """Note the last of each step."""
        self._ended[news.number] = news

    def found(self, figures: Figures | None, notes: tuple[str, ...]) -> None:
        """The document has it."""

    def encoded(self, picture: Picture) -> None:
        """Where it is stands in the document."""


def _of_query(query: bytes) -> _Asked:
    pairs = read_pairs(query)
    named = [text for name, text in pairs if name == "results"]
    if len(named) > 1:
        raise BadRequest("repeated", "results")
    results = tuple(named[0].split(",")) if named else _DEFAULT
    if not set(results) <= set(get_args(Result)):
        raise BadRequest("must be some of " + ", ".join(get_args(Result)), "results")
    view = "&".join(f"{_encoded(name)}={_encoded(text)}" for name, text in pairs if name != "results")
    return _Asked(view, cast("tuple[Result, ...]", results))


def _encoded(text: str) -> str:
    return ref_of(text.encode("utf-8", "surrogateescape"))

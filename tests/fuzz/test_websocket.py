"""Whatever is said at `/live`, in whatever order: each message gets its one reply, in its turn; the daemon lives on."""

import json
from pathlib import Path
from typing import Any, Final

import trio
from hypothesis import HealthCheck, example, given, settings
from trio_websocket import ConnectionClosed, WebSocketConnection

from tests.core.profile import LONG
from tests.daemon.figures import metrics, until_free
from tests.daemon.rig import RunningDaemon, running_daemon
from tests.frames import make
from tests.fuzz.conversations import RUNNER, Conversation, Said, conversations, said
from tests.sessions.telling import check_told

EXAMPLES: Final = 5000 if LONG else 150
LIMIT_S: Final = 30.0  # A bound against hanging.
CLOSE_NOT_TEXT: Final = 1003
CLOSE_TOO_BIG: Final = 1009
DONE: Final = 2**53 - 1  # The id of the question that shows that the session goes on.


class Talk:
    """One session: what it said, what was replied."""

    def __init__(self, live: WebSocketConnection) -> None:
        self.live = live
        self.replies: list[dict[str, Any]] = []
        self.more = trio.Event()
        self.runner = RUNNER

    async def hear(self) -> None:
        """Hear until the daemon closes, or is left."""
        try:
            while True:
                message = await self.live.get_message()
                if isinstance(message, str):
                    told = json.loads(message)
                    check_told(told)
                    if "id" in told:
                        self.replies.append(told)
                        self.runner = told.get("runner", self.runner)
                        self.more.set()
        except ConnectionClosed:
            self.more.set()

    async def say(self, one: Said) -> None:
        """Say something."""
        text = one.text.replace(json.dumps(RUNNER), json.dumps(self.runner))
        await self.live.send_message(text if one.octets is None else one.octets)

    async def replied(self, count: int) -> None:
        """Wait until so many replies have come."""
        while len(self.replies) < count:
            assert self.live.closed is None, f"closed by the daemon: {self.live.closed}"
            self.more = trio.Event()
            await self.more.wait()


async def converse(daemon: RunningDaemon, conversation: Conversation) -> None:
    """Hold a conversation to its end, and see that each message was replied to."""
    with trio.fail_after(LIMIT_S):
        async with daemon.websocket("/live") as live, trio.open_nursery() as nursery:
            talk = Talk(live)
            nursery.start_soon(talk.hear)
            asked = [*conversation.messages, said(json.dumps({"id": DONE, "op": "ping"}))]
            for number, one in enumerate(asked, 1):
                await talk.say(one)
                if conversation.waits:
                    await talk.replied(number)
            await talk.replied(len(asked))
            if conversation.ending is not None:
                await talk.say(conversation.ending)
                while live.closed is None:
                    await trio.sleep(0.001)
                expected = CLOSE_NOT_TEXT if conversation.ending.octets is not None else CLOSE_TOO_BIG
                assert live.closed.code == expected, live.closed
            nursery.cancel_scope.cancel()
    assert len(talk.replies) == len(asked), "a reply too many"
    for one, reply in zip(asked, talk.replies, strict=True):
        assert reply["id"] in one.ids, (one, reply)
        if reply["op"] == "error":
            assert reply["status"] in (400, 404, 503) and reply["detail"] and reply["title"], (one, reply)


async def test_whatever_is_said_is_replied_to(tmp_path: Path) -> None:
    make.write(tmp_path / "a.fits", make.image_hdu(make.star_field(70, 90)))
    make.write(tmp_path / "broken.fits", make.hostile()["overflow"])
    async with running_daemon(f"f={tmp_path}", workers_max=2, budget_bytes="64MiB") as daemon:

        @settings(
            max_examples=EXAMPLES, deadline=None, derandomize=not LONG, print_blob=True, database=None,
            suppress_health_check=list(HealthCheck), report_multiple_bugs=False,
        )  # fmt: skip
        @example(Conversation([said('{"id":1,"op":"ping"}')], True, None))
        @given(conversations)
        def one(conversation: Conversation) -> None:
            trio.from_thread.run(converse, daemon, conversation)

        await trio.to_thread.run_sync(one)
        with trio.fail_after(LIMIT_S):
            while (figures := await metrics(daemon))["imgd_live_sessions"] or figures["imgd_engine_jobs"]:
                await trio.sleep(0.05)
        assert figures["imgd_live_runners"] == figures["imgd_sessions_uids"] == 0
        await until_free(daemon)
        assert figures["imgd_engine_template_starts_total"] == 1
        assert "Traceback" not in daemon.log()

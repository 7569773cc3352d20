"""Whoever leaves takes their work along: at eight points of a request, in four ways, through every front."""

import json
from contextlib import AsyncExitStack
from typing import Final

import pytest
import trio

from tests.daemon.figures import metrics
from tests.daemon.rig import RunningDaemon
from tests.fronts.leaving import (
    FREE_LIMIT_S,
    LONG,
    MOMENTS,
    WAYS,
    Moment,
    Way,
    bring_to,
    fresh,
    jobs,
    until,
    until_at,
    until_free,
    visiting,
)
from tests.fronts.rig import Front

LIMIT_S: Final = 30.0  # For a moment to come, on a machine with other things to do.
STOPPED: Final = ("parse", "step", "between", "first byte", "middle")


@pytest.mark.parametrize("moment", MOMENTS)
async def test_leaving_ends_the_work(front: Front, moment: Moment) -> None:
    turn = MOMENTS.index(moment) % 2  # Neighbours in one of the two ways that a protocol has each.
    for way in (WAYS[turn], WAYS[2 + turn]):
        await leave_at(front, moment, way)


async def leave_at(front: Front, moment: Moment, way: Way) -> None:
    """Ask, leave, and see that nothing is left of it."""
    what = f"{moment}, {way}, {front.kind}"
    daemon = front.daemon
    async with AsyncExitStack() as others, visiting(front, way) as visit:
        with trio.fail_after(LIMIT_S):
            await daemon.get("/frame/f/big.fits")
            stopped = (await metrics(daemon))["imgd_engine_stopped_total"]
            pid = await bring_to(moment, visit, f"f/unseen/{WAYS.index(way)}.fits", others)
        await visit.leave()
        if moment == "queue":
            with trio.fail_after(FREE_LIMIT_S):
                await until(lambda: jobs(daemon), 1)  # The other's.
            await others.aclose()
        await until_free(front)
        streams = front.is_cgi and moment in ("first byte", "middle")  # Its worker is through, but for the pipe.
        if moment in STOPPED and pid and not streams:
            assert (await metrics(daemon))["imgd_engine_stopped_total"] > stopped, f"{what}: its work was not stopped"
        assert (await front.get(f"/img?frame=f/a.fits&size=30,&quality={1 + stopped % 100:.0f}")).status == 200, what


async def test_leaving_a_session_ends_its_run(front: Front) -> None:
    daemon: RunningDaemon = front.daemon
    with trio.fail_after(LIMIT_S):
        async with front.websocket("/live") as live:
            view = fresh(LONG).partition("?")[2]
            await live.send_message(json.dumps({"id": 1, "op": "open", "view": view, "results": ["picture"]}))
            runner = json.loads(await live.get_message())["runner"]
            await live.send_message(json.dumps({"id": 2, "op": "run", "runner": runner}))
            await until_at(daemon, "reduce", "tone", "encode")
        await until_free(front)

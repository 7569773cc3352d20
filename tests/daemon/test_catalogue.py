"""The catalogue of a real daemon: headers appear by themselves, are searched, and outlive the daemon."""

import json
import os
import signal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import trio
import trio.testing

from tests.daemon.figures import metrics
from tests.daemon.rig import RunningDaemon, running_daemon
from tests.frames import make

LIMIT_S = 30.0
CROWD = 100
FRAMES = 3_000
WORDS = "search=" + quote("a b c d e f g h")  # Each is looked for in each frame's name: a search that takes a while.


def frame(seconds: float, **cards: str) -> bytes:
    """A frame of 40 x 30."""
    given = [make.card("EXPTIME", seconds), *(make.card(key.replace("_", "-"), value) for key, value in cards.items())]
    return make.image_hdu(np.full((30, 40), 1000, np.uint16), cards=given)


def fill(root: Path) -> None:
    """Five frames, an hour old and older; two of them are none, or have no decent name."""
    (root / "m31").mkdir(parents=True)
    (root / "m31/ha.fits").write_bytes(frame(60.0, OBJECT="M 31", FILTER="Ha", DATE_OBS="2026-11-01T20:15:00"))
    (root / "m31/oiii.fits").write_bytes(frame(300.0, OBJECT="M 31", FILTER="OIII", DATE_OBS="2026-11-02T01:00:00"))
    (root / "dark.fits").write_bytes(frame(60.0, IMAGETYP="Dark"))
    (root / "none.fits").write_bytes(b"this is no frame" * 500)
    Path(os.fsdecode(os.fsencode(root) + b"/\xff.fits")).write_bytes(frame(1.5, OBJECT="ink"))
    now = 1_790_000_000
    for number, name in enumerate(sorted(os.fsencode(path) for path in root.rglob("*.fits"))):
        os.utime(name, (now + number, now + number))


async def catalogue(daemon: RunningDaemon, query: str = "") -> dict[str, Any]:
    answer = await daemon.get(f"/catalogue?{query}")
    assert answer.status == 200, answer.body
    told: dict[str, Any] = json.loads(answer.body)
    return told


async def until_described(daemon: RunningDaemon, count: int) -> dict[str, Any]:
    with trio.fail_after(LIMIT_S):
        while True:
            told = await catalogue(daemon)
            if told["complete"] and told["described"] == told["frames"] == count:
                return told
            await trio.sleep(0.05)


async def names(daemon: RunningDaemon, search: str, more: str = "") -> list[str]:
    return [row["path"] for row in (await catalogue(daemon, f"search={quote(search)}{more}"))["rows"]]


async def test_headers_appear_by_themselves_are_searched_and_are_there_after_a_restart(tmp_path: Path) -> None:
    root = tmp_path / "night"
    fill(root)
    store = f"sqlite:{tmp_path}/events.db"
    async with running_daemon(f"night={root}", database=store, describe_pause_s=0.001) as daemon:
        told = await until_described(daemon, 5)
        assert (told["total"], told["offset"], told["down"]) == (5, 0, None)
        by_name = {row["path"]: row for row in told["rows"]}
        assert by_name["m31/ha.fits"]["hdu"] == {
            "OBJECT": "M 31", "FILTER": "Ha", "EXPTIME": 60.0, "DATE-OBS": "2026-11-01T20:15:00",
            "NAXIS1": 40, "NAXIS2": 30,
        }  # fmt: skip
        assert by_name["none.fits"]["hdu"] == {} and by_name["none.fits"]["why"]
        assert by_name["�.fits"]["ref"] == "night/%FF.fits"
        picture = await daemon.get("/img?frame=" + by_name["�.fits"]["ref"])
        assert picture.status == 200
        assert await names(daemon, "FILTER=ha") == ["m31/ha.fits"]
        assert await names(daemon, "m 31 EXPTIME>=60 date>=2026-11-02") == ["m31/oiii.fits"]
        assert await names(daemon, "", "&dir=night/m31&order=name") == ["m31/ha.fits", "m31/oiii.fits"]
        assert [row["path"] for row in (await catalogue(daemon, "order=oldest&limit=1&offset=4"))["rows"]] == [
            told["rows"][0]["path"]
        ]
        # What comes, changes and goes is there with its event, without a look in the background.
        (root / "new.fits").write_bytes(frame(5.0, OBJECT="Comet"))
        (root / "dark.fits").unlink()
        with trio.fail_after(LIMIT_S):
            while await names(daemon, "OBJECT=comet") != ["new.fits"] or await names(daemon, "dark"):
                await trio.sleep(0.05)
        cursor = json.loads((await daemon.get("/events?wait=0")).body)["cursor"]
        events = json.loads((await daemon.get(f"/events?since={cursor.partition(':')[0]}:0")).body)["events"]
        metrics = (await daemon.get("/metrics")).body.decode()
        assert "imgd_cataloguing_looked_total 5.0" in metrics and "imgd_cataloguing_failed_total 1.0" in metrics
        told_of = sorted((each["type"], each["path"]) for each in events if each["type"].startswith("frame."))
        assert told_of == [("frame.arrived", "new.fits"), ("frame.gone", "dark.fits")]
    async with running_daemon([f"night={root}", f"day={tmp_path}/away"], database=store) as daemon:
        told = await until_described(daemon, 5)
        assert {row["root"] for row in told["rows"]} == {"night"}
        assert "imgd_cataloguing_looked_total 0.0" in (await daemon.get("/metrics")).body.decode()
        for query, status, parameter in [
            ("search=EXPTIME%3E=long", 400, "search"), ("order=size", 400, "order"), ("limit=501", 400, "limit"),
            ("offset=-1", 400, "offset"), ("dir=elsewhere", 404, "dir"), ("dir=night/../x", 404, "dir"),
            ("dir=day", 503, ""), ("what=1", 400, "what"),
        ]:  # fmt: skip
            answer = await daemon.get(f"/catalogue?{query}")
            assert (answer.status, json.loads(answer.body)["parameter"]) == (status, parameter), query


async def test_nothing_is_looked_into_unless_that_is_wanted(tmp_path: Path) -> None:
    root = tmp_path / "night"
    fill(root)
    async with running_daemon(f"night={root}") as daemon:
        with trio.fail_after(LIMIT_S):
            while not (told := await catalogue(daemon))["complete"]:
                await trio.sleep(0.05)
        assert (told["total"], told["described"]) == (5, 0)


async def test_a_crowd_that_asks_for_one_page_at_once_is_answered_by_few_searches(tmp_path: Path) -> None:
    """Nobody is refused because others look at the same page in the same moment."""
    root = tmp_path / "abcdefgh"
    root.mkdir()
    for number in range(FRAMES):
        (root / f"{number:05d}.fits").touch()
    async with running_daemon(f"abcdefgh={root}") as daemon:
        with trio.fail_after(LIMIT_S):
            while not (told := await catalogue(daemon, WORDS))["complete"]:
                await trio.sleep(0.05)
        assert told["total"] == FRAMES
        before = await metrics(daemon)
        pages: list[Any] = []

        async def ask() -> None:
            pages.append(await catalogue(daemon, WORDS))

        async with trio.open_nursery() as nursery:
            os.kill(daemon.pid, signal.SIGSTOP)  # So that all have asked before the first is answered.
            for _ in range(CROWD):
                nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked(0.2)
            os.kill(daemon.pid, signal.SIGCONT)
        assert pages == [told] * CROWD
        after = await metrics(daemon)
        asked, shared, refused = (
            after[name] - before[name]
            for name in map("imgd_catalogue_{}_total".format, ("searches", "shared", "refused"))
        )
        assert (asked, refused) == (CROWD, 0)
        # It is a handful: those who asked while one was under way. A fourth is for a machine whose loop is held up.
        assert asked - shared <= CROWD / 4

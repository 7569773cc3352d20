"""Requests are counted by kind and end, their first bytes timed, and answers 503 told apart by what was short."""

from pathlib import Path
from typing import Any

import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families

from imgd.errors import BadFrame, Busy, Gone, ImgdError, Rewritten
from imgd.figures import Spread
from imgd.web.requests import FIRST_BYTE_S, REASONS, Requests, kind_of
from tests.web.rig import MemoryEngine, Script, Served, get, made

PICTURE = "/img?frame=night/a.fits"


async def figures(served: Served) -> dict[tuple[str, str, str], float]:
    """All samples that are not 0, by name and two labels."""
    text = (await get(served.app, "/metrics")).body.decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    labels = ("kind", "reason"), ("status", "le")
    return {
        (s.name, *(next((s.labels[name] for name in names if name in s.labels), "") for names in labels)): s.value  # type: ignore[misc]  # Three texts.
        for s in samples
        if s.value
    }


async def test_requests_are_counted_by_kind_and_end(tmp_path: Path) -> None:
    with made(tmp_path, MemoryEngine()) as served:
        for target in (PICTURE, PICTURE, "/img?frame=", "/frames?dir=night", "/nothing", "/healthz"):
            await get(served.app, target)
        found = await figures(served)
    name = "imgd_requests_total"
    assert found[name, "picture", "2xx"] == 2 and found[name, "picture", "4xx"] == 1
    assert (
        found[name, "listing", "2xx"] == 1 and found[name, "page", "4xx"] == 1 and found[name, "operation", "2xx"] == 1
    )
    assert found["imgd_first_byte_seconds_count", "picture", ""] == 3
    assert found["imgd_first_byte_seconds_bucket", "picture", "+Inf"] == 3
    assert not any(kind in ("page", "operation") for name, kind, _ in found if name.startswith("imgd_first_byte"))


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Busy("the queue is full", 1, "queue_full"), "queue_full"), (Busy("?", 1), "other"),
        (Rewritten("new", 1), "rewritten"), (Gone("ended"), "stopped"), (BadFrame("broken"), None),
    ],
)  # fmt: skip
async def test_what_was_short_is_told(tmp_path: Path, error: ImgdError, reason: str | None) -> None:
    with made(tmp_path, MemoryEngine(Script(fail_before=error))) as served:
        await get(served.app, PICTURE)
        found = await figures(served)
    told = {kind: count for (name, kind, _), count in found.items() if name == "imgd_busy_answers_total"}
    assert told == ({reason: 1.0} if reason else {}) and (reason is None or reason in REASONS)


async def test_a_daemon_that_is_not_ready_is_not_short_of_anything(tmp_path: Path) -> None:
    with made(tmp_path, MemoryEngine(Script(not_ready="warming"))) as served:
        assert (await get(served.app, "/readyz")).status == 503
        found = await figures(served)
    assert not any(name == "imgd_busy_answers_total" for name, _, _ in found)


async def test_who_leaves_before_the_answer_is_counted_apart() -> None:
    requests = Requests()

    async def never(scope: Any, receive: Any, send: Any) -> None:
        await trio.sleep_forever()

    async def nothing(*_: Any) -> Any:
        raise AssertionError("nobody sends or receives")

    with trio.move_on_after(0.01):
        await requests.answer(never, {"path": "/img"}, nothing, nothing)
    assert [(each.kind, each.status) for each in requests.counts() if each.total] == [("picture", "left")]
    assert all(not sum(each.seconds.counts) for each in requests.first_bytes())


async def test_the_first_byte_is_what_is_timed(autojump_clock: trio.testing.MockClock) -> None:
    requests = Requests()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await trio.sleep(0.3)
        await send({"type": "http.response.start", "status": 200})
        await trio.sleep(100)
        await send({"type": "http.response.body", "body": b""})

    async def take(_: Any) -> None:
        pass

    await requests.answer(slow, {"path": "/tiles/a/0/0/0.jpg"}, take, take)
    (tile,) = [each.seconds for each in requests.first_bytes() if each.kind == "tile"]
    assert tile.counts[FIRST_BYTE_S.index(0.5)] == 1 and sum(tile.counts) == 1 and tile.sum == pytest.approx(0.3)


def test_kinds() -> None:
    of = {"/img": "picture", "/iiif/3/a": "tile", "/stats": "question", "/frame/a": "question", "/admin/x": "operation"}
    assert {path: kind_of(path) for path in of} == of and kind_of("/") == kind_of("/img2") == kind_of("") == "page"


def test_a_value_falls_into_the_first_range_that_holds_it() -> None:
    spread = Spread((1.0, 2.0))
    for value in (0.0, 1.0, 1.1, 2.0, 3.0):
        spread.note(value)
    assert spread.taken().counts == (2, 2, 1) and spread.taken().sum == pytest.approx(7.1)

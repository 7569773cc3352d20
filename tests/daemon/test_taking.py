"""Each setting that SIGHUP takes up is really another one afterwards, in the part that goes by it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from imgd.access.roots import Roots
from imgd.config import Settings, doc_of
from imgd.core.uids import Uids
from imgd.engine.reaping import become_subreaper
from imgd.engine.render import open_engine
from imgd.events.log import open_log
from imgd.events.opening import open_store
from imgd.reload import Parts, changes, take_up, template_of
from imgd.setting_kinds import MIB, Root
from imgd.watching.cataloguing import Cataloguing
from imgd.watching.root import RootWatch
from imgd.watching.state import WatchSettings
from imgd.watching.watches import Watches
from imgd.web.app import make_app
from imgd.web.cgi import CgiDesk
from imgd.web.serve import HttpServer
from tests.rig.bench import STAND_IN

APART = {
    "roots",
    "certfile",
    "keyfile",
    "cgi_users",
    "worker_memory_bytes",
    "log_level",
}  # See test_reload, tests of TLS.

# Where each stands: what a part goes by, found where the part has it.
SEEN: dict[str, Callable[[Any], Any]] = {
    "origins": lambda p: tuple(p.app._live._origins),
    "budget_bytes": lambda p: p.engine.floor.core.pool.budget_bytes,
    **{
        name: (lambda p, name=name: getattr(p.engine.floor.core.limits, name))
        for name in ("workers_max", "workers_idle_max", "worker_idle_s", "lists_max", "queue_max", "memory_wait_s",
                     "overtake_max")
    },
    "worker_threads": lambda p: p.engine.floor.threads,
    "step_limit_s": lambda p: {p.engine.floor.step_limit_s, p.desk.limit_s}.pop(),
    "pixels_max": lambda p: p.engine._limits.pixels_max,
    "facts_max": lambda p: p.engine._facts_max,
    "shutdown_s": lambda p: p.server._settings.shutdown_s,
    "streams_max": lambda p: p.server._config.h2_max_concurrent_streams,
    "request_head_bytes": lambda p: p.server._config.h11_max_incomplete_size,
    "keep_alive_s": lambda p: p.server._config.keep_alive_timeout,
    "handshake_s": lambda p: p.server._handshakes._limit_s,
    "handshakes_max": lambda p: p.server._handshakes._handshakes_max,
    "send_limit_s": lambda p: p.app._live._send_limit_s,
    "message_bytes": lambda p: p.app._answer_until_gone.body_max,
    "sessions_max": lambda p: p.app.runs.sessions._limits.sessions_max,
    "session_uids_max": lambda p: p.desk.sessions._uids_max,
    "sessions_owner_max": lambda p: p.app.runs.sessions._roster._limits.sessions_owner_max,
    "runners_max": lambda p: p.app.runs.sessions._hearing._limits.runners_max,
    "resume_s": lambda p: p.app.runs.sessions._roster._limits.resume_s,
    "set_rest_s": lambda p: p.app.runs.sessions._runs._set_rest_s,
    "run_limit_s": lambda p: p.app.runs._run_limit_s,
    "run_steps_max": lambda p: p.app._run_answers._limits.steps_max,
    "run_bytes": lambda p: p.app.runs._plan_limits.bytes_max,
    "viewport_tiles_max": lambda p: p.app._run_answers._tiles_max,
    "session_bytes": lambda p: p.app._live._session_bytes,
    "console_max": lambda p: p.app.runs.sessions._hearing._limits.console_max,
    "tile_cache_bytes": lambda p: p.engine.tiles.store._size_bytes_max,
    "events_age_s": lambda p: p.events._keep.age_s,
    "events_max": lambda p: p.events._keep.count,
    "lag_max": lambda p: p.events._lag_max,
    "describe_pause_s": lambda p: p.cataloguing._pause_s,
    "listing_max": lambda p: p.roots.listing_max,
    "scan_max": lambda p: p.roots._settings.scan_max,
    "lookup_limit_s": lambda p: p.roots._settings.lookup_limit_s,
    "lookups_max": lambda p: next(iter(p.roots._roots.values())).threads.total_tokens,
}  # fmt: skip


def other(settings: Settings, name: str) -> Any:
    """Make another value of a setting that is within its bounds."""
    doc, value = next((doc_of(each), getattr(settings, name)) for each in fields(Settings) if each.name == name)
    if isinstance(value, tuple):
        return ("https://x.example",)
    assert doc.high is not None and doc.low is not None
    new = value + (MIB if doc.unit == "bytes" else 1)
    return new if new <= doc.high else value - 1


@asynccontextmanager
async def parts(settings: Settings, folder: Path) -> AsyncIterator[Parts]:
    """Build what the daemon builds, with workers that do nothing."""
    become_subreaper()
    roots = Roots(settings)
    async with (
        open_store(f"sqlite:{folder}/events.sqlite") as store,
        open_log(store, settings) as events,
        open_engine(settings, roots.open, STAND_IN) as engine,
    ):
        watches = Watches(lambda root: RootWatch(root, store, nothing, WatchSettings()), settings.roots)
        cataloguing = Cataloguing(store, watches, nothing, engine.at_rest, pause_s=settings.describe_pause_s)
        desk = CgiDesk(
            engine, Uids(settings.sessions_max, settings.session_uids_max), frozenset(), settings.step_limit_s
        )
        app = make_app(settings, engine, roots, desk.sessions, log=events)
        yield Parts(roots, engine, events, watches, cataloguing, desk, app, HttpServer(app, settings), None)


async def nothing(frame: str) -> Any:
    """Look into no frame."""
    raise AssertionError(frame)


async def test_every_setting_that_is_marked_is_taken_up(tmp_path: Path) -> None:
    old = Settings(roots=(Root("f", tmp_path),))
    live = {each.name for each in fields(Settings) if doc_of(each).live}
    assert live - APART == SEEN.keys(), "a setting that is marked is looked at here"
    new = replace(old, **{name: other(old, name) for name in sorted(SEEN)})
    with trio.fail_after(60):
        async with parts(old, tmp_path) as built:
            assert {name: seen(built) for name, seen in SEEN.items()} == {name: getattr(old, name) for name in SEEN}
            take_up(new, built)
            await until(partial(has, built, new))
            wrong = {name: seen(built) for name, seen in SEEN.items() if seen(built) != getattr(new, name)}
            assert wrong == {}
            assert built.server._settings.send_limit_s == built.app._feeds._send_limit_s == new.send_limit_s
            assert built.app._iiif.budget_bytes == built.engine._limits.budget_bytes == new.budget_bytes


def has(built: Parts, new: Settings) -> bool:
    """Whether the core has heard of it."""
    return built.engine.floor.core.pool.target_bytes == new.budget_bytes


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until this is true."""
    while not is_so():
        await trio.sleep(0.005)


def test_what_needs_a_restart_is_told_apart(tmp_path: Path) -> None:
    old = Settings(roots=(Root("f", tmp_path),))
    assert changes(old, replace(old, queue_max=3, bind=("x:1",), rows="down")) == (["queue_max"], ["bind", "rows"])
    secure = replace(old, certfile="c", keyfile="k")
    assert changes(old, secure) == ([], ["certfile", "keyfile"])
    assert changes(secure, replace(secure, certfile="d")) == (["certfile"], [])


@pytest.mark.parametrize("memory", [0, 2 << 30])
def test_workers_are_renewed_for_what_they_are_started_with(tmp_path: Path, memory: int) -> None:
    template = template_of(Settings(roots=(Root("f", tmp_path),), worker_memory_bytes=memory))
    assert (template.memory_bytes, template.readable) == (memory or None, (str(tmp_path),))

"""SIGHUP: the settings are read again, and what can be taken up without losing a session is taken up."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, Final

import trio

from imgd.access.roots import Roots
from imgd.config import Settings, doc_of
from imgd.engine.forges import NotReplaced
from imgd.engine.render import Engine
from imgd.engine.workers import TemplateSettings
from imgd.errors import ConfigError
from imgd.events.log import Log
from imgd.logs import set_log_level
from imgd.notify import Notifier
from imgd.watching.cataloguing import Cataloguing
from imgd.watching.drafts import root_draft
from imgd.watching.noting import insist
from imgd.watching.watches import Watches
from imgd.web.app import WebApp
from imgd.web.cgi import CgiDesk, user_ids
from imgd.web.serve import HttpServer
from imgd.web.tls import Certificate, Loaded, load

log = logging.getLogger("imgd")

READ_LIMIT_S: Final = 15.0  # The config file, or a root, may lie on a file system that hangs.


@dataclass(frozen=True)
class Parts:
    """All that has settings which may become others."""

    roots: Roots
    engine: Engine
    events: Log
    watches: Watches
    cataloguing: Cataloguing
    desk: CgiDesk
    app: WebApp
    server: HttpServer
    certificate: Certificate | None


@dataclass(slots=True)
class ReloadStatistics:
    """How often the settings were read again, and how often they were kept as they were since something was wrong."""

    reloads_total: int = 0
    reloads_failed_total: int = 0


class Reloading:
    """Reads the settings again when it is asked to, one time after another. `run` is its task.

    again     reads them as at the start: file, variables, flags.
    settings  those in force.
    wrong     why those read last were not taken up; "" if they were.
    """

    def __init__(self, settings: Settings, again: Callable[[], Settings], notifier: Notifier) -> None:
        self.settings = settings
        self.wrong = ""
        self._again = again
        self._notifier = notifier
        self._asked = trio.Event()
        self._counts = ReloadStatistics()
        self._whole = trio.CancelScope()

    def statistics(self) -> ReloadStatistics:
        """Count."""
        return replace(self._counts)

    def ask(self) -> None:
        """Have the settings read again soon."""
        self._asked.set()

    def end(self) -> None:
        """Read nothing more, as the daemon is ending; what is being read is not taken up."""
        self._whole.cancel()

    async def run(self, parts: Parts) -> None:
        """Read them whenever that is asked for, until `end`; what is to be told then is told, until cancelled."""
        async with trio.open_nursery() as telling:
            with self._whole:
                await self._serve(parts, telling)

    async def _serve(self, parts: Parts, telling: trio.Nursery) -> None:
        while True:
            await self._asked.wait()
            self._asked = trio.Event()
            self._notifier.reloading()
            self._counts.reloads_total += 1
            self.wrong = await self._reload(parts, telling)
            if self.wrong:
                self._counts.reloads_failed_total += 1
                log.error("the settings are kept as they were: %s", self.wrong)
            if not self._whole.cancel_called:
                self._notifier.ready()

    async def _reload(self, parts: Parts, telling: trio.Nursery) -> str:
        """Read the settings and take them up; tell what is wrong with them."""
        try:
            with trio.fail_after(READ_LIMIT_S):
                given = await trio.to_thread.run_sync(self._again, abandon_on_cancel=True)
                loaded = await self._load(given, parts)
            live, lasting = changes(self.settings, given)
            new = replace(self.settings, **{name: getattr(given, name) for name in live})
            users = user_ids(new.cgi_users)
            came = [root for root in new.roots if root not in self.settings.roots]
            went = [root for root in self.settings.roots if root not in new.roots]
            await parts.roots.look_at(came)
            await parts.engine.replace_workers(template_of(new))
        except ConfigError as error:
            return str(error)
        except trio.TooSlowError:
            return f"they could not be read within {READ_LIMIT_S:g} s"
        except NotReplaced as error:
            return f"no workers could be had by the new ones: {error}"
        words = told(self.settings, new, live)
        self.settings = new
        take_up(new, parts)
        if parts.certificate is not None and loaded is not None:
            words = ", ".join(filter(None, (words, parts.certificate.take(loaded))))
        parts.desk.users = users
        now_ns = time.time_ns()
        drafts = [root_draft(root.name, "root.vanished", now_ns) for root in went]
        drafts += [root_draft(root.name, "root.appeared", now_ns) for root in came]
        if drafts:
            telling.start_soon(insist, partial(parts.events.publish, drafts))
        log.info("settings read again: %s%s", words or "nothing to take up", _restart(lasting))
        return ""

    async def _load(self, given: Settings, parts: Parts) -> Loaded | None:
        """Read the certificate that is to be shown, if one is shown now.

        Raises  ConfigError.
        """
        if parts.certificate is None:
            return None
        source = given if given.certfile else self.settings  # To speak no https any more needs a restart.
        return await trio.to_thread.run_sync(load, source.certfile, source.keyfile, abandon_on_cancel=True)


def take_up(settings: Settings, parts: Parts) -> None:
    """Have each part keep to these settings from now on. Nothing is waited for, so that all change at once."""
    set_log_level(settings.log_level)
    parts.roots.take(settings)
    parts.watches.set_roots(settings.roots)
    parts.engine.take(settings)
    parts.events.take(settings)
    parts.cataloguing.take(settings.describe_pause_s)
    parts.desk.limit_s = settings.step_limit_s
    parts.server.take(settings)
    parts.app.take(settings)


def template_of(settings: Settings) -> TemplateSettings:
    """Tell how the workers' template is started."""
    readable = tuple(str(root.directory) for root in settings.roots)
    return TemplateSettings(memory_bytes=settings.worker_memory_bytes or None, readable=readable)


def changes(old: Settings, new: Settings) -> tuple[list[str], list[str]]:
    """Name the settings that have changed: those that can be taken up, and those that need a restart."""
    changed = [each for each in fields(Settings) if getattr(old, each.name) != getattr(new, each.name)]
    live = [each.name for each in changed if doc_of(each).live]
    if bool(old.certfile) != bool(new.certfile):  # Its places speak https, or they do not.
        live = [name for name in live if name not in ("certfile", "keyfile")]
    return live, [each.name for each in changed if each.name not in live]


def told(old: Settings, new: Settings, names: list[str]) -> str:
    """Say in words what has changed."""
    return ", ".join(f"{name} {_shown(getattr(old, name))} -> {_shown(getattr(new, name))}" for name in names)


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(getattr(each, "name", str(each)) for each in value) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _restart(names: list[str]) -> str:
    return f"; these need a restart: {', '.join(names)}" if names else ""

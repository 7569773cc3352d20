"""`imgd doctor`: make the settings as `imgd serve` would, look at everything, and report."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from imgd.config import Settings
from imgd.doctor.finding import Finding, bad, ok, warn
from imgd.doctor.fronts import check_fronts
from imgd.doctor.kernel import check_kernel, look_at_kernel
from imgd.doctor.leftovers import check_leftovers
from imgd.doctor.limits import check_limits, check_memory, check_processors
from imgd.doctor.machine import look_at_machine
from imgd.doctor.network import Expiry, check_network
from imgd.doctor.program import Page, check_program
from imgd.doctor.report import exit_code_of, json_of, table_of
from imgd.doctor.roots import check_roots
from imgd.doctor.sockets import check_units, places_of
from imgd.doctor.store import check_store
from imgd.doctor.unit import installed_units, machine_of
from imgd.errors import ConfigError
from imgd.loading import load_settings

COLUMNS_MAX = 100


@dataclass(frozen=True)
class Parts:
    """What the doctor asks of floors above its own."""

    expiry: Expiry
    page: Page


def run(flags: Mapping[str, Any], config: str, parts: Parts, *, as_json: bool, shows_all: bool = False) -> int:
    """Look at everything; print the report; return the exit code: 0 well, 1 warnings, 2 bad."""
    findings = examine(flags, config, parts)
    if as_json:
        print(json_of(findings), flush=True)
    else:
        columns = os.get_terminal_size().columns if sys.stdout.isatty() else 80
        print(table_of(findings, min(columns or 80, COLUMNS_MAX), shows_all=shows_all), flush=True)
    return exit_code_of(findings)


def examine(flags: Mapping[str, Any], config: str, parts: Parts) -> list[Finding]:
    """Look at everything that these settings touch. Who names roots as flags means a daemon that no unit starts."""
    findings = []
    units = [] if flags.get("roots") else installed_units()
    unit = units[0] if units else None
    environ = {**os.environ, **(unit.environment if unit else {})}
    if unit and not flags and not environ.get("IMGD_CONFIG"):
        config = config or unit.config
    try:
        settings = load_settings(flags, environ, config)
        findings.append(ok("settings", f"{config or 'no file'}, variables and flags make sense"))
    except ConfigError as error:
        settings = Settings()
        found = f"{error}; the rest is looked at with the defaults"
        findings.append(bad("settings", found, "`imgd settings` prints what there is; README has the table"))
    machine = machine_of(look_at_machine(), unit) if unit else look_at_machine()
    is_given = any(each.streams for each in units)
    checks: dict[str, Callable[[], list[Finding]]] = {
        "kernel": lambda: check_kernel(look_at_kernel()),
        "processors": lambda: check_processors(machine, settings),
        "limits": lambda: check_limits(machine, settings),
        "memory": lambda: check_memory(machine, settings),
        "program": lambda: check_program(parts.page, unit),
        "roots": lambda: check_roots(settings) if settings.roots or findings[0].verdict == "ok" else [],
        "database": lambda: check_store(settings, unit),
        "units": lambda: check_units(units, settings),
        "network": lambda: check_network(settings, parts.expiry, is_given=is_given),
        "fronts": lambda: check_fronts(places_of(units, settings)),
        "left over": check_leftovers,
    }
    for name, check in checks.items():
        try:
            findings += check()
        except OSError as error:
            found = f"could not be looked at: {error}"
            findings.append(
                warn(name, found, "run it as the daemon's user, or as root; if that is no remedy, report it")
            )
    return findings

"""Whether the program itself is whole: packages, the page, compiled kernels, and who it runs as."""

import importlib.util
import os
import re
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Final

from imgd.doctor.finding import Finding, bad, ok, warn
from imgd.doctor.unit import Unit

_REQUIREMENT: Final = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])? ?>= ?([0-9.]+)")
_PINNED: Final = re.compile(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.+!]+)")
_ELSEWHERE: Final = re.compile(rb"""<(?:script|link|img|iframe)[^>]+(?:src|href)=["']?(?:https?:)?//""", re.IGNORECASE)
Page = Callable[[], dict[str, bytes]]
"""Read the built page's files by path. Raises RuntimeError if it was never built."""


def check_program(page: Page, unit: Unit | None = None) -> list[Finding]:
    """Look at all of it.

    unit  by which it is started, if there is one.
    """
    return [
        _user(unit),
        _python(),
        *check_packages(_installed, _requirements(), _pins()),
        check_page(page),
        check_kernels(unit),
    ]


def check_packages(
    installed: Callable[[str], str], requirements: dict[str, str], pins: dict[str, str]
) -> list[Finding]:
    """Compare what is installed with what is asked, and with what was tested.

    installed  tells the version of a package, "" if it is not there.
    """
    present = {name: installed(name) for name in requirements}
    wrong = [
        f"{name} {version or 'missing'}, {requirements[name]} or later is wanted"
        for name, version in present.items()
        if not version or _numbers(version) < _numbers(requirements[name])
    ]
    if wrong:
        return [bad("packages", "; ".join(wrong), f"{sys.executable} -m pip install --upgrade imgd")]
    if not pins:
        return [ok("packages", f"all {len(present)} are new enough (which versions were tested is not known here)")]
    other = [
        f"{name} {version} (tested: {pins[name]})"
        for name, version in present.items()
        if name in pins and pins[name] != version
    ]
    if other:
        change = f"{sys.executable} -m pip install -c constraints.txt imgd"
        return [warn("packages", "not the versions that were tested: " + ", ".join(other), change)]
    return [ok("packages", f"all {len(present)} are the versions that were tested")]


def check_page(page: Page) -> Finding:
    """See that the browser's page is there, and asks nobody else for anything."""
    try:
        files = page()
    except RuntimeError as error:
        return bad("page", str(error), f"{sys.executable} scripts/build_page.py, or install imgd with pip")
    elsewhere = [path for path, body in files.items() if path in ("/", "/docs") and _ELSEWHERE.search(body)]
    if elsewhere:
        return bad("page", f"{', '.join(elsewhere)} loads from another server", "build it again: scripts/build_page.py")
    return ok("page", f"{len(files)} files; it asks no other server for anything, so it works offline")


def check_kernels(unit: Unit | None = None) -> Finding:
    """See whether kernels are compiled, or can be, and be kept."""
    spec = importlib.util.find_spec("cgi_worker")
    if spec is None or not spec.submodule_search_locations:
        return bad("kernels", "cgi_worker is not installed", f"{sys.executable} -m pip install --force-reinstall imgd")
    folder = Path(spec.submodule_search_locations[0]) / "kernels"
    given = (unit.environment if unit else os.environ).get("NUMBA_CACHE_DIR", "")
    return judge_kernels(folder, given, is_made=bool(unit and given and unit.makes(Path(given))))


def judge_kernels(folder: Path, given: str, *, is_made: bool = False) -> Finding:
    """Judge where compiled kernels are kept.

    folder  of their sources. given  where NUMBA_CACHE_DIR has them kept; "" if it is not set.
    is_made  True if systemd makes that for the daemon.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "numba"
    places = [Path(given)] if given else [folder / "__pycache__", home]
    counts = {place: sum(1 for _ in place.rglob("*.nbi")) if place.is_dir() else 0 for place in places}
    place, count = max(counts.items(), key=lambda each: each[1])
    if count:
        return ok("kernels", f"{count} compiled, in {place}")
    change = "NUMBA_CACHE_DIR=/var/cache/imgd, writable for the daemon (CacheDirectory=imgd in the unit)"
    for each in places:
        if is_made or _may_make(each):
            found = f"none compiled yet; they will be kept in {each}: the first start takes minutes, and says so"
            return warn("kernels", found, "start the daemon once and wait for /readyz before anybody comes")
    return bad("kernels", "none compiled, and nowhere to keep them: each start takes minutes", change)


def _may_make(place: Path) -> bool:
    existing = next(each for each in (place, *place.parents) if each.exists())
    return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)


def _user(unit: Unit | None) -> Finding:
    user = unit.user if unit and unit.user else "USER"
    if os.geteuid() == 0 and user != "root":
        found = "root: what this says of permissions is not what the daemon's own user would meet"
        program = unit.program if unit else "imgd"
        return warn("user", found, f"sudo -u {user} {program} doctor ..., with the user that the daemon runs as")
    return ok("user", f"{os.geteuid()}, groups {', '.join(map(str, sorted(os.getgroups())))}")


def _python() -> Finding:
    if not __debug__:
        change = "leave out -O and PYTHONOPTIMIZE"
        return bad("python", "assertions are off: the daemon's own checks are part of it", change)
    return ok("python", f"{sys.version.split()[0]} at {sys.executable}, imgd {metadata.version('imgd')}")


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _requirements() -> dict[str, str]:
    lines = [line for line in metadata.requires("imgd") or () if "extra ==" not in line]
    return {found[1]: found[2] for line in lines if (found := _REQUIREMENT.match(line))}


def _pins() -> dict[str, str]:
    """Tell the versions that were tested, where the project's own folder is what is installed."""
    spec = importlib.util.find_spec("imgd")
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    path = Path(places[0]).parent / "constraints.txt" if places else Path("constraints.txt")
    try:
        text = path.read_text()
    except OSError:
        return {}
    return {found[1]: found[2] for line in text.splitlines() if (found := _PINNED.fullmatch(line.strip()))}


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("+")[0])[:4])

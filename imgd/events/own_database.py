"""Which file keeps the events of some roots, if no other place was named."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from imgd.errors import NotNow
from imgd.setting_kinds import Root


def own_database(roots: Sequence[Root], environ: Mapping[str, str]) -> Path:
    """Name the SQLite file of a service, whatever its roots, or else the one for these roots; nothing is made."""
    if given := environ.get("STATE_DIRECTORY", "").partition(":")[0]:  # By systemd, which gives each daemon its own.
        return Path(given).absolute() / "events.sqlite"
    home = environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    folder = Path(home, "imgd").absolute()
    of = "\0".join(sorted(f"{root.name}={root.directory.absolute()}" for root in roots))
    return folder / f"events-{hashlib.sha256(os.fsencode(of)).hexdigest()[:12]}.sqlite"


def made_own_database(roots: Sequence[Root], environ: Mapping[str, str]) -> str:
    """Name it as the setting does; make its directory.

    Raises  NotNow.
    """
    path = own_database(roots, environ)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        why = f"cannot make {path.parent}: {error.strerror}; say where events are kept"
        raise NotNow(f"database: {why}") from error
    return f"sqlite:{path}"

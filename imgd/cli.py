"""`imgd`: read the command line, make the settings, start the daemon."""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from importlib import metadata
from typing import Any, NoReturn

from imgd.config import Settings, doc_of
from imgd.errors import BadRequest, ConfigError, NotNow
from imgd.loading import load_settings
from imgd.settings_table import flags_of, settings_table

EXIT_NOT_REACHED = 1
EXIT_WRONG_SETTING = 2
EXIT_NOT_NOW = 75  # EX_TEMPFAIL: a supervisor is to try again; the settings themselves are not what is wrong.


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """Print the line and exit."""
        self.exit(EXIT_WRONG_SETTING, f"imgd: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `imgd` with these arguments (those of the process, if None); return its exit code."""
    given = vars(_parser().parse_args(arguments))
    match given.pop("command"):
        case "settings":
            sys.stdout.write(settings_table())
            return 0
        case "watch":
            return _watch(given)
        case "stat":
            return _stat(given)
        case "doctor":
            return _doctor(given)
        case "page":
            return _page()
        case _:
            return _serve(given)


def _serve(given: dict[str, Any]) -> int:
    config = given.pop("config") or ""
    flags = _flags(given)

    def load() -> Settings:
        settings = load_settings(flags, os.environ, config)
        if not settings.roots:
            raise ConfigError("roots: name at least one directory to serve (imgd serve DIR...)")
        return settings

    try:
        settings = load()
        from imgd.daemon import run  # noqa: PLC0415  # Only here: it is slow to load, and the other commands need none of it.

        return run(settings, load)
    except ConfigError as error:
        print(f"imgd: {error}", file=sys.stderr)
        return EXIT_NOT_NOW if isinstance(error, NotNow) else EXIT_WRONG_SETTING


def _page() -> int:
    from imgd.web.pages import NotBuilt, page_folder  # noqa: PLC0415  # Only here, as above.

    try:
        print(page_folder())
        return 0
    except NotBuilt as error:
        print(f"imgd: {error}", file=sys.stderr)
        return EXIT_WRONG_SETTING


def _watch(given: dict[str, Any]) -> int:
    from imgd.events.event import read_cursor  # noqa: PLC0415  # Only here, as above.
    from imgd.events.filters import filter_from_text, read_filters  # noqa: PLC0415
    from imgd.trust import client_context  # noqa: PLC0415
    from imgd.watch import FROM_THE_START, Watching, live_url, run  # noqa: PLC0415

    try:
        if given["since"] not in (None, FROM_THE_START):
            read_cursor(given["since"])
        filters = [filter_from_text(text) for text in given["filter"]]
        read_filters(filters)
        url, since = live_url(given["url"]), given["since"]
        watching = Watching(url, filters, since, given["json"], given["count"], progress=given["progress"])
        watching.trust = client_context(given["cafile"]) if given["cafile"] else None
        return run(watching)
    except BadRequest as error:
        print(f"imgd: {error.parameter}: {error.text}", file=sys.stderr)
    except ConfigError as error:
        print(f"imgd: {error}", file=sys.stderr)
    return EXIT_WRONG_SETTING


def _stat(given: dict[str, Any]) -> int:
    from imgd.reaching import NotReached, place_of, usual_place  # noqa: PLC0415  # Only here, as above.
    from imgd.stat.asking import Wish  # noqa: PLC0415
    from imgd.stat.run import run  # noqa: PLC0415

    try:
        place = replace(place_of(given["url"]) if given["url"] else usual_place(), cafile=given["cafile"] or "")
    except ConfigError as error:
        print(f"imgd: {error}", file=sys.stderr)
        return EXIT_WRONG_SETTING
    except NotReached as error:
        print(f"imgd stat: {error}", file=sys.stderr)
        return EXIT_NOT_REACHED
    wish = Wish(
        place, given["json"], given["end_session"], given["end_runner"], given["end_all"], once=given["once"]
    )  # fmt: skip
    return run(wish)


def _doctor(given: dict[str, Any]) -> int:
    from imgd.doctor.run import Parts, run  # noqa: PLC0415  # Only here, as above.
    from imgd.web.pages import load_pages  # noqa: PLC0415
    from imgd.web.tls import Certificate  # noqa: PLC0415

    def expiry(certfile: str, keyfile: str) -> float:
        return Certificate(certfile, keyfile).expires_at

    def page() -> dict[str, bytes]:
        return {path: found.body for path, found in load_pages().items()}

    config, as_json, shows_all = given.pop("config") or "", given.pop("json"), given.pop("all")
    return run(_flags(given), config, Parts(expiry, page), as_json=as_json, shows_all=shows_all)


def _flags(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None and value != []}


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text)):
        raise argparse.ArgumentTypeError("must be a whole number from 1")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="imgd", description="Show scientific frames in a browser.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"imgd {metadata.version('imgd')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="serve|doctor|watch|stat|page|settings")
    commands.add_parser("settings", help="print the table of all settings", allow_abbrev=False)
    commands.add_parser("page", help="print the folder of the page, for a web server in front", allow_abbrev=False)
    _add_watch(commands.add_parser("watch", help="print events as they happen", allow_abbrev=False))
    _add_stat(
        commands.add_parser(
            "stat", help="show how a daemon does and who is connected, or end sessions", allow_abbrev=False
        )
    )
    serve = commands.add_parser("serve", help="serve the frames below directories", allow_abbrev=False)
    _add_settings(serve)
    doctor = commands.add_parser(
        "doctor", help="look for what will be trouble, and say what to change", allow_abbrev=False
    )
    _add_settings(doctor)
    doctor.add_argument("--json", action="store_true", help="print the findings as JSON")
    doctor.add_argument("--all", action="store_true", help="show what holds on every machine, too")
    return parser


def _add_settings(serve: argparse.ArgumentParser) -> None:
    serve.add_argument("--config", metavar="FILE", help="TOML file with settings; variables and flags override it")
    for setting in fields(Settings):
        doc = doc_of(setting)
        help_text = doc.reason.replace("%", "%%")
        if setting.name == "roots":
            serve.add_argument("roots", nargs="*", metavar="DIR", help=help_text)
        else:
            action = "append" if doc.many else "store"
            serve.add_argument(*flags_of(setting), dest=setting.name, action=action, metavar="X", help=help_text)


def _add_watch(watch: argparse.ArgumentParser) -> None:
    watch.add_argument("url", metavar="URL", help="a daemon, such as http://127.0.0.1:8765/")
    watch.add_argument("--since", metavar="CURSOR", help="begin after this event (0: with the oldest kept)")
    watch.add_argument(
        "--filter", metavar="TEXT", action="append", default=[],
        help="only events such as 'type=frame.arrived' or 'path glob night/**'; all of several must match",
    )  # fmt: skip
    watch.add_argument("--json", action="store_true", help="print each event as JSON")
    watch.add_argument("--cafile", metavar="FILE", help="authorities to trust over https, in place of the system's")
    watch.add_argument("--progress", action="store_true", help="print progress too, such as that of a root's scan")
    watch.add_argument("--count", metavar="N", type=_count, help="end after so many events")


def _add_stat(stat: argparse.ArgumentParser) -> None:
    stat.add_argument(
        "url", metavar="URL", nargs="?",
        help="a daemon of this machine, such as unix:/path; none: http://127.0.0.1:8765/, then unix:/run/imgd/web.sock",
    )  # fmt: skip
    stat.add_argument("--json", action="store_true", help="print the answer as JSON")
    stat.add_argument("--cafile", metavar="FILE", help="authorities to trust over https, in place of the system's")
    stat.add_argument("--once", action="store_true", help="print one table, and do not go on")
    end = stat.add_mutually_exclusive_group()
    end.add_argument("--end-session", metavar="NAME", help="end this session")
    end.add_argument("--end-runner", metavar="N", type=_count, help="end the runner of this number")
    end.add_argument("--end-all", action="store_true", help="end all sessions")


if __name__ == "__main__":
    sys.exit(main())

"""Every setting of the daemon: one frozen, checked record; flags, variables, TOML keys and README's table follow it."""

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any, Final, Literal

from imgd.errors import ConfigError
from imgd.setting_kinds import (
    GIB,
    KIB,
    MIB,
    ROOT_NAME,
    UNITS,
    Doc,
    Root,
    cores,
    count_setting,
    read_binds,
    read_database,
    read_level,
    read_roots,
    read_rows,
    read_text,
    read_texts,
    seconds_setting,
    size_setting,
    text_setting,
)

_ENVIRONMENT_ELSEWHERE: Final = frozenset(
    {"IMGD_CONFIG", "IMGD_SOCKET", "IMGD_CGI"}
)  # The config file; what a CGI reads.

Given = Mapping[str, tuple[str, Any]]
"""Values as they were given: setting -> (where it came from, the value as text or as TOML had it)."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings, checked: making one with a wrong value raises ConfigError, so that none exists."""

    roots: tuple[Root, ...] = text_setting(
        (),
        read_roots,
        "Directory trees to serve, as `DIR`, or as `NAME=DIR`, which may come later",
        default_text="none",
        many=True,
    )
    bind: tuple[str, ...] = text_setting(
        ("127.0.0.1:8765",),
        read_binds,
        (
            "Where to listen: `HOST:PORT` (port 0: any free one) or `unix:/path`; this machine alone "
            "unless you say otherwise"
        ),
        many=True,
    )
    origins: tuple[str, ...] = text_setting(
        (),
        read_texts,
        ("Web origins besides our own whose pages may open the websocket, such as `https://example.org`"),
        default_text="none",
        many=True,
    )
    cgi_socket: str = text_setting(
        "", read_text, "UNIX socket that CGI programs ask; none when empty", default_text="none"
    )
    cgi_users: tuple[str, ...] = text_setting(
        (),
        read_texts,
        "Users whose CGI programs may ask, besides the daemon's own and root",
        default_text="none",
        many=True,
    )
    rows: Literal["up", "down"] = text_setting(
        "up",
        read_rows,
        "First row stored of a frame that does not say it (`ROWORDER`): at the bottom (`up`), or at the top (`down`)",
    )
    log_level: str = text_setting("info", read_level, "Least severe message that is logged")

    budget_bytes: int = size_setting(
        512 * MIB,
        16 * MIB,
        1 << 46,
        "Bound of all shared buffers together, never exceeded; larger keeps more frames warm",
        flags=("--budget",),
    )
    workers_max: int = count_setting(
        cores,
        1,
        1024,
        "Workers at work at the same time; more than cores only helps when storage is slow",
        flags=("--workers",),
        default_text="number of cores",
    )
    workers_idle_max: int = count_setting(
        4, 0, 1024, "Workers kept waiting for the next todo list; each costs a few MiB"
    )
    worker_idle_s: float = seconds_setting(10.0, 0.0, 86_400.0, "A worker that waits longer exits")
    lists_max: int = count_setting(200, 1, 1_000_000, "Todo lists before a worker is renewed; 1 is strict CGI")
    worker_threads: int = count_setting(
        cores, 1, 256, "Threads of one step; all cores make the first picture soonest", default_text="number of cores"
    )
    worker_memory_bytes: int = size_setting(
        16 * GIB,
        GIB,
        1 << 46,
        (
            "Memory of one worker beyond what it is forked with (RLIMIT_DATA): bounds what a hostile file can "
            "make a decoder allocate"
        ),
        zero="no limit",
    )
    step_limit_s: float = seconds_setting(
        30.0, 0.1, 86_400.0, "Deadline of one todo list; a worker that overruns is killed"
    )
    queue_max: int = count_setting(
        200, 1, 1_000_000, "Jobs that wait at most; the next one is told to come back later (503)"
    )
    memory_wait_s: float = seconds_setting(
        20.0, 0.0, 86_400.0, "A job that waits longer for memory is told to come back later (503)"
    )
    overtake_max: int = count_setting(
        16, 0, 1_000_000, "Jobs that may overtake one that waits for memory; after that memory is saved up for it"
    )
    pixels_max: int = count_setting(
        2**31, 1, 2**40, "Largest plane of a frame; a header that claims more is refused (413)", unit="pixels"
    )
    facts_max: int = count_setting(
        10_000, 1, 10_000_000, "Frames whose facts are remembered, so that they are not parsed again"
    )
    story_max: int = count_setting(2_000, 0, 1_000_000, "Last events and commands kept for a bug report")
    shutdown_s: float = seconds_setting(5.0, 0.0, 3600.0, "Time that open answers get to finish when the daemon ends")

    connections_max: int = count_setting(2_000, 1, 1_000_000, "Open connections; a further one is closed at once")
    streams_max: int = count_setting(100, 1, 10_000, "Requests at the same time in one HTTP/2 connection")
    request_head_bytes: int = size_setting(16 * KIB, KIB, MIB, "Largest head of a request: address and headers")
    keep_alive_s: float = seconds_setting(
        15.0, 0.1, 86_400.0, "An idle connection, or a request head that is not complete, is dropped after this"
    )
    send_limit_s: float = seconds_setting(
        30.0,
        0.1,
        86_400.0,
        ("An answer that makes no progress (64 KiB) for this long is dropped, with the memory that it holds"),
    )
    message_bytes: int = size_setting(16 * KIB, KIB, 16 * MIB, "Largest message of a websocket")
    ping_s: float = seconds_setting(
        30.0, 1.0, 3600.0, "A client that is gone without a word is noticed within twice this time, and its work ended"
    )
    sessions_max: int = count_setting(1_000, 1, 1_000_000, "Websockets at the same time")
    session_uids_max: int = count_setting(
        64, 1, 100_000, "Views that one session has UIDs for; the oldest is forgotten first"
    )
    sessions_owner_max: int = count_setting(1_000, 1, 1_000_000, "Websockets of one owner at the same time")
    runners_max: int = count_setting(16, 1, 10_000, "Open pictures (runners) of one session")
    resume_s: float = seconds_setting(
        60.0, 0.0, 86_400.0, "A client whose connection broke may take its session up again within this time"
    )
    set_rest_s: float = seconds_setting(
        0.1,
        0.0,
        60.0,
        "Least time between two runs of one runner while its view is being changed; the last change wins",
    )
    run_limit_s: float = seconds_setting(60.0, 0.1, 86_400.0, "Time of one run of a runner; it is failed after that")
    run_steps_max: int = count_setting(1_000, 1, 1_000_000, "Steps of one run")
    run_bytes: int = size_setting(
        0, MIB, 1 << 46, "Memory that all results of one run may take together", zero="the whole budget"
    )
    viewport_tiles_max: int = count_setting(400, 1, 10_000, "Tiles of one viewport")
    session_bytes: int = size_setting(
        4 * MIB,
        64 * KIB,
        1 << 40,
        "Pictures and tiles that wait for one slow client; the oldest tiles are dropped first",
    )
    console_max: int = count_setting(200, 1, 100_000, "Entries of a runner's console; the oldest are forgotten")
    tile_cache_bytes: int = size_setting(
        64 * MIB, 0, 1 << 46, "Encoded tiles kept in the daemon, so that asking again costs no worker", zero="none"
    )
    database: str = text_setting(
        "",
        read_database,
        (
            "Where events are kept: `sqlite:/path/to/file`, or `postgresql://...`, which several daemons may share; "
            "empty: a SQLite file of its own for these roots in `$STATE_DIRECTORY`, or in `~/.local/state/imgd`"
        ),
        default_text="a file of its own",
    )
    events_age_s: float = seconds_setting(30 * 86_400.0, 60.0, 1e9, "Events older than this are forgotten")
    events_max: int = count_setting(1_000_000, 1, 10**9, "Events kept at most; the oldest are forgotten first")
    ring_max: int = count_setting(2_000, 1, 1_000_000, "Newest events kept in memory, for all clients together")
    lag_max: int = count_setting(
        100_000, 1, 10**9, "Events that a client may be behind; it is told which it missed, and goes on from there"
    )
    settle_s: float = seconds_setting(
        2.0, 0.05, 3600.0, "A frame that is too short for its header is announced when it was quiet for this long"
    )
    describe_pause_s: float = seconds_setting(
        0.02,
        0.001,
        3600.0,
        "Pause between two frames whose headers are read for the catalogue while nobody wants anything else",
        zero="never",
    )
    poll_s: float = seconds_setting(
        0.0, 0.1, 86_400.0, "How often the roots are read through, for network file systems", zero="the kernel tells"
    )
    listing_max: int = count_setting(1_000, 1, 100_000, "Names in one page of a listing")
    scan_max: int = count_setting(
        100_000, 1, 10_000_000, "Names read from one directory; a listing of more says that it is not whole"
    )
    lookup_limit_s: float = seconds_setting(
        10.0, 0.1, 3600.0, "A look-up that its file system has not answered by then is given up (503)"
    )
    lookups_max: int = count_setting(
        8, 1, 1_000, "Look-ups at the same time in one root; bounds the threads that a hung file system can hold"
    )

    def __post_init__(self) -> None:
        """Check each value, then the values against each other."""
        for each in fields(self):
            _check_range(each, getattr(self, each.name), "")
        _check_together(self)


def doc_of(setting: "Field[Any]") -> Doc:
    """Tell what is known about a setting."""
    doc = setting.metadata["doc"]
    assert isinstance(doc, Doc)
    return doc


def load_settings(flags: Mapping[str, Any], environ: Mapping[str, str], config: str = "") -> Settings:
    """Make the settings: defaults, then the TOML file, then IMGD_* variables, then flags.

    flags  setting -> value as given (text, or list of texts).

    Raises  ConfigError: one line that names the setting, and where it came from.
    """
    given: dict[str, tuple[str, Any]] = {}
    path = config or environ.get("IMGD_CONFIG", "")
    if path:
        given.update({key: (path, value) for key, value in _read_toml(path).items()})
    for name, text in environ.items():
        if name.startswith("IMGD_") and name not in _ENVIRONMENT_ELSEWHERE:
            given[name.removeprefix("IMGD_").lower()] = (name, text)
    for key, value in flags.items():
        given[key] = ("command line", value)
    return _settle(given)


def _read_toml(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"config: cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"config: {path} is not TOML: {error}") from error


def _settle(given: Given) -> Settings:
    known = {each.name: each for each in fields(Settings)}
    values: dict[str, Any] = {}
    for key, (where, raw) in given.items():
        if key not in known:
            raise ConfigError(f"{key} ({where}): there is no such setting")
        doc = doc_of(known[key])
        try:
            values[key] = doc.read(raw)
        except ValueError as error:
            raise ConfigError(f"{key} ({where}): must be {error}, not {_shown(raw)}") from error
        _check_range(known[key], values[key], f" ({where})")
    return Settings(**values)


def _shown(raw: Any) -> str:
    text = repr(raw)
    return text if len(text) <= 80 else text[:77] + "..."


def _check_range(setting: "Field[Any]", value: Any, where: str) -> None:
    doc = doc_of(setting)
    if doc.low is None or doc.high is None:
        return
    if value == 0 and doc.zero:
        return
    if not doc.low <= value <= doc.high:
        zero = f", or 0 ({doc.zero})" if doc.zero else ""
        raise ConfigError(f"{setting.name}{where}: must be from {doc.low:g} to {doc.high:g}{zero}, not {value}")


def _check_together(settings: Settings) -> None:
    names = [root.name for root in settings.roots]
    for name in names:
        if not ROOT_NAME.fullmatch(name) or name in (".", "..") or names.count(name) > 1:
            raise ConfigError(f"roots: {name!r} is no name for one root")
    if not settings.bind:
        raise ConfigError("bind: names no place to listen at")
    places = [bind for bind in settings.bind if not bind.endswith(":0")]
    if settings.cgi_socket:
        places.append(f"unix:{settings.cgi_socket}")
    for place in places:
        if places.count(place) > 1:
            raise ConfigError(f"bind: {place} is named twice")
    if settings.cgi_socket and not settings.cgi_socket.startswith("/"):
        raise ConfigError("cgi_socket: must be an absolute path")
    if settings.listing_max > settings.scan_max:
        raise ConfigError("listing_max: is above scan_max, so that a page could never be filled")


def settings_table() -> str:
    """Write README's table of all settings, in Markdown."""
    lines = ["| Setting | Flag | Default | Unit | What it is for |", "|---|---|---|---|---|"]
    for each in fields(Settings):
        doc = doc_of(each)
        flag = ", ".join(f"`{name}`" for name in flags_of(each))
        zero = f" (0: {doc.zero})" if doc.zero else ""
        lines.append(f"| `{each.name}` | {flag} | {_default_text(each)} | {doc.unit} | {doc.reason}{zero} |")
    return "\n".join(lines) + "\n"


def flags_of(setting: "Field[Any]") -> tuple[str, ...]:
    """Tell the flags of `imgd serve` that give a setting; roots are given as plain arguments."""
    if setting.name == "roots":
        return ("DIR...",)
    return (*doc_of(setting).flags, "--" + setting.name.replace("_", "-"))


def _default_text(setting: "Field[Any]") -> str:
    doc = doc_of(setting)
    if doc.default_text:
        return doc.default_text
    assert setting.default is not MISSING, "a default that is computed needs words for the table"
    if isinstance(setting.default, tuple):
        return ", ".join(f"`{item}`" for item in setting.default)
    if doc.unit == "bytes":
        return f"`{_size_text(setting.default)}`"
    return f"`{setting.default:g}`" if isinstance(setting.default, float) else f"`{setting.default}`"


def _size_text(size_bytes: int) -> str:
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if size_bytes and size_bytes % UNITS[unit] == 0:
            return f"{size_bytes // UNITS[unit]}{unit}"
    return str(size_bytes)

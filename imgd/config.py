"""Every setting of the daemon: one frozen, checked record; flags, variables, TOML keys and README's table follow it."""

from dataclasses import Field, dataclass, fields
from typing import Any, Literal

from imgd.errors import ConfigError
from imgd.setting_kinds import (
    GIB,
    KIB,
    MIB,
    ROOT_NAME,
    Doc,
    Root,
    cores,
    count_setting,
    read_binds,
    read_database,
    read_level,
    read_log,
    read_log_lines,
    read_roots,
    read_rows,
    read_switch,
    read_text,
    read_texts,
    seconds_setting,
    size_setting,
    text_setting,
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings, checked: making one with a wrong value raises ConfigError, so that none exists."""

    roots: tuple[Root, ...] = text_setting(
        (),
        read_roots,
        "Directory trees to serve, as `DIR`, or as `NAME=DIR`, which may come later",
        default_text="none",
        many=True,
        live=True,
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
    certfile: str = text_setting(
        "",
        read_text,
        "Certificate chain (PEM): all TCP places speak https then, with HTTP/2; UNIX sockets stay as they are",
        default_text="none",
        live=True,
    )
    keyfile: str = text_setting("", read_text, "Its private key (PEM)", default_text="in `certfile`", live=True)
    redirect_bind: tuple[str, ...] = text_setting(
        (),
        read_binds,
        "Where to answer plain http with a redirect (308) to the https of the first TCP place, such as `0.0.0.0:80`",
        default_text="none",
        many=True,
    )
    origins: tuple[str, ...] = text_setting(
        (),
        read_texts,
        ("Web origins besides our own whose pages may open the websocket, such as `https://example.org`"),
        default_text="none",
        many=True,
        live=True,
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
        live=True,
    )
    rows: Literal["up", "down"] = text_setting(
        "up",
        read_rows,
        "First row stored of a frame that does not say it (`ROWORDER`): at the bottom (`up`), or at the top (`down`)",
    )
    admin: Literal["on", "off"] = text_setting(
        "on",
        read_switch,
        (
            "Whether `/admin` answers who sits at this machine; `off` if a proxy here forwards requests without "
            "saying so, or if not everybody who may log in here may end sessions"
        ),
    )
    log: Literal["stderr", "syslog", "journal"] = text_setting(
        "stderr", read_log, "Where the log goes: `stderr`, `syslog` (`/dev/log`) or `journal` (systemd's)"
    )
    log_lines: Literal["auto", "text", "json"] = text_setting(
        "auto", read_log_lines, "Lines of the log: `text`, or `json`; `auto`: text on a terminal, JSON elsewhere"
    )
    log_level: str = text_setting("info", read_level, "Least severe message that is logged", live=True)

    budget_bytes: int = size_setting(
        512 * MIB,
        16 * MIB,
        1 << 46,
        "Bound of all shared buffers together, never exceeded; larger keeps more frames warm",
        flags=("--budget",),
        live=True,
    )
    workers_max: int = count_setting(
        cores,
        1,
        1024,
        "Workers at work at the same time; more than cores only helps when storage is slow",
        flags=("--workers",),
        default_text="number of cores",
        live=True,
    )
    workers_idle_max: int = count_setting(
        4, 0, 1024, "Workers kept waiting for the next todo list; each costs a few MiB", live=True
    )
    worker_idle_s: float = seconds_setting(10.0, 0.0, 86_400.0, "A worker that waits longer exits", live=True)
    lists_max: int = count_setting(
        200, 1, 1_000_000, "Todo lists before a worker is renewed; 1 is strict CGI", live=True
    )
    worker_threads: int = count_setting(
        cores,
        1,
        256,
        "Threads of one step; all cores make the first picture soonest",
        default_text="number of cores",
        live=True,
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
        live=True,
    )
    step_limit_s: float = seconds_setting(
        30.0, 0.1, 86_400.0, "Deadline of one todo list; a worker that overruns is killed", live=True
    )
    queue_max: int = count_setting(
        200, 1, 1_000_000, "Jobs that wait at most; the next one is told to come back later (503)", live=True
    )
    memory_wait_s: float = seconds_setting(
        20.0, 0.0, 86_400.0, "A job that waits longer for memory is told to come back later (503)", live=True
    )
    overtake_max: int = count_setting(
        16,
        0,
        1_000_000,
        "Jobs that may overtake one that waits for memory; after that memory is saved up for it",
        live=True,
    )
    pixels_max: int = count_setting(
        2**31,
        1,
        2**40,
        "Largest plane of a frame; a header that claims more is refused (413)",
        unit="pixels",
        live=True,
    )
    facts_max: int = count_setting(
        10_000, 1, 10_000_000, "Frames whose facts are remembered, so that they are not parsed again", live=True
    )
    story_max: int = count_setting(2_000, 0, 1_000_000, "Last events and commands kept for a bug report")
    shutdown_s: float = seconds_setting(
        5.0, 0.0, 3600.0, "Time that open answers get to finish when the daemon ends", live=True
    )

    connections_max: int = count_setting(2_000, 1, 1_000_000, "Open connections; a further one is closed at once")
    streams_max: int = count_setting(100, 1, 10_000, "Requests at the same time in one HTTP/2 connection", live=True)
    request_head_bytes: int = size_setting(
        16 * KIB, KIB, MIB, "Largest head of a request: address and headers", live=True
    )
    keep_alive_s: float = seconds_setting(
        15.0,
        0.1,
        86_400.0,
        "An idle connection, or a request head that is not complete, is dropped after this",
        live=True,
    )
    handshake_s: float = seconds_setting(
        10.0, 0.1, 3600.0, "A TLS handshake that takes longer is given up, and its connection closed", live=True
    )
    handshakes_max: int = count_setting(
        200, 1, 1_000_000, "TLS handshakes under way; the oldest gives way to a further one", live=True
    )
    send_limit_s: float = seconds_setting(
        30.0,
        0.1,
        86_400.0,
        "An answer that makes no progress (64 KiB; over HTTP/2 all of a client together) for this long is dropped, "
        "with its memory",
        live=True,
    )
    message_bytes: int = size_setting(16 * KIB, KIB, 16 * MIB, "Largest message of a websocket", live=True)
    ping_s: float = seconds_setting(
        30.0, 1.0, 3600.0, "A client that is gone without a word is noticed within twice this time, and its work ended"
    )
    sessions_max: int = count_setting(1_000, 1, 1_000_000, "Websockets at the same time", live=True)
    session_uids_max: int = count_setting(
        64, 1, 100_000, "Views that one session has UIDs for; the oldest is forgotten first", live=True
    )
    sessions_owner_max: int = count_setting(1_000, 1, 1_000_000, "Websockets of one owner at the same time", live=True)
    runners_max: int = count_setting(16, 1, 10_000, "Open pictures (runners) of one session", live=True)
    resume_s: float = seconds_setting(
        60.0, 0.0, 86_400.0, "A client whose connection broke may take its session up again within this time", live=True
    )
    set_rest_s: float = seconds_setting(
        0.1,
        0.0,
        60.0,
        "Least time between two runs of one runner while its view is being changed; the last change wins",
        live=True,
    )
    run_limit_s: float = seconds_setting(
        60.0, 0.1, 86_400.0, "Time of one run of a runner; it is failed after that", live=True
    )
    run_steps_max: int = count_setting(1_000, 1, 1_000_000, "Steps of one run", live=True)
    run_bytes: int = size_setting(
        0, MIB, 1 << 46, "Memory that all results of one run may take together", zero="the whole budget", live=True
    )
    viewport_tiles_max: int = count_setting(400, 1, 10_000, "Tiles of one viewport", live=True)
    session_bytes: int = size_setting(
        4 * MIB,
        64 * KIB,
        1 << 40,
        "Pictures and tiles that wait for one slow client; the oldest tiles are dropped first",
        live=True,
    )
    console_max: int = count_setting(
        200, 1, 100_000, "Entries of a runner's console; the oldest are forgotten", live=True
    )
    tile_cache_bytes: int = size_setting(
        64 * MIB,
        0,
        1 << 46,
        "Encoded tiles kept in the daemon, so that asking again costs no worker",
        zero="none",
        live=True,
    )
    database: str = text_setting(
        "",
        read_database,
        (
            "Where events are kept: `sqlite:/path/to/file`, or `postgresql://...`, which several daemons may share; "
            "empty: a SQLite file of its own, `events.sqlite` in the `$STATE_DIRECTORY` of a service, else one for "
            "these roots in `~/.local/state/imgd`"
        ),
        default_text="a file of its own",
    )
    events_age_s: float = seconds_setting(30 * 86_400.0, 60.0, 1e9, "Events older than this are forgotten", live=True)
    events_max: int = count_setting(
        1_000_000, 1, 10**9, "Events kept at most; the oldest are forgotten first", live=True
    )
    ring_max: int = count_setting(2_000, 1, 1_000_000, "Newest events kept in memory, for all clients together")
    lag_max: int = count_setting(
        100_000,
        1,
        10**9,
        "Events that a client may be behind; it is told which it missed, and goes on from there",
        live=True,
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
        live=True,
    )
    poll_s: float = seconds_setting(
        0.0, 0.1, 86_400.0, "How often the roots are read through, for network file systems", zero="the kernel tells"
    )
    listing_max: int = count_setting(1_000, 1, 100_000, "Names in one page of a listing", live=True)
    scan_max: int = count_setting(
        100_000, 1, 10_000_000, "Names read from one directory; a listing of more says that it is not whole", live=True
    )
    lookup_limit_s: float = seconds_setting(
        10.0, 0.1, 3600.0, "A look-up that its file system has not answered by then is given up (503)", live=True
    )
    lookups_max: int = count_setting(
        8,
        1,
        1_000,
        "Look-ups at the same time in one root; bounds the threads that a hung file system can hold",
        live=True,
    )

    def __post_init__(self) -> None:
        """Check each value, then the values against each other."""
        for each in fields(self):
            check_range(each, getattr(self, each.name), "")
        _check_together(self)


def doc_of(setting: "Field[Any]") -> Doc:
    """Tell what is known about a setting."""
    doc = setting.metadata["doc"]
    assert isinstance(doc, Doc)
    return doc


def check_range(setting: "Field[Any]", value: Any, where: str) -> None:
    """See that a value is within the bounds of its setting.

    Raises  ConfigError.
    """
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
    _check_tls(settings)
    places = [bind for bind in (*settings.bind, *settings.redirect_bind) if not bind.endswith(":0")]
    if settings.cgi_socket:
        places.append(f"unix:{settings.cgi_socket}")
    for place in places:
        if places.count(place) > 1:
            raise ConfigError(f"bind: {place} is named twice")
    if settings.cgi_socket and not settings.cgi_socket.startswith("/"):
        raise ConfigError("cgi_socket: must be an absolute path")
    if settings.listing_max > settings.scan_max:
        raise ConfigError("listing_max: is above scan_max, so that a page could never be filled")


def _check_tls(settings: Settings) -> None:
    if settings.keyfile and not settings.certfile:
        raise ConfigError("keyfile: is of no use without certfile")
    if not settings.redirect_bind:
        return
    if not settings.certfile or all(bind.startswith("unix:") for bind in settings.bind):
        raise ConfigError("redirect_bind: there is no https to lead to; it needs certfile, and a TCP place in bind")
    if any(bind.startswith("unix:") for bind in settings.redirect_bind):
        raise ConfigError("redirect_bind: must name TCP places")

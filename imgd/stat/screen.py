"""The screen of `imgd stat`: lines of plain text that fit a terminal of any size, the most urgent ones first."""

from collections.abc import Callable
from typing import Any

from imgd.stat.samples import Samples
from imgd.stat.words import age_text, bar, fitted, flowed, padded, plain, rate_text, share_text, size_text

_WIDE = 60  # Columns from which there is room for a margin.
_PART_MIN = 3  # Rows of a table: a blank one, its heading, and something.
_TILES = ("tile", "tile_kept")
_TROUBLES = (
    ("failed_total", "failed"), ("crashed_total", "crashed"), ("timed_out_total", "timed out"),
    ("stopped_total", "stopped"),
)  # fmt: skip


def screen_of(samples: Samples, place: str, columns: int, rows: int = 0) -> list[str]:
    """Write everything that fits.

    rows  of the terminal; 0: as many as it takes.
    """
    lines = [_head(samples, place, columns)]
    for section in _SUMMARY:
        lines += section(samples, columns)
    tables = [table for make in _TABLES if (table := make(samples, columns))]
    if not rows:
        return lines + [line for table in tables for line in ("", *table)]
    return _cut(lines, tables, columns, rows)


def _cut(lines: list[str], tables: list[list[str]], columns: int, rows: int) -> list[str]:
    """Give each table a fair part of the rows that are left; say how many of its lines are not shown."""
    left = rows - len(lines)
    tables = tables[: max(left // _PART_MIN, 0)]
    parts = [0] * len(tables)
    for at, table in enumerate(tables):
        parts[at] = min(len(table) + 1, max(0, left // (len(tables) - at)))
        left -= parts[at]
    for at, table in enumerate(tables):  # What the later ones did not take.
        more = min(len(table) + 1 - parts[at], left)
        parts[at] += more
        left -= more
    for part, table in zip(parts, tables, strict=True):
        shown = part - 1
        lines.append("")
        if shown < len(table):
            lines += [*table[: shown - 1], fitted(f"  ... {len(table) - shown + 1} more", columns)]
        else:
            lines += table
    return [fitted(line, columns) for line in lines[:rows]]


def _head(samples: Samples, place: str, columns: int) -> str:
    now = samples.now
    version = next((each["version"] for each in samples.records("build")), "")
    state = now["state"] or "ready"
    return fitted(plain(f"imgd {version} up {age_text(now['up_s'])}: {state}  {place}"), columns)


def _budget(samples: Samples, columns: int) -> list[str]:
    of = samples.of
    kinds = (("reserved", "#"), ("leased", "="), ("idle", "-"), ("spare", "."))
    sizes = [(sign, of("engine", f"{name}_bytes")) for name, sign in kinds]
    items = [
        f"{name} {sign} {size_text(size)}"
        for (name, sign), (_, size) in zip(kinds, sizes, strict=True)
        if size or columns >= _WIDE
    ]
    budget = of("engine", "budget_bytes")
    items += [f"free {size_text(of('engine', 'free_bytes'))}", f"of {size_text(budget)}"]
    items.append(f"segments {of('engine', 'segments'):.0f}")
    if columns < _WIDE:
        return [fitted(f"[{bar(sizes, budget, columns - 2)}]", columns), *flowed("budget", items, columns)]
    drawn = bar(sizes, budget, min(columns - 11, 100))
    return [f"budget   [{drawn}]", *flowed("", items, columns)]


def _queue(samples: Samples, columns: int) -> list[str]:
    waiting, of = samples.now["waiting"], samples.of
    total = waiting["interactive"] + waiting["prefetch"] + waiting["batch"]
    items = [f"{total} wait of {of('engine', 'queue_max'):.0f}"]
    items += [f"{name} {waiting[name]}" for name in ("interactive", "prefetch", "batch") if waiting[name]]
    if total:
        items.append(f"longest {age_text(waiting['longest_s'])}")
    items += [f"at work {of('engine', 'jobs_admitted'):.0f}", f"being read {of('engine', 'jobs_reading'):.0f}"]
    items += [f"{rate_text(samples.per_s('engine', 'submitted_total'))} jobs/s"]
    items += [f"{words} {of('engine', name):.0f}" for name, words in _TROUBLES if of("engine", name)]
    return flowed("jobs", items, columns)


def _traffic(samples: Samples, columns: int) -> list[str]:
    sent = samples.per_s("http", "sent_bytes_total")
    items = [
        f"{rate_text(samples.requests_per_s())} requests/s",
        f"{rate_text(samples.requests_per_s(_TILES))} tiles/s",
        f"{'-' if sent is None else size_text(sent)}/s sent",
        f"connections {samples.of('http', 'connections'):.0f}",
    ]
    errors, busy = samples.requests_per_s(statuses=["5xx"]), samples.busy_per_s()
    items += [f"{rate_text(errors)} errors/s", f"{rate_text(busy)} of them busy"] if errors else ["no errors"]
    if samples.of("http", "accept_paused"):
        items.append("NO DESCRIPTORS LEFT")
    return flowed("web", items, columns)


def _hits(samples: Samples, columns: int) -> list[str]:
    grown = samples.grown
    shared = grown("engine", "cached_total") + grown("engine", "joined_total")
    kept, found = grown("web", "kept_total"), grown("desk", "tiles_found_total") + grown("desk", "tiles_shared_total")
    tiles = kept + found + grown("desk", "tiles_made_total")
    items = [
        f"buffers {share_text(shared, grown('engine', 'submitted_total'))}",
        f"tiles {share_text(kept + found, tiles)}",
        f"tiles kept {samples.of('desk', 'tiles_kept'):.0f} ({size_text(samples.of('desk', 'tiles_kept_bytes'))})",
        f"facts {samples.of('engine', 'facts_kept'):.0f}",
    ]
    return flowed("hits", items, columns)


def _people(samples: Samples, columns: int) -> list[str]:
    of = samples.of
    items = [f"{of('live', 'sessions'):.0f} sessions", f"{of('live', 'sessions_parked'):.0f} away"]
    items += [f"runners {of('live', 'runners'):.0f}", f"runs {of('live', 'runs'):.0f}"]
    items += [f"{rate_text(samples.per_s('live', 'runs_begun_total'))} runs/s"]
    return flowed("people", items, columns)


def _events(samples: Samples, columns: int) -> list[str]:
    items = [f"{samples.of('events', 'head'):.0f} events", f"{rate_text(samples.per_s('events', 'head'))}/s"]
    items.append(f"feeds {samples.of('events', 'feeds'):.0f}")
    if samples.now["events_down"]:
        items.append(plain(f"STORE DOWN: {samples.now['events_down']}"))
    if dropped := samples.of("log", "dropped_total"):
        items.append(f"log lines dropped {dropped:.0f}")
    return flowed("events", items, columns)


def _processes(samples: Samples, columns: int) -> list[str]:
    items = [
        f"{each['role']} {size_text(each['pss_bytes'])}" if each["role"] != "worker"
        else f"{each['running']} workers {size_text(each['pss_bytes'])}"
        for each in samples.records("processes")
    ]  # fmt: skip
    items.append(f"descriptors {samples.of('descriptors', 'open'):.0f} of {samples.of('descriptors', 'max'):.0f}")
    return flowed("memory", items, columns)


def _workers(samples: Samples, columns: int) -> list[str]:
    workers = samples.now["workers"]
    busy = sum(each["state"] == "busy" for each in workers)
    lines = [f"workers: {busy} busy of {len(workers)}, at most {samples.of('engine', 'workers_max'):.0f} at work"]
    for each in sorted(workers, key=lambda each: (each["state"] == "idle", -each["age_s"])):
        who = "CGI" if each["external"] else f"{each['pid'] or '-'}"
        words = f"{who:>8} {each['state']:<9} {each['step']:<8} {age_text(each['age_s']):>7}"
        left = f"  {each['steps_left']} to do" if each["steps_left"] else ""
        lines.append(fitted(f"{words}{left}  list {each['lists']}  {plain(each['owner'])}", columns))
    return lines


def _roots(samples: Samples, columns: int) -> list[str]:
    roots = samples.records("root")
    lines = [f"roots: {len(roots)}"] if roots else []
    for each in roots:
        words = ["GONE"] if not each["present"] else []
        words += [f"scanning ({each['scanned']})"] if each["scanning"] else []
        words += ["polled"] if each["polling"] else []
        words += [f"{each['unsettled']} unsettled"] if each["unsettled"] else []
        words += [f"{each['unnoted']} not stored"] if each["unnoted"] else []
        what = f"{each['frames']} frames in {each['directories']} folders"
        name = padded(plain(each["root"]), min(16, max(8, columns // 4)))
        lines.append(fitted(f"  {name} {', '.join([what, *words])}", columns))
    return lines


def _sessions(samples: Samples, columns: int) -> list[str]:
    now = samples.now
    runners = {each["number"]: each for each in now["runners"]}
    lines = [f"sessions: {len(now['sessions'])}"] if now["sessions"] else []
    for session in now["sessions"]:
        state = "connected" if session["connected"] else "away"
        lines.append(
            fitted(plain(f"{session['name']}  {session['owner']}  {state}  {age_text(session['age_s'])}"), columns)
        )
        for number in session["runners"]:
            if number in runners:
                lines.append(fitted(plain("  " + _runner(runners[number], session["name"])), columns))
    return lines


def _runner(runner: dict[str, Any], session: str) -> str:
    states = [name for name in ("running", "paused", "pending") if runner[name]] or ["idle"]
    words = [f"#{runner['number']}", ",".join(states), f"turn {runner['turn']}"]
    if runner["follow"] is not None:
        words.append(f"follows {runner['follow']} (skipped {runner['skipped']})")
    words.append(runner["view"] or "-")
    if others := [name for name in runner["sessions"] if name != session]:
        words.append(f"(also {', '.join(others)})")
    return "  ".join(words)


_Section = Callable[[Samples, int], list[str]]
_SUMMARY: tuple[_Section, ...] = (_budget, _queue, _traffic, _hits, _people, _events, _processes)
_TABLES: tuple[_Section, ...] = (_workers, _roots, _sessions)

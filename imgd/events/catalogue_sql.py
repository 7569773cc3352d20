"""The catalogue in SQL: one text for both databases, which differ in a few words."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from imgd.events.catalogue_query import Found, Query, Row
from imgd.events.headers import Unlooked
from imgd.events.search import Compare, Taken, Term, Word

FORGET_HEADERS_POSTGRES: Final = """DELETE FROM headers USING unnest(%b::text[], %b::bytea[]) AS given (root, path)
    WHERE headers.root = given.root AND headers.path = given.path"""
KEEP_POSTGRES: Final = """WITH given (root, path, identity, object, filter, exptime, taken, words, hdu, why) AS (
        SELECT * FROM unnest(%s::text[], %s::bytea[], %s::text[], %s::text[], %s::text[], %s::float8[],
            %s::bigint[], %s::text[], %s::text[], %s::text[])),
    looked AS (UPDATE frames SET looked = given.identity, object = given.object, filter = given.filter,
        exptime = given.exptime, taken = given.taken FROM given
        WHERE frames.root = given.root AND frames.path = given.path AND frames.identity = given.identity
        RETURNING frames.root, frames.path)
    INSERT INTO headers (root, path, words, hdu, why)
        SELECT root, path, words, hdu::jsonb, why FROM given JOIN looked USING (root, path) ORDER BY root, path
    ON CONFLICT (root, path) DO UPDATE SET words = excluded.words, hdu = excluded.hdu, why = excluded.why"""


@dataclass(frozen=True)
class Dialect:
    """What the two databases say in words of their own; ? is a value.

    octets    the least name that is none of a mark: one byte.
    plus      before a column: no index is to be used for the sake of this condition.
    modified  a file's time in ns by its identity; the index `frames_newest` is made of just this text.
    stretches a long stretch of the index is counted sooner than each row is looked at.
    named     a word occurs in a frame's name. in_words: in its header's values.
    word      how the name's word is given.
    kind      what a keyword's value in `h.hdu` is: one of `texts`, `numbers` or `truths`.
    text, number, truth  the value, taken for that; a text in small letters.
    """

    octets: str
    plus: str
    modified: str
    stretches: bool
    named: str
    in_words: str
    word: Callable[[str], Any]
    kind: str
    text: str
    number: str
    truth: str
    texts: str
    numbers: str
    truths: str


SQLITE: Final = Dialect(
    octets="X'01'",
    plus="+",
    modified="CAST(substr(identity, instr(identity, ':') + 1) AS INTEGER)",
    stretches=False,
    named="instr(CAST(lower(f.root || '/' || CAST(f.path AS TEXT)) AS BLOB), CAST(? AS BLOB)) > 0",
    in_words="instr(h.words, ?) > 0",
    word=lambda text: text,
    kind="""json_type(h.hdu, '$."{key}"')""",
    text="""lower(json_extract(h.hdu, '$."{key}"'))""",
    number="""json_extract(h.hdu, '$."{key}"')""",
    truth="""json_type(h.hdu, '$."{key}"')""",
    texts="'text'",
    numbers="'integer', 'real'",
    truths="'true', 'false'",
)
POSTGRES: Final = Dialect(
    octets=r"'\x01'",
    plus="",
    modified="""(CASE WHEN identity ~ '^[0-9]+:(-|)[0-9]+$' THEN greatest(least(split_part(identity, ':', 2)::numeric,
        9223372036854775807), -9223372036854775807)::bigint ELSE 0 END)""",
    stretches=True,
    # Octet by octet, whatever the name is written in. No name begins with NUL, but marks do, which are left out anyhow.
    named=r"""strpos(lower((CASE WHEN f.path >= '\x01' THEN f.root || '/' || convert_from(f.path, 'LATIN1') END)
        COLLATE "C"), ?) > 0""",
    in_words="strpos(h.words, ?) > 0",
    word=lambda text: text.encode().decode("latin-1"),
    kind="jsonb_typeof(h.hdu -> '{key}')",
    text="""lower((h.hdu ->> '{key}') COLLATE "C")""",
    number="(h.hdu ->> '{key}')::double precision",
    truth="(h.hdu ->> '{key}')",
    texts="'string'",
    numbers="'number'",
    truths="'boolean'",
)

Statement = tuple[str, tuple[Any, ...]]
"""SQL with a ? for each value, and the values."""

_SEEN: Final = "CASE WHEN f.looked = f.identity THEN f.{column} END"
_TOLD: Final = "f.root, f.path, f.identity, CAST(h.hdu AS TEXT), h.why"
_HEADERS: Final = "LEFT JOIN headers h ON f.looked = f.identity AND h.root = f.root AND h.path = f.path"
_INDEXED: Final = ("newest", "oldest", "name", "-name")
_TRUE: Final = ("t", "true")
_FALSE: Final = ("f", "false")


class Selecting:
    """Writes the SQL of one query."""

    def __init__(self, query: Query, dialect: Dialect) -> None:
        self._query = query
        self._dialect = dialect
        self._modified = dialect.modified.replace("identity", "f.identity")

    def counts(self) -> Statement:
        """Count the frames in scope, those whose header is known, and, where there are no terms, those before `at`."""
        where, values = self._scope()
        known = "coalesce(sum(CASE WHEN f.looked = f.identity THEN 1 ELSE 0 END), 0)"
        place, more = ("NULL", ()) if self._query.terms else self._place()
        return f"SELECT count(*), {known}, {place} FROM frames f {where}", (*more, *values)

    def page(self) -> Statement:
        """Select the rows, each behind the number of all that match and of those before `at`; of a search one comes at
        least, perhaps with these alone."""
        order, window = ", ".join(self._order()), (self._query.limit, self._query.offset)
        if not self._query.terms:
            # Names first: of the rows that are passed over nothing but an index is read.
            by_time = self._query.order in ("newest", "oldest")
            where, values = self._scope(self._dialect.plus if by_time else "")
            return (
                f"""SELECT -1, NULL, {_TOLD} FROM
                (SELECT f.root, f.path FROM frames f {where} ORDER BY {order} LIMIT ? OFFSET ?) AS page
                JOIN frames f ON f.root = page.root AND f.path = page.path {_HEADERS} ORDER BY {order}""",
                (
                    *values,
                    *window,
                ),
            )
        where, values = self._scope()
        conditions = [self._term(term) for term in self._query.terms]
        where += "".join(f" AND ({text})" for text, _ in conditions)
        joined = _HEADERS if any("h." in text for text, _ in conditions) else ""
        keys = [(key.removesuffix(" DESC"), key.endswith(" DESC")) for key in self._order()]
        named = ", ".join(f"{key} AS k{number}" for number, (key, _) in enumerate(keys))
        by_name = ", ".join(f"k{number}{' DESC' * down}" for number, (_, down) in enumerate(keys))
        place, sought = self._place_found() if self._query.at else ("NULL", ())
        text = f"""WITH found AS MATERIALIZED (SELECT f.root, f.path, {named} FROM frames f {joined} {where}),
            page AS (SELECT root, path, row_number() OVER (ORDER BY {by_name}) AS place FROM found
                ORDER BY place LIMIT ? OFFSET ?)
            SELECT counted.total, {place}, {_TOLD} FROM (SELECT count(*) AS total FROM found) AS counted
            LEFT JOIN page ON 1 = 1 LEFT JOIN frames f ON f.root = page.root AND f.path = page.path {_HEADERS}
            ORDER BY page.place"""
        return text, (*values, *(value for _, more in conditions for value in more), *window, *sought)

    def _place(self) -> Statement:
        """Count the frames before `at`; NULL if it is not in scope."""
        if self._query.at is None:
            return "NULL", ()
        keys = [f"({key.removesuffix(' DESC')})" for key in self._order()]
        named = ", ".join(f"{key} AS k{number}" for number, key in enumerate(keys))
        scope, values = self._scope()
        where, more = self._scope()
        count, before = f"SELECT count(*) FROM frames f {where} AND", self._before(keys)
        counts = [f"({count} {before[0]})", f"({count} {keys[0]} = it.k0 AND {before[1]})"]
        if not self._dialect.stretches or self._query.order not in _INDEXED:
            counts = [f"({count} ({before[0]} OR ({keys[0]} = it.k0 AND {before[1]})))"]
        text = f"""(WITH it AS MATERIALIZED (SELECT {named} FROM frames f {scope} AND f.root = ? AND f.path = ?)
            SELECT {" + ".join(counts)} FROM it)"""
        return text, (*values, *self._query.at, *more * len(counts))

    def _place_found(self) -> Statement:
        """Count the rows of `found` before `at`; NULL if it is not among them."""
        assert self._query.at is not None  # Else there is nothing to count.
        first, *_ = keys = [f"found.k{number}" for number, _ in enumerate(self._order())]
        before = self._before(keys)
        text = f"""(SELECT (SELECT count(*) FROM found WHERE {before[0]} OR ({first} = it.k0 AND {before[1]}))
            FROM found AS it WHERE it.root = ? AND it.path = ?)"""
        return text, self._query.at

    def _before(self, keys: Sequence[str]) -> tuple[str, str]:
        """Tell whether a row with these keys comes before the one whose are `it.k0`, `it.k1` and so on: by the first
        of them, and, if that is the same, by the others."""
        signs = [">" if key.endswith(" DESC") else "<" for key in self._order()]
        last = len(keys) - 1
        before = f"{keys[last]} {signs[last]} it.k{last}"
        for number in reversed(range(1, last)):
            key, its = keys[number], f"it.k{number}"
            # Both are NULL if the comparison is: whether they are is a key of its own, before.
            before = f"({key} {signs[number]} {its} OR (coalesce({key} = {its}, 1 = 1) AND {before}))"
        return f"{keys[0]} {signs[0]} it.k0", before

    def _scope(self, plus: str = "") -> Statement:
        query = self._query
        root, path = f"{plus}f.root", f"{plus}f.path"
        where = f"WHERE {root} IN ({', '.join('?' * len(query.roots))}) AND {path} >= {self._dialect.octets}"
        if not query.below:
            return where, query.roots
        return f"{where} AND {path} >= ? AND {path} < ?", (*query.roots, query.below + b"/", query.below + b"0")

    def _order(self) -> Iterator[str]:
        """Tell what to order by: always down to the name, so that no two rows are equal."""
        name = self._query.order
        down = " DESC" if name.startswith("-") else ""
        match name.removeprefix("-"):
            case "newest":
                yield f"{self._modified} DESC"
            case "oldest":
                yield self._modified
                down = " DESC"
            case "date":
                yield f"{self._date()}{down}"
            case "object" | "filter" | "exptime" as column:
                seen = _SEEN.format(column=column)
                yield f"({seen}) IS NULL"
                yield f"{seen}{down}"
                yield f"{self._modified} DESC"
                down = ""
        yield f"f.root{down}"
        yield f"f.path{down}"

    def _date(self) -> str:
        return f"coalesce({_SEEN.format(column='taken')}, {self._modified} / 1000)"

    def _term(self, term: Term) -> Statement:
        dialect = self._dialect
        match term:
            case Word(text):
                return f"{dialect.named} OR {dialect.in_words}", (dialect.word(text), text)
            case Taken(sign, since_us, until_us, or_modified):
                taken = self._date() if or_modified else _SEEN.format(column="taken")
                return _within(taken, sign, since_us, until_us)
            case Compare(("OBJECT" | "FILTER") as key, ("=" | "!=") as sign, text, _):
                return f"{_SEEN.format(column=key.lower())} {_sql(sign)} ?", (text,)
            case Compare("EXPTIME", sign, _, float(number)):
                return f"{_SEEN.format(column='exptime')} {_sql(sign)} ?", (number,)
            case Compare():
                return self._compare(term)

    def _compare(self, term: Compare) -> Statement:
        """Compare with whatever the header has; CASE, since the order of other conditions is the database's own."""
        dialect, sign = self._dialect, _sql(term.sign)
        cases: list[str] = []
        values: list[Any] = []
        if term.number is not None:
            cases.append(f"WHEN {dialect.kind} IN ({dialect.numbers}) THEN {dialect.number} {sign} ?")
            values.append(term.number)
        if term.sign in ("=", "!="):
            cases.append(f"WHEN {dialect.kind} IN ({dialect.texts}) THEN {dialect.text} {sign} ?")
            truth = "true" if term.text in _TRUE else "false" if term.text in _FALSE else ""
            cases.append(f"WHEN {dialect.kind} IN ({dialect.truths}) THEN {dialect.truth} {sign} ?")
            values += [term.text, truth]
            if term.sign == "!=" and term.number is None:
                cases.append(f"WHEN {dialect.kind} IN ({dialect.numbers}) THEN 1 = 1")
        return f"CASE {' '.join(cases)} ELSE 1 = 0 END".replace("{key}", term.key), tuple(values)


def _sql(sign: str) -> str:
    return "<>" if sign == "!=" else sign


def _within(what: str, sign: str, since_us: int, until_us: int) -> Statement:
    match sign:
        case "=":
            return f"{what} >= ? AND {what} < ?", (since_us, until_us)
        case "!=":
            return f"{what} < ? OR {what} >= ?", (since_us, until_us)
        case "<":
            return f"{what} < ?", (since_us,)
        case "<=":
            return f"{what} < ?", (until_us,)
        case ">":
            return f"{what} >= ?", (until_us,)
        case _:
            return f"{what} >= ?", (since_us,)


def select_page(query: Query, dialect: Dialect) -> tuple[Statement, Statement]:
    """Write what counts, and what reads a page."""
    selecting = Selecting(query, dialect)
    return selecting.counts(), selecting.page()


def found_of(query: Query, counted: Sequence[Sequence[Any]], rows: Sequence[Sequence[Any]]) -> Found:
    """Read what the two statements gave."""
    frames, described, place = counted[0]
    total, at = rows[0][:2] if query.terms else (frames, place)
    told = [row[2:] for row in rows if row[2] is not None]
    return Found(
        int(total), int(frames), int(described),
        tuple(Row(root, bytes(path), identity, hdu, why or "") for root, path, identity, hdu, why in told),
        None if at is None else int(at),
    )  # fmt: skip


def select_unlooked(roots: Sequence[str], after: Unlooked | None, limit: int, dialect: Dialect) -> Statement:
    """Write what reads frames whose header is not known, the newest first, those that follow `after`."""
    modified = dialect.modified.replace("identity", "f.identity")
    following, place = "", tuple[Any, ...]()
    if after is not None:
        following = f"AND {modified} <= ? AND NOT ({modified} = ? AND (f.root, f.path) <= (?, ?))"
        place = (after.mtime_ns, after.mtime_ns, after.root, after.path)
    text = f"""SELECT f.root, f.path, f.identity, {modified} FROM frames f
        WHERE {dialect.plus}f.root IN ({", ".join("?" * len(roots))}) AND {dialect.plus}f.path >= {dialect.octets}
        AND (f.looked IS NULL OR f.looked <> f.identity) {following}
        ORDER BY {modified} DESC, f.root, f.path LIMIT ?"""
    return text, (*roots, *place, limit)


def unlooked_of(rows: Sequence[Sequence[Any]]) -> list[Unlooked]:
    """Read what it gave."""
    return [Unlooked(root, bytes(path), identity, int(mtime_ns)) for root, path, identity, mtime_ns in rows]

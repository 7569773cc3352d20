"""Two looks at a daemon: what is so now, and how fast it goes."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

Answer = dict[str, Any]
KEPT_MAX: Final = 60  # Looks, one a second: shares are of the last minute, rates of the last second.


@dataclass(frozen=True)
class Samples:
    """The latest answer of `/admin`, and those before it, oldest first, if they are of the same daemon's life."""

    now: Answer
    earlier: tuple[Answer, ...] = ()

    def after(self, now: Answer) -> "Samples":
        """Take another look."""
        is_same = now["up_s"] >= self.now["up_s"] and now["at_s"] > self.now["at_s"]
        return Samples(now, (*self.earlier, self.now)[-KEPT_MAX:] if is_same else ())

    def of(self, owner: str, field: str) -> float:
        """Tell a figure of now; 0 where this daemon has none."""
        return _figure(self.now, owner, field)

    def records(self, owner: str) -> list[dict[str, Any]]:
        """Tell an owner's records of now."""
        found = self.now["figures"].get(owner, [])
        return found if isinstance(found, list) else []

    def per_s(self, owner: str, field: str) -> float | None:
        """Tell how fast a total grows; None where that is not known."""
        record = self.now["figures"].get(owner)
        if not isinstance(record, dict) or field not in record:
            return None
        return self._rate(lambda answer: _figure(answer, owner, field))

    def requests_per_s(self, kinds: Iterable[str] = (), statuses: Iterable[str] = ()) -> float | None:
        """Tell how many requests of these kinds end in these ways each second; all but our own, if none
        are named."""
        kinds, statuses = set(kinds), set(statuses)

        def total(answer: Answer) -> float:
            return sum(
                float(each["total"])
                for each in answer["figures"].get("requests", ())
                if (each["kind"] in kinds if kinds else each["kind"] != "operation")
                and (not statuses or each["status"] in statuses)
            )

        return self._rate(total)

    def busy_per_s(self) -> float | None:
        """Tell how many answers each second are 503."""
        return self._rate(lambda answer: sum(float(e["answers_total"]) for e in answer["figures"].get("busy", ())))

    def grown(self, owner: str, field: str) -> float:
        """Tell by how much a total has grown since the first of these looks, or since the start, if there are few."""
        return self.of(owner, field) - (_figure(self.earlier[0], owner, field) if len(self.earlier) > 2 else 0.0)

    def _rate(self, total: Callable[[Answer], float]) -> float | None:
        if not self.earlier:
            return None
        before = self.earlier[-1]
        return max(0.0, (total(self.now) - total(before)) / (float(self.now["at_s"]) - float(before["at_s"])))


def _figure(answer: Answer, owner: str, field: str) -> float:
    record = answer["figures"].get(owner)
    return float(record.get(field, 0.0)) if isinstance(record, dict) else 0.0

"""Metrics: the numbers of the owners' `statistics()`, and nothing else."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import Field, fields, is_dataclass
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

Owner = Callable[[], Any]


class StatisticsCollector(Collector):
    """Turn records of numbers into metrics: `imgd_<owner>_<field>`; a field named `..._total` is a counter.

    An owner of several records gives them as a sequence; their texts tell them apart, as labels.
    """

    def __init__(self, owners: dict[str, Owner]) -> None:
        self._owners = owners

    def collect(self) -> Iterable[Metric]:
        """Read all owners' figures of now."""
        for owner, statistics in self._owners.items():
            record = statistics()
            if isinstance(record, Sequence):
                yield from _labelled(f"imgd_{owner}", record)
            else:
                yield from _metrics(f"imgd_{owner}", record)


def _metrics(prefix: str, record: Any) -> Iterator[Metric]:
    for each in fields(record):
        value = getattr(record, each.name)
        if is_dataclass(value):
            yield from _metrics(f"{prefix}_{each.name}", value)
        elif isinstance(value, int | float):
            family = _family(prefix, each, ())
            family.add_metric((), value)
            yield family


def _labelled(prefix: str, records: Sequence[Any]) -> Iterator[Metric]:
    for each in fields(records[0]) if records else ():
        if isinstance(getattr(records[0], each.name), int | float):
            labels = [name.name for name in fields(records[0]) if isinstance(getattr(records[0], name.name), str)]
            family = _family(prefix, each, labels)
            for record in records:
                family.add_metric([getattr(record, label) for label in labels], getattr(record, each.name))
            yield family


def _family(prefix: str, field: "Field[Any]", labels: Sequence[str]) -> CounterMetricFamily | GaugeMetricFamily:
    name = f"{prefix}_{field.name}"
    words = field.metadata.get("doc", field.name.replace("_", " "))
    if name.endswith("_total"):
        return CounterMetricFamily(name.removesuffix("_total"), words, labels=labels)
    return GaugeMetricFamily(name, words, labels=labels)


def registry_of(owners: dict[str, Owner]) -> CollectorRegistry:
    """Make a registry of our own, so that no library's metrics come with ours."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(StatisticsCollector(owners))
    return registry


def metrics_text(registry: CollectorRegistry) -> bytes:
    """Write all metrics in Prometheus' text format."""
    return generate_latest(registry)

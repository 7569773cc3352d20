"""Metrics: the numbers of the owners' `statistics()`, and nothing else."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

Owner = Callable[[], Any]


class StatisticsCollector(Collector):
    """Turn records of numbers into metrics: `imgd_<owner>_<field>`; a field named `..._total` is a counter."""

    def __init__(self, owners: dict[str, Owner]) -> None:
        self._owners = owners

    def collect(self) -> Iterable[Metric]:
        """Read all owners' figures of now."""
        for owner, statistics in self._owners.items():
            yield from _metrics(f"imgd_{owner}", statistics())


def _metrics(prefix: str, record: Any) -> Iterator[Metric]:
    for each in fields(record):
        value = getattr(record, each.name)
        name = f"{prefix}_{each.name}"
        words = each.metadata.get("doc", each.name.replace("_", " "))
        if is_dataclass(value):
            yield from _metrics(name, value)
        elif not isinstance(value, int | float):
            continue
        elif name.endswith("_total"):
            yield CounterMetricFamily(name.removesuffix("_total"), words, value=value)
        else:
            yield GaugeMetricFamily(name, words, value=value)


def registry_of(owners: dict[str, Owner]) -> CollectorRegistry:
    """Make a registry of our own, so that no library's metrics come with ours."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(StatisticsCollector(owners))
    return registry


def metrics_text(registry: CollectorRegistry) -> bytes:
    """Write all metrics in Prometheus' text format."""
    return generate_latest(registry)

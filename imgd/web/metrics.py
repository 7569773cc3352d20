"""Metrics: the numbers of the owners' `statistics()`, those of the process that the kernel keeps, and nothing else."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from itertools import accumulate
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from imgd.figures import Distribution
from imgd.web.metric_words import WORDS

Owner = Callable[[], Any]
_Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily


class StatisticsCollector(Collector):
    """Turn records of numbers into metrics: `imgd_<owner>_<field>`; a field named `..._total` is a counter, a
    `Distribution` is a histogram.

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
        if is_dataclass(value) and not isinstance(value, Distribution):
            yield from _metrics(f"{prefix}_{each.name}", value)
        elif isinstance(value, int | float | Distribution):
            family = _family(f"{prefix}_{each.name}", value, ())
            _add(family, (), value)
            yield family


def _labelled(prefix: str, records: Sequence[Any]) -> Iterator[Metric]:
    for each in fields(records[0]) if records else ():
        first = getattr(records[0], each.name)
        if isinstance(first, int | float | Distribution):
            labels = [name.name for name in fields(records[0]) if isinstance(getattr(records[0], name.name), str)]
            family = _family(f"{prefix}_{each.name}", first, labels)
            for record in records:
                _add(family, [getattr(record, label) for label in labels], getattr(record, each.name))
            yield family


def _family(name: str, value: float | Distribution, labels: Sequence[str]) -> _Family:
    words = WORDS.get(name, name.removeprefix("imgd_").replace("_", " "))
    if isinstance(value, Distribution):
        return HistogramMetricFamily(name, words, labels=labels)
    if name.endswith("_total"):
        return CounterMetricFamily(name.removesuffix("_total"), words, labels=labels)
    return GaugeMetricFamily(name, words, labels=labels)


def _add(family: _Family, labels: Sequence[str], value: Any) -> None:
    if isinstance(family, HistogramMetricFamily):
        bounds = [*map(str, value.bounds), "+Inf"]
        buckets: Any = list(zip(bounds, accumulate(value.counts), strict=True))
        family.add_metric(labels, buckets, value.sum)
    else:
        family.add_metric(labels, value)


def registry_of(owners: dict[str, Owner], *, process: bool = False) -> CollectorRegistry:
    """Make a registry of our own, so that no library's metrics come with ours.

    process  with the usual ones of this process: its start, processor time, memory and descriptors.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(StatisticsCollector(owners))
    if process:
        ProcessCollector(registry=registry)
    return registry


def metrics_text(registry: CollectorRegistry) -> bytes:
    """Write all metrics in Prometheus' text format."""
    return generate_latest(registry)

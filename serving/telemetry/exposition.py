"""Renders the numbers of all workers in the text formats that Prometheus reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from typing_extensions import override

from serving.telemetry.catalogue import CATALOGUE, Definition
from serving.telemetry.places import WorkerNumbers
from serving.telemetry.snapshot import Snapshot, add_up

__all__ = ["render"]


def render(numbers: Sequence[WorkerNumbers], accept: str) -> tuple[bytes, str]:
    """Render the numbers of all workers.

    Args:
        numbers: Of each worker; counters and histograms are added up, gauges get its name.
        accept: The request's `accept`: OpenMetrics where it asks for that, else text 0.0.4.

    Returns:
        The text and its content type.
    """
    encode, content_type = choose_encoder(accept)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Numbers(numbers))
    return encode(registry), content_type


class _Numbers(Collector):
    def __init__(self, numbers: Sequence[WorkerNumbers]) -> None:
        self._numbers = numbers
        self._added = add_up(snapshot for _, snapshot in numbers)

    @override
    def collect(self) -> Iterator[Metric]:
        for definition in CATALOGUE.values():
            if definition.kind == "counter":
                yield _counters(definition, self._added)
            elif definition.kind == "gauge":
                yield _gauges(definition, self._numbers)
            else:
                yield _histograms(definition, self._added)


def _counters(definition: Definition, added: Snapshot) -> Metric:
    family = CounterMetricFamily(definition.name, definition.text, labels=definition.labels)
    for (name, labels), value in added.counters.items():
        if name == definition.name:
            family.add_metric(labels, value)
    return family


def _gauges(definition: Definition, numbers: Sequence[WorkerNumbers]) -> Metric:
    family = GaugeMetricFamily(definition.name, definition.text, labels=definition.labels)
    for worker, snapshot in numbers:
        for (name, labels), value in snapshot.gauges.items():
            if name == definition.name:
                family.add_metric((worker, *labels), value)
    return family


def _histograms(definition: Definition, added: Snapshot) -> Metric:
    family = HistogramMetricFamily(definition.name, definition.text, labels=definition.labels)
    bounds = [*map(repr, definition.bounds), "+Inf"]
    for (name, labels), (counts, total) in added.histograms.items():
        if name == definition.name:
            buckets = list(zip(bounds, map(float, accumulate(counts)), strict=True))
            family.add_metric(labels, buckets, total)
    return family

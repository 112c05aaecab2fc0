"""Every metric of the gateway: its name, kind, labels and meaning.

docs/reference/metrics.md lists the same; a test compares them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = [
    "AGE_BOUNDS_S",
    "CATALOGUE",
    "DURATION_BOUNDS_S",
    "Definition",
]

DURATION_BOUNDS_S = (
    0.000_01,
    0.000_025,
    0.000_05,
    0.000_1,
    0.000_25,
    0.000_4,
    0.000_6,
    0.000_8,
    0.001,
    0.001_5,
    0.002_5,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    10.0,
)
"""Close together around a millisecond, where lookups lie; 0.6, 1.5 and 5 ms are promised there."""

AGE_BOUNDS_S = (
    1.0,
    10.0,
    60.0,
    300.0,
    900.0,
    3_600.0,
    10_800.0,
    21_600.0,
    43_200.0,
    86_400.0,
    172_800.0,
    604_800.0,
    1_209_600.0,
    2_592_000.0,
    7_776_000.0,
    31_536_000.0,
)

_P = "evenstore_gateway_"


@dataclass(frozen=True, slots=True)
class Definition:
    """One metric.

    Attributes:
        name: As it is exposed; a counter's ends in `_total`.
        kind: What it does over time.
        labels: In the order in which samples give their values.
        text: What it means.
        bounds: Of a histogram: upper bounds of its buckets, without infinity.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    text: str
    bounds: tuple[float, ...] = ()


def _counter(name: str, labels: tuple[str, ...], text: str) -> Definition:
    return Definition(f"{_P}{name}", "counter", labels, text)


def _gauge(name: str, labels: tuple[str, ...], text: str) -> Definition:
    return Definition(f"{_P}{name}", "gauge", ("worker", *labels), text)


def _histogram(
    name: str, labels: tuple[str, ...], text: str, bounds: tuple[float, ...]
) -> Definition:
    return Definition(f"{_P}{name}", "histogram", labels, text, bounds)


_ALL = (
    _counter("requests_total", ("route", "status"), "Requests answered, by route and HTTP status."),
    _histogram(
        "request_duration_seconds",
        ("route",),
        "From a request's headers to the last byte handed to the socket.",
        DURATION_BOUNDS_S,
    ),
    _histogram(
        "stage_duration_seconds",
        ("stage",),
        "Time of one lookup in each of its stages.",
        DURATION_BOUNDS_S,
    ),
    _counter("feature_values_total", ("feature_view", "status"), "Values given, by status."),
    _histogram(
        "feature_age_seconds",
        ("feature_view",),
        "Age of stored rows that were read: request instant minus event timestamp. A sample.",
        AGE_BOUNDS_S,
    ),
    _counter("row_errors_total", ("code",), "Entity rows answered by an error of their own."),
    _counter("api_key_failures_total", ("reason",), "Requests refused for their API key."),
    _counter("shed_requests_total", (), "Requests refused because too many were under way."),
    _counter("cut_off_requests_total", ("reason",), "Requests too slow or too large to receive."),
    _counter("redis_reconnects_total", (), "Connections to Redis made after the first."),
    _counter("redis_timeouts_total", (), "Requests that Redis did not answer in time."),
    _counter("worker_starts_total", (), "Worker processes started, the first ones included."),
    _gauge("in_flight_requests", (), "Requests under way."),
    _gauge("redis_circuit_open", (), "1 while requests are refused because Redis is away."),
    _gauge("redis_pending_requests", (), "Requests that wait for Redis."),
    _gauge("schema_info", ("project", "fingerprint"), "1 for the schema that is served."),
    _gauge("schema_timestamp_seconds", (), "When the schema that is served was compiled."),
    _gauge("registry_usable", (), "0 while the last good schema is served for want of a registry."),
    _gauge("start_timestamp_seconds", (), "When the worker was started."),
    _gauge("resident_memory_bytes", (), "Memory that the worker holds."),
)

CATALOGUE = {definition.name: definition for definition in _ALL}

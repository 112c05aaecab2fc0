"""The numbers of one worker, as cheap to count as Python allows.

Requests add to plain lists and attributes of objects that were found when a plan was made. Names,
labels and Prometheus come in only when a snapshot is taken.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from evenstore.semantics import Status
from serving.telemetry.catalogue import AGE_BOUNDS_S, CATALOGUE, DURATION_BOUNDS_S
from serving.telemetry.snapshot import Key, Snapshot, add_up

__all__ = [
    "DECODE",
    "ON_DEMAND",
    "PARSE",
    "PLAN",
    "REDIS",
    "RENDER",
    "STAGES",
    "Histogram",
    "Marks",
    "Metrics",
    "RouteMetrics",
    "Sample",
    "ViewMetrics",
]

STAGES = ("parse", "plan", "redis", "decode", "on_demand", "render")
PARSE: Final = 0
PLAN: Final = 1
REDIS: Final = 2
DECODE: Final = 3
ON_DEMAND: Final = 4
RENDER: Final = 5

_AGE_SAMPLE_MASK = 15
_MAX_ROUTES = 200
_US_PER_S = 1_000_000
# Counted so many at a time: by then the code is in the processor's caches, and takes a third.
_BATCH = 32
_P = "evenstore_gateway_"

Marks = tuple[float, float, float, float, float, float, float]
"""Instants of a lookup, seconds: begun, parsed, planned, fetched, decoded, computed, rendered."""

Sample = tuple[str, tuple[str, ...], float]
"""A metric's name without `evenstore_gateway_`, its label values, and its value."""


class Histogram:
    """Counts values by bucket.

    Args:
        bounds: Upper bounds, inclusive, ascending.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class RouteMetrics:
    """The requests of one route."""

    __slots__ = ("_by_status", "_durations", "_uncounted", "route")

    def __init__(self, route: str) -> None:
        self.route = route
        self._by_status: dict[int, int] = {200: 0}
        self._durations = Histogram(DURATION_BOUNDS_S)
        self._uncounted: list[tuple[int, float]] = []

    def observe(self, status: int, seconds: float) -> None:
        """Count one request that was answered."""
        self._uncounted.append((status, seconds))
        if len(self._uncounted) >= _BATCH:
            self._count()

    def _count(self) -> None:
        by_status, observe = self._by_status, self._durations.observe
        for status, seconds in self._uncounted:
            by_status[status] = by_status.get(status, 0) + 1
            observe(seconds)
        self._uncounted.clear()

    def write_to(self, snapshot: Snapshot) -> None:
        """Add these numbers to a snapshot."""
        self._count()
        for status, count in self._by_status.items():
            if count:
                snapshot.counters[_P + "requests_total", (self.route, str(status))] = count
        key = (_P + "request_duration_seconds", (self.route,))
        snapshot.histograms[key] = (list(self._durations.counts), self._durations.total)


class ViewMetrics:
    """The values of one feature view. Add to the attributes; one value of one row counts one.

    Attributes:
        present: Values given with the status PRESENT, and so on for the others.
    """

    __slots__ = (
        "_ages",
        "feature_view",
        "invalid",
        "not_found",
        "null_value",
        "outside_max_age",
        "present",
    )

    def __init__(self, feature_view: str) -> None:
        self.feature_view = feature_view
        self.present = 0
        self.null_value = 0
        self.not_found = 0
        self.outside_max_age = 0
        self.invalid = 0
        self._ages = Histogram(AGE_BOUNDS_S)

    def count(self, statuses: Sequence[Status]) -> None:
        """Count values by their statuses."""
        # Of most columns these two are all.
        n_present = statuses.count(Status.PRESENT)
        n_null = statuses.count(Status.NULL_VALUE)
        self.present += n_present
        self.null_value += n_null
        if n_present + n_null < len(statuses):
            self.not_found += statuses.count(Status.NOT_FOUND)
            self.outside_max_age += statuses.count(Status.OUTSIDE_MAX_AGE)
            self.invalid += statuses.count(Status.INVALID)

    def observe_age_us(self, age_us: int) -> None:
        """Count the age of one stored row; only when `Metrics.samples_ages` says so."""
        self._ages.observe(age_us / _US_PER_S)

    def write_to(self, snapshot: Snapshot) -> None:
        """Add these numbers to a snapshot."""
        name = _P + "feature_values_total"
        for status, count in (
            ("PRESENT", self.present),
            ("NULL_VALUE", self.null_value),
            ("NOT_FOUND", self.not_found),
            ("OUTSIDE_MAX_AGE", self.outside_max_age),
            ("INVALID", self.invalid),
        ):
            snapshot.counters[name, (self.feature_view, status)] = count
        key = (_P + "feature_age_seconds", (self.feature_view,))
        snapshot.histograms[key] = (list(self._ages.counts), self._ages.total)


class Metrics:
    """All numbers of one worker. For one thread: that of the event loop.

    Args:
        base: What the worker processes before this one in the same place had counted; its numbers
            go on from there, so that a restart takes nothing away.
    """

    __slots__ = (
        "_base",
        "_n_lookups",
        "_routes",
        "_row_errors",
        "_sources",
        "_stage_counts",
        "_stage_totals",
        "_uncounted",
        "_views",
    )

    def __init__(self, base: Snapshot | None = None) -> None:
        self._base = base or Snapshot()
        self._routes: dict[str, RouteMetrics] = {}
        self._views: dict[str, ViewMetrics] = {}
        self._row_errors: dict[str, int] = {}
        self._sources: list[Callable[[], Iterable[Sample]]] = []
        self._stage_counts = [[0] * (len(DURATION_BOUNDS_S) + 1) for _ in STAGES]
        self._stage_totals = [0.0] * len(STAGES)
        self._uncounted: list[Marks] = []
        self._n_lookups = 0

    def route(self, route: str) -> RouteMetrics:
        """Return the numbers of a route, by its template: keep it, do not ask per request."""
        found = self._routes.get(route)
        if found is None:
            # A bound, should a caller ever be able to choose names.
            name = route if len(self._routes) < _MAX_ROUTES else "other"
            found = self._routes.setdefault(name, RouteMetrics(name))
        return found

    def view(self, feature_view: str) -> ViewMetrics:
        """Return the numbers of a feature view: keep it in a plan, do not ask per request."""
        found = self._views.get(feature_view)
        if found is None:
            found = self._views[feature_view] = ViewMetrics(feature_view)
        return found

    def observe(self, stage: int, seconds: float) -> None:
        """Count the time of one stage: `PARSE` to `RENDER`."""
        self._stage_counts[stage][bisect_left(DURATION_BOUNDS_S, seconds)] += 1
        self._stage_totals[stage] += seconds

    def observe_lookup(self, marks: Marks) -> None:
        """Count the stages of one lookup.

        Args:
            marks: `time.perf_counter()` before parsing and after each stage, in their order. Where
                nothing was done on demand its mark repeats the one before, and is not counted.
        """
        self._uncounted.append(marks)
        if len(self._uncounted) >= _BATCH:
            self._count_lookups()

    def _count_lookups(self) -> None:
        for begun, parsed, planned, fetched, decoded, computed, rendered in self._uncounted:
            self.observe(PARSE, parsed - begun)
            self.observe(PLAN, planned - parsed)
            self.observe(REDIS, fetched - planned)
            self.observe(DECODE, decoded - fetched)
            if computed != decoded:
                self.observe(ON_DEMAND, computed - decoded)
            self.observe(RENDER, rendered - computed)
        self._uncounted.clear()

    def samples_ages(self) -> bool:
        """Tell whether this lookup's ages are counted: every sixteenth is, the first included."""
        self._n_lookups += 1
        return self._n_lookups & _AGE_SAMPLE_MASK == 1

    def count_row_error(self, code: str, n_rows: int = 1) -> None:
        """Count entity rows that got an error of their own, by its code."""
        self._row_errors[code] = self._row_errors.get(code, 0) + n_rows

    def add_source(self, read: Callable[[], Iterable[Sample]]) -> None:
        """Ask for more samples whenever a snapshot is taken; see `serving.telemetry.sources`."""
        self._sources.append(read)

    def snapshot(self) -> Snapshot:
        """Return all numbers, with those of the processes before this one added."""
        self._count_lookups()
        live = Snapshot()
        for route in self._routes.values():
            route.write_to(live)
        for view in self._views.values():
            view.write_to(live)
        for stage, counts, total in zip(
            STAGES, self._stage_counts, self._stage_totals, strict=True
        ):
            live.histograms[_P + "stage_duration_seconds", (stage,)] = (list(counts), total)
        for code, count in self._row_errors.items():
            live.counters[_P + "row_errors_total", (code,)] = count
        live.counters[_P + "worker_starts_total", ()] = 1
        for source in self._sources:
            for name, labels, value in source():
                self._place(live, (_P + name, labels), value)
        added = add_up([self._base, live])
        added.gauges = live.gauges
        return added

    def _place(self, snapshot: Snapshot, key: Key, value: float) -> None:
        is_counter = CATALOGUE[key[0]].kind == "counter"
        (snapshot.counters if is_counter else snapshot.gauges)[key] = value

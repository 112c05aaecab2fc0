from __future__ import annotations

import re

import pytest

from serving.telemetry.catalogue import CATALOGUE
from serving.telemetry.metrics import ON_DEMAND, STAGES, Histogram, Metrics
from serving.telemetry.snapshot import Snapshot, add_up
from tests.repo.sources import ROOT

P = "evenstore_gateway_"


def test_the_reference_lists_every_metric_as_it_is() -> None:
    text = (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|([^|]*)\|", text, flags=re.MULTILINE)
    listed = {name: (kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    assert listed == {name: (each.kind, each.labels) for name, each in CATALOGUE.items()}
    assert len(rows) == len(listed)


def test_names_follow_the_conventions() -> None:
    for name, definition in CATALOGUE.items():
        assert re.fullmatch(r"evenstore_gateway_[a-z_]+", name)
        assert name.endswith("_total") == (definition.kind == "counter")
        assert bool(definition.bounds) == (definition.kind == "histogram")
        assert list(definition.bounds) == sorted(set(definition.bounds))
        assert definition.text.endswith(".")


@pytest.mark.parametrize(
    ("value", "bucket"), [(-1.0, 0), (0.0, 0), (1.0, 0), (1.5, 1), (2.0, 1), (2.1, 2), (1e9, 2)]
)
def test_bounds_are_inclusive(value: float, bucket: int) -> None:
    histogram = Histogram((1.0, 2.0))
    histogram.observe(value)
    assert histogram.counts.index(1) == bucket
    assert histogram.total == value


def test_a_lookup_counts_once_in_each_of_its_stages() -> None:
    metrics = Metrics()
    metrics.observe_lookup((1.0, 1.5, 1.75, 3.0, 3.5, 3.5, 3.75))
    metrics.observe_lookup((1.0, 1.5, 1.75, 3.0, 3.5, 4.5, 4.75))
    metrics.observe(ON_DEMAND, 7.0)
    histograms = metrics.snapshot().histograms
    told = {
        stage: (sum(counts), total)
        for stage in STAGES
        for counts, total in [histograms[f"{P}stage_duration_seconds", (stage,)]]
    }
    assert told == {
        "parse": (2, 1.0),
        "plan": (2, 0.5),
        "redis": (2, 2.5),
        "decode": (2, 1.0),
        "on_demand": (2, 8.0),
        "render": (2, 0.5),
    }


def test_a_snapshot_has_all_that_was_counted() -> None:
    metrics = Metrics()
    route = metrics.route("/get-online-features")
    route.observe(200, 0.001)
    route.observe(503, 0.5)
    route.observe(503, 0.5)
    view = metrics.view("profile")
    view.present += 3
    view.outside_max_age += 1
    view.observe_age_us(90_000_000)
    metrics.count_row_error("entity-rows", 2)
    metrics.add_source(lambda: [("shed_requests_total", (), 4), ("in_flight_requests", (), 5)])
    snapshot = metrics.snapshot()
    counters = snapshot.counters
    assert counters[f"{P}requests_total", ("/get-online-features", "200")] == 1
    assert counters[f"{P}requests_total", ("/get-online-features", "503")] == 2
    assert counters[f"{P}feature_values_total", ("profile", "PRESENT")] == 3
    assert counters[f"{P}feature_values_total", ("profile", "OUTSIDE_MAX_AGE")] == 1
    assert counters[f"{P}feature_values_total", ("profile", "NOT_FOUND")] == 0
    assert counters[f"{P}row_errors_total", ("entity-rows",)] == 2
    assert counters[f"{P}shed_requests_total", ()] == 4
    assert snapshot.gauges == {(f"{P}in_flight_requests", ()): 5}
    counts, total = snapshot.histograms[f"{P}feature_age_seconds", ("profile",)]
    assert (sum(counts), total) == (1, 90.0)
    assert {name for name, _ in (*counters, *snapshot.gauges)} <= set(CATALOGUE)


def test_a_sixteenth_of_the_lookups_samples_ages() -> None:
    metrics = Metrics()
    assert [n for n in range(48) if metrics.samples_ages()] == [0, 16, 32]


def test_there_is_a_bound_to_the_number_of_routes() -> None:
    metrics = Metrics()
    for n in range(300):
        metrics.route(f"/{n}").observe(200, 0.1)
    counters = metrics.snapshot().counters
    assert sum(name == f"{P}requests_total" for name, _ in counters) == 201
    assert counters[f"{P}requests_total", ("other", "200")] == 100


def test_numbers_go_on_from_those_before() -> None:
    first = Metrics()
    first.route("/a").observe(200, 0.001)
    first.observe(0, 0.25)
    first.add_source(lambda: [("in_flight_requests", (), 5)])
    second = Metrics(first.snapshot())
    second.route("/a").observe(200, 0.001)
    second.observe(0, 0.25)
    told = second.snapshot()
    assert told.counters[f"{P}requests_total", ("/a", "200")] == 2
    assert told.counters[f"{P}worker_starts_total", ()] == 2
    counts, total = told.histograms[f"{P}stage_duration_seconds", ("parse",)]
    assert (sum(counts), total) == (2, 0.5)
    assert told.gauges == {}, "a gauge is of the present only"
    assert second.snapshot() == told, "asking changes nothing"


def test_a_snapshot_survives_its_file() -> None:
    metrics = Metrics()
    metrics.route("/a").observe(200, 0.001)
    metrics.add_source(lambda: [("in_flight_requests", (), 5)])
    snapshot = metrics.snapshot()
    text = snapshot.to_json(worker="worker 1", pid=7)
    assert Snapshot.from_json(text) == (snapshot, {"worker": "worker 1", "pid": 7})


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{}", b'{"counters": 1}', b'{"format": 2, "counters": []}', b"\xff"]
)
def test_other_files_are_no_snapshots(text: bytes) -> None:
    with pytest.raises(ValueError, match="not a snapshot"):
        Snapshot.from_json(text)


def test_adding_up_leaves_its_parts_as_they_are() -> None:
    one = Snapshot({("a", ()): 1}, {("h", ()): ([1, 0], 2.0)}, {("g", ()): 9})
    two = Snapshot({("a", ()): 2, ("b", ("x",)): 5}, {("h", ()): ([1, 1], 3.0)})
    added = add_up([one, two])
    assert added.counters == {("a", ()): 3, ("b", ("x",)): 5}
    assert added.histograms == {("h", ()): ([2, 1], 5.0)}
    assert added.gauges == {}
    assert one.histograms == {("h", ()): ([1, 0], 2.0)}

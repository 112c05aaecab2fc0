from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import httpx
import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from evenstore.clock import FrozenClock
from serving.telemetry.catalogue import CATALOGUE
from serving.telemetry.exposition import render
from serving.telemetry.metrics import Metrics
from serving.telemetry.places import Place
from serving.telemetry.snapshot import Snapshot
from serving.telemetry.sources import process_source, schema_source
from tests.serving.guard.guarded_app import make_guarding, serve
from tests.serving.telemetry.test_places import start_other

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
P = "evenstore_gateway_"


def numbers() -> list[tuple[str, Snapshot]]:
    one, two = Metrics(), Metrics()
    for metrics, n_requests in ((one, 1), (two, 2)):
        for _ in range(n_requests):
            metrics.route('/a"\\\n').observe(200, 0.002)
        metrics.view("profile").observe_age_us(n_requests * 1_000_000)
    one.add_source(lambda: [("schema_info", ("shop", "abc"), 1)])
    two.add_source(lambda: [("schema_info", ("shop", "def"), 1)])
    return [("worker 1", one.snapshot()), ("worker 2", two.snapshot())]


def samples_of(text: str, *, openmetrics: bool) -> dict[tuple[str, frozenset[str]], float]:
    parse = parse_openmetrics if openmetrics else parse_text
    return {
        (sample.name, frozenset(sample.labels.values())): sample.value
        for family in parse(text)
        for sample in family.samples
    }


@pytest.mark.parametrize("accept", ["", "text/plain", OPENMETRICS])
def test_workers_are_added_up_in_both_formats(accept: str) -> None:
    text, content_type = render(numbers(), accept)
    is_openmetrics = accept == OPENMETRICS
    assert content_type.startswith(
        "application/openmetrics-text; version=1.0.0" if is_openmetrics else "text/plain; "
    )
    if not is_openmetrics:
        assert "version=0.0.4" in content_type
    samples = samples_of(text.decode(), openmetrics=is_openmetrics)
    route = '/a"\\\n'
    assert samples[f"{P}requests_total", frozenset({route, "200"})] == 3
    bucket = f"{P}request_duration_seconds_bucket"
    assert samples[bucket, frozenset({route, "0.0015"})] == 0
    assert samples[bucket, frozenset({route, "0.0025"})] == 3
    assert samples[bucket, frozenset({route, "+Inf"})] == 3
    assert samples[f"{P}request_duration_seconds_count", frozenset({route})] == 3
    assert samples[f"{P}request_duration_seconds_sum", frozenset({route})] == pytest.approx(0.006)
    assert samples[f"{P}feature_age_seconds_sum", frozenset({"profile"})] == 3
    assert samples[f"{P}schema_info", frozenset({"worker 1", "shop", "abc"})] == 1
    assert samples[f"{P}schema_info", frozenset({"worker 2", "shop", "def"})] == 1


def test_every_metric_is_described_also_before_it_has_numbers() -> None:
    text = render([], "")[0].decode()
    for name, definition in CATALOGUE.items():
        assert f"# HELP {name} {definition.text}\n" in text
        assert f"# TYPE {name} {definition.kind}\n" in text


def test_any_worker_answers_for_all(tmp_path: Path) -> None:
    with start_other(tmp_path) as process:
        place = Place(tmp_path, "worker 1")
        with serve(make_guarding(), place=place) as served:
            httpx.get(f"{served.url}/v1/feature-services/one", timeout=60)
            httpx.get(f"{served.url}/v1/feature-services/two", timeout=60)
            httpx.get(f"{served.url}/nothing-here/17850", timeout=60)
            httpx.post(f"{served.url}/push", timeout=60)
            with_other = httpx.get(f"{served.url}/metrics", timeout=60)
            process.kill()
            process.wait()
            without = httpx.get(
                f"{served.url}/metrics", timeout=60, headers={"accept": OPENMETRICS}
            )
    assert "17850" not in with_other.text
    samples = samples_of(with_other.text, openmetrics=False)
    requests = f"{P}requests_total"
    assert samples[requests, frozenset({"/v1/feature-services/{name}", "200"})] == 2
    assert samples[requests, frozenset({"unmatched", "404"})] == 1
    assert samples[requests, frozenset({"/push", "200"})] == 1
    assert samples[requests, frozenset({"/a", "200"})] == 1, "of the other worker"
    assert samples[f"{P}worker_starts_total", frozenset()] == 2
    assert samples[f"{P}in_flight_requests", frozenset({"worker 1"})] == 1, "this very request"
    assert samples[f"{P}in_flight_requests", frozenset({"worker 2"})] == 5
    assert without.headers["content-type"].startswith("application/openmetrics-text")
    after = samples_of(without.text, openmetrics=True)
    assert after[requests, frozenset({"/a", "200"})] == 1
    assert (f"{P}in_flight_requests", frozenset({"worker 2"})) not in after
    assert Metrics(place.take_over()).snapshot().counters[requests, ("/metrics", "200")] == 2, (
        "the last numbers are written at the end"
    )


def test_the_schema_tells_its_version_and_age(tmp_path: Path) -> None:
    schema_path, status_path = tmp_path / "schema.json", tmp_path / "status.json"
    read = schema_source(lambda: ("shop", "abc"), schema_path=schema_path, status_path=status_path)
    assert list(read()) == [("schema_info", ("shop", "abc"), 1)], "nothing else is known"
    schema_path.touch()
    os.utime(schema_path, (1_000, 1_000))
    for source, is_usable in (("registry", 1), ("last-good", 0)):
        status_path.write_text(
            json.dumps({"schema_source": source, "registry_fingerprint": "abc", "compiled_at": ""})
        )
        assert list(read()) == [
            ("schema_info", ("shop", "abc"), 1),
            ("schema_timestamp_seconds", (), 1_000.0),
            ("registry_usable", (), is_usable),
        ]


def test_a_process_tells_its_start_and_memory() -> None:
    started, memory = process_source(FrozenClock(3_000_000_000))()
    assert started == ("start_timestamp_seconds", (), 3_000.0)
    told = subprocess.run(
        ["ps", "-o", "rss=", "-p", str(os.getpid())], capture_output=True, text=True, check=True
    )
    assert memory[2] == pytest.approx(int(told.stdout) * 1024, rel=0.2)

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from evenstore.errors import ConfigurationError
from serving.telemetry.metrics import Metrics
from serving.telemetry.places import Place, open_metrics_folder
from tests.serving.loggers import lines_reach
from tests.serving.processes import wait_until

REQUESTS = ("evenstore_gateway_requests_total", ("/a", "200"))

_OTHER_WORKER = """
import sys
from pathlib import Path
from serving.telemetry.metrics import Metrics
from serving.telemetry.places import Place

place = Place(Path(sys.argv[1]), "worker 2")
metrics = Metrics(place.take_over())
metrics.route("/a").observe(200, 0.001)
metrics.add_source(lambda: [("in_flight_requests", (), 5)])
place.write(place.take(metrics))
print("written", flush=True)
sys.stdin.read()
"""


def start_other(folder: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", _OTHER_WORKER, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"written\n"
    return process


def test_counts_of_killed_workers_stay_and_their_successors_go_on(tmp_path: Path) -> None:
    place = Place(tmp_path, "worker 1")
    for n_started in (1, 2):
        with start_other(tmp_path) as process:
            ((worker, alive),) = place.read_others()
            process.kill()
        ((_, dead),) = place.read_others()
        assert worker == "worker 2"
        assert alive.counters[REQUESTS] == dead.counters[REQUESTS] == n_started
        assert alive.gauges == {("evenstore_gateway_in_flight_requests", ()): 5}
        assert dead.gauges == {}, "what is gone has no present state"


def test_what_is_shown_is_on_disk(tmp_path: Path) -> None:
    place, metrics = Place(tmp_path, "worker 1"), Metrics()
    metrics.route("/a").observe(200, 0.001)
    ((worker, shown),) = asyncio.run(place.collect(metrics))
    assert worker == "worker 1"
    assert Metrics(Place(tmp_path, "worker 1").take_over()).snapshot().counters[REQUESTS] == 1
    assert shown.counters[REQUESTS] == 1


def test_a_worker_writes_again_and_at_its_end(tmp_path: Path) -> None:
    place, metrics = Place(tmp_path, "worker 1"), Metrics()

    async def run() -> None:
        keeping = asyncio.create_task(place.keep(metrics, every_s=0.01))
        metrics.route("/a").observe(200, 0.001)
        await asyncio.to_thread(
            wait_until, lambda: REQUESTS in place.take_over().counters, "it is written"
        )
        metrics.route("/a").observe(200, 0.001)
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping

    asyncio.run(run())
    assert place.take_over().counters[REQUESTS] == 2


def test_an_older_snapshot_never_replaces_a_newer_one(tmp_path: Path) -> None:
    place, metrics = Place(tmp_path, "worker 1"), Metrics()
    older = place.take(metrics)
    metrics.route("/a").observe(200, 0.001)
    place.write(place.take(metrics))
    place.write(older)
    assert place.take_over().counters[REQUESTS] == 1


def test_a_file_that_is_none_counts_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "worker-1.json").write_text("{")
    (tmp_path / "worker-2.json").write_text("[]")
    place = Place(tmp_path, "worker 1")
    assert place.take_over().counters == {}
    assert place.read_others() == []


def test_a_folder_that_is_gone_costs_no_request(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    place, metrics = Place(tmp_path / "file", "worker 1"), Metrics()
    with lines_reach(caplog):
        for _ in range(3):
            assert len(asyncio.run(place.collect(metrics))) == 1
    assert caplog.text.count("the metrics of all workers lack ours") == 1


def test_a_worker_on_its_own_needs_no_folder() -> None:
    place, metrics = Place(None, "worker 1"), Metrics()
    assert place.take_over().counters == {}
    assert [worker for worker, _ in asyncio.run(place.collect(metrics))] == ["worker 1"]


def test_a_supervisor_begins_with_an_empty_folder_and_removes_those_of_dead_ones(
    tmp_path: Path,
) -> None:
    dead = subprocess.run(["sh", "-c", "echo $$"], capture_output=True, text=True, check=True)
    gone = tmp_path / f"metrics-{dead.stdout.strip()}"
    other = tmp_path / f"metrics-{os.getppid()}"
    foreign = tmp_path / "metrics-of-mine"
    for folder in (gone, other, foreign):
        folder.mkdir()
    folder = open_metrics_folder(tmp_path)
    (folder / "worker-1.json").touch()
    assert open_metrics_folder(tmp_path) == folder
    assert list(folder.iterdir()) == []
    assert set(tmp_path.iterdir()) == {folder, other, foreign}


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot use"):
        open_metrics_folder(tmp_path / "file")

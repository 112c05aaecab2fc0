"""`feast materialize` killed at any moment: reads go on, and the next run repairs everything."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pytest
from feast import Entity, FeatureStore
from feast.feature_view import FeatureViewState
from feast.types import Float64, Int64, String
from feast.value_type import ValueType
from redis import Redis

from evenstore.codec.packed_key import project_prefix
from evenstore.codec.packed_row import read_row, split_slots
from evenstore.online.connection import open_redis
from evenstore.processes import process_start
from evenstore.redis_server import RedisServer, start_redis, stop_redis
from tests.support.feast_command import feast
from tests.support.feast_repo import OUR_ENGINE, FeastRepo
from tests.support.redis_process import wait_until
from tests.support.scale import scaled

_START, _END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 10, tzinfo=UTC)
_N_ROWS = 30_000
_N_OLD_ROWS = 100
_LIMIT_S = 300.0
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload([__name__, "evenstore.compute.engine", "evenstore.online.store"])
_READ_IDS = range(_N_OLD_ROWS // 2, _N_OLD_ROWS // 2 + 9)
# Without EVENSTORE_REDIS_URL: this server is killed.
_ENVIRON = {"PATH": os.environ.get("PATH", "")}


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    with open_redis(redis_url) as opened:
        yield opened


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose socket has the same path after a restart."""
    with tempfile.TemporaryDirectory(prefix="evenstore-") as folder:
        yield Path(folder)


def _table(first: int, n_rows: int, at: datetime) -> pa.Table:
    instants = pa.array([at + timedelta(microseconds=i) for i in range(n_rows)])
    return pa.table(
        {
            "driver_id": range(first, first + n_rows),
            "trips": [None if i % 7 == 0 else 2**53 + i for i in range(n_rows)],
            "rating": [i / 3 for i in range(n_rows)],
            "name": [f"driver {i}" for i in range(n_rows)],
            "event_timestamp": instants.cast(pa.timestamp("us", "UTC")),
            "created": instants.cast(pa.timestamp("us", "UTC")),
        }
    )


def _prepare(path: Path, redis_url: str, project: str) -> FeastRepo:
    """A view in service with a few rows, and many new ones to load."""
    # Feast writes a file registry in place: a reader or a kill may meet it half written. And
    # without `serve_features_while_materializing`, Feast refuses reads of a MATERIALIZING view.
    registry = {"registry_type": "sql", "path": f"sqlite:///{path}/registry.sqlite"}
    # A killed run holds its view for a lease.
    engine = {"type": OUR_ENGINE, "lock_lease_s": 1}
    overrides = {"registry": registry, "batch_engine": engine}
    repo = FeastRepo(path, redis_url=redis_url, project=project, overrides=overrides)
    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
    schema = {"driver_id": Int64, "trips": Int64, "rating": Float64, "name": String}
    repo.write_rows("stats", _table(0, _N_OLD_ROWS, _START), file="a.parquet")
    store = repo.apply(driver, repo.view("stats", [driver], schema, ttl=timedelta(0)))
    store.materialize(_START, _END)
    late = _table(_N_OLD_ROWS // 2, _N_ROWS, _START + timedelta(days=1))
    repo.write_rows("stats", late, file="b.parquet")
    return repo


def _start_run(repo: FeastRepo) -> BaseProcess:
    """Start a run in a process of its own, which a fork server saves the seconds of imports."""
    run = _PROCESSES.Process(target=_materialize, args=(str(repo.path),))
    run.start()
    return run


def _materialize(repo_path: str) -> None:
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    FeatureStore(repo_path=repo_path).materialize(_START, _END)


def _materialize_by_command(repo: FeastRepo) -> None:
    interval = [instant.strftime("%Y-%m-%dT%H:%M:%S") for instant in (_START, _END)]
    feast(repo.path, " ".join(["materialize", *interval]))


def _kill_at(run: BaseProcess, client: Redis, n_keys: int) -> bool:
    """Kill a run as soon as Redis holds so many keys; tell whether it still ran then."""
    try:
        _wait_for_keys(run, client, n_keys)
    finally:
        was_running = run.is_alive()
        run.kill()
        run.join(_LIMIT_S)
    return was_running


def _wait_for_keys(run: BaseProcess, client: Redis, n_keys: int) -> None:
    """Wait until Redis holds so many keys, or the run ends."""
    deadline_s = time.monotonic() + _LIMIT_S
    while run.is_alive() and _n_keys(client) < n_keys:
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


def _kill_server(server: RedisServer) -> None:
    pid = server.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert wait_until(lambda: process_start(pid) is None)


def _content(client: Redis, project: str) -> dict[bytes, tuple[int, int | None, bytes]]:
    """All rows of a project: values and timestamps, but not when which run read them."""
    prefix = project_prefix(project)
    keys = [key for key in client.scan_iter(count=1000) if key.startswith(prefix)]
    all_stored: Any = client.mget(keys)
    content = {}
    for key, stored in zip(keys, all_stored, strict=True):
        (row,) = split_slots(stored).values()
        head = read_row(row)
        values = row[head.payload_start :]
        content[key.removeprefix(prefix)] = head.order.event_us, head.order.created_us, values
    return content


def _n_keys(client: Redis) -> int:
    count: Any = client.dbsize()
    return int(count)


def _serves(repo: FeastRepo) -> bool:
    answer = repo.store().get_online_features(["stats:name"], [{"driver_id": 1}]).to_dict()
    return bool(answer["name"] == ["driver 1"])


class _Reader:
    """Reads some entities again and again; no read may fail, be torn, or go back in time."""

    def __init__(self, repo: FeastRepo) -> None:
        self._store = repo.store()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.n_reads = 0
        self._failures: list[Exception] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        if self._failures:
            raise self._failures[0]

    def _run(self) -> None:
        is_new = dict.fromkeys(_READ_IDS, False)
        try:
            while not self._ended.wait(0.2):  # Leave the run a core.
                for driver_id, row in self._read().items():
                    old, new = _row_of(driver_id), _row_of(driver_id - _N_OLD_ROWS // 2)
                    assert row == new or (row == old and not is_new[driver_id])
                    is_new[driver_id] = row == new
                self.n_reads += 1
        except Exception as exc:  # noqa: BLE001 - Raised again where the test sees it.
            self._failures.append(exc)

    def _read(self) -> dict[int, tuple[Any, ...]]:
        names = ["trips", "rating", "name"]
        asked = [{"driver_id": driver_id} for driver_id in _READ_IDS]
        answer = self._store.get_online_features([f"stats:{name}" for name in names], asked)
        columns = answer.to_dict()
        rows = zip(*(columns[name] for name in names), strict=True)
        return dict(zip(columns["driver_id"], rows, strict=True))


def _row_of(i: int) -> tuple[Any, ...]:
    """The values of a table's row, as `_table` makes them."""
    return (None if i % 7 == 0 else 2**53 + i, i / 3, f"driver {i}")


@pytest.mark.e2e
@pytest.mark.timeout(7200)
def test_killed_runs_lose_nothing_and_never_take_the_view_out_of_service(
    tmp_path: Path, redis_url: str, client: Redis
) -> None:
    calm = _prepare(tmp_path / "calm", redis_url, "calm")
    calm.store().materialize(_START, _END)
    undisturbed = _content(client, "calm")
    repo = _prepare(tmp_path / "killed", redis_url, "killed")
    n_before = _n_keys(client)
    chance = random.Random(7)
    n_kills = scaled(3, 500)
    n_caught = 0

    with _Reader(repo) as reader:
        for _ in range(n_kills):
            # Later and later, since what was written stays.
            n_keys = max(n_before, _n_keys(client)) + chance.randint(1, 2 * _N_ROWS // n_kills)
            n_caught += _kill_at(_start_run(repo), client, n_keys)
            assert repo.store().get_feature_view("stats").state is FeatureViewState.AVAILABLE_ONLINE

        assert _serves(repo)
        assert n_caught > 0
        _materialize_by_command(repo)
    assert reader.n_reads > n_kills
    view = repo.store().get_feature_view("stats")
    assert view.state is FeatureViewState.AVAILABLE_ONLINE
    assert len(view.materialization_intervals) >= 2
    assert _content(client, "killed") == undisturbed


@pytest.mark.e2e
@pytest.mark.timeout(7200)
def test_redis_that_restarts_from_its_log_during_a_run_lacks_nothing_after_the_next(
    tmp_path: Path, short_folder: Path
) -> None:
    """The log's last second may be lost: rows and watermark are lost together."""
    server = start_redis(short_folder, environ=_ENVIRON, detached=True)
    chance = random.Random(7)
    try:
        calm = _prepare(tmp_path / "calm", server.url, "calm")
        calm.store().materialize(_START, _END)
        with open_redis(server.url) as client:
            undisturbed = _content(client, "calm")
        for number in range(scaled(1, 50)):
            repo = _prepare(tmp_path / f"{number}", server.url, f"p{number}")
            with open_redis(server.url) as client:
                n_keys = _n_keys(client) + chance.randint(1, _N_ROWS)
                run = _start_run(repo)
                _wait_for_keys(run, client, n_keys)
            _kill_server(server)
            server = start_redis(short_folder, environ=_ENVIRON, detached=True)
            # It fails, unless it was done; it never says that it wrote what is lost.
            run.join(_LIMIT_S)
            assert not run.is_alive()

            repo.store().materialize(_START, _END)

            with open_redis(server.url) as client:
                assert _content(client, f"p{number}") == undisturbed
            assert _serves(repo)
    finally:
        stop_redis(short_folder)

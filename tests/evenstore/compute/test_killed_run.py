"""`feast materialize` killed at any moment: reads go on, and the next run repairs everything."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from feast import Entity
from feast.feature_view import FeatureViewState
from feast.types import Float64, Int64, String
from feast.value_type import ValueType
from redis import Redis

from evenstore.codec.entity_key import split_project
from evenstore.online.connection import open_redis
from tests.support.feast_repo import FeastRepo
from tests.support.scale import scaled

_START, _END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 10, tzinfo=UTC)
_N_ROWS = 30_000
_N_OLD_ROWS = 100
_LIMIT_S = 120.0


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    with open_redis(redis_url) as opened:
        yield opened


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
    repo = FeastRepo(path, redis_url=redis_url, project=project, overrides={"registry": registry})
    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
    schema = {"driver_id": Int64, "trips": Int64, "rating": Float64, "name": String}
    repo.write_rows("stats", _table(0, _N_OLD_ROWS, _START), file="a.parquet")
    store = repo.apply(driver, repo.view("stats", [driver], schema, ttl=timedelta(0)))
    store.materialize(_START, _END)
    late = _table(_N_OLD_ROWS // 2, _N_ROWS, _START + timedelta(days=1))
    repo.write_rows("stats", late, file="b.parquet")
    return repo


def _materialize(repo: FeastRepo) -> subprocess.Popen[bytes]:
    command = [str(Path(sys.executable).with_name("feast")), "--chdir", str(repo.path)]
    interval = [instant.strftime("%Y-%m-%dT%H:%M:%S") for instant in (_START, _END)]
    return subprocess.Popen(
        [*command, "materialize", *interval],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _kill_at(run: subprocess.Popen[bytes], client: Redis, n_keys: int) -> bool:
    """Kill a run as soon as Redis holds so many keys; tell whether it still ran then."""
    deadline_s = time.monotonic() + _LIMIT_S
    try:
        while run.poll() is None and _n_keys(client) < n_keys:
            assert time.monotonic() < deadline_s
            time.sleep(0.001)
    finally:
        was_running = run.poll() is None
        run.kill()
        run.wait()
    return was_running


def _content(client: Redis, project: str) -> dict[bytes, dict[bytes, bytes]]:
    """All rows of a project: values and event timestamps, but not when which run read them."""
    suffix = project.encode()
    keys = [key for key in client.scan_iter(count=1000) if split_project(key) == suffix]
    pipeline = client.pipeline(transaction=False)
    for key in keys:
        pipeline.execute_command("HGETALL", key)
    return {
        key.removesuffix(suffix): {
            name: value for name, value in fields.items() if name != b"_order:stats"
        }
        for key, fields in zip(keys, pipeline.execute(), strict=True)
    }


def _n_keys(client: Redis) -> int:
    count: Any = client.dbsize()
    return int(count)


def _serves(repo: FeastRepo) -> bool:
    answer = repo.store().get_online_features(["stats:name"], [{"driver_id": 1}]).to_dict()
    return bool(answer["name"] == ["driver 1"])


@pytest.mark.e2e
@pytest.mark.timeout(1800)
def test_killed_runs_lose_nothing_and_never_take_the_view_out_of_service(
    tmp_path: Path, redis_url: str, client: Redis
) -> None:
    calm = _prepare(tmp_path / "calm", redis_url, "calm")
    assert _materialize(calm).wait(_LIMIT_S) == 0
    undisturbed = _content(client, "calm")
    repo = _prepare(tmp_path / "killed", redis_url, "killed")
    n_before = _n_keys(client)
    chance = random.Random(7)
    n_kills = scaled(3, 50)
    n_caught = 0

    for _ in range(n_kills):
        # Later and later, since what was written stays.
        n_keys = max(n_before, _n_keys(client)) + chance.randint(1, 2 * _N_ROWS // n_kills)
        n_caught += _kill_at(_materialize(repo), client, n_keys)
        assert repo.store().get_feature_view("stats").state is FeatureViewState.AVAILABLE_ONLINE
        assert _serves(repo)

    assert n_caught > 0
    run = _materialize(repo)
    assert run.wait(_LIMIT_S) == 0
    view = repo.store().get_feature_view("stats")
    assert view.state is FeatureViewState.AVAILABLE_ONLINE
    assert len(view.materialization_intervals) >= 2
    assert _content(client, "killed") == undisturbed


@pytest.mark.e2e
def test_view_serves_while_a_run_writes(tmp_path: Path, redis_url: str, client: Redis) -> None:
    repo = _prepare(tmp_path / "repo", redis_url, "busy")
    n_before = _n_keys(client)
    n_served = 0
    run = _materialize(repo)
    try:
        while run.poll() is None:
            if _n_keys(client) > n_before:
                assert _serves(repo)
                n_served += 1
            time.sleep(0.05)  # Leave the run a core.
    finally:
        run.kill()
        run.wait()

    assert run.returncode == 0
    assert n_served > 0

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pyarrow as pa
import pytest
from feast import Entity, FeatureService, PushSource
from feast.types import Float64, Int64, String
from feast.value_type import ValueType

from tests.serving.processes import Running, is_alive, run_gateway, wait_until
from tests.serving.redis_process import RedisProcess
from tests.support.feast_repo import FeastRepo


@pytest.fixture(scope="package")
def gateway_repo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FeastRepo]:
    """Everything that the lookup guide names, before a Redis that is still empty."""
    folder = tmp_path_factory.mktemp("gateway")
    redis_process = RedisProcess(folder / "redis")
    redis_process.start()
    try:
        yield _write_repo(FeastRepo(folder / "repo", redis_url=redis_process.url, project="shop"))
    finally:
        redis_process.kill()


@pytest.fixture(scope="package")
def gateway(gateway_repo: FeastRepo) -> Iterator[Running]:
    """A gateway as `evenstore-serve` starts it; killed at the end, it must leave nobody."""
    home = gateway_repo.path.with_name("home")
    with run_gateway(gateway_repo.path, home, has_writer=True) as running:
        wait_until(lambda: len(_writers_of(running)) == 1, "a writer starts that nobody asked for")
        # Lookups are served from the first moment; writes when Feast is imported.
        wait_until(lambda: _takes_pushes(running), "the gateway takes pushes")
        yield running
        family = running.children()
        assert len(_writers_of(running)) == 1
        assert len(family) > 1
        running.process.kill()
        wait_until(lambda: not any(is_alive(pid) for pid in family), "all processes end")


def _write_repo(repo: FeastRepo) -> FeastRepo:
    customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.INT64)
    activity = repo.view(
        "customer_activity",
        [customer],
        {"customer_id": Int64, "orders_30d": Int64, "spend_30d": Float64},
        ttl=timedelta(days=2),
        source=PushSource(name="activity_push", batch_source=repo.source("customer_activity")),
    )
    profile = repo.view("customer_profile", [customer], {"customer_id": Int64, "country": String})
    service = FeatureService(name="churn_v1", features=[activity, profile])
    repo.apply(customer, activity, profile, service)
    now = pa.array([datetime.now(tz=UTC) - timedelta(hours=1)], pa.timestamp("us", tz="UTC"))
    stamps = {"customer_id": [1], "event_timestamp": now, "created": now}
    repo.write_rows(
        "customer_activity", pa.table({**stamps, "orders_30d": [1], "spend_30d": [0.5]})
    )
    repo.write_rows("customer_profile", pa.table({**stamps, "country": ["France"]}))
    return repo


def _takes_pushes(gateway: Running) -> bool:
    frame = {
        "customer_id": [1],
        "orders_30d": [1],
        "spend_30d": [0.5],
        "event_timestamp": ["2024-01-01T00:00:00Z"],
    }
    body = {"push_source_name": "activity_push", "df": frame}
    return httpx.post(f"{gateway.url}/push", json=body, timeout=60).is_success


def _writers_of(gateway: Running) -> list[int]:
    return [pid for pid in gateway.children() if "serving.writes.writer" in _command_of(pid)]


def _command_of(pid: int) -> str:
    listed = ["ps", "-o", "args=", "-p", str(pid)]
    return subprocess.run(listed, capture_output=True, text=True, check=False).stdout

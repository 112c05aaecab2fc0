from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pyarrow as pa
import pytest
from feast import Entity, FeatureService, PushSource
from feast.types import Float64, Int64, String
from feast.value_type import ValueType

from tests.serving.processes import Running, run_gateway, wait_until
from tests.serving.redis_process import RedisProcess
from tests.support.feast_repo import FeastRepo


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A gateway as `evenstore-serve` starts it, with everything that the lookup guide names."""
    folder = tmp_path_factory.mktemp("gateway")
    redis_process = RedisProcess(folder / "redis")
    redis_process.start()
    try:
        repo = _write_repo(folder / "repo", redis_process.url)
        with run_gateway(repo, folder / "home") as running:
            # Lookups are served from the first moment; writes when Feast is imported.
            wait_until(lambda: _takes_pushes(running), "the gateway takes pushes")
            yield running
    finally:
        redis_process.kill()


def _write_repo(folder: Path, redis_url: str) -> Path:
    repo = FeastRepo(folder, redis_url=redis_url, project="shop")
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
    return repo.path


def _takes_pushes(gateway: Running) -> bool:
    frame = {
        "customer_id": [1],
        "orders_30d": [1],
        "spend_30d": [0.5],
        "event_timestamp": ["2024-01-01T00:00:00Z"],
    }
    body = {"push_source_name": "activity_push", "df": frame}
    return httpx.post(f"{gateway.url}/push", json=body, timeout=60).is_success

"""Writes through a whole gateway: what was pushed is found by the next lookup of any worker."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
from feast import FeatureStore
from feast.data_source import PushMode

from tests.serving.processes import Running
from tests.support.feast_repo import FeastRepo

pytestmark = [
    pytest.mark.redis,
    pytest.mark.e2e,
    pytest.mark.slow,
]

# Pushed by nobody else.
CUSTOMER = 4_711
NOW = datetime.now(tz=UTC)
REFERENCES = ["customer_activity:orders_30d", "customer_activity:spend_30d"]


@pytest.fixture
def remote(gateway: Running, gateway_repo: FeastRepo, tmp_path: Path) -> FeatureStore:
    """What Feast's own clients open that know nothing but the gateway's URL."""
    registry = str(gateway_repo.path / "registry.db")
    overrides = {
        "registry": registry,
        "online_store": {"type": "remote", "path": gateway.url},
        "batch_engine": {"type": "local"},
    }
    return FeastRepo(tmp_path / "remote", project="shop", overrides=overrides).store()


def test_pushes_are_found_by_the_next_lookup(gateway: Running) -> None:
    for orders in range(1, 20):
        event = NOW - timedelta(minutes=1) + timedelta(seconds=orders)
        assert push(gateway, "activity_push", orders, event).status_code == 200
        assert look_up(gateway) == orders
    refused = push(gateway, "nope", 1, NOW)
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "unknown-push-source")


def test_what_feasts_remote_store_pushes_is_looked_up(
    remote: FeatureStore, gateway_repo: FeastRepo
) -> None:
    frame = pd.DataFrame(
        {
            "customer_id": [1_000, 1_001],
            "event_timestamp": [NOW, NOW],
            "created": [NOW, NOW],
            "orders_30d": [7, 2**53 + 1],
            "spend_30d": [0.25, -1.5],
        }
    )

    remote.push("activity_push", frame, to=PushMode.ONLINE)

    rows = [{"customer_id": number} for number in (1_000, 1_001)]
    answers = [
        store.get_online_features(REFERENCES, rows).to_dict()
        for store in (gateway_repo.store(), remote)
    ]
    assert answers[0]["orders_30d"] == [7, 2**53 + 1]
    assert answers[0]["spend_30d"] == [0.25, -1.5]
    assert answers[0] == answers[1]


def test_feasts_remote_store_may_ask_for_a_run(remote: FeatureStore) -> None:
    # It raises on any answer but that of an accepted run.
    remote.materialize_incremental(NOW, [], run_async=True)


def push(gateway: Running, source: str, orders: int, event: datetime) -> httpx.Response:
    frame = {
        "customer_id": [CUSTOMER],
        "orders_30d": [orders],
        "spend_30d": [0.5],
        "event_timestamp": [event.isoformat()],
    }
    body = {"push_source_name": source, "df": frame}
    return httpx.post(f"{gateway.url}/push", json=body, timeout=60)


def look_up(gateway: Running) -> Any:
    answer = gateway.post({"features": REFERENCES, "entities": {"customer_id": [CUSTOMER]}})
    assert answer.status_code == 200, answer.text
    return answer.json()["results"][1]["values"][0]

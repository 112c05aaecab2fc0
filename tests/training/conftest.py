"""A Feast repo of two views, one on-demand view and three services, on real Parquet files."""

from __future__ import annotations

import datetime as dt
import shutil
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.data_source import RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Array, Float64, Int64, String, UnixTimestamp

from tests.training.samples import DAY_US, START_US

__all__ = ["entity_rows_path", "feature_repo", "feature_repo_copy"]

_N_CUSTOMERS = 40
_N_DAYS = 120
_INSTANT = pa.timestamp("us", tz="UTC")
_CONFIG = """\
project: training_test
provider: local
registry: registry.db
entity_key_serialization_version: 3
offline_store:
  type: evenstore.offline.store.DuckDBOfflineStore
online_store:
  type: sqlite
  path: online.db
"""


def _spend(customer: int, day: int) -> float:
    return float((customer * 7 + day * 3) % 50)


def _write_activity(path: Path) -> None:
    """Write one row per customer and day, and a correction of every row three days later."""
    days, customers = (
        grid.ravel() for grid in np.meshgrid(np.arange(_N_DAYS), np.arange(_N_CUSTOMERS))
    )
    event_us = START_US + days * DAY_US
    spend = np.array([_spend(int(c), int(d)) for c, d in zip(customers, days, strict=True)])
    columns = {
        "customer_id": np.tile(customers, 2),
        "spend": np.concatenate([spend, spend + 1_000.0]),
        "country": np.tile(np.where(customers % 2 == 0, "France", "Spain"), 2),
        "first_order": pa.array(np.tile(event_us - 30 * DAY_US, 2)).cast(_INSTANT),
        "favourites": pa.array([["a", "b"]] * (2 * len(days))),
        "event_timestamp": pa.array(np.tile(event_us, 2)).cast(_INSTANT),
        "created": pa.array(np.concatenate([event_us, event_us + 3 * DAY_US])).cast(_INSTANT),
    }
    path.parent.mkdir()
    pq.write_table(pa.table(columns), path)


def _write_profile(path: Path) -> None:
    """Write one row per customer, in a folder; no column is declared as the created timestamp."""
    columns = {
        "customer_id": pa.array(range(_N_CUSTOMERS)),
        "age": pa.array([20 + customer for customer in range(_N_CUSTOMERS)]),
        "event_timestamp": pa.array([START_US] * _N_CUSTOMERS).cast(_INSTANT),
        "loaded_at": pa.array([START_US] * _N_CUSTOMERS).cast(_INSTANT),
    }
    path.mkdir()
    pq.write_table(pa.table(columns), path / "a.parquet")


def _apply(repo: Path) -> None:
    customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.INT64)
    activity = FeatureView(
        name="activity",
        entities=[customer],
        ttl=dt.timedelta(days=5),
        schema=[
            Field(name="spend", dtype=Float64),
            Field(name="country", dtype=String),
            Field(name="first_order", dtype=UnixTimestamp),
            Field(name="favourites", dtype=Array(String)),
            Field(name="customer_id", dtype=Int64),
        ],
        source=FileSource(
            name="activity_source",
            path="data/activity.parquet",
            timestamp_field="event_timestamp",
            created_timestamp_column="created",
        ),
    )
    profile = FeatureView(
        name="profile",
        entities=[customer],
        schema=[Field(name="age", dtype=Int64), Field(name="customer_id", dtype=Int64)],
        source=FileSource(
            name="profile_source", path="data/profile", timestamp_field="event_timestamp"
        ),
    )
    till = RequestSource(name="till", schema=[Field(name="basket_value", dtype=Float64)])

    def basket(inputs: dict[str, list[float | None]]) -> dict[str, list[float | None]]:
        pairs = zip(inputs["basket_value"], inputs["spend"], strict=True)
        return {"basket_to_spend": [b / s if b is not None and s else None for b, s in pairs]}

    on_demand = on_demand_feature_view(
        sources=[activity, till],
        schema=[Field(name="basket_to_spend", dtype=Float64)],
        mode="python",
    )(basket)
    numbers = activity[["spend", "country", "first_order"]]
    store = FeatureStore(repo_path=str(repo))
    services = [
        FeatureService(name="checkout_v1", features=[numbers, on_demand]),
        FeatureService(name="with_list_v1", features=[activity]),
        FeatureService(name="two_views_v1", features=[activity[["spend"]], profile]),
    ]
    with warnings.catch_warnings():
        # Feast says at every apply that on-demand views are experimental.
        warnings.filterwarnings("ignore", "On demand feature view", RuntimeWarning)
        store.apply([customer, activity, profile, on_demand, *services])


@pytest.fixture(scope="session")
def feature_repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an applied feature repo."""
    repo = tmp_path_factory.mktemp("feature_repo")
    (repo / "feature_store.yaml").write_text(_CONFIG)
    _write_activity(repo / "data" / "activity.parquet")
    _write_profile(repo / "data" / "profile")
    _apply(repo)
    return repo


@pytest.fixture
def feature_repo_copy(feature_repo: Path, tmp_path: Path) -> Path:
    """A copy of the feature repo, registry and data included, that a test may change."""
    copy = tmp_path / "repo_copy"
    shutil.copytree(feature_repo, copy)
    return copy


@pytest.fixture(scope="session")
def entity_rows_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Entity rows of 100 days; the label follows the spend as known, one customer is unknown."""
    path = tmp_path_factory.mktemp("entity_rows") / "rows.parquet"
    random = np.random.default_rng(0)
    n_rows = 800
    days = random.integers(10, 110, n_rows)
    customers = random.integers(0, _N_CUSTOMERS + 1, n_rows)
    spend = np.array([_spend(int(c), int(d)) for c, d in zip(customers, days, strict=True)])
    times_us = START_US + days * DAY_US + 3_600_000_000
    table = pa.table(
        {
            "customer_id": customers,
            "stock_code": pa.array(["85123A"] * n_rows),
            "event_timestamp": pa.array(times_us).cast(_INSTANT),
            "basket_value": random.gamma(2.0, 10.0, n_rows),
            "buys_again_60d": spend + random.normal(0.0, 10.0, n_rows) > 25.0,
            "label_timestamp": pa.array(times_us + 10 * DAY_US).cast(_INSTANT),
        }
    )
    pq.write_table(table, path)
    return path

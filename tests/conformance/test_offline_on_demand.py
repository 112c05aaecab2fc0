"""On-demand views over stock Feast's two local stores and ours: what the functions are given."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from feast import Entity, FeatureStore, RequestSource
from feast import Field as FeastField
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float32, Float64, Int64, String
from feast.value_type import ValueType

from tests.conformance.stores import DUCKDB, FILE, STOCK_WARNINGS, STORE_TYPES, Deviations
from tests.support.feast_repo import FeastRepo

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
BIG = 2**53 + 1
pytestmark = STOCK_WARNINGS

_FLOATS = (
    AssertionError,
    "upstream, D15 / D10: an integer beside a null reaches pandas as float64",
)
_TYPES = (AssertionError, "upstream, D15: types are those of the values that are there")
DEVIATIONS: Deviations = {
    ("test_pandas_view_is_given_the_same_types_whatever_rows_are_there", DUCKDB): _TYPES,
    ("test_pandas_view_is_given_exact_integers", FILE): _FLOATS,
    ("test_pandas_view_is_given_exact_integers", DUCKDB): _FLOATS,
    ("test_python_view_is_given_integers_and_none", FILE): (
        AssertionError,
        "upstream, D10: integers beside a null pass through float64",
    ),
    ("test_outputs_have_their_declared_types_without_a_value", FILE): _TYPES,
    ("test_outputs_have_their_declared_types_without_a_value", DUCKDB): _TYPES,
}


class OnDemand:
    """A pandas and a python view that say what they were given, on one store."""

    def __init__(self, folder: Path, kind: str) -> None:
        repo = FeastRepo(folder, offline_store=STORE_TYPES[kind])
        rows = pa.table(
            {
                "driver_id": pa.array([1, 2], pa.int64()),
                "trips": pa.array([BIG, None], pa.int64()),
                "rate": pa.array([0.5, None], pa.float32()),
                "event_timestamp": pa.array([NOON, NOON], pa.timestamp("us", "UTC")),
            }
        )
        source = repo.source("stats", created=None, path=str(repo.write_rows("stats", rows)))
        driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
        schema: dict[str, Any] = {"driver_id": Int64, "trips": Int64, "rate": Float32}
        stats = repo.view("stats", [driver], schema, source=source)
        till = RequestSource(name="till", schema=[FeastField(name="amount", dtype=Float64)])

        def in_pandas(inputs: pd.DataFrame) -> pd.DataFrame:
            outputs = pd.DataFrame(index=inputs.index)
            outputs["trips_type"] = str(inputs["trips"].dtype)
            outputs["rate_type"] = str(inputs["rate"].dtype)
            outputs["next_trip"] = inputs["trips"] + 1
            outputs["half"] = inputs["amount"] / 2
            return outputs

        def in_python(inputs: dict[str, Any]) -> dict[str, Any]:
            trips = inputs["trips"]
            return {"trips_kind": [type(value).__name__ for value in trips], "same": trips}

        views = [
            on_demand_feature_view(
                sources=[stats, till],
                schema=[
                    FeastField(name="trips_type", dtype=String),
                    FeastField(name="rate_type", dtype=String),
                    FeastField(name="next_trip", dtype=Int64),
                    FeastField(name="half", dtype=Float64),
                ],
                mode="pandas",
            )(in_pandas),
            on_demand_feature_view(
                sources=[stats],
                schema=[
                    FeastField(name="trips_kind", dtype=String),
                    FeastField(name="same", dtype=Int64),
                ],
                mode="python",
            )(in_python),
        ]
        self.store: FeatureStore = repo.apply(driver, stats, *views)

    def ask(self, features: list[str], *keys: int) -> pa.Table:
        asked = pd.DataFrame({"driver_id": keys, "event_timestamp": NOON, "amount": 5.0})
        job = self.store.get_historical_features(entity_df=asked, features=features)
        return job.to_arrow().sort_by("driver_id")


@pytest.fixture(scope="module")
def on_demand(kind: str, tmp_path_factory: pytest.TempPathFactory) -> OnDemand:
    return OnDemand(tmp_path_factory.mktemp(kind), kind)


def types_given(on_demand: OnDemand, *keys: int) -> set[tuple[str, str]]:
    table = on_demand.ask(["in_pandas:trips_type", "in_pandas:rate_type"], *keys)
    return set(zip(table["trips_type"].to_pylist(), table["rate_type"].to_pylist(), strict=True))


def test_pandas_view_is_given_the_same_types_whatever_rows_are_there(on_demand: OnDemand) -> None:
    given = [types_given(on_demand, *keys) for keys in ((1,), (1, 2), (2,), (9,))]
    assert all(found == given[0] for found in given), given


def test_pandas_view_is_given_exact_integers(on_demand: OnDemand) -> None:
    table = on_demand.ask(["in_pandas:next_trip"], 1, 2)
    assert table["next_trip"].to_pylist() == [BIG + 1, None]


def test_pandas_view_is_given_request_data(on_demand: OnDemand) -> None:
    assert on_demand.ask(["in_pandas:half"], 1)["half"].to_pylist() == [2.5]


def test_python_view_is_given_integers_and_none(on_demand: OnDemand) -> None:
    table = on_demand.ask(["in_python:trips_kind", "in_python:same"], 1, 2)
    assert table["trips_kind"].to_pylist() == ["int", "NoneType"]
    assert table["same"].to_pylist() == [BIG, None]


def test_outputs_have_their_declared_types_without_a_value(on_demand: OnDemand) -> None:
    table = on_demand.ask(["in_pandas:next_trip", "in_python:same"], 9)
    assert table.schema.field("next_trip").type == pa.int64()
    assert table.schema.field("same").type == pa.int64()


def test_request_data_that_is_missing_is_named(on_demand: OnDemand) -> None:
    asked = pd.DataFrame({"driver_id": [1], "event_timestamp": [NOON]})
    with pytest.raises(Exception, match="amount"):
        on_demand.store.get_historical_features(
            entity_df=asked, features=["in_pandas:half"]
        ).to_arrow()

"""On-demand views as Feast declares them, on the table that Feast's retrieval joins."""

from __future__ import annotations

import datetime as dt
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from feast import Entity, FeatureService, FeatureStore, Field, RequestSource, ValueType
from feast.aggregation import Aggregation
from feast.on_demand_feature_view import OnDemandFeatureView, on_demand_feature_view
from feast.types import Array, Bool, Float32, Float64, Int32, Int64, String, UnixTimestamp

from evenstore.errors import SchemaError
from evenstore.schema.on_demand_arrow import compute_on_demand_columns
from evenstore.schema.on_demand_registry import compile_requested_views
from tests.support.feast_repo import FeastRepo

NOON = dt.datetime(2024, 1, 1, 12, tzinfo=dt.UTC)
FACTOR = 2.0
BIG = 2**53 + 1


def scale(value: float) -> float:
    return math.floor(value) * FACTOR


def fields(**dtypes: Any) -> list[Field]:
    return [Field(name=name, dtype=dtype) for name, dtype in dtypes.items()]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    repo = FeastRepo(tmp_path_factory.mktemp("on_demand"))
    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
    stats = repo.view(
        "stats",
        [driver],
        {
            "driver_id": Int64,
            "trips": Int64,
            "small": Int32,
            "rate": Float32,
            "is_new": Bool,
            "name": String,
            "since": UnixTimestamp,
            "last": Array(Float64),
        },
    )
    request = RequestSource(name="till", schema=[Field(name="amount", dtype=Float64)])
    same = [
        Field(name=f"{field.name}_too", dtype=field.dtype)
        for field in stats.schema
        if field.name != "driver_id"
    ]

    def same_view(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.add_suffix("_too")

    def per_trip(frame: pd.DataFrame) -> pd.DataFrame:
        out = pd.DataFrame()
        out["spend"] = frame["amount"] / frame["stats__trips"]
        out["trips_or_0"] = frame["trips"].fillna(0).astype(int)
        return out

    def scaled(columns: dict[str, Any]) -> dict[str, Any]:
        return {"y": [scale(amount) for amount in columns["amount"]]}

    def one(row: dict[str, Any]) -> dict[str, Any]:
        return {"z": row["trips"]}

    declared: list[tuple[Any, Any, Any, str]] = [
        (same_view, [stats], same, "pandas"),
        (per_trip, [stats, request], fields(spend=Float64, trips_or_0=Int64), "pandas"),
        (scaled, [request], fields(y=Float64), "python"),
        (one, [stats], fields(z=Int64), "python"),
    ]
    on_demand = {
        function.__name__: on_demand_feature_view(
            name=function.__name__.removesuffix("_view"),
            sources=sources,
            schema=schema,
            mode=mode,
            singleton=function is one,
        )(function)
        for function, sources, schema, mode in declared
    }
    repo.write_rows(
        "stats",
        pa.table(
            {
                "driver_id": pa.array([1, 2]),
                "trips": pa.array([BIG, None], pa.int64()),
                "small": pa.array([7, None], pa.int32()),
                "rate": pa.array([0.1, None], pa.float32()),
                "is_new": pa.array([True, None]),
                "name": pa.array(["é", None]),
                "since": pa.array([NOON, None], pa.timestamp("us", "UTC")),
                "last": pa.array([[1.5, 2.5], None]),
                "event_timestamp": pa.array([NOON] * 2, pa.timestamp("us", "UTC")),
                "created": pa.array([NOON] * 2, pa.timestamp("us", "UTC")),
            }
        ),
    )
    services = [
        FeatureService(name="mine", features=[on_demand["per_trip"][["spend"]].with_name("mine")]),
        FeatureService(name="first", features=[on_demand["per_trip"].with_name("twice")]),
        FeatureService(name="second", features=[on_demand["one"].with_name("twice")]),
    ]
    # A store opened anew reads the functions from the registry.
    store = repo.apply(
        driver, stats, *(on_demand[name] for name in ("per_trip", "scaled", "one")), *services
    )
    # Feast's check of what a function gives knows no Int32 and no Float32 from invented values.
    store.registry.apply_feature_view(on_demand["same_view"], store.project)
    return repo.store()


def computed(
    store: FeatureStore, drivers: list[int], refs: list[str], *, is_full: bool = True
) -> dict[str, pa.Array]:
    """Join all of `stats`, then compute as a retrieval job does."""
    rows = pd.DataFrame(
        {
            "driver_id": pd.Series(drivers, dtype="int64"),
            "amount": [10.0] * len(drivers),
            "event_timestamp": pd.Series([NOON] * len(drivers), dtype="datetime64[us, UTC]"),
        }
    )
    columns = ["trips", "small", "rate", "is_new", "name", "since", "last"]
    job = store.get_historical_features(
        entity_df=rows,
        features=[f"stats:{column}" for column in columns],
        full_feature_names=is_full,
    )
    views = compile_requested_views(store.registry, store.project, refs, joined={"stats"})
    return dict(
        compute_on_demand_columns(
            views, job.to_arrow(), feature_refs=refs, full_feature_names=is_full
        )
    )


SAME = [
    f"same:{name}_too" for name in ("trips", "small", "rate", "is_new", "name", "since", "last")
]


@pytest.mark.parametrize("drivers", [[1, 2], [1], [2], [3], []], ids=str)
def test_types_are_declared_whatever_rows_are_there(
    store: FeatureStore, drivers: list[int]
) -> None:
    """D15: stock gives int64, float64 or object here, and float64 for float32."""
    answer = computed(store, drivers, SAME)
    assert {name: str(array.type) for name, array in answer.items()} == {
        "same__trips_too": "int64",
        "same__small_too": "int32",
        "same__rate_too": "float",
        "same__is_new_too": "bool",
        "same__name_too": "string",
        "same__since_too": "timestamp[us, tz=UTC]",
        "same__last_too": str(pa.list_(pa.float64())),
    }
    wanted = {
        1: [BIG, 7, 0.10000000149011612, True, "é", NOON, [1.5, 2.5]],
        2: [None] * 7,
        3: [None] * 7,
    }
    rows = [
        list(row) for row in zip(*(array.to_pylist() for array in answer.values()), strict=True)
    ]
    assert rows == [wanted[driver] for driver in drivers]


@pytest.mark.parametrize("is_full", [True, False])
def test_request_data_and_several_views_in_all_modes(store: FeatureStore, is_full: bool) -> None:
    refs = ["per_trip:trips_or_0", "scaled:y", "one:z", "per_trip:spend", "stats:trips"]
    answer = computed(store, [2, 1], refs, is_full=is_full)
    short = {name.split("__")[-1]: array.to_pylist() for name, array in answer.items()}
    assert short == {
        "trips_or_0": [0, BIG],
        "y": [20.0, 20.0],
        "z": [None, BIG],
        "spend": [None, 10.0 / BIG],
    }
    assert all(("__" in name) == is_full for name in answer)


def test_view_under_a_services_name_is_found(store: FeatureStore) -> None:
    """Stock's offline stores leave it out of the result without a word."""
    assert list(computed(store, [1], ["mine:spend"])) == ["mine__spend"]


@pytest.mark.parametrize(
    ("reference", "message"),
    [("nobody:x", "no view of the registry"), ("twice:z", "several on-demand views")],
)
def test_reference_that_names_no_one_view_is_refused(
    store: FeatureStore, reference: str, message: str
) -> None:
    name = reference.partition(":")[0]
    with pytest.raises(SchemaError, match=f"feature references name `{name}`: {message}"):
        compile_requested_views(store.registry, store.project, [reference], joined=())


def test_references_to_joined_views_need_no_registry(store: FeatureStore) -> None:
    refs = ["stats:trips", "stats@v1:trips"]
    joined = {"stats", "stats@v1"}
    assert compile_requested_views(store.registry, "no project", refs, joined=joined) == ()


def test_view_of_aggregations_alone_is_refused_by_name(tmp_path: Path) -> None:
    repo = FeastRepo(tmp_path)
    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
    stats = repo.view("stats", [driver], {"driver_id": Int64, "x": Float64})
    view = OnDemandFeatureView(
        name="total",
        sources=[stats],
        schema=[Field(name="sum_x", dtype=Float64)],
        aggregations=[Aggregation(column="x", function="sum")],
        mode="python",
    )
    store = repo.apply(driver, stats, view)
    views = compile_requested_views(store.registry, store.project, ["total:sum_x"], joined=())
    with pytest.raises(SchemaError, match="`total` has no function of its own"):
        compute_on_demand_columns(
            views,
            pa.table({"stats__x": [1.0]}),
            feature_refs=["total:sum_x"],
            full_feature_names=True,
        )

"""One set of cases over stock Feast's file (dask) store, stock's DuckDB store and ours.

What a Feast user may expect of historical retrieval, asked only through Feast's own interface.
Where a stock store deviates, the case is a strict xfail that names the exception and the entry of
Feast's known deviations, so that a fix upstream is noticed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureService, FeatureStore, RequestSource
from feast import Field as FeastField
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, Int64
from feast.value_type import ValueType

from tests.conformance.stores import DUCKDB, FILE, STOCK_WARNINGS, STORE_TYPES, Deviations
from tests.support.feast_repo import FeastRepo

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MICROSECOND = timedelta(microseconds=1)
BIG = 2**53 + 1

pytestmark = STOCK_WARNINGS

# Ibis has no types for mypy to read.
_IBIS_TYPE_ERROR: type[Exception] = import_module("ibis.common.exceptions").IbisTypeError
_DASK_ROWS = "upstream, D31 / FEAST.md 3.2: dask drops and collapses entity rows"
DEVIATIONS: Deviations = {
    ("test_order_of_the_entity_rows_is_kept", FILE): (
        AssertionError,
        "upstream, FEAST.md 3.2: dask returns rows in its own order",
    ),
    ("test_duplicate_entity_rows_are_kept", FILE): (AssertionError, _DASK_ROWS),
    ("test_entity_row_before_the_first_event_is_kept", FILE): (AssertionError, _DASK_ROWS),
    ("test_one_microsecond_beyond_the_ttl_is_null", FILE): (AssertionError, _DASK_ROWS),
    ("test_tie_without_created_goes_to_the_greatest_content", FILE): (
        AssertionError,
        "upstream, D17: the last row of the file wins",
    ),
    ("test_tie_without_created_goes_to_the_greatest_content", DUCKDB): (
        AssertionError,
        "upstream, D17: the first row of the file wins",
    ),
    ("test_entity_rows_can_be_sql", FILE): (ValueError, "never, FEAST.md 3.2: dask has no SQL"),
    ("test_entity_rows_can_be_sql", DUCKDB): (
        AttributeError,
        "upstream, FEAST.md 3.1: SQL is taken for a frame",
    ),
    ("test_entity_rows_can_have_instants_as_text", FILE): (
        AttributeError,
        "upstream, FEAST.md 3.1: dask wants datetimes",
    ),
    ("test_large_integer_beside_a_null_is_exact", FILE): (
        AssertionError,
        "upstream, D10: integers beside a null pass through float64",
    ),
    ("test_nan_is_told_from_null", FILE): (AssertionError, "upstream, D13: NaN becomes null"),
    ("test_other_columns_of_the_source_may_be_in_the_entity_rows", FILE): (
        AttributeError,
        "upstream, FEAST.md 3.2: the caller's column is taken for the source's",
    ),
    ("test_feature_whose_name_ends_like_a_suffix_is_returned", DUCKDB): (
        _IBIS_TYPE_ERROR,
        "upstream, FEAST.md 3.1: every column that ends in _y is dropped",
    ),
    ("test_relative_source_counts_from_the_repo", DUCKDB): (
        duckdb.IOException,
        "upstream, FEAST.md 3.1: relative paths count from the working folder",
    ),
    ("test_dates_without_entity_rows", DUCKDB): (
        TypeError,
        "upstream, FEAST.md 3.1: retrieval by dates fails",
    ),
}


def _stats_rows() -> pa.Table:
    rows: list[tuple[int, datetime, datetime, int | None, float | None, float]] = [
        # driver, event, created, trips, rate, score
        (1, NOON - HOUR, NOON - HOUR, 1, 0.1, 10.0),
        (1, NOON, NOON, 2, 0.2, 20.0),
        # The same event timestamp, written twice: the later writing wins.
        (2, NOON, NOON + HOUR, BIG, float("nan"), 2.0),
        (2, NOON, NOON, 3, 0.3, 1.0),
        (3, NOON, NOON, None, None, 0.0),
    ]
    columns = list(zip(*rows, strict=True))
    return pa.table(
        {
            "driver_id": pa.array(columns[0], pa.int64()),
            "event_timestamp": pa.array(columns[1], pa.timestamp("us", "UTC")),
            "created": pa.array(columns[2], pa.timestamp("us", "UTC")),
            "trips": pa.array(columns[3], pa.int64()),
            "rate": pa.array(columns[4], pa.float64()),
            "score": pa.array(columns[5], pa.float64()),
            "pos_y": pa.array(columns[5], pa.float64()),
        }
    )


def _tie_rows() -> pa.Table:
    """Rows of one instant without a created timestamp: only their content can order them."""
    return pa.table(
        {
            "driver_id": pa.array([1] * 5, pa.int64()),
            "event_timestamp": pa.array([NOON] * 5, pa.timestamp("us", "UTC")),
            "level": pa.array([3.0, 1.0, 5.0, 2.0, 4.0]),
        }
    )


class Retrieval:
    """One applied repo on one store."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.repo = FeastRepo(folder, offline_store=STORE_TYPES[kind])
        self.repo.write_rows("stats", _stats_rows())
        self.repo.write_rows("ties", _tie_rows())
        driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
        schema = {
            "driver_id": Int64,
            "trips": Int64,
            "rate": Float64,
            "score": Float64,
            "pos_y": Float64,
        }
        # One file, not its folder: stock's DuckDB store reads no folders.
        stats = self.repo.view(
            "stats",
            [driver],
            schema,
            ttl=2 * HOUR,
            source=self.repo.source("stats", path=str(self.repo.data / "stats" / "rows.parquet")),
        )
        ties = self.repo.view(
            "ties",
            [driver],
            {"driver_id": Int64, "level": Float64},
            source=self.repo.source(
                "ties", created=None, path=str(self.repo.data / "ties" / "rows.parquet")
            ),
        )
        near = self.repo.view(
            "near",
            [driver],
            {"driver_id": Int64, "rate": Float64},
            ttl=2 * HOUR,
            source=self.repo.source("near", path="data/stats/rows.parquet"),
        )
        till = RequestSource(name="till", schema=[FeastField(name="amount", dtype=Float64)])

        def spend(inputs: dict[str, Any]) -> dict[str, Any]:
            pairs = zip(inputs["amount"], inputs["trips"], strict=True)
            return {"per_trip": [amount / trips if trips else None for amount, trips in pairs]}

        spend_view = on_demand_feature_view(
            sources=[stats[["trips"]], till],
            schema=[FeastField(name="per_trip", dtype=Float64)],
            mode="python",
        )(spend)
        pair = FeatureService(
            name="pair",
            features=[
                stats[["score"]].with_name("one").with_join_key_map({"driver_id": "first"}),
                stats[["score"]].with_name("two").with_join_key_map({"driver_id": "second"}),
            ],
        )
        self.store: FeatureStore = self.repo.apply(driver, stats, ties, near, spend_view, pair)

    def ask(self, features: Any, entity_df: Any, **options: Any) -> pa.Table:
        """Retrieve, as Arrow."""
        job = self.store.get_historical_features(entity_df=entity_df, features=features, **options)
        return job.to_arrow()

    def ask_labelled(
        self, feature: str, *rows: tuple[int, datetime], **options: Any
    ) -> dict[str, Any]:
        """Retrieve one feature by label, whatever order the store returns."""
        table = self.ask([feature], drivers(*rows), **options)
        values = table[feature.partition(":")[2]].to_pylist()
        return dict(zip(table["label"].to_pylist(), values, strict=True))


def drivers(*rows: tuple[int, datetime], **columns: Sequence[Any]) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "label": list("abcdef"[: len(rows)]),
            "driver_id": [key for key, _ in rows],
            "event_timestamp": [at for _, at in rows],
        }
    )
    return frame.assign(**columns)


@pytest.fixture(scope="module")
def retrieval(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Retrieval:
    return Retrieval(tmp_path_factory.mktemp(kind), kind)


def test_row_at_or_before_the_instant_wins(retrieval: Retrieval) -> None:
    instants = (NOON - HOUR, NOON - MICROSECOND, NOON, NOON + HOUR)
    values = retrieval.ask_labelled("stats:score", *((1, instant) for instant in instants))
    assert values == {"a": 10.0, "b": 10.0, "c": 20.0, "d": 20.0}


def test_order_of_the_entity_rows_is_kept(retrieval: Retrieval) -> None:
    asked = drivers((2, NOON + HOUR), (1, NOON), (3, NOON), (1, NOON - HOUR))
    table = retrieval.ask(["stats:score"], asked)
    assert table["label"].to_pylist() == ["a", "b", "c", "d"]
    assert table["score"].to_pylist() == [2.0, 20.0, 0.0, 10.0]


def test_duplicate_entity_rows_are_kept(retrieval: Retrieval) -> None:
    values = retrieval.ask_labelled("stats:score", (1, NOON), (1, NOON), (3, NOON))
    assert values == {"a": 20.0, "b": 20.0, "c": 0.0}


def test_entity_row_of_an_unknown_key_is_kept(retrieval: Retrieval) -> None:
    values = retrieval.ask_labelled("stats:trips", (9, NOON), (1, NOON))
    assert values == {"a": None, "b": 2}


def test_entity_row_before_the_first_event_is_kept(retrieval: Retrieval) -> None:
    values = retrieval.ask_labelled("stats:trips", (1, NOON - 2 * HOUR), (1, NOON))
    assert values == {"a": None, "b": 2}


def test_ttl_edge_is_valid(retrieval: Retrieval) -> None:
    assert retrieval.ask_labelled("stats:score", (1, NOON + 2 * HOUR)) == {"a": 20.0}


def test_one_microsecond_beyond_the_ttl_is_null(retrieval: Retrieval) -> None:
    instant = NOON + 2 * HOUR + MICROSECOND
    assert retrieval.ask_labelled("stats:score", (1, instant)) == {"a": None}


def test_tie_goes_to_the_later_created(retrieval: Retrieval) -> None:
    assert retrieval.ask_labelled("stats:score", (2, NOON + HOUR)) == {"a": 2.0}


def test_tie_without_created_goes_to_the_greatest_content(retrieval: Retrieval) -> None:
    assert retrieval.ask_labelled("ties:level", (1, NOON)) == {"a": 5.0}


def test_entity_rows_can_be_sql(retrieval: Retrieval) -> None:
    asked = f"select 1 as driver_id, timestamptz '{NOON.isoformat()}' as event_timestamp"
    assert retrieval.ask(["stats:score"], asked)["score"].to_pylist() == [20.0]


def test_entity_rows_can_have_instants_as_text(retrieval: Retrieval) -> None:
    asked = drivers((1, NOON)).assign(event_timestamp=[NOON.isoformat()])
    assert retrieval.ask(["stats:score"], asked)["score"].to_pylist() == [20.0]


def test_one_view_under_two_names_reads_two_key_columns(retrieval: Retrieval) -> None:
    asked = pd.DataFrame({"first": [1, 2], "second": [2, 1], "event_timestamp": [NOON + HOUR] * 2})
    service = retrieval.store.get_feature_service("pair")
    table = retrieval.ask(service, asked, full_feature_names=True).sort_by("first")
    assert table["one__score"].to_pylist() == [20.0, 2.0]
    assert table["two__score"].to_pylist() == [2.0, 20.0]


def test_full_feature_names_tell_views_apart(retrieval: Retrieval) -> None:
    features = ["stats:trips", "ties:level"]
    table = retrieval.ask(features, drivers((1, NOON + HOUR)), full_feature_names=True)
    assert {"stats__trips", "ties__level"} < set(table.column_names)
    assert not {"trips", "level"} & set(table.column_names)


def test_on_demand_view_is_computed_from_features_and_request_data(retrieval: Retrieval) -> None:
    asked = drivers((1, NOON - HOUR), (1, NOON), amount=[5.0, 6.0])
    assert retrieval.ask(["spend:per_trip"], asked)["per_trip"].to_pylist() == [5.0, 3.0]


def test_on_demand_view_sees_none_where_there_is_nothing(retrieval: Retrieval) -> None:
    asked = drivers((9, NOON), (1, NOON), amount=[5.0, 6.0])
    table = retrieval.ask(["spend:per_trip"], asked).sort_by("label")
    assert table["per_trip"].to_pylist() == [None, 3.0]


def test_large_integer_beside_a_null_is_exact(retrieval: Retrieval) -> None:
    values = retrieval.ask_labelled("stats:trips", (2, NOON + HOUR), (3, NOON + HOUR))
    assert repr(values) == repr({"a": BIG, "b": None})


def test_nan_is_told_from_null(retrieval: Retrieval) -> None:
    values = retrieval.ask_labelled("stats:rate", (2, NOON + HOUR), (3, NOON + HOUR))
    assert repr(values) == repr({"a": float("nan"), "b": None})


def test_rows_created_later_are_left_out_where_asked(retrieval: Retrieval) -> None:
    rows = ((2, NOON + HOUR - MICROSECOND), (2, NOON + HOUR))
    values = retrieval.ask_labelled("stats:score", *rows, filter_by_created_timestamp=True)
    assert values == {"a": 1.0, "b": 2.0}


def test_feature_whose_name_ends_like_a_suffix_is_returned(retrieval: Retrieval) -> None:
    assert retrieval.ask_labelled("stats:pos_y", (1, NOON)) == {"a": 20.0}


def test_relative_source_counts_from_the_repo(retrieval: Retrieval) -> None:
    assert retrieval.ask_labelled("near:rate", (1, NOON)) == {"a": 0.2}


def test_other_columns_of_the_source_may_be_in_the_entity_rows(retrieval: Retrieval) -> None:
    asked = drivers((1, NOON), created=["a label of the caller"], score=[7.0])
    table = retrieval.ask(["stats:trips"], asked)
    assert table["created"].to_pylist() == ["a label of the caller"]
    assert table["score"].to_pylist() == [7.0]
    assert table["trips"].to_pylist() == [2]


def test_dates_without_entity_rows(retrieval: Retrieval) -> None:
    job = retrieval.store.get_historical_features(
        features=["stats:trips"], start_date=NOON - HOUR, end_date=NOON + HOUR
    )
    assert set(job.to_df()["driver_id"]) == {1, 2, 3}


def test_saved_dataset_comes_back_as_it_was(retrieval: Retrieval) -> None:
    job = retrieval.store.get_historical_features(
        entity_df=drivers((1, NOON), (2, NOON)), features=["stats:score"]
    )
    path = retrieval.repo.path / "saved.parquet"
    storage = SavedDatasetFileStorage(path=str(path))
    retrieval.store.create_saved_dataset(from_=job, name="saved", storage=storage)
    assert sorted(pq.read_table(path)["score"].to_pylist()) == [2.0, 20.0]
    again = retrieval.store.get_saved_dataset("saved").to_df()
    assert sorted(again["score"]) == [2.0, 20.0]


def test_pulls_include_both_ends_and_take_the_latest(retrieval: Retrieval) -> None:
    store = retrieval.store
    offline = store._get_provider().offline_store
    stats = store.get_feature_view("stats")
    options: dict[str, Any] = {
        "config": store.config,
        "data_source": stats.batch_source,
        "join_key_columns": ["driver_id"],
        "feature_name_columns": ["trips", "score"],
        "timestamp_field": "event_timestamp",
        "created_timestamp_column": "created",
        "start_date": NOON - HOUR,
        "end_date": NOON,
    }
    every = offline.pull_all_from_table_or_query(**options).to_arrow()
    assert sorted(every["score"].to_pylist()) == [0.0, 1.0, 2.0, 10.0, 20.0]
    latest = offline.pull_latest_from_table_or_query(**options).to_arrow()
    assert sorted(latest["score"].to_pylist()) == [0.0, 2.0, 20.0]

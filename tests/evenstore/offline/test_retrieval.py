"""Retrieval jobs: one answer in every form that a caller may want it in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureStore, RequestSource
from feast import Field as FeastField
from feast.infra.offline_stores.offline_store import RetrievalJob
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Array, Float64, Int32, Int64, String
from feast.value_type import ValueType

from evenstore.errors import ConfigurationError, OfflineStoreError
from evenstore.offline.retrieval import HistoricalJob, PullJob
from evenstore.schema.source import batch_source
from evenstore.semantics import Status
from tests.support.feast_repo import FeastRepo

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
STAMP = pa.timestamp("us", "UTC")
BIG = 2**53 + 1
N_DRIVERS = 20
FEATURES = ["stats:trips", "stats:seats", "stats:tags", "spend:per_trip"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    """Drivers 0 to 19, the last of whom was last seen too long ago; driver 1 has only nulls."""
    repo = FeastRepo(tmp_path_factory.mktemp("retrieval"))
    keys = range(N_DRIVERS)
    ages = [3 * HOUR if key == N_DRIVERS - 1 else HOUR for key in keys]
    rows = pa.table(
        {
            "driver_id": pa.array(keys, pa.int64()),
            "event_timestamp": pa.array([NOON - age for age in ages], STAMP),
            "created": pa.array([NOON] * N_DRIVERS, STAMP),
            "trips": pa.array([None if key == 1 else BIG + key for key in keys], pa.int64()),
            "seats": pa.array([None if key == 1 else key for key in keys], pa.int32()),
            "tags": pa.array([None if key == 1 else [str(key)] for key in keys]),
        }
    )
    repo.write_rows("stats", rows)
    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
    schema: dict[str, Any] = {
        "driver_id": Int64,
        "trips": Int64,
        "seats": Int32,
        "tags": Array(String),
    }
    stats = repo.view("stats", [driver], schema, ttl=2 * HOUR)
    till = RequestSource(name="till", schema=[FeastField(name="amount", dtype=Float64)])

    def spend(inputs: dict[str, Any]) -> dict[str, Any]:
        pairs = zip(inputs["amount"], inputs["trips"], strict=True)
        return {"per_trip": [None if trips is None else trips - BIG for _, trips in pairs]}

    spend_view = on_demand_feature_view(
        sources=[stats[["trips"]], till],
        schema=[FeastField(name="per_trip", dtype=Int64)],
        mode="python",
    )(spend)
    return repo.apply(driver, stats, spend_view)


def retrieve(store: FeatureStore, n_rows: int = N_DRIVERS + 1, **options: Any) -> HistoricalJob:
    """Ask for every driver in turn, and for one whom nobody knows."""
    asked = pd.DataFrame({"driver_id": range(n_rows), "event_timestamp": NOON, "amount": 1.0})
    job = store.get_historical_features(asked, FEATURES, **options)
    assert isinstance(job, HistoricalJob)
    return job


def pull(store: FeatureStore, **dates: datetime) -> PullJob:
    offline = store._get_provider().offline_store
    job: RetrievalJob = offline.pull_all_from_table_or_query(
        store.config,
        batch_source(store.get_feature_view("stats")),
        ["driver_id"],
        ["trips", "tags"],
        "event_timestamp",
        "created",
        dates.get("start_date"),
        dates.get("end_date"),
    )
    assert isinstance(job, PullJob)
    return job


def test_every_form_holds_the_same(store: FeatureStore, tmp_path: Path) -> None:
    for job in (retrieve(store), pull(store)):
        table = job.to_arrow()
        order = [("driver_id", "ascending")]
        job.to_parquet(tmp_path / "joined.parquet")
        forms = [
            job.to_polars().to_arrow().cast(table.schema),
            job.to_arrow_reader(3).read_all(),
            pq.read_table(tmp_path / "joined.parquet"),
        ]
        for form in forms:
            assert form.sort_by(order).to_pylist() == table.sort_by(order).to_pylist()
            assert form.schema.types == table.schema.types
        frame = job.to_df()
        assert frame["trips"].dropna().tolist() == [
            trips for trips in table["trips"].to_pylist() if trips is not None
        ]


def test_integers_beside_nulls_are_nullable_integers(store: FeatureStore) -> None:
    frame = retrieve(store).to_df()
    assert [str(frame[name].dtype) for name in ("trips", "seats", "per_trip")] == [
        "Int64",
        "Int32",
        "Int64",
    ]
    assert frame["trips"].iloc[2] == BIG + 2
    assert str(retrieve(store, 1).to_df()["trips"].dtype) == "int64"


def test_polars_frame_has_polars_types(store: FeatureStore) -> None:
    frame = retrieve(store).to_polars()
    assert frame.schema["trips"] == pl.Int64
    assert frame.schema["tags"] == pl.List(pl.String)
    assert frame["trips"][2] == BIG + 2


@pytest.mark.parametrize("batch_rows", [1, 7, N_DRIVERS + 1, 1000])
def test_batches_are_in_order_and_no_greater_than_asked(
    store: FeatureStore, batch_rows: int
) -> None:
    reader = retrieve(store).to_arrow_reader(batch_rows)
    batches = list(reader)
    assert all(0 < batch.num_rows <= batch_rows for batch in batches)
    assert all(batch.schema == reader.schema for batch in batches)
    joined = pa.Table.from_batches(batches)
    assert joined["driver_id"].to_pylist() == list(range(N_DRIVERS + 1))
    assert joined.equals(retrieve(store).to_arrow())


def test_nothing_asked_is_a_stream_with_a_schema(store: FeatureStore, tmp_path: Path) -> None:
    job = retrieve(store, 0)
    reader = job.to_arrow_reader()
    assert reader.schema.field("trips").type == pa.int64()
    assert reader.schema.field("per_trip").type == pa.int64()
    assert reader.read_all().num_rows == 0
    job.to_parquet(tmp_path / "none.parquet")
    assert pq.read_table(tmp_path / "none.parquet").schema.types == reader.schema.types


def test_job_runs_anew_each_time(store: FeatureStore) -> None:
    job = retrieve(store)
    assert job.to_arrow().equals(job.to_arrow())
    first, second = job.to_arrow_reader(4), job.to_arrow_reader(4)
    # Two streams at once do not disturb each other.
    assert [len(batch) for batch in first] == [len(batch) for batch in second]


def test_stream_that_is_left_is_no_harm(store: FeatureStore) -> None:
    reader = retrieve(store).to_arrow_reader(1)
    assert reader.read_next_batch()["driver_id"].to_pylist() == [0]
    reader.close()
    del reader
    assert retrieve(store).to_arrow().num_rows == N_DRIVERS + 1


def test_file_is_replaced_only_where_allowed(store: FeatureStore, tmp_path: Path) -> None:
    path = tmp_path / "new" / "joined.parquet"
    retrieve(store, 1).to_parquet(path)
    with pytest.raises(OfflineStoreError, match=r"joined\.parquet` exists") as caught:
        retrieve(store, 2).to_parquet(path, allow_overwrite=False)
    assert "allow_overwrite=True" in str(caught.value.hint)
    assert pq.read_metadata(path).num_rows == 1
    retrieve(store, 2).to_parquet(str(path))
    assert pq.read_metadata(path).num_rows == 2
    assert [entry.name for entry in path.parent.iterdir()] == ["joined.parquet"]


def test_file_that_cannot_be_written_is_named(store: FeatureStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigurationError, match="file"):
        retrieve(store, 1).to_parquet(tmp_path / "file" / "joined.parquet")


def test_statuses_say_why_a_value_is_null(store: FeatureStore) -> None:
    table = retrieve(store).with_statuses().to_arrow()
    at = {0: Status.PRESENT, 1: Status.NULL_VALUE, 19: Status.OUTSIDE_MAX_AGE, 20: Status.NOT_FOUND}
    for name in ("trips", "seats", "tags"):
        statuses = table[f"{name}__status"].to_pylist()
        assert {row: statuses[row] for row in at} == at
        assert table.schema.field(f"{name}__status").type == pa.int8()
        instants = table[f"{name}__event_timestamp"].to_pylist()
        # The true event timestamp, of a value that is withheld too.
        assert [instants[row] for row in at] == [NOON - HOUR, NOON - HOUR, NOON - 3 * HOUR, None]
    assert table["trips"].to_pylist()[19] is None
    assert not [name for name in table.column_names if name.startswith("per_trip__")]


def test_statuses_leave_the_values_as_they_are(store: FeatureStore) -> None:
    for options in ({}, {"full_feature_names": True}):
        job = retrieve(store, **options)
        plain, table = job.to_arrow(), job.with_statuses().to_arrow()
        assert table.select(plain.column_names).equals(plain)
        streamed = job.with_statuses().to_arrow_reader(5).read_all()
        assert streamed.equals(table)
    assert "stats__trips__status" in table.column_names


def test_explanation_names_the_view_the_way_and_the_reason(store: FeatureStore) -> None:
    said = retrieve(store).explain()
    assert said.startswith("stats: range join, because ")
    assert "20 feature rows" in said
    assert "21 entity rows" in said


def test_sql_is_what_runs(store: FeatureStore) -> None:
    statements = retrieve(store).to_sql()
    assert "rows.parquet" in statements
    assert '"trips"' in statements
    assert '"driver_id"' in pull(store).to_sql()


def test_metadata_says_what_was_asked(store: FeatureStore) -> None:
    metadata = retrieve(store).metadata
    assert metadata is not None
    assert set(FEATURES) <= set(metadata.features)
    assert metadata.keys == ["driver_id", "amount"]
    assert metadata.min_event_timestamp == metadata.max_event_timestamp == NOON
    of_pull = pull(store).metadata
    assert of_pull is not None
    assert (of_pull.keys, of_pull.features) == (["driver_id"], ["trips", "tags"])


def test_pull_takes_both_ends(store: FeatureStore) -> None:
    oldest = pull(store, end_date=NOON - 3 * HOUR).to_arrow()
    assert oldest["driver_id"].to_pylist() == [N_DRIVERS - 1]
    assert pull(store, start_date=NOON - HOUR).to_arrow().num_rows == N_DRIVERS - 1


def test_pull_of_nothing_is_a_stream_with_a_schema(store: FeatureStore) -> None:
    reader = pull(store, start_date=NOON + HOUR).to_arrow_reader()
    assert reader.schema.field("trips").type == pa.int64()
    assert reader.read_all().num_rows == 0


def test_saved_dataset_can_only_be_a_file(store: FeatureStore) -> None:
    elsewhere: Any = object()
    with pytest.raises(OfflineStoreError, match="a saved dataset cannot go to object") as caught:
        retrieve(store, 1).persist(elsewhere)
    assert caught.value.hint == "use SavedDatasetFileStorage"

"""The Feast offline store through Feast: what conformance with stock does not reach."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureService, FeatureStore, PushSource
from feast.data_source import PushMode
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.infra.offline_stores.offline_store import RetrievalJob
from feast.types import Float64, Int64
from feast.value_type import ValueType

from evenstore.duckdb_session import open_session
from evenstore.errors import (
    ConfigurationError,
    EntityRowsError,
    OfflineStoreError,
    SchemaError,
    SourceUnavailableError,
)
from evenstore.offline.feast_join import find_event_timestamp_column
from evenstore.schema.source import batch_source
from tests.support.feast_repo import OUR_OFFLINE_STORE, FeastRepo

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)


def rows(*values: tuple[int, datetime, int]) -> pa.Table:
    return pa.table(
        {
            "driver_id": pa.array([key for key, _, _ in values], pa.int64()),
            "event_timestamp": pa.array([at for _, at, _ in values], pa.timestamp("us", "UTC")),
            "created": pa.array([at for _, at, _ in values], pa.timestamp("us", "UTC")),
            "trips": pa.array([trips for _, _, trips in values], pa.int64()),
        }
    )


def apply_repo(folder: Path, **options: Any) -> tuple[FeastRepo, FeatureStore]:
    repo = FeastRepo(folder, **options)
    repo.write_rows("stats", rows((1, NOON - HOUR, 1), (1, NOON, 2), (2, NOON, 3)))
    source = PushSource(name="trips_push", batch_source=repo.source("stats", path="data/stats"))
    stats = repo.view(
        "stats",
        [driver],
        {"driver_id": Int64, "trips": Int64},
        ttl=2 * HOUR,
        source=source,
    )
    other = repo.view("other", [driver], {"driver_id": Int64, "load": Float64})
    repo.write_rows("other", rows((1, NOON, 2)).append_column("load", pa.array([0.5])))
    service = FeatureService(name="svc", features=[stats])
    return repo, repo.apply(driver, stats, other, service)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> tuple[FeastRepo, FeatureStore]:
    return apply_repo(tmp_path_factory.mktemp("store"))


@pytest.fixture
def store(shared: tuple[FeastRepo, FeatureStore]) -> FeatureStore:
    return shared[1]


def asked(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"driver_id": [1, 2], "event_timestamp": [NOON, NOON], **columns})


def retrieve(store: FeatureStore, entity_df: Any, **options: Any) -> RetrievalJob:
    return store.get_historical_features(entity_df=entity_df, features=["stats:trips"], **options)


def test_frame_and_arrow_say_the_same(store: FeatureStore) -> None:
    job = retrieve(store, asked())
    assert job.to_arrow()["trips"].to_pylist() == [2, 3]
    assert job.to_df()["trips"].tolist() == [2, 3]
    assert job.to_arrow().schema.field("trips").type == pa.int64()


def test_arrow_entity_rows_are_taken_as_they_are(store: FeatureStore) -> None:
    table = pa.Table.from_pandas(asked(label=["a", "b"]), preserve_index=False)
    offline = store._get_provider().offline_store
    job = offline.get_historical_features(
        store.config,
        [store.get_feature_view("stats")],
        ["stats:trips"],
        table,
        store.registry,
        "tiny",
    )
    assert job.to_arrow().select(table.column_names) == table


def test_naive_instants_are_utc(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    naive = asked().assign(event_timestamp=[NOON.replace(tzinfo=None)] * 2)
    assert retrieve(store, naive).to_arrow()["trips"].to_pylist() == [2, 3]


def test_sql_entity_rows_run_once_and_see_no_python_variables(store: FeatureStore) -> None:
    sql = f"select 1 as driver_id, timestamptz '{NOON}' as event_timestamp, random() as dice"
    job = retrieve(store, sql)
    assert job.to_arrow() == job.to_arrow()
    with pytest.raises(OfflineStoreError, match="DuckDB: "):
        retrieve(store, "select * from sql")


def test_entity_rows_are_those_of_the_call(store: FeatureStore) -> None:
    frame = asked()
    job = retrieve(store, frame)
    frame["driver_id"] = 99
    assert job.to_arrow()["trips"].to_pylist() == [2, 3]


@pytest.mark.parametrize("form", [[1, 2], 5, {"driver_id": [1]}], ids=str)
def test_entity_rows_of_another_form_are_refused(store: FeatureStore, form: Any) -> None:
    offline = store._get_provider().offline_store
    view = store.get_feature_view("stats")
    with pytest.raises(EntityRowsError, match=f"entity rows cannot be a {type(form).__name__}"):
        offline.get_historical_features(
            store.config, [view], ["stats:trips"], form, store.registry, "tiny"
        )


def test_column_of_mixed_types_is_refused(store: FeatureStore) -> None:
    with pytest.raises(EntityRowsError, match="column `label` is of no one type"):
        retrieve(store, asked(label=[1, "a"]))


def test_key_column_that_became_float_says_how_to_mend_it(store: FeatureStore) -> None:
    frame = asked().assign(driver_id=[1.0, float("nan")])
    with pytest.raises(EntityRowsError, match="`driver_id` is double, declared Int64") as caught:
        retrieve(store, frame).to_arrow()
    assert "Int64 extension type" in str(caught.value.hint)
    mended = frame.astype({"driver_id": "Int64"})
    assert retrieve(store, mended).to_arrow()["trips"].to_pylist() == [2, None]


def test_column_with_the_name_of_a_feature_is_refused(store: FeatureStore) -> None:
    frame = asked(trips=[7, 8])
    with pytest.raises(EntityRowsError, match="`trips` has the name of a feature") as caught:
        retrieve(store, frame).to_arrow()
    assert "full_feature_names=True" in str(caught.value.hint)
    table = retrieve(store, frame, full_feature_names=True).to_arrow()
    assert table["trips"].to_pylist() == [7, 8]
    assert table["stats__trips"].to_pylist() == [2, 3]


def test_text_that_is_no_instant_is_refused(store: FeatureStore) -> None:
    with pytest.raises(EntityRowsError, match="no ISO 8601 instant"):
        retrieve(store, asked().assign(event_timestamp=["noon", "later"]))


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({"event_timestamp": "us", "born": "us"}, "event_timestamp"),
        ({"at": "ns"}, "at"),
    ],
)
def test_event_timestamp_column_is_found(columns: dict[str, str], found: str) -> None:
    schema = pa.schema([(name, pa.timestamp(unit)) for name, unit in columns.items()])
    assert find_event_timestamp_column(schema) == found


@pytest.mark.parametrize(("names", "listed"), [([], "none"), (["a", "b"], "`a`, `b`")])
def test_event_timestamp_column_that_is_not_clear_is_refused(names: list[str], listed: str) -> None:
    schema = pa.schema([(name, pa.timestamp("us")) for name in names])
    with pytest.raises(EntityRowsError) as caught:
        find_event_timestamp_column(schema)
    assert caught.value.message.endswith(f"timestamps: {listed}")


def test_no_entity_rows_give_no_rows(store: FeatureStore) -> None:
    empty = asked().head(0)
    job = retrieve(store, empty)
    assert job.to_arrow().num_rows == 0
    assert job.to_arrow().schema.field("trips").type == pa.int64()
    assert job.metadata is not None
    assert job.metadata.min_event_timestamp is None


def test_sql_of_the_job_is_what_runs(store: FeatureStore) -> None:
    job = store.get_historical_features(entity_df=asked(), features=["stats:trips", "other:load"])
    assert isinstance(job, RetrievalJob)
    statements = job.to_sql().split(";\n\n")
    assert len(statements) == 6
    entity_rows = pa.table(
        {"_row_idx": [0], "driver_id": [1], "_since_us": [0], "_as_of_us": [2**60]}
    )
    found = []
    with open_session() as session:
        for number in range(2):
            session.register(f"entity_rows_{number}", entity_rows)
            winners, ties, fetch = statements[3 * number : 3 * number + 3]
            session.execute(winners)
            session.execute(ties)
            found.append(session.sql(fetch).to_arrow_table().to_pylist())
    assert [[row for row in rows if row.pop("_event_us")] for rows in found] == [
        [{"_row_idx": 0, "trips": 2}],
        [{"_row_idx": 0, "load": 0.5}],
    ]


def test_persisted_result_is_whole_and_never_overwritten_unasked(
    store: FeatureStore, tmp_path: Path
) -> None:
    path = tmp_path / "new" / "saved.parquet"
    storage = SavedDatasetFileStorage(path=str(path))
    job = retrieve(store, asked())
    job.persist(storage)
    assert pq.read_table(path) == job.to_arrow()
    with pytest.raises(OfflineStoreError, match=r"saved\.parquet` exists"):
        job.persist(storage)
    retrieve(store, asked().head(1)).persist(storage, allow_overwrite=True)
    assert pq.read_table(path).num_rows == 1
    assert [entry.name for entry in path.parent.iterdir()] == ["saved.parquet"]


def test_relative_saved_dataset_lies_in_the_repo_and_comes_back(
    shared: tuple[FeastRepo, FeatureStore],
) -> None:
    repo, store = shared
    storage = SavedDatasetFileStorage(path="saved/training.parquet")
    store.create_saved_dataset(retrieve(store, asked()), "training", storage)
    assert (repo.path / "saved" / "training.parquet").is_file()
    again = store.get_saved_dataset("training")
    assert again.to_arrow()["trips"].to_pylist() == [2, 3]
    assert again.min_event_timestamp == NOON.replace(tzinfo=None)  # Feast keeps it naive.


def test_missing_source_is_named_when_the_job_runs(tmp_path: Path) -> None:
    repo, store = apply_repo(tmp_path)
    job = retrieve(store, asked())
    (repo.data / "stats" / "rows.parquet").unlink()
    with pytest.raises(SourceUnavailableError, match="`stats_source` has no Parquet files"):
        job.to_arrow()


def test_limits_of_the_configuration_reach_the_join(tmp_path: Path) -> None:
    section = {"type": OUR_OFFLINE_STORE, "threads": 1, "memory_limit": "nonsense"}
    _, store = apply_repo(tmp_path, overrides={"offline_store": section})
    with pytest.raises(ConfigurationError, match="Memory"):
        retrieve(store, asked()).to_arrow()


def test_pushed_rows_are_published_beside_the_others_and_joined(tmp_path: Path) -> None:
    repo, store = apply_repo(tmp_path)
    pushed = rows((1, NOON + HOUR, 9)).to_pandas()
    store.push("trips_push", pushed, to=PushMode.OFFLINE)
    assert len(list((repo.data / "stats").iterdir())) == 2
    later = asked().assign(event_timestamp=[NOON + HOUR] * 2)
    assert retrieve(store, later).to_arrow()["trips"].to_pylist() == [9, 3]


def test_pull_of_the_latest_takes_the_later_created_and_the_bounds(tmp_path: Path) -> None:
    repo, store = apply_repo(tmp_path)
    corrected = rows((1, NOON, 7)).set_column(
        2, "created", pa.array([NOON + HOUR], pa.timestamp("us", "UTC"))
    )
    repo.write_rows("stats", corrected, file="corrected.parquet")
    offline = store._get_provider().offline_store
    options: dict[str, Any] = {
        "config": store.config,
        "data_source": store.get_feature_view("stats").batch_source,
        "join_key_columns": ["driver_id"],
        "feature_name_columns": ["trips"],
        "timestamp_field": "event_timestamp",
        "created_timestamp_column": "created",
    }

    def pulled(pull: Any, start: datetime | None, end: datetime | None) -> list[tuple[int, int]]:
        table = pull(**options, start_date=start, end_date=end).to_arrow()
        pairs = zip(table["driver_id"].to_pylist(), table["trips"].to_pylist(), strict=True)
        return sorted(pairs)

    latest = offline.pull_latest_from_table_or_query
    every = offline.pull_all_from_table_or_query
    assert pulled(latest, NOON - HOUR, NOON) == [(1, 7), (2, 3)]
    assert pulled(latest, NOON - HOUR, NOON - timedelta(microseconds=1)) == [(1, 1)]
    assert pulled(every, NOON, NOON) == [(1, 2), (1, 7), (2, 3)]
    assert pulled(every, None, None) == [(1, 1), (1, 2), (1, 7), (2, 3)]
    assert pulled(every, NOON.replace(tzinfo=None), None) == [(1, 2), (1, 7), (2, 3)]


def test_pull_of_a_column_that_is_missing_or_no_timestamp_is_refused(store: FeatureStore) -> None:
    offline = store._get_provider().offline_store
    source = batch_source(store.get_feature_view("stats"))
    with pytest.raises(SchemaError, match="stats_source: the source has no column `nope`"):
        offline.pull_all_from_table_or_query(store.config, source, ["driver_id"], ["trips"], "nope")
    with pytest.raises(SchemaError, match="timestamp column `trips` is int64"):
        offline.pull_all_from_table_or_query(
            store.config, source, ["driver_id"], ["trips"], "trips"
        )
    with pytest.raises(SchemaError, match="stats_source: the source has no column `nope`"):
        offline.pull_all_from_table_or_query(
            store.config, source, ["driver_id"], ["nope"], "event_timestamp"
        )

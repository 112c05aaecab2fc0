"""A side index answers as the files do, says that it was used, and is passed over when stale."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from feast import Entity, FeatureStore, ValueType
from feast.types import Array, Float64, Int64, String

from evenstore.index.build import build_index
from evenstore.index.catalogue import IndexKind, index_folder
from evenstore.offline.history import open_history
from evenstore.offline.retrieval import HistoricalJob
from evenstore.schema.compile import compile_feature_view, compile_store
from evenstore.schema.request import resolve_references
from evenstore.schema.source import open_source
from evenstore.semantics import Knowledge
from tests.support.feast_repo import FeastRepo

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
FEATURES = ["stats:trips", "stats:rate", "stats:tags", "stats:name"]
_INSTANT = pa.timestamp("us", "UTC")


def rows(n: int, seed: int) -> pa.Table:
    random = np.random.default_rng(seed)
    event = [NOON + timedelta(minutes=int(m)) for m in random.integers(0, 300, n)]
    return pa.table(
        {
            "driver_id": random.integers(0, 9, n),
            "event_timestamp": pa.array(event, _INSTANT),
            "created": pa.array([at + timedelta(minutes=1) for at in event], _INSTANT),
            "trips": pa.array([None if i % 7 == 0 else 2**53 + i for i in range(n)], pa.int64()),
            "rate": random.random(n),
            "tags": pa.array([[str(i), "x"] for i in range(n)]),
            "name": pa.array([f"é{i % 3}" for i in range(n)]),
        }
    )


def entity_rows(n: int = 200) -> pa.Table:
    random = np.random.default_rng(5)
    instants = [NOON + timedelta(minutes=int(m)) for m in random.integers(-5, 400, n)]
    drivers = [None if i % 50 == 0 else int(d) for i, d in enumerate(random.integers(0, 12, n))]
    return pa.table(
        {
            "driver_id": pa.array(drivers, pa.int64()),
            "event_timestamp": pa.array(instants, _INSTANT),
        }
    )


@pytest.fixture
def repo(tmp_path: Path) -> FeastRepo:
    return FeastRepo(tmp_path)


@pytest.fixture
def store(repo: FeastRepo) -> FeatureStore:
    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
    fields: dict[str, Any] = {
        "driver_id": Int64,
        "trips": Int64,
        "rate": Float64,
        "tags": Array(String),
        "name": String,
    }
    view = repo.view("stats", [driver], fields, ttl=timedelta(hours=2))
    repo.write_rows("stats", rows(150, 1))
    repo.write_rows("stats", rows(150, 2))
    return repo.apply(driver, view)


def make_index(store: FeatureStore, kind: IndexKind) -> None:
    view = store.get_feature_view("stats")
    schema = compile_feature_view(view, is_offline=True)
    repo_path = Path(store.repo_path)
    source = open_source(view, schema, repo_path)
    build_index(index_folder(repo_path, "stats"), source, schema, kind=kind)


def ask(store: FeatureStore, **options: Any) -> HistoricalJob:
    job = store.get_historical_features(entity_rows(), FEATURES, **options)
    assert isinstance(job, HistoricalJob)
    return job


@pytest.mark.parametrize("kind", ["table", "positions"])
@pytest.mark.parametrize("is_as_known", [False, True])
def test_the_index_answers_as_the_files_do(
    store: FeatureStore, kind: IndexKind, *, is_as_known: bool
) -> None:
    job = ask(store, filter_by_created_timestamp=is_as_known)
    without = job.with_statuses().to_arrow()
    assert "side index" not in job.explain()
    make_index(store, kind)
    assert job.explain().startswith("stats: side index")
    assert job.with_statuses().to_arrow().to_pylist() == without.to_pylist()
    assert job.to_arrow().to_pylist() == without.select(job.to_arrow().column_names).to_pylist()
    in_slices = pa.Table.from_batches(job.with_statuses().to_arrow_reader(7))
    assert in_slices.to_pylist() == without.to_pylist()
    assert in_slices.schema == without.schema


def test_history_with_statuses_uses_it_too(store: FeatureStore) -> None:
    request = resolve_references(compile_store(store), tuple(FEATURES))
    read = open_history(store, request, entity_rows(), knowledge=Knowledge.AS_KNOWN)
    without = read.to_table().to_pylist()
    make_index(store, "table")
    assert read.explain().startswith("stats: side index")
    assert read.to_table().to_pylist() == without


def test_a_new_file_makes_it_stale_until_it_is_built_again(
    store: FeatureStore, repo: FeastRepo
) -> None:
    make_index(store, "table")
    repo.write_rows("stats", rows(150, 3))
    job = ask(store)
    assert "side index not used: 1 file is not covered: run `evenstore index`" in job.explain()
    by_files = job.to_arrow().to_pylist()
    make_index(store, "table")
    assert ask(store).explain().startswith("stats: side index")
    assert ask(store).to_arrow().to_pylist() == by_files


def test_it_can_be_switched_off(store: FeatureStore) -> None:
    make_index(store, "table")
    store.config.offline_store.side_index = False
    assert "side index" not in ask(store).explain()


def test_a_damaged_index_is_passed_over(store: FeatureStore) -> None:
    expected = ask(store).to_arrow().to_pylist()
    make_index(store, "table")
    for path in index_folder(Path(store.repo_path), "stats").rglob("*.arrow"):
        path.write_bytes(path.read_bytes()[:40])
    job = ask(store)
    assert "side index not used: the index cannot be read" in job.explain()
    assert job.to_arrow().to_pylist() == expected

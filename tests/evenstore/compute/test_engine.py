"""Materialization as a Feast user runs it, on real Parquet, into a real Redis."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from feast import BatchFeatureView, Entity, FeatureStore, FeatureView
from feast import Field as FeastField
from feast.feature_view import FeatureViewState
from feast.types import Array, ComplexFeastType, Float64, Int64, PrimitiveFeastType
from feast.value_type import ValueType
from redis import Redis

from evenstore.clock import FrozenClock, SystemClock, datetime_to_us
from evenstore.compute.run import ViewRun
from evenstore.compute.summary import RunSummary
from evenstore.compute.watermark import read_watermark
from evenstore.duckdb_session import SessionLimits
from evenstore.errors import (
    ConfigurationError,
    MaterializationError,
    SourceChangedError,
    SourceUnavailableError,
)
from evenstore.online.connection import open_redis
from evenstore.online.writer import RowWriter, open_encoder
from evenstore.schema.compile import compile_feature_view
from evenstore.schema.model import Layout
from evenstore.schema.source import open_source
from tests.evenstore.compute.stored import StoredRow, read_stored
from tests.support.feast_repo import FeastRepo

# The end of real data that is years old: Feast's own start of a first run lies after it.
_END = datetime(2011, 12, 10, tzinfo=UTC)
_DAY = timedelta(days=1)
_US = timedelta(microseconds=1)
_DRIVER = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
_SCHEMA: Mapping[str, PrimitiveFeastType | ComplexFeastType] = {
    "driver_id": Int64,
    "trips": Int64,
    "rating": Float64,
}


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    with open_redis(redis_url) as opened:
        yield opened


@pytest.fixture
def repo(tmp_path: Path, redis_url: str) -> FeastRepo:
    return FeastRepo(tmp_path / "repo", redis_url=redis_url)


def _rows(*rows: tuple[int | None, datetime | None, int | None], **extra: list[Any]) -> pa.Table:
    """Make a file of `(driver, event time, trips)`; created is the event time."""
    instants = pa.timestamp("us", "UTC")
    columns = {
        "driver_id": pa.array([driver_id for driver_id, *_ in rows], pa.int64()),
        "event_timestamp": pa.array([event for _, event, _ in rows], instants),
        "created": pa.array([event for _, event, _ in rows], instants),
        "trips": pa.array([trips for *_, trips in rows], pa.int64()),
        "rating": pa.array([0.5] * len(rows), pa.float64()),
    }
    return pa.table(columns | extra)


def _view(repo: FeastRepo, ttl: timedelta = timedelta(0), **options: Any) -> FeatureView:
    return repo.view("stats", [_DRIVER], options.pop("schema", _SCHEMA), ttl=ttl, **options)


def _stored(
    client: Redis, store: FeatureStore, *driver_ids: int
) -> dict[tuple[Any, ...], StoredRow]:
    view = compile_feature_view(store.get_feature_view("stats"))
    return read_stored(client, view, "tiny", [(driver_id,) for driver_id in driver_ids])


def _trips(client: Redis, store: FeatureStore, *driver_ids: int) -> dict[int, Any]:
    stored = _stored(client, store, *driver_ids)
    return {driver_id: row.values["trips"] for (driver_id,), row in stored.items()}


def _intervals(repo: FeastRepo) -> list[tuple[datetime, datetime]]:
    return list(repo.store().get_feature_view("stats").materialization_intervals)


def _state(repo: FeastRepo) -> FeatureViewState:
    return repo.store().get_feature_view("stats").state


def test_first_incremental_run_on_old_data_loads_the_newest_rows_within_ttl(
    repo: FeastRepo, client: Redis
) -> None:
    """Feast asks for an interval that begins after its end: the wall clock minus ttl."""
    rows = [(1, _END - _DAY, 1), (1, _END, 2), (2, _END - _DAY, 3), (3, _END - _DAY - _US, 4)]
    repo.write_rows("stats", _rows(*rows, (4, _END + _US, 5)))
    store = repo.apply(_DRIVER, _view(repo, _DAY))

    store.materialize_incremental(_END)

    assert _trips(client, store, 1, 2, 3, 4) == {1: 2, 2: 3}
    stored = _stored(client, store, 1)
    assert stored[1,].event_us == datetime_to_us(_END)


def test_first_run_of_a_view_without_ttl_loads_any_age(repo: FeastRepo, client: Redis) -> None:
    repo.write_rows("stats", _rows((1, datetime(1950, 1, 1, tzinfo=UTC), 1)))
    store = repo.apply(_DRIVER, _view(repo))

    store.materialize_incremental(_END)

    assert _trips(client, store, 1) == {1: 1}


def test_late_file_is_loaded_by_the_next_incremental_run(repo: FeastRepo, client: Redis) -> None:
    """D4: stock Feast's watermark of event times loses it for ever."""
    repo.write_rows("stats", _rows((1, _END - _DAY, 1)), file="a.parquet")
    store = repo.apply(_DRIVER, _view(repo))
    store.materialize_incremental(_END)
    late = _rows((1, _END - 2 * _DAY, 10), (2, _END - 5 * _DAY, 20))
    repo.write_rows("stats", late, file="b.parquet")

    repo.store().materialize_incremental(_END + _DAY)

    assert _trips(client, store, 1, 2) == {1: 1, 2: 20}


def test_correction_at_equal_timestamps_wins_when_it_is_read_again(
    repo: FeastRepo, client: Redis
) -> None:
    """D2: stock Feast drops it."""
    repo.write_rows("stats", _rows((1, _END, 1), (2, _END, 5)))
    store = repo.apply(_DRIVER, _view(repo))
    store.materialize_incremental(_END)
    repo.write_rows("stats", _rows((1, _END, 99), (2, _END, None)))

    repo.store().materialize_incremental(_END + _DAY)

    assert _trips(client, store, 1, 2) == {1: 99, 2: None}


def test_new_feature_is_backfilled_for_every_entity(repo: FeastRepo, client: Redis) -> None:
    """D3: stock Feast leaves it null until an entity's next event."""
    repo.write_rows("stats", _rows((1, _END - 9 * _DAY, 1), z=[9.0]))
    repo.apply(_DRIVER, _view(repo)).materialize_incremental(_END)
    store = repo.apply(_DRIVER, _view(repo, schema={**_SCHEMA, "z": Float64}))

    store.materialize_incremental(_END + _DAY)

    assert _stored(client, store, 1)[1,].values == {"trips": 1, "rating": 0.5, "z": 9.0}


def test_lengthened_ttl_is_backfilled(repo: FeastRepo, client: Redis) -> None:
    repo.write_rows("stats", _rows((1, _END - 3 * _DAY, 1), (2, _END, 2)))
    store = repo.apply(_DRIVER, _view(repo, _DAY))
    store.materialize_incremental(_END)
    assert _trips(client, store, 1, 2) == {2: 2}

    store = repo.apply(_DRIVER, _view(repo, 7 * _DAY))
    store.materialize_incremental(_END + _US)

    assert _trips(client, store, 1, 2) == {1: 1, 2: 2}


def test_emptied_redis_is_loaded_again(repo: FeastRepo, client: Redis) -> None:
    repo.write_rows("stats", _rows((1, _END - 9 * _DAY, 1)))
    store = repo.apply(_DRIVER, _view(repo))
    store.materialize_incremental(_END)
    client.flushall()

    repo.store().materialize_incremental(_END + _DAY)

    assert _trips(client, store, 1) == {1: 1}


def test_end_in_the_future_does_not_hide_what_comes_before_it(
    repo: FeastRepo, client: Redis
) -> None:
    """Feast issue 4222: the next incremental run would begin at the recorded end."""
    now = datetime.now(tz=UTC)
    repo.write_rows("stats", _rows((1, now - _DAY, 1), (1, now + _DAY, 7)), file="a.parquet")
    store = repo.apply(_DRIVER, _view(repo))
    store.materialize(now - 9 * _DAY, now + 365 * _DAY)
    assert _trips(client, store, 1) == {1: 1}
    repo.write_rows("stats", _rows((1, now - timedelta(hours=1), 2)), file="b.parquet")

    repo.store().materialize_incremental(datetime.now(tz=UTC))

    assert _trips(client, store, 1) == {1: 2}


def test_frozen_clock_hides_rows_after_it(
    repo: FeastRepo, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVENSTORE_TEST_MODE", "1")
    monkeypatch.setenv("EVENSTORE_FROZEN_TIME", _END.isoformat())
    repo.write_rows("stats", _rows((1, _END, 1), (1, _END + _DAY, 2)))
    store = repo.apply(_DRIVER, _view(repo, _DAY))

    store.materialize_incremental(datetime.now(tz=UTC))

    assert _trips(client, store, 1) == {1: 1}
    answer = store.get_online_features(["stats:trips"], [{"driver_id": 1}]).to_dict()
    assert answer["trips"] == [1]


def test_early_end_does_not_count_the_rows_behind_it_as_loaded(
    repo: FeastRepo, client: Redis
) -> None:
    repo.write_rows("stats", _rows((1, _END - 9 * _DAY, 1)), file="a.parquet")
    store = repo.apply(_DRIVER, _view(repo))
    store.materialize_incremental(_END)
    repo.write_rows("stats", _rows((2, _END - _DAY, 2)), file="b.parquet")
    repo.store().materialize(_END - 9 * _DAY, _END - 5 * _DAY)

    repo.store().materialize_incremental(_END + _DAY)

    assert _trips(client, store, 1, 2) == {1: 1, 2: 2}


def test_values_are_exact(repo: FeastRepo, client: Redis) -> None:
    """D10 and D13: large integers beside a null, and NaN."""
    rows = [(1, _END, 2**53 + 1), (2, _END, None), (3, _END, -(2**63))]
    rating = pa.array([math.nan, None, -0.0], pa.float64())
    repo.write_rows("stats", _rows(*rows).set_column(4, "rating", rating))
    store = repo.apply(_DRIVER, _view(repo))

    store.materialize_incremental(_END)

    stored = _stored(client, store, 1, 2, 3)
    assert _trips(client, store, 1, 2, 3) == {1: 2**53 + 1, 2: None, 3: -(2**63)}
    assert math.isnan(stored[1,].values["rating"])
    assert stored[2,].values["rating"] is None
    assert math.copysign(1, stored[3,].values["rating"]) == -1


def test_row_without_key_or_event_time_is_left_out_and_counted(
    repo: FeastRepo, client: Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    repo.write_rows("stats", _rows((None, _END, 1), (1, None, 2), (2, _END, 3)))
    store = repo.apply(_DRIVER, _view(repo))

    store.materialize_incremental(_END)

    assert _trips(client, store, 1, 2) == {2: 3}
    assert "1 rows read, 1 written, 0 superseded, 2 left out without" in capsys.readouterr().err


def test_null_in_a_list_is_refused_and_nothing_is_recorded(repo: FeastRepo, client: Redis) -> None:
    """D14: stock Feast makes it 0."""
    schema = {**_SCHEMA, "tags": Array(Int64)}
    repo.write_rows("stats", _rows((1, _END, 1), tags=[[1, None]]))
    store = repo.apply(_DRIVER, _view(repo, schema=schema))

    with pytest.raises(MaterializationError, match="stats:tags") as error:
        store.materialize_incremental(_END)

    assert error.value.view == "stats"
    assert error.value.hint is not None
    assert _intervals(repo) == []
    assert read_watermark(client, "tiny", "stats") is None


def test_summary_counts_what_only_content_decided(
    repo: FeastRepo, capsys: pytest.CaptureFixture[str], client: Redis
) -> None:
    rows = [(1, _END, 5), (1, _END, 9), (2, _END, 3), (2, _END, 3)]
    repo.write_rows("stats", _rows(*rows))
    store = repo.apply(_DRIVER, _view(repo))

    store.materialize_incremental(_END)

    assert _trips(client, store, 1, 2) == {1: 9, 2: 3}
    summary = "stats: 2 rows read, 2 written, 0 superseded, 1 ambiguous (nothing loaded yet)"
    assert summary in capsys.readouterr().err


def test_pushed_row_that_is_newer_survives_a_run(repo: FeastRepo, client: Redis) -> None:
    repo.write_rows("stats", _rows((1, _END, 1)))
    store = repo.apply(_DRIVER, _view(repo))
    columns = {"driver_id": [1], "trips": [2], "rating": [0.5]}
    stamps = {"event_timestamp": [_END + _US], "created": [_END]}
    store.write_to_online_store("stats", pd.DataFrame(columns | stamps))

    store.materialize_incremental(_END + _DAY)

    assert _trips(client, store, 1) == {1: 2}


def test_view_serves_before_and_after_runs_and_failures(repo: FeastRepo, redis_url: str) -> None:
    """D40: stock Feast takes the view out of service, after a failure for good."""
    repo.write_rows("stats", _rows((1, _END, 1)), file="a.parquet")
    store = repo.apply(_DRIVER, _view(repo, schema={**_SCHEMA}))
    store.materialize_incremental(_END)
    repo.store().materialize_incremental(_END + _DAY)
    assert _state(repo) is FeatureViewState.AVAILABLE_ONLINE
    (repo.data / "stats" / "b.parquet").write_bytes(b"not Parquet")

    with pytest.raises(SourceUnavailableError, match=r"b\.parquet"):
        repo.store().materialize_incremental(_END + 2 * _DAY)

    assert _state(repo) is FeatureViewState.AVAILABLE_ONLINE
    assert len(_intervals(repo)) == 2
    # Without the setting that serves a view while it is MATERIALIZING.
    strict = FeastRepo(
        repo.path, redis_url=redis_url, overrides={"registry": {"path": "registry.db"}}
    )
    answer = strict.store().get_online_features(["stats:trips"], [{"driver_id": 1}])
    assert answer.to_dict()["driver_id"] == [1]


def test_unreachable_redis_fails_the_run_and_records_nothing(tmp_path: Path) -> None:
    repo = FeastRepo(tmp_path / "repo", redis_url="redis://127.0.0.1:1/0")
    repo.write_rows("stats", _rows((1, _END, 1)))
    store = repo.apply(_DRIVER, _view(repo))

    with pytest.raises(MaterializationError, match="stats: Redis cannot be reached") as error:
        store.materialize_incremental(_END)

    assert error.value.hint is not None
    assert _intervals(repo) == []


def test_run_that_fills_the_memory_moves_nothing_and_the_next_one_completes(
    repo: FeastRepo, client: Redis
) -> None:
    n_rows = 30_000
    repo.write_rows("stats", _rows(*((k, _END, k) for k in range(n_rows))))
    store = repo.apply(_DRIVER, _view(repo))
    memory: Any = client.info("memory")
    client.config_set("maxmemory", int(memory["used_memory"]) + 3_000_000)
    try:
        with pytest.raises(MaterializationError, match="out of memory") as error:
            store.materialize_incremental(_END)
    finally:
        client.config_set("maxmemory", 0)
    assert error.value.rows_written > 0
    assert _intervals(repo) == []
    assert read_watermark(client, "tiny", "stats") is None

    repo.store().materialize_incremental(_END)

    assert _trips(client, store, *range(n_rows)) == {k: k for k in range(n_rows)}


def test_two_runs_at_once_converge(repo: FeastRepo, client: Redis) -> None:
    """One of each snapshot, as two schedulers would; the later snapshot's correction wins."""
    n_rows = 3000
    repo.write_rows("stats", _rows(*((k, _END, 1) for k in range(n_rows))))
    store = repo.apply(_DRIVER, _view(repo))
    definition = store.get_feature_view("stats")
    view = compile_feature_view(definition)
    summaries: list[RunSummary] = []

    def prepare() -> ViewRun:
        return ViewRun(
            client=client,
            encoder=open_encoder(view, "tiny", Layout.PACKED),
            writer=RowWriter(client, "tiny", view),
            project="tiny",
            view=view,
            source=open_source(definition, view, repo.path),
            clock=FrozenClock(datetime_to_us(_END)),
            sequence_us=SystemClock().now_us(),
            limits=SessionLimits(threads=1),
        )

    def execute(run: ViewRun) -> None:
        summaries.append(run.execute(start_us=0, end_us=datetime_to_us(_END)))

    earlier = prepare()
    repo.write_rows("stats", _rows(*((k, _END, 2) for k in range(n_rows))), file="b.parquet")
    threads = [threading.Thread(target=execute, args=(run,)) for run in (prepare(), earlier)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(summaries) == 2
    assert _trips(client, store, *range(n_rows)) == dict.fromkeys(range(n_rows), 2)
    repo.store().materialize_incremental(_END + _DAY)
    assert _trips(client, store, *range(n_rows)) == dict.fromkeys(range(n_rows), 2)


@pytest.mark.parametrize("n_rows", [0, 5000])
def test_file_replaced_during_a_run_is_noticed_and_nothing_is_recorded(
    repo: FeastRepo, client: Redis, n_rows: int
) -> None:
    """Its rows are found first and read later; the engine runs again on the new files."""
    repo.write_rows("stats", _rows((1, _END, 1)))
    store = repo.apply(_DRIVER, _view(repo))
    definition = store.get_feature_view("stats")
    view = compile_feature_view(definition)
    run = ViewRun(
        client=client,
        encoder=open_encoder(view, "tiny", Layout.PACKED),
        writer=RowWriter(client, "tiny", view),
        project="tiny",
        view=view,
        source=open_source(definition, view, repo.path),
        clock=SystemClock(),
        sequence_us=SystemClock().now_us(),
        limits=SessionLimits(threads=1),
    )
    repo.write_rows("stats", _rows(*((k, _END, 2) for k in range(n_rows))))

    with pytest.raises(SourceChangedError, match="stats"):
        run.execute(start_us=0, end_us=datetime_to_us(_END))

    assert read_watermark(client, "tiny", "stats") is None
    store.materialize_incremental(_END)
    assert _trips(client, store, *range(n_rows)) == dict.fromkeys(range(n_rows), 2)


def test_removed_view_is_loaded_anew_when_it_comes_back(repo: FeastRepo, client: Redis) -> None:
    repo.write_rows("stats", _rows((1, _END - 9 * _DAY, 1)))
    store = repo.apply(_DRIVER, _view(repo))
    store.materialize_incremental(_END)
    store.apply([], objects_to_delete=[store.get_feature_view("stats")], partial=False)
    assert client.keys("*tiny") == [b"evenstore:watermarks:tiny"]

    store = repo.apply(_DRIVER, _view(repo))
    store.materialize_incremental(_END)

    assert _trips(client, store, 1) == {1: 1}


def test_teardown_leaves_nothing(repo: FeastRepo, client: Redis) -> None:
    repo.write_rows("stats", _rows((1, _END, 1)))
    store = repo.apply(_DRIVER, _view(repo))
    store.materialize_incremental(_END)

    repo.store().teardown()

    assert client.keys("*") == []


def test_empty_file_is_no_error(repo: FeastRepo, client: Redis) -> None:
    repo.write_rows("stats", _rows())
    store = repo.apply(_DRIVER, _view(repo))

    store.materialize_incremental(_END)

    assert _trips(client, store, 1) == {}
    assert len(_intervals(repo)) == 1


def test_source_without_files_is_an_error_that_names_it(repo: FeastRepo) -> None:
    store = repo.apply(_DRIVER, _view(repo))

    with pytest.raises(SourceUnavailableError, match="stats_source"):
        store.materialize_incremental(_END)

    assert _intervals(repo) == []


def test_entityless_view_is_materialized(repo: FeastRepo) -> None:
    """FEAST.md 3.1: stock's DuckDB store cannot."""
    now = datetime.now(tz=UTC)
    instants = pa.array([now - _DAY], pa.timestamp("us", "UTC"))
    table = pa.table({"euro": [1.5], "event_timestamp": instants, "created": instants})
    repo.write_rows("rates", table)
    repo.write_rows("stats", _rows((1, _END, 1)))
    rates = repo.view("rates", [], {"euro": Float64})
    store = repo.apply(_DRIVER, rates, _view(repo))

    store.materialize_incremental(now)

    answer = repo.store().get_online_features(["rates:euro", "stats:trips"], [{"driver_id": 1}])
    assert answer.to_dict() == {"driver_id": [1], "euro": [1.5], "trips": [1]}


@pytest.mark.filterwarnings("ignore:Batch feature views are experimental:RuntimeWarning")
def test_view_with_a_transformation_is_refused(repo: FeastRepo) -> None:
    repo.write_rows("stats", _rows((1, _END, 1)))
    view = BatchFeatureView(
        name="stats",
        mode="python",
        entities=[_DRIVER],
        schema=[FeastField(name=name, dtype=dtype) for name, dtype in _SCHEMA.items()],
        source=repo.source("stats"),
        udf=_double,
        udf_string="return rows",
        online=True,
        ttl=timedelta(0),
    )
    store = repo.apply(_DRIVER, view)

    with pytest.raises(ConfigurationError, match="stats: views with a transformation"):
        store.materialize_incremental(_END)


def _double(rows: Any) -> Any:
    return rows


def test_engine_refuses_an_online_store_that_is_not_ours(tmp_path: Path) -> None:
    repo = FeastRepo(
        tmp_path,
        redis_url="redis://127.0.0.1:1/0",
        overrides={"online_store": {"type": "sqlite", "path": "online.db"}},
    )

    with pytest.raises(ConfigurationError, match="not SqliteOnlineStore") as error:
        repo.apply(_DRIVER, _view(repo))

    assert error.value.hint is not None

"""Every form of view and source that Feast has, from Parquet to an answer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from feast import Entity, PushSource, RequestSource
from feast import Field as FeastField
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Array, ComplexFeastType, Int64, PrimitiveFeastType, String
from feast.value_type import ValueType
from redis import Redis

from evenstore.errors import ConfigurationError, MaterializationError
from tests.support.feast_repo import OUR_ENGINE, FeastRepo

_DRIVER = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
_CITY = Entity(name="city", join_keys=["city_name"], value_type=ValueType.STRING)
_SCHEMA = {"driver_id": Int64, "trips": Int64}
_NOW = datetime.now(tz=UTC)
_DAY = timedelta(days=1)


@pytest.fixture
def repo(tmp_path: Path, redis_url: str) -> FeastRepo:
    return FeastRepo(tmp_path / "repo", redis_url=redis_url)


def _table(**columns: list[Any]) -> pa.Table:
    n_rows = len(next(iter(columns.values())))
    instants = pa.array([_NOW - _DAY] * n_rows, pa.timestamp("us", "UTC"))
    return pa.table(columns | {"event_timestamp": instants, "created": instants})


def _answer(repo: FeastRepo, features: list[str], **keys: list[Any]) -> dict[str, list[Any]]:
    names = list(keys)
    asked = [dict(zip(names, row, strict=True)) for row in zip(*keys.values(), strict=True)]
    answer = repo.store().get_online_features(features, asked).to_dict()
    return {name: values for name, values in answer.items() if name not in keys}


def test_composite_keys_are_told_apart(repo: FeastRepo) -> None:
    """Joined without a separator, (1, "12") and (11, "2") would be one entity."""
    repo.write_rows(
        "stats",
        _table(driver_id=[1, 11, 1, 1], city_name=["12", "2", "12", ""], trips=[5, 6, 7, 8]),
    )
    view = repo.view("stats", [_DRIVER, _CITY], {**_SCHEMA, "city_name": String})
    store = repo.apply(_DRIVER, _CITY, view)

    store.materialize_incremental(_NOW)

    keys: dict[str, list[Any]] = {
        "driver_id": [1, 11, 1, 2],
        "city_name": ["12", "2", "", ""],
    }
    assert _answer(repo, ["stats:trips"], **keys) == {"trips": [7, 6, 8, None]}


def test_field_mapping_renames_what_a_run_reads(repo: FeastRepo) -> None:
    """D38."""
    table = _table(drv=[1, 2], n=[5, 6]).rename_columns(["drv", "n", "happened", "written"])
    repo.write_rows("stats", table)
    source = repo.source(
        "stats",
        timestamp_field="at",
        created="written",
        field_mapping={"drv": "driver_id", "n": "trips", "happened": "at"},
    )
    store = repo.apply(_DRIVER, repo.view("stats", [_DRIVER], _SCHEMA, source=source))

    store.materialize_incremental(_NOW)

    assert _answer(repo, ["stats:trips"], driver_id=[1, 2]) == {"trips": [5, 6]}


def test_push_source_is_loaded_from_its_batch_source(repo: FeastRepo) -> None:
    """And a row that was pushed later is not overwritten by the load."""
    repo.write_rows("stats", _table(driver_id=[1, 2], trips=[5, 6]))
    source = PushSource(name="stats_push", batch_source=repo.source("stats"))
    store = repo.apply(_DRIVER, repo.view("stats", [_DRIVER], _SCHEMA, source=source))
    pushed = pd.DataFrame({"driver_id": [2], "trips": [60]})
    pushed["event_timestamp"] = pushed["created"] = _NOW - timedelta(hours=1)
    store.push("stats_push", pushed)

    store.materialize_incremental(_NOW)

    assert _answer(repo, ["stats:trips"], driver_id=[1, 2]) == {"trips": [5, 60]}


def test_on_demand_view_computes_from_what_a_run_loaded(repo: FeastRepo) -> None:
    repo.write_rows("stats", _table(driver_id=[1], trips=[2**53 + 1]))
    stats = repo.view("stats", [_DRIVER], _SCHEMA)
    request = RequestSource(name="request", schema=[FeastField(name="more", dtype=Int64)])
    total = on_demand_feature_view(
        sources=[stats, request],
        schema=[FeastField(name="total", dtype=Int64)],
        mode="python",
    )(_add)
    store = repo.apply(_DRIVER, stats, total)

    store.materialize_incremental(_NOW)

    answer = repo.store().get_online_features(
        [f"{total.name}:total"], [{"driver_id": 1, "more": 2}]
    )
    assert answer.to_dict()["total"] == [2**53 + 3]


def _add(inputs: dict[str, list[Any]]) -> dict[str, list[Any]]:
    pairs = zip(inputs["trips"], inputs["more"], strict=True)
    return {"total": [trips + more for trips, more in pairs]}


def _repo_of(path: Path, redis_url: str, **engine: Any) -> FeastRepo:
    overrides = {"batch_engine": {"type": OUR_ENGINE, **engine}}
    return FeastRepo(path, redis_url=redis_url, overrides=overrides)


_LISTS: Mapping[str, PrimitiveFeastType | ComplexFeastType] = {**_SCHEMA, "tags": Array(Int64)}


def test_bad_row_fails_a_run_and_is_named(tmp_path: Path, redis_url: str) -> None:
    repo = _repo_of(tmp_path, redis_url)
    repo.write_rows("stats", _table(driver_id=[7, 8], trips=[1, 2], tags=[[1], [1, None]]))
    store = repo.apply(_DRIVER, repo.view("stats", [_DRIVER], _LISTS))

    with pytest.raises(MaterializationError, match=r"stats:tags: .*driver_id=8") as error:
        store.materialize_incremental(_NOW)

    assert error.value.hint is not None
    assert "on_bad_row: skip" in error.value.hint


def test_bad_rows_are_skipped_where_a_repo_says_so(
    tmp_path: Path, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    repo = _repo_of(tmp_path, redis_url, on_bad_row="skip")
    tags = [[k, None] if k in {3, 40} else [k] for k in range(50)]
    repo.write_rows("stats", _table(driver_id=list(range(50)), trips=[9] * 50, tags=tags))
    store = repo.apply(_DRIVER, repo.view("stats", [_DRIVER], _LISTS))

    store.materialize_incremental(_NOW)

    said = capsys.readouterr().err
    assert "stats: row skipped: stats:tags: " in said
    assert "driver_id=3)" in said
    assert "stats: 50 rows read, 48 written, 0 superseded, 2 refused" in said
    answer = _answer(repo, ["stats:tags"], driver_id=[2, 3, 4, 40])
    assert answer == {"tags": [[2], None, [4], None]}


def test_slow_run_writes_the_same_rows(tmp_path: Path, redis_url: str) -> None:
    repo = _repo_of(tmp_path, redis_url, max_rows_per_s=1000, max_redis_latency_ms=1000)
    repo.write_rows("stats", _table(driver_id=list(range(250)), trips=list(range(250))))
    store = repo.apply(_DRIVER, repo.view("stats", [_DRIVER], _SCHEMA))

    store.materialize_incremental(_NOW)

    assert _answer(repo, ["stats:trips"], driver_id=[0, 249]) == {"trips": [0, 249]}


def test_second_run_of_a_view_waits_for_the_first(
    tmp_path: Path, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    repo = _repo_of(tmp_path, redis_url, lock_timeout_s=0)
    repo.write_rows("stats", _table(driver_id=[1], trips=[1]))
    store = repo.apply(_DRIVER, repo.view("stats", [_DRIVER], _SCHEMA))
    with Redis.from_url(redis_url) as client:
        client.set("evenstore:run:stats:tiny", "process 1 on elsewhere/0")

        with pytest.raises(MaterializationError, match=r"process 1 on elsewhere"):
            store.materialize_incremental(_NOW)

    assert "stats: waits for another run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("setting", "value"),
    [("on_bad_row", "ignore"), ("late_rows", "guess"), ("lock_lease_s", 0), ("max_rows_per_s", 0)],
)
def test_setting_without_a_meaning_is_refused(
    tmp_path: Path, redis_url: str, setting: str, value: Any
) -> None:
    repo = _repo_of(tmp_path, redis_url, **{setting: value})

    with pytest.raises(ConfigurationError, match=f"batch_engine: `{setting}`") as error:
        repo.apply(_DRIVER, repo.view("stats", [_DRIVER], _SCHEMA))

    assert error.value.hint is not None

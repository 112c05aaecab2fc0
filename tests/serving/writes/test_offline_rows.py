"""What offline pushes add to a source's files, and what they refuse before anything is written."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import PushSource
from feast.types import Int64

from tests.serving.writes.live_repo import (
    DRIVER,
    EVENT,
    NOW,
    TRIPS,
    carry_out,
    carry_out_one,
    frame,
    lookup,
    push,
    source_rows,
)
from tests.support.feast_repo import FeastRepo

pytestmark = pytest.mark.redis

_BOTH = "online_and_offline"


def offline_rows(repo: FeastRepo, source: str = "stats") -> list[dict[str, Any]]:
    """Return all rows of a source, the files that were there before included."""
    paths = sorted(Path(repo.data / source).glob("*.parquet"))
    return [row for path in paths for row in pq.read_table(path).to_pylist()]


@pytest.mark.parametrize("to", ["offline", _BOTH])
def test_rows_become_one_file_of_the_source(
    runner: asyncio.Runner, repo: FeastRepo, to: str
) -> None:
    repo.write_rows("stats", source_rows(1, driver_id=7))
    assert carry_out_one(runner, repo, push(frame(2**53 + 1, 3), to=to)) == (200, {})
    # Two views share the source; it has the rows once.
    assert sorted(row["trips"] for row in offline_rows(repo)) == [1, 3, 2**53 + 1]
    assert lookup(repo, "stats:trips") == [None if to == "offline" else 2**53 + 1]


@pytest.mark.parametrize("has_files", [False, True])
def test_further_columns_are_ignored_and_a_missing_created_is_null(
    runner: asyncio.Runner, repo: FeastRepo, *, has_files: bool
) -> None:
    if has_files:
        repo.write_rows("stats", source_rows(1, driver_id=7))
    df = frame(5, driver_id=72) | {"junk": [{"any": "thing"}]}
    del df["created"]
    assert carry_out_one(runner, repo, push(df, to=_BOTH)) == (200, {})
    (row,) = (row for row in offline_rows(repo) if row["driver_id"] == 72)
    assert row == {
        "driver_id": 72,
        "trips": 5,
        "rating": 0.5,
        "event_timestamp": EVENT,
        "created": None,
    }
    assert lookup(repo, "stats:trips", driver_id=72) == [5]


def test_a_column_that_only_the_files_have_is_taken_and_asked_for(
    runner: asyncio.Runner, repo: FeastRepo
) -> None:
    repo.write_rows("stats", source_rows(1, driver_id=7).append_column("city", pa.array(["Ulm"])))
    status, error = carry_out_one(runner, repo, push(frame(5), to=_BOTH))
    assert status == 422
    assert "`df.city`: the column is missing" in error["message"]
    assert lookup(repo, "stats:trips") == [None]
    assert carry_out_one(runner, repo, push(frame(5) | {"city": ["Bonn"]}, to=_BOTH))[0] == 200
    assert {row["city"] for row in offline_rows(repo)} == {"Ulm", "Bonn"}


def _narrow_files(repo: FeastRepo) -> None:
    rows = source_rows(1, driver_id=7)
    narrow = rows.schema.get_field_index("trips")
    repo.write_rows("stats", rows.set_column(narrow, "trips", pa.array([1], pa.int32())))


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        ({"driver_id": [None]}, "invalid-request", "df.driver_id[0]"),
        ({"event_timestamp": [None]}, "invalid-request", "df.event_timestamp[0]"),
        ({"created": ["soon"]}, "invalid-request", "df.created[0]"),
        ({"trips": ["5"]}, "invalid-request", "df.trips[0]"),
        ({"trips": [2**40]}, "invalid-request", "df.trips"),
        (
            {"event_timestamp": [(NOW + timedelta(seconds=9_999)).isoformat()]},
            "future-row",
            "df.event_timestamp[0]",
        ),
        (
            {"event_timestamp": ["9999-12-31T23:59:59-14:00"]},
            "invalid-request",
            "df.event_timestamp[0]",
        ),
    ],
)
def test_bad_rows_are_refused_and_nothing_is_written(
    runner: asyncio.Runner, repo: FeastRepo, change: dict[str, Any], code: str, says: str
) -> None:
    _narrow_files(repo)
    for to in ("offline", _BOTH):
        status, error = carry_out_one(runner, repo, push(frame(5) | change, to=to))
        assert (status, error["code"]) == (422, code)
        assert says in error["message"]
        assert error["hint"]
    assert [row["driver_id"] for row in offline_rows(repo)] == [7]
    assert lookup(repo, "stats:trips") == [None]


def test_every_bad_column_is_named(runner: asyncio.Runner, repo: FeastRepo) -> None:
    df = frame(5) | {"driver_id": [None], "trips": ["5"], "event_timestamp": ["soon"]}
    _, error = carry_out_one(runner, repo, push(df, to="offline"))
    problems = {problem["where"] for problem in error["details"]["problems"]}
    assert problems == {"df.driver_id[0]", "df.trips[0]", "df.event_timestamp[0]"}


def test_no_rows_make_no_file(runner: asyncio.Runner, repo: FeastRepo) -> None:
    assert carry_out_one(runner, repo, push(frame(), to=_BOTH)) == (200, {})
    assert not (repo.data / "stats").exists()


def test_a_source_that_takes_no_rows_leaves_online_as_it_was(
    runner: asyncio.Runner, repo: FeastRepo
) -> None:
    one_file = repo.source("single", path=str(repo.data / "single.parquet"))
    single = PushSource(name="single", batch_source=one_file)
    repo.apply(DRIVER, single, repo.view("single", [DRIVER], TRIPS, source=single))
    pushed = push(frame(5), push_source_name="single", to=_BOTH)
    (answer,) = carry_out(runner, repo, pushed)
    assert answer.status == 503
    assert str(repo.path).encode() not in answer.body
    assert lookup(repo, "single:trips") == [None]


def test_a_renamed_column_keeps_its_name_in_the_files(
    runner: asyncio.Runner, repo: FeastRepo
) -> None:
    source = repo.source("mapped", field_mapping={"n": "trips"})
    mapped = PushSource(name="mapped", batch_source=source)
    schema: dict[str, Any] = {"driver_id": Int64, "trips": Int64}
    repo.apply(DRIVER, mapped, repo.view("mapped", [DRIVER], schema, source=mapped))
    df = frame(5)
    df["n"] = df.pop("trips")
    for _ in range(2):
        order = push(df, push_source_name="mapped", to=_BOTH)
        assert carry_out_one(runner, repo, order) == (200, {})
    assert [row["n"] for row in offline_rows(repo, "mapped")] == [5, 5]
    assert lookup(repo, "mapped:trips") == [5]

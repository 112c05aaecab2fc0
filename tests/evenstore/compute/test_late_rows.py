"""D4 and its like: rows that arrive after the interval they belong to was loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from feast import Entity, FeatureStore
from feast.types import Int64
from feast.value_type import ValueType
from redis import Redis

from evenstore.online.connection import open_redis
from evenstore.schema.compile import compile_feature_view
from evenstore.schema.model import Layout
from tests.evenstore.compute.stored import read_stored
from tests.support.feast_repo import OUR_ENGINE, FeastRepo

_END = datetime(2026, 1, 20, tzinfo=UTC)
_DAY = timedelta(days=1)
_DRIVER = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
_SCHEMA = {"driver_id": Int64, "trips": Int64}

_Row = tuple[int, datetime, datetime | None, int]


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    with open_redis(redis_url) as opened:
        yield opened


def _rows(*rows: _Row) -> pa.Table:
    instants = pa.timestamp("us", "UTC")
    return pa.table(
        {
            "driver_id": pa.array([row[0] for row in rows], pa.int64()),
            "event_timestamp": pa.array([row[1] for row in rows], instants),
            "created": pa.array([row[2] for row in rows], instants),
            "trips": pa.array([row[3] for row in rows], pa.int64()),
        }
    )


class _Shop:
    """A repo with one view, and what its runs said."""

    def __init__(
        self, path: Path, redis_url: str, capsys: pytest.CaptureFixture[str], **engine: Any
    ) -> None:
        overrides: Mapping[str, Any] = {"batch_engine": {"type": OUR_ENGINE, **engine}}
        self.repo = FeastRepo(path, redis_url=redis_url, overrides=overrides)
        self._capsys = capsys
        self.store: FeatureStore | None = None

    def write(self, file: str, *rows: _Row) -> None:
        self.repo.write_rows("stats", _rows(*rows), file=f"{file}.parquet")

    def run(self, end: datetime) -> str:
        """Run and return the summary."""
        if self.store is None:
            view = self.repo.view("stats", [_DRIVER], _SCHEMA, ttl=timedelta(0))
            self.store = self.repo.apply(_DRIVER, view)
        self._capsys.readouterr()
        self.repo.store().materialize_incremental(end)
        return self._summary()

    def load(self, start: datetime, end: datetime) -> str:
        """Load an interval again and return the summary."""
        self._capsys.readouterr()
        self.repo.store().materialize(start, end)
        return self._summary()

    def _summary(self) -> str:
        lines = self._capsys.readouterr().err.splitlines()
        return "\n".join(line for line in lines if line.startswith("stats: "))

    def trips(self, client: Redis, *driver_ids: int) -> dict[int, Any]:
        assert self.store is not None
        view = compile_feature_view(self.store.get_feature_view("stats"))
        stored = read_stored(client, view, "tiny", [(driver_id,) for driver_id in driver_ids])
        return {driver_id: row.values["trips"] for (driver_id,), row in stored.items()}


@pytest.fixture
def shop(tmp_path: Path, redis_url: str, capsys: pytest.CaptureFixture[str]) -> _Shop:
    return _Shop(tmp_path / "repo", redis_url, capsys)


def test_cost_of_late_rows_is_that_of_their_file(shop: _Shop, client: Redis) -> None:
    """The rows of the files that are loaded are not read again, though they are no older."""
    at = _END - 9 * _DAY
    shop.write("a", *((k, at, at, k) for k in range(500)))
    shop.run(_END)
    told = _END + _DAY
    shop.write("b", (1, at + _DAY, told, 10), (2, at - _DAY, told, 20), (900, at, told, 30))

    summary = shop.run(_END + _DAY)

    assert summary == ("stats: 3 rows read, 2 written, 1 superseded, 3 late (files with late rows)")
    assert shop.trips(client, 1, 2, 900) == {1: 10, 2: 2, 900: 30}


def test_interval_loaded_before_reads_nothing_and_from_1970_on_everything(
    shop: _Shop, client: Redis
) -> None:
    """A row that Redis evicted by itself comes back when everything is asked for."""
    shop.write("a", *((k, _END - _DAY, None, k) for k in range(50)))
    shop.run(_END)
    (key, *_) = client.scan_iter(match="tiny@*")
    client.delete(key)

    assert "0 rows read" in shop.load(_END - 2 * _DAY, _END)
    assert len(shop.trips(client, *range(50))) == 49
    assert "50 rows read, 50 written" in shop.load(datetime(1970, 1, 1, tzinfo=UTC), _END)
    assert len(shop.trips(client, *range(50))) == 50


def test_other_layout_is_loaded_from_scratch(
    tmp_path: Path, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = _Shop(tmp_path / "repo", redis_url, capsys)
    shop.write("a", (1, _END - _DAY, None, 7))
    shop.run(_END)
    shop.repo = FeastRepo(tmp_path / "repo", redis_url=redis_url, layout=Layout.FEAST)

    assert "1 rows read, 1 written" in shop.run(_END)
    assert shop.repo.store().get_online_features(["stats:trips"], [{"driver_id": 1}]).to_dict() == {
        "driver_id": [1],
        "trips": [7],
    }


def test_run_without_changed_files_reads_nothing(shop: _Shop) -> None:
    shop.write("a", *((k, _END - _DAY, None, k) for k in range(50)))
    shop.run(_END)

    summary = shop.run(_END + _DAY)

    assert summary == "stats: 0 rows read, 0 written, 0 superseded (since the last run)"


@pytest.mark.parametrize("created", [None, _END])
def test_late_row_that_ties_with_a_loaded_one_is_decided_by_content(
    shop: _Shop, client: Redis, created: datetime | None
) -> None:
    """As a join over both files decides; the file that came last would win otherwise."""
    at = _END - 9 * _DAY
    shop.write("a", (1, at, created, 9), (2, at, created, 1), (3, at - _DAY, created, 7))
    shop.run(_END)
    shop.write("b", (1, at, created, 1), (2, at, created, 9))

    summary = shop.run(_END + _DAY)

    assert shop.trips(client, 1, 2, 3) == {1: 9, 2: 9, 3: 7}
    assert "2 rows read, 2 written, 0 superseded, 1 late, 2 ambiguous" in summary


def test_rewritten_file_is_seen_by_its_created_timestamps(
    tmp_path: Path, redis_url: str, capsys: pytest.CaptureFixture[str], client: Redis
) -> None:
    shop = _Shop(tmp_path / "repo", redis_url, capsys, late_rows="created", commit_lag_s=3600)
    at, known = _END - 9 * _DAY, _END - 2 * _DAY
    old = [(k, at, known, k) for k in range(50)]
    shop.write("a", *old)
    shop.run(_END)
    hour = timedelta(hours=1)
    late = (100, at, known + _DAY, 1)
    slow = (101, at, known - hour + timedelta(seconds=1), 2)
    too_slow = (102, at, known - hour, 3)
    new = (103, _END + hour, None, 4)
    shop.write("a", *old, late, slow, too_slow, new)

    summary = shop.run(_END + _DAY)

    assert shop.trips(client, 100, 101, 102, 103) == {100: 1, 101: 2, 103: 4}
    assert summary.splitlines()[1] == (
        "stats: not seen: late rows of a rewritten file without a later created timestamp, or "
        "readable more than 3600 s after it"
    )


def test_rewritten_file_is_looked_back_into(
    tmp_path: Path, redis_url: str, capsys: pytest.CaptureFixture[str], client: Redis
) -> None:
    shop = _Shop(tmp_path / "repo", redis_url, capsys, late_rows="look_back", look_back_s=86_400)
    old = [(k, _END - 9 * _DAY, None, k) for k in range(50)]
    shop.write("a", *old)
    shop.run(_END)
    us = timedelta(microseconds=1)
    shop.write("a", *old, (100, _END - _DAY + us, None, 1), (101, _END - _DAY, None, 2))

    summary = shop.run(_END + _DAY)

    assert shop.trips(client, 100, 101) == {100: 1}
    assert summary == (
        "stats: 1 rows read, 1 written, 0 superseded, 1 late (files with late rows)\n"
        "stats: not seen: rows that came more than 86400 s late into a rewritten file"
    )


def test_created_timestamp_of_the_future_hides_no_late_row(
    tmp_path: Path, redis_url: str, capsys: pytest.CaptureFixture[str], client: Redis
) -> None:
    """Of a clock that is wrong: rows created after it would be taken for loaded."""
    shop = _Shop(tmp_path / "repo", redis_url, capsys, late_rows="created")
    at, wrong = _END - 9 * _DAY, datetime(2200, 1, 1, tzinfo=UTC)
    shop.write("a", (1, at, wrong, 1))
    shop.run(_END)
    told = datetime.now(tz=UTC) + timedelta(minutes=1)
    shop.write("a", (1, at, wrong, 1), (2, at, told, 2))

    shop.run(_END + _DAY)

    assert shop.trips(client, 2) == {2: 2}

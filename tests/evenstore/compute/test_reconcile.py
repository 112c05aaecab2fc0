"""`evenstore reconcile` as a user runs it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from feast import Entity, FeatureStore, FeatureView
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Int64, String, UnixTimestamp
from feast.value_type import ValueType

from evenstore.cli import main
from evenstore.clock import SystemClock, us_to_datetime
from evenstore.codec.packed_key import PackedKeyEncoder
from evenstore.dtypes import Dtype
from evenstore.online.connection import open_redis
from evenstore.online.row_edits import remove_rows
from evenstore.online.stored_rows import scan_rows
from evenstore.schema.model import Field, Layout
from evenstore.semantics import RowOrder
from tests.evenstore.online.rows import MarkedRow, MarkedStore, marked_view
from tests.support.feast_repo import OUR_ONLINE_STORE, FeastRepo

_END = datetime(2026, 1, 10, tzinfo=UTC)
_DAY = timedelta(days=1)
_DRIVER = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
_SHOP = Entity(name="shop", join_keys=["shop_id"], value_type=ValueType.STRING)
_OPENED = Entity(name="opened", join_keys=["opened"], value_type=ValueType.UNIX_TIMESTAMP)
_DRIVER_KEY = Field("driver_id", Dtype.INT64)
_INSTANT = pa.timestamp("us", "UTC")
_T_US = 1_767_268_800_000_000


@pytest.fixture(autouse=True)
def _frozen_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENSTORE_TEST_MODE", "1")
    monkeypatch.setenv("EVENSTORE_FROZEN_TIME", _END.isoformat())


@pytest.fixture(params=list(Layout), ids=lambda layout: layout.value)
def layout(request: pytest.FixtureRequest) -> Layout:
    chosen: Layout = request.param
    return chosen


@pytest.fixture
def repo(tmp_path: Path, redis_url: str, layout: Layout) -> FeastRepo:
    return FeastRepo(tmp_path / "repo", redis_url=redis_url, layout=layout)


def _view(repo: FeastRepo, name: str = "stats") -> FeatureView:
    return repo.view(name, [_DRIVER], {"driver_id": Int64, "trips": Int64}, ttl=timedelta(0))


def _rows(**keys: Sequence[Any]) -> pa.Table:
    n_rows = len(next(iter(keys.values())))
    columns: dict[str, Any] = {
        name: pa.array(values, _INSTANT) if name == "opened" else pa.array(values)
        for name, values in keys.items()
    }
    stamps = pa.array([_END - _DAY] * n_rows, _INSTANT)
    columns |= {"event_timestamp": stamps, "created": stamps, "trips": pa.array(range(n_rows))}
    return pa.table(columns)


def _push(
    store: FeatureStore, driver_id: int, event: datetime = _END, *, view: str = "stats"
) -> None:
    provider: Any = store._get_provider()
    key = EntityKey(join_keys=["driver_id"], entity_values=[Value(int64_val=driver_id)])
    rows = [(key, {"trips": Value(int64_val=9)}, event, None)]
    table = store.get_feature_view(view)
    provider.online_store.online_write_batch(store.config, table, rows, None)


def _delete(store: FeatureStore, *entity_rows: Mapping[str, Any]) -> int:
    provider: Any = store._get_provider()
    view = store.get_feature_view("stats")
    n_deleted: int = provider.online_store.delete_entity(store.config, view, entity_rows)
    return n_deleted


def _trips(store: FeatureStore, *driver_ids: int) -> list[int | None]:
    rows = [{"driver_id": driver_id} for driver_id in driver_ids]
    trips: list[int | None] = store.get_online_features(["stats:trips"], rows).to_dict()["trips"]
    return trips


def _reconcile(
    repo: FeastRepo, capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0
) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["reconcile", *arguments, "--repo", str(repo.path), "--json"]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def _of_view(found: dict[str, Any], name: str = "stats") -> dict[str, Any]:
    (report,) = [view for view in found["views"] if view["view"] == name]
    return {key: value for key, value in report.items() if value and key != "view"}


def test_entity_that_the_source_lost_is_an_orphan_and_a_pushed_one_is_not(
    repo: FeastRepo, capsys: pytest.CaptureFixture[str]
) -> None:
    repo.write_rows("stats", _rows(driver_id=[1, 2, 3]))
    store = repo.apply(_DRIVER, _view(repo))
    store.materialize(_END - 2 * _DAY, _END)
    _push(store, 8)
    repo.write_rows("stats", _rows(driver_id=[1, 2]))

    expected = {"n_rows": 4, "n_run_rows": 3, "n_orphans": 1, "examples": [{"driver_id": 3}]}
    for _ in range(2):
        found = _reconcile(repo, capsys)
        assert found["is_dry_run"]
        assert _of_view(found) == expected
    assert _trips(store, 1, 2, 3, 8) == [0, 1, 2, 9]

    assert _of_view(_reconcile(repo, capsys, "--apply")) == {**expected, "n_removed": 1}
    assert _trips(store, 1, 2, 3, 8) == [0, 1, None, 9]
    assert _of_view(_reconcile(repo, capsys)) == {"n_rows": 3, "n_run_rows": 2}


def test_it_says_what_it_would_do_and_what_to_run(
    repo: FeastRepo, capsys: pytest.CaptureFixture[str]
) -> None:
    repo.write_rows("stats", _rows(driver_id=list(range(30))))
    store = repo.apply(_DRIVER, _view(repo))
    store.materialize(_END - 2 * _DAY, _END)
    repo.write_rows("stats", _rows(driver_id=[0]))
    capsys.readouterr()

    assert main(["reconcile", "stats", "--repo", str(repo.path)]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        "stats: 30 rows, 30 of them written by runs",
        "  29 orphans: the source does not name their entities",
    ]
    assert sum("driver_id=" in line for line in lines) == 20
    assert lines[-2:] == [
        "    and 9 more",
        f"nothing was removed; to remove it: evenstore reconcile --repo {repo.path} stats --apply",
    ]
    assert main(["reconcile", "--repo", str(repo.path), "--apply"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "29 removed"
    assert main(["reconcile", "--repo", str(repo.path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "nothing is left over"


def test_composite_keys_of_text_and_timestamps_are_compared(
    repo: FeastRepo, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = [datetime(1969, 5, 1, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC)]
    shops = ["a", "a", "é'\"", ""]
    table = _rows(shop_id=shops, opened=[*opened, *opened])
    repo.write_rows("stats", table)
    view = repo.view(
        "stats",
        [_SHOP, _OPENED],
        {"shop_id": String, "opened": UnixTimestamp, "trips": Int64},
        ttl=timedelta(0),
    )
    store = repo.apply(_SHOP, _OPENED, view)
    store.materialize(_END - 2 * _DAY, _END)
    assert _of_view(_reconcile(repo, capsys)) == {"n_rows": 4, "n_run_rows": 4}

    repo.write_rows("stats", table.slice(0, 2))
    found = _of_view(_reconcile(repo, capsys, "--apply"))

    seconds = [int(instant.timestamp()) for instant in opened]
    examples = [
        {"shop_id": "", "opened": seconds[1]},
        {"shop_id": "é'\"", "opened": seconds[0]},
    ]
    assert sorted(found["examples"], key=lambda row: str(row["shop_id"])) == examples
    assert found["n_orphans"] == found["n_removed"] == 2


def test_view_without_entities_is_an_orphan_of_an_empty_source(
    repo: FeastRepo, capsys: pytest.CaptureFixture[str]
) -> None:
    table = _rows(trips=[5])
    repo.write_rows("stats", table)
    store = repo.apply(repo.view("stats", [], {"trips": Int64}, ttl=timedelta(0)))
    store.materialize(_END - 2 * _DAY, _END)
    assert _of_view(_reconcile(repo, capsys)) == {"n_rows": 1, "n_run_rows": 1}

    repo.write_rows("stats", table.slice(0, 0))
    found = _of_view(_reconcile(repo, capsys, "--apply"))
    assert found["n_orphans"] == found["n_removed"] == 1


def test_old_tombstones_go_and_young_ones_stay(
    repo: FeastRepo, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.write_rows("stats", _rows(driver_id=[1, 2]))
    other = _view(repo, "other")
    repo.write_rows("other", _rows(driver_id=[1, 2]))
    repo.apply(_DRIVER, _view(repo), other).materialize(_END - 2 * _DAY, _END)
    assert _delete(repo.store(), {"driver_id": 1, "other": "column"}) == 1
    monkeypatch.setenv("EVENSTORE_FROZEN_TIME", (_END + 4 * _DAY).isoformat())
    assert _delete(repo.store(), {"driver_id": 2}) == 1
    assert _trips(repo.store(), 1, 2) == [None, None]

    assert _of_view(_reconcile(repo, capsys)) == {}
    monkeypatch.setenv("EVENSTORE_FROZEN_TIME", (_END + 8 * _DAY).isoformat())
    assert _of_view(_reconcile(repo, capsys)) == {"n_old_tombstones": 1}
    found = _reconcile(repo, capsys, "--apply")

    assert _of_view(found) == {"n_old_tombstones": 1, "n_removed": 1}
    assert _of_view(found, "other") == {"n_rows": 2, "n_run_rows": 2}
    store = repo.store()
    _push(store, 1, _END - 5 * _DAY)
    _push(store, 2, _END - 5 * _DAY)
    assert _trips(store, 1, 2) == [9, None]


def test_rows_and_features_that_the_registry_does_not_have_go(
    repo: FeastRepo, redis_url: str, layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    repo.write_rows("stats", _rows(driver_id=[1]))
    repo.apply(_DRIVER, _view(repo)).materialize(_END - 2 * _DAY, _END)
    row = MarkedRow(1, RowOrder(_T_US, None, 1), 1)
    with open_redis(redis_url) as client:
        gone = MarkedStore(client, marked_view(2, "gone"), "tiny", layout)
        foreign = MarkedStore(client, marked_view(2, "gone"), "tiny_2", layout)
        view = dataclasses.replace(marked_view(2, "stats"), join_keys=(_DRIVER_KEY,))
        older = MarkedStore(client, view, "tiny", layout)
        for store in (gone, foreign, older):
            store.write(row)

        found = _reconcile(repo, capsys)
        assert found["gone_views"] == [{"view": "gone", "n_rows": 1, "n_removed": 0}]
        assert _of_view(found)["gone_features"] == ["f0", "f1"]
        assert gone.read() == row
        found = _reconcile(repo, capsys, "--apply")

        assert found["gone_views"] == [{"view": "gone", "n_rows": 1, "n_removed": 1}]
        assert not client.exists(gone.key(1))
        assert foreign.read() == row
        found = _reconcile(repo, capsys, "--apply")
        assert found["gone_views"] == []
        assert "gone_features" not in _of_view(found)
        assert older.key(1) in client.scan_iter()


def test_entity_gets_the_expiry_that_all_its_rows_have(
    tmp_path: Path,
    redis_url: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two views, of which one came to expire later: no write knows how long the other lives."""
    monkeypatch.delenv("EVENSTORE_FROZEN_TIME")
    server = {"type": OUR_ONLINE_STORE, "connection_string": redis_url}
    store_of = {"online_store": {**server, "expiry_grace_s": 100.0}}
    plain = FeastRepo(tmp_path / "repo", redis_url=redis_url)
    schema = {"driver_id": Int64, "trips": Int64}
    views = [
        plain.view(name, [_DRIVER], schema, ttl=timedelta(days=days))
        for name, days in (("stats", 1), ("long", 30))
    ]
    for view in views:
        plain.write_rows(view.name, _rows(driver_id=[1]))
    now = us_to_datetime(SystemClock().now_us())
    store = plain.apply(_DRIVER, *views)
    for driver_id in (1, 2):
        _push(store, driver_id, now - _DAY, view="stats")
        _push(store, driver_id, now - _DAY, view="long")
    expiring = FeastRepo(tmp_path / "repo", redis_url=redis_url, overrides=store_of)
    for name, event in (("stats", now), ("long", now - timedelta(hours=1))):
        _push(expiring.store(), 1, event, view=name)

    with open_redis(redis_url) as client:
        keys = [PackedKeyEncoder([_DRIVER_KEY], "tiny").encode([k]) for k in (1, 2)]
        left_s = [client.execute_command("TTL", key) for key in keys]
        assert left_s == [-1, -1]
        assert _reconcile(expiring, capsys)["n_without_expiry"] == 1
        assert client.execute_command("TTL", keys[0]) == -1
        assert _reconcile(expiring, capsys, "--apply")["n_without_expiry"] == 1
        assert _reconcile(expiring, capsys)["n_without_expiry"] == 0
        end_s = (30 * _DAY - timedelta(hours=1)).total_seconds() + 100
        assert end_s - 60 < client.execute_command("TTL", keys[0]) <= end_s + 1
        assert client.execute_command("TTL", keys[1]) == -1


def test_row_that_was_written_meanwhile_stays(redis_url: str, layout: Layout) -> None:
    with open_redis(redis_url) as client:
        store = MarkedStore(client, marked_view(2), "p", layout)
        first, newer = (MarkedRow(1, RowOrder(_T_US + i, None, 1), i) for i in range(2))
        store.write(first, MarkedRow(2, first.order, 0))
        (batch,) = scan_rows(client, "p", store.view, layout)
        store.write(newer)

        assert remove_rows(client, store.view, layout, batch.rows) == 1

        assert store.read(1) == newer
        assert store.read(2) is None


def test_source_that_cannot_be_read_is_an_error_and_removes_nothing(
    repo: FeastRepo, capsys: pytest.CaptureFixture[str]
) -> None:
    repo.write_rows("other", _rows(driver_id=[1]))
    repo.write_rows("stats", _rows(driver_id=[1]))
    store = repo.apply(_DRIVER, _view(repo), _view(repo, "other"))
    store.materialize(_END - 2 * _DAY, _END)
    (repo.data / "stats" / "rows.parquet").unlink()

    found = _reconcile(repo, capsys, "--apply", code=1)

    assert "error" in _of_view(found)
    assert _of_view(found, "other") == {"n_rows": 1, "n_run_rows": 1}
    assert _trips(store, 1) == [0]


def test_unknown_view_and_another_online_store_are_refused(
    repo: FeastRepo, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repo.apply(_DRIVER, _view(repo))
    assert main(["reconcile", "stat", "--repo", str(repo.path)]) == 1
    assert "did you mean `stats`?" in capsys.readouterr().err

    stocks = FeastRepo(tmp_path / "stock")
    stocks.apply(_DRIVER, _view(stocks))
    assert main(["reconcile", "--repo", str(stocks.path)]) == 1
    assert "not evenstore's" in capsys.readouterr().err

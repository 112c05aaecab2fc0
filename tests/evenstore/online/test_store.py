from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from feast import Entity, FeatureService, FeatureStore, FeatureView, PushSource
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Float64, Int32, Int64, String
from feast.value_type import ValueType
from redis import Redis

from evenstore.clock import datetime_to_us, us_to_datetime
from evenstore.codec.entity_key import EntityKeyEncoder
from evenstore.codec.feast_row import feature_field
from evenstore.codec.feast_value import value_encoder
from evenstore.dtypes import Dtype
from evenstore.errors import (
    CorruptRowError,
    EntityRowsError,
    FutureRowError,
    OnlineStoreError,
    OnlineStoreUnavailableError,
    UnknownFeatureError,
    UnsupportedDtypeError,
)
from evenstore.online.connection import open_redis
from evenstore.online.store import RedisOnlineStore
from evenstore.schema.model import Field, Layout
from evenstore.semantics import Status
from tests.support.feast_repo import FeastRepo

_NOW = datetime(2026, 1, 10, tzinfo=UTC)
_TTL = timedelta(days=1)
_US = timedelta(microseconds=1)
_DRIVER = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
_SCHEMA = {"driver_id": Int64, "trips": Int64, "rating": Float64}


@pytest.fixture(autouse=True)
def _frozen_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENSTORE_TEST_MODE", "1")
    monkeypatch.setenv("EVENSTORE_FROZEN_TIME", _NOW.isoformat())


@pytest.fixture(params=list(Layout), ids=lambda layout: layout.value)
def repo(request: pytest.FixtureRequest, tmp_path: Path, redis_url: str) -> FeastRepo:
    return FeastRepo(tmp_path / "repo", redis_url=redis_url, layout=request.param)


@pytest.fixture
def feast_repo(tmp_path: Path, redis_url: str) -> FeastRepo:
    return FeastRepo(tmp_path / "repo", redis_url=redis_url, layout=Layout.FEAST)


def _stats(repo: FeastRepo, *, name: str = "stats", **options: Any) -> FeatureView:
    return repo.view(name, [_DRIVER], _SCHEMA, ttl=_TTL, **options)


def _push(
    store: FeatureStore,
    event: datetime,
    *,
    driver_id: int = 1,
    trips: int | None = 1,
    rating: float | None = 0.5,
    created: datetime | None = None,
    view: str = "stats",
) -> None:
    values = {
        "trips": Value() if trips is None else Value(int64_val=trips),
        "rating": Value() if rating is None else Value(double_val=rating),
    }
    _write(store, view, [(_key(driver_id), values, event, created)])


def _write(
    store: FeatureStore,
    view: str,
    rows: list[tuple[EntityKey, dict[str, Value], datetime, datetime | None]],
) -> None:
    online: Any = store._get_provider()
    online.online_store.online_write_batch(store.config, store.get_feature_view(view), rows, None)


def _key(driver_id: int) -> EntityKey:
    return EntityKey(join_keys=["driver_id"], entity_values=[Value(int64_val=driver_id)])


def _redis_key(driver_id: int) -> bytes:
    return EntityKeyEncoder([Field("driver_id", Dtype.INT64)], "tiny").encode([driver_id])


def _ask(
    store: FeatureStore,
    entity_rows: Sequence[Mapping[str, Any]],
    features: Any = ("stats:trips", "stats:rating"),
    **options: Any,
) -> dict[str, list[tuple[Any, Status, datetime]]]:
    """Ask as an SDK user does; per feature a value, a status and an event timestamp per row."""
    asked = list(features) if isinstance(features, tuple) else features
    response = store.get_online_features(asked, [dict(row) for row in entity_rows], **options)
    values = response.to_dict()
    answer = {}
    for name, vector in zip(
        response.proto.metadata.feature_names.val, response.proto.results, strict=True
    ):
        answer[name] = [
            (value, Status(status), us_to_datetime(event.ToMicroseconds()))
            for value, status, event in zip(
                values[name], vector.statuses, vector.event_timestamps, strict=True
            )
        ]
    return answer


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def test_statuses_say_what_is_there(repo: FeastRepo) -> None:
    store = repo.apply(_DRIVER, _stats(repo))
    _push(store, _NOW, driver_id=1, trips=7, rating=None)
    _push(store, _NOW - _TTL, driver_id=2, trips=8)
    _push(store, _NOW - _TTL - _US, driver_id=3, trips=9, rating=None)

    answer = _ask(store, [{"driver_id": k} for k in (1, 2, 3, 4)])

    assert answer["trips"] == [
        (7, Status.PRESENT, _NOW),
        (8, Status.PRESENT, _NOW - _TTL),
        (None, Status.OUTSIDE_MAX_AGE, _NOW - _TTL - _US),
        (None, Status.NOT_FOUND, _EPOCH),
    ]
    assert [status for _, status, _ in answer["rating"]] == [
        Status.NULL_VALUE,
        Status.PRESENT,
        Status.OUTSIDE_MAX_AGE,
        Status.NOT_FOUND,
    ]


def test_expired_value_is_returned_where_the_view_says_so(repo: FeastRepo) -> None:
    store = repo.apply(_DRIVER, _stats(repo, tags={"expired_values": "return"}))
    _push(store, _NOW - 2 * _TTL, trips=9)

    answer = _ask(store, [{"driver_id": 1}])

    assert answer["trips"] == [(9, Status.OUTSIDE_MAX_AGE, _NOW - 2 * _TTL)]


@pytest.mark.parametrize("enforcement", ["shadow", "off"])
def test_ttl_that_is_not_enforced_withholds_nothing(repo: FeastRepo, enforcement: str) -> None:
    store = repo.apply(_DRIVER, _stats(repo, tags={"ttl_enforcement": enforcement}))
    _push(store, _NOW - 2 * _TTL, trips=9)

    assert _ask(store, [{"driver_id": 1}])["trips"][0][:2] == (9, Status.PRESENT)


def test_shadowed_ttl_says_how_many_rows_it_would_withhold(
    repo: FeastRepo, caplog: pytest.LogCaptureFixture
) -> None:
    store = repo.apply(_DRIVER, _stats(repo, tags={"ttl_enforcement": "shadow"}))
    for driver_id in range(12):
        _push(store, _NOW - 2 * _TTL, driver_id=driver_id)
    _push(store, _NOW, driver_id=12)

    _ask(store, [{"driver_id": k} for k in (*range(12), 12, 99)])

    told = [record.getMessage() for record in caplog.records if record.name == "evenstore.online"]
    assert told == [
        f"stats: {n} rows older than the ttl were served so far (ttl_enforcement: shadow)"
        for n in (1, 10)
    ]


def test_feature_that_the_stored_row_lacks_is_not_found(
    feast_repo: FeastRepo, redis_url: str
) -> None:
    store = feast_repo.apply(_DRIVER, _stats(feast_repo))
    _push(store, _NOW)
    with open_redis(redis_url) as client:
        _delete_field(client, 1, feature_field("stats", "rating"))

    answer = _ask(store, [{"driver_id": 1}])

    assert answer["trips"][0][:2] == (1, Status.PRESENT)
    assert answer["rating"] == [(None, Status.NOT_FOUND, _NOW)]


def _delete_field(client: Redis, driver_id: int, field: bytes) -> None:
    assert client.execute_command("HDEL", _redis_key(driver_id), field) == 1


def test_rows_come_back_in_the_order_asked_for_and_duplicates_are_kept(repo: FeastRepo) -> None:
    store = repo.apply(_DRIVER, _stats(repo))
    for driver_id in (1, 2):
        _push(store, _NOW, driver_id=driver_id, trips=driver_id * 10)

    answer = _ask(store, [{"driver_id": k} for k in (2, 1, 2, 9, 1)])

    assert [value for value, *_ in answer["trips"]] == [20, 10, 20, None, 10]


def test_read_of_one_view_leaves_the_other_alone(repo: FeastRepo) -> None:
    store = repo.apply(_DRIVER, _stats(repo), _stats(repo, name="other"))
    _push(store, _NOW, trips=1)
    _push(store, _NOW - 2 * _TTL, trips=2, view="other")

    answer = _ask(
        store, [{"driver_id": 1}], ("stats:trips", "other:trips"), full_feature_names=True
    )

    assert answer["stats__trips"][0][:2] == (1, Status.PRESENT)
    assert answer["other__trips"][0][1] is Status.OUTSIDE_MAX_AGE


def test_composite_key_is_read_in_any_order_of_its_columns(repo: FeastRepo) -> None:
    shop = Entity(name="shop", join_keys=["shop"], value_type=ValueType.STRING)
    view = repo.view("visits", [shop, _DRIVER], {"shop": String, "driver_id": Int64, "n": Int64})
    store = repo.apply(_DRIVER, shop, view)
    frame = pd.DataFrame(
        {"shop": ["a"], "driver_id": [1], "n": [5], "event_timestamp": [_NOW], "created": [_NOW]}
    )
    store.write_to_online_store("visits", frame)

    answer = _ask(
        store, [{"driver_id": 1, "shop": "a"}, {"shop": "1", "driver_id": 1}], ("visits:n",)
    )

    assert [entry[:2] for entry in answer["n"]] == [(5, Status.PRESENT), (None, Status.NOT_FOUND)]


def test_entityless_view_has_one_row_for_everyone(repo: FeastRepo) -> None:
    store = repo.apply(_DRIVER, _stats(repo), repo.view("rates", [], {"euro": Float64}))
    _write_frame(store, "rates", euro=[1.5])

    answer = _ask(store, [{"driver_id": k} for k in (1, 2)], ("rates:euro", "stats:trips"))

    assert answer["euro"] == [(1.5, Status.PRESENT, _NOW)] * 2


def _write_frame(store: FeatureStore, view: str, **columns: list[Any]) -> None:
    n_rows = len(next(iter(columns.values())))
    frame = pd.DataFrame(
        {"event_timestamp": [_NOW] * n_rows, "created": [_NOW] * n_rows, **columns}
    )
    store.write_to_online_store(view, frame)


def test_join_key_alias_reads_by_the_callers_column(repo: FeastRepo) -> None:
    view = _stats(repo)
    # Both have a name of their own: Feast cannot compare an alias with none.
    hero = view.with_name("hero")
    rival = view.with_name("rival").with_join_key_map({"driver_id": "rival_id"})
    service = FeatureService(name="duel", features=[hero[["trips"]], rival[["trips"]]])
    store = repo.apply(_DRIVER, view, service)
    for driver_id in (1, 2):
        _push(store, _NOW, driver_id=driver_id, trips=driver_id * 10)

    answer = _ask(
        store,
        [{"driver_id": 1, "rival_id": 2}],
        store.get_feature_service("duel"),
        full_feature_names=True,
    )

    assert answer["hero__trips"][0][0] == 10
    assert answer["rival__trips"][0][0] == 20


def test_declared_type_of_the_key_decides_beside_a_view_of_another(
    feast_repo: FeastRepo, redis_url: str
) -> None:
    """D24: Feast types an entity value by the last view of a request that has the join key."""
    narrow = Entity(name="narrow", join_keys=["driver_id"], value_type=ValueType.INT32)
    view = feast_repo.view("small", [narrow], {"driver_id": Int32, "n": Int64})
    store = feast_repo.apply(narrow, view)
    wide_key = _key(1)

    _write(store, "small", [(wide_key, {"n": Value(int64_val=3)}, _NOW, None)])

    with open_redis(redis_url) as client:
        key = EntityKeyEncoder([Field("driver_id", Dtype.INT32)], "tiny").encode([1])
        assert client.exists(key)
    online: Any = store._get_provider()
    (answer,) = online.online_store.online_read(
        store.config, store.get_feature_view("small"), [wide_key]
    )
    assert answer == (_NOW, {"n": Value(int64_val=3)})


def test_push_is_served_at_once(repo: FeastRepo) -> None:
    source = PushSource(name="live", batch_source=repo.source("stats"))
    store = repo.apply(_DRIVER, source, _stats(repo, source=source))
    frame = pd.DataFrame(
        {
            "driver_id": [1],
            "trips": [3],
            "rating": [0.25],
            "event_timestamp": [_NOW],
            "created": [_NOW],
        }
    )

    store.push("live", frame)

    assert _ask(store, [{"driver_id": 1}])["trips"] == [(3, Status.PRESENT, _NOW)]


def test_correction_at_an_equal_event_time_wins_by_its_created_time(repo: FeastRepo) -> None:
    """D2: stock Feast drops it."""
    store = repo.apply(_DRIVER, _stats(repo))
    _push(store, _NOW, trips=2, created=_NOW)
    _push(store, _NOW, trips=99, created=_NOW + _US)
    _push(store, _NOW, trips=3, created=_NOW)

    assert _ask(store, [{"driver_id": 1}])["trips"][0][0] == 99


def test_correction_with_equal_timestamps_wins_by_its_arrival(repo: FeastRepo) -> None:
    """Also while the clock is frozen, which must not freeze the order of arrivals."""
    store = repo.apply(_DRIVER, _stats(repo))
    _push(store, _NOW, trips=2, created=_NOW)
    _push(store, _NOW, trips=99, created=_NOW)

    assert _ask(store, [{"driver_id": 1}])["trips"][0][0] == 99


def test_older_write_that_arrives_last_does_not_win(repo: FeastRepo) -> None:
    """D7: stock's writer reads first, then writes what another one has outdated meanwhile."""
    store, rival = repo.apply(_DRIVER, _stats(repo)), repo.store()
    _push(store, _NOW - timedelta(seconds=9), trips=1)
    _push(rival, _NOW, trips=200)
    _push(store, _NOW - timedelta(seconds=5), trips=100)

    assert _ask(store, [{"driver_id": 1}])["trips"][0][0] == 200


@pytest.mark.parametrize("trips", [[5, None, 9], [9, 5, None], [None, 9, 5]])
def test_tie_within_one_push_goes_to_the_greatest_content(
    repo: FeastRepo, trips: list[int | None]
) -> None:
    store = repo.apply(_DRIVER, _stats(repo))
    rows: list[tuple[EntityKey, dict[str, Value], datetime, datetime | None]] = [
        (
            _key(1),
            {
                "trips": Value() if n is None else Value(int64_val=n),
                "rating": Value(double_val=1.0),
            },
            _NOW,
            None,
        )
        for n in trips
    ]
    _write(store, "stats", rows)

    assert _ask(store, [{"driver_id": 1}])["trips"][0][0] == 9


def test_nan_is_the_greatest_content_and_kept(repo: FeastRepo) -> None:
    store = repo.apply(_DRIVER, _stats(repo))
    rows: list[tuple[EntityKey, dict[str, Value], datetime, datetime | None]] = [
        (_key(1), {"trips": Value(int64_val=1), "rating": Value(double_val=x)}, _NOW, None)
        for x in (float("nan"), float("inf"))
    ]
    _write(store, "stats", rows)

    (value, status, _) = _ask(store, [{"driver_id": 1}])["rating"][0]
    assert math.isnan(value)
    assert status is Status.PRESENT


def test_row_of_nulls_is_written(repo: FeastRepo) -> None:
    store = repo.apply(_DRIVER, _stats(repo))
    _push(store, _NOW - _US, trips=1)
    _push(store, _NOW, trips=None, rating=None)

    assert _ask(store, [{"driver_id": 1}])["trips"] == [(None, Status.NULL_VALUE, _NOW)]


def test_frame_of_nulls_alone_is_dropped_by_feast_before_any_store(repo: FeastRepo) -> None:
    """D22: the SDK returns early with a warning; the row beside another one is written."""
    store = repo.apply(_DRIVER, _stats(repo))
    _push(store, _NOW - _US, trips=1)
    nulls: dict[str, list[Any]] = {"driver_id": [1], "trips": [None], "rating": [None]}

    with pytest.warns(UserWarning, match="empty feature columns"):
        _write_frame(store, "stats", **nulls)
    assert _ask(store, [{"driver_id": 1}])["trips"][0][0] == 1

    _write_frame(store, "stats", driver_id=[1, 2], trips=[None, 4], rating=[None, 0.5])
    assert _ask(store, [{"driver_id": 1}])["trips"] == [(None, Status.NULL_VALUE, _NOW)]


def test_future_row_is_refused_and_its_neighbours_are_not_written(repo: FeastRepo) -> None:
    store = repo.apply(_DRIVER, _stats(repo))
    values = {"trips": Value(int64_val=1), "rating": Value()}
    skew = timedelta(seconds=60)

    with pytest.raises(FutureRowError, match=r"stats: row 1 has event timestamp 2026-01-10T00:01"):
        _write(
            store,
            "stats",
            [(_key(1), values, _NOW, None), (_key(2), values, _NOW + skew + _US, None)],
        )
    assert _ask(store, [{"driver_id": 1}])["trips"][0][1] is Status.NOT_FOUND

    _write(store, "stats", [(_key(1), values, _NOW + skew, None)])
    assert _ask(store, [{"driver_id": 1}])["trips"][0][0] == 1


def test_row_that_lacks_a_feature_is_refused_and_the_feature_named(repo: FeastRepo) -> None:
    """D23: stock keeps the other features' old values under the new timestamp."""
    store = repo.apply(_DRIVER, _stats(repo))

    with pytest.raises(OnlineStoreError, match="row 0 lacks `rating`"):
        _write(store, "stats", [(_key(1), {"trips": Value(int64_val=1)}, _NOW, None)])


def test_row_with_a_null_key_is_refused(repo: FeastRepo) -> None:
    store = repo.apply(_DRIVER, _stats(repo))
    key = EntityKey(join_keys=["driver_id"], entity_values=[Value()])

    with pytest.raises(EntityRowsError, match="`driver_id` is null in row 0"):
        _write(store, "stats", [(key, {"trips": Value(), "rating": Value()}, _NOW, None)])


def test_naive_event_time_is_read_as_utc(repo: FeastRepo) -> None:
    store = repo.apply(_DRIVER, _stats(repo))
    _push(store, _NOW.replace(tzinfo=None))

    assert _ask(store, [{"driver_id": 1}])["trips"][0][2] == _NOW


def test_stored_row_after_now_is_an_error_not_an_answer(
    repo: FeastRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    _push(repo.apply(_DRIVER, _stats(repo)), _NOW)
    monkeypatch.setenv("EVENSTORE_FROZEN_TIME", (_NOW - timedelta(hours=1)).isoformat())

    with pytest.raises(FutureRowError, match="stats"):
        _ask(repo.store(), [{"driver_id": 1}])


@pytest.mark.parametrize(
    "stored", [b"\xff", value_encoder(Dtype.STRING)("7"), value_encoder(Dtype.INT64)(7) + b"\x00"]
)
def test_bytes_of_another_type_are_an_error_that_names_the_feature(
    feast_repo: FeastRepo, redis_url: str, stored: bytes
) -> None:
    store = feast_repo.apply(_DRIVER, _stats(feast_repo))
    _push(store, _NOW)
    with open_redis(redis_url) as client:
        client.execute_command("HSET", _redis_key(1), feature_field("stats", "trips"), stored)

    with pytest.raises(CorruptRowError, match="stats:trips"):
        _ask(store, [{"driver_id": 1}])


def test_corrupt_event_timestamp_is_an_error_that_names_the_view(
    feast_repo: FeastRepo, redis_url: str
) -> None:
    store = feast_repo.apply(_DRIVER, _stats(feast_repo))
    _push(store, _NOW)
    with open_redis(redis_url) as client:
        client.execute_command("HSET", _redis_key(1), b"_ts:stats", b"\x08\xff")

    with pytest.raises(CorruptRowError, match="stats"):
        _ask(store, [{"driver_id": 1}])


def test_online_read_gives_feast_the_row_or_none(repo: FeastRepo) -> None:
    store = repo.apply(_DRIVER, _stats(repo))
    _push(store, _NOW, driver_id=1)
    _push(store, _NOW - 2 * _TTL, driver_id=2)
    view, online = store.get_feature_view("stats"), RedisOnlineStore()

    rows = online.online_read(store.config, view, [_key(1), _key(2), _key(3)], ["trips"])

    assert rows == [
        (_NOW, {"trips": Value(int64_val=1)}),
        (_NOW - 2 * _TTL, None),
        (None, None),
    ]
    with pytest.raises(UnknownFeatureError, match="stats:tips"):
        online.online_read(store.config, view, [_key(1)], ["tips"])


def test_unreachable_redis_is_unavailable(tmp_path: Path) -> None:
    repo = FeastRepo(tmp_path, redis_url="redis://127.0.0.1:1/0")
    store = repo.apply(_DRIVER, _stats(repo))

    with pytest.raises(OnlineStoreUnavailableError):
        _ask(store, [{"driver_id": 1}])
    with pytest.raises(OnlineStoreUnavailableError):
        _push(store, _NOW)


def test_teardown_removes_this_project_and_no_other(
    tmp_path: Path, redis_url: str, feast_repo: FeastRepo
) -> None:
    """FEAST.md 1.6: stock's teardown of `tiny` takes the keys of `my_tiny` too."""
    other = FeastRepo(
        tmp_path / "other", redis_url=redis_url, project="my_tiny", layout=Layout.FEAST
    )
    stores = [each.apply(_DRIVER, _stats(each)) for each in (feast_repo, other)]
    for store in stores:
        _push(store, _NOW)

    feast_repo.store().teardown()

    assert _ask(other.store(), [{"driver_id": 1}])["trips"][0][0] == 1
    with open_redis(redis_url) as client:
        keys: list[bytes] = client.execute_command("KEYS", "*")
    assert all(key.endswith(b"my_tiny") for key in keys)


def test_removed_view_takes_its_own_fields_along_and_no_others(
    feast_repo: FeastRepo, redis_url: str
) -> None:
    store = feast_repo.apply(_DRIVER, _stats(feast_repo), _stats(feast_repo, name="other"))
    for view in ("stats", "other"):
        _push(store, _NOW, view=view)
    _push(store, _NOW, driver_id=2, view="stats")

    store.apply([], objects_to_delete=[store.get_feature_view("stats")], partial=False)

    assert _ask(feast_repo.store(), [{"driver_id": 1}], ("other:trips",))["trips"][0][0] == 1
    with open_redis(redis_url) as client:
        assert client.execute_command("HLEN", _redis_key(1)) == 4
        assert not client.exists(_redis_key(2))


def test_inexact_source_type_is_refused_and_nothing_is_applied(repo: FeastRepo) -> None:
    """D11: a float64 column would be cut to its declared int64 online."""
    repo.apply(_DRIVER, _stats(repo, name="before"))
    registry_path = repo.path / "registry.db"
    before = registry_path.read_bytes()
    columns = {"driver_id": [1], "trips": [3.7], "rating": [0.5]}
    instants = pa.array([_NOW], pa.timestamp("us", "UTC"))
    repo.write_rows(
        "stats", pa.table({**columns, "event_timestamp": instants, "created": instants})
    )

    with pytest.raises(UnsupportedDtypeError, match="stats:trips") as error:
        repo.apply(_DRIVER, _stats(repo), _stats(repo, name="after"))

    assert error.value.hint is not None
    assert registry_path.read_bytes() == before
    assert [view.name for view in repo.store().list_feature_views()] == ["before"]


def test_event_time_is_kept_to_the_microsecond(repo: FeastRepo) -> None:
    store = repo.apply(_DRIVER, _stats(repo))
    event = _NOW - timedelta(seconds=1) + _US
    _push(store, event)

    assert datetime_to_us(_ask(store, [{"driver_id": 1}])["trips"][0][2]) == datetime_to_us(event)

"""What is known of stock Feast's writes to Redis and removals, asked of stock and of ours.

As in `test_online_items.py`: each case names its entries of FEAST.md, and a case from which stock
deviates is a strict xfail.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from feast import Entity, FeatureService, Field, PushSource
from feast.errors import FeatureViewNotFoundException
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Int64
from feast.value_type import ValueType

from evenstore.errors import OnlineStoreError
from evenstore.online.connection import open_redis
from evenstore.semantics import Status
from tests.conformance.online_sides import (
    DRIVER,
    HOUR,
    KINDS,
    NOW,
    OURS_KINDS,
    SCHEMA,
    STOCK,
    OnlineDeviations,
    cell,
    load,
    load_stats,
    online_repo,
    push_row,
    rows,
    write_row,
)
from tests.conformance.stores import STOCK_WARNINGS
from tests.support.feast_repo import FeastRepo
from tests.support.online_answers import Cell

pytestmark = STOCK_WARNINGS

_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
DEVIATIONS: OnlineDeviations = {
    (test, STOCK): (raises, f"upstream, {item}")
    for test, raises, item in (
        ("test_teardown_takes_its_own_project_only", AssertionError, "0.8: a suffix is matched"),
        ("test_removed_feature_is_forgotten", AssertionError, "1.6: only views are removed"),
        ("test_pushed_correction_at_an_equal_event_time_wins", AssertionError, "1.4: dropped"),
        ("test_order_holds_before_1970", AssertionError, "D39: no order before 1970"),
        ("test_deleted_entity_stays_deleted", AttributeError, "1.6: no row can be deleted"),
        ("test_row_that_lacks_a_feature_is_refused", pytest.fail.Exception, "D23: it is written"),
    )
} | {
    ("test_service_that_asks_for_precomputed_vectors", kind): (
        RuntimeError,
        "never, 1.7: Feast reads no views for such a service; ours makes no vectors that age",
    )
    for kind in OURS_KINDS
}

_LEAKS = "stock's asynchronous client belongs to one event loop and leaves its socket open"


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Whose parts a case runs on."""
    return str(request.param)


@pytest.fixture
def repo(kind: str, tmp_path: Path, redis_url: str) -> FeastRepo:
    return online_repo(tmp_path / "repo", redis_url, kind)


def test_teardown_takes_its_own_project_only(kind: str, tmp_path: Path, redis_url: str) -> None:
    """FEAST.md 0.8, 1.6."""
    stores = {
        name: load_stats(online_repo(tmp_path / name, redis_url, kind, project=name))
        for name in ("exp", "my_exp")
    }
    stores["exp"].teardown()
    assert cell(stores["my_exp"], "stats:trips").value == 10
    with open_redis(redis_url) as client:
        assert not [key for key in client.scan_iter() if b"exp" in key and b"my_exp" not in key]


def test_newest_row_of_a_batch_wins_wherever_it_stands(repo: FeastRepo) -> None:
    """FEAST.md 1.4."""
    store = load_stats(repo)
    events = [NOW - HOUR / 2, NOW, NOW - HOUR / 3]
    frame = {"driver_id": [1] * 3, "trips": [1, 2, 3], "event_timestamp": events}
    store.write_to_online_store("stats", pd.DataFrame(frame | {"created": events}))
    assert cell(store, "stats:trips") == Cell(2, Status.PRESENT, NOW)


def test_pushed_correction_at_an_equal_event_time_wins(repo: FeastRepo) -> None:
    """FEAST.md 0.3, 1.4, D2."""
    store = load_stats(repo)
    push_row(store, NOW - 2 * HOUR, 11)
    assert cell(store, "stats:trips") == Cell(11, Status.PRESENT, NOW - 2 * HOUR)


def test_older_row_never_wins(repo: FeastRepo) -> None:
    """FEAST.md 0.9, 1.4, D7; racing writers are in tests/evenstore/online/test_writer.py."""
    store = load_stats(repo)
    push_row(store, NOW - 3 * HOUR, 1)
    assert cell(store, "stats:trips").value == 10


def test_order_holds_before_1970(repo: FeastRepo) -> None:
    """FEAST.md 1.4, D39."""
    store = load_stats(repo)
    for year, trips in ((1960, 1), (1950, 2)):
        push_row(store, datetime.fromisoformat(f"{year}-01-01T00:00:00+00:00"), trips, driver_id=3)
    assert cell(store, "stats:trips", driver_id=3).value == 1


def test_row_that_lacks_a_feature_is_refused(repo: FeastRepo) -> None:
    """FEAST.md 1.4, D23."""
    store = load_stats(repo)
    with pytest.raises(OnlineStoreError, match="lacks `trips`"):
        write_row(store, 1, {}, NOW)


def test_asynchronous_reads_work_in_one_event_loop_after_another(
    repo: FeastRepo, kind: str
) -> None:
    """FEAST.md 1.4: stock caches one client for all event loops."""
    if kind == STOCK:
        pytest.skip(_LEAKS)
    store = load_stats(repo)
    for _ in range(2):
        read = store.get_online_features_async(["stats:trips"], [{"driver_id": 1}])
        assert asyncio.run(read).to_dict()["trips"] == [10]


def test_removed_view_is_forgotten_and_its_neighbour_stays(repo: FeastRepo) -> None:
    """FEAST.md 1.6."""
    stats = repo.view("stats", [DRIVER], SCHEMA)
    other = repo.view("other", [DRIVER], {"driver_id": Int64, "points": Int64})
    load_stats(repo)
    repo.write_rows("other", rows([NOW - HOUR], driver_id=[1], points=[7]))
    store = repo.apply(DRIVER, stats, other)
    load(store)
    store.apply([DRIVER, stats], objects_to_delete=[other], partial=False)
    assert cell(repo.store(), "stats:trips").value == 10
    with pytest.raises(FeatureViewNotFoundException):
        cell(repo.store(), "other:points")
    store = repo.apply(DRIVER, stats, other)
    assert cell(store, "other:points").value is None


def test_removed_feature_is_forgotten(repo: FeastRepo) -> None:
    """FEAST.md 1.6, D28: a feature of its name that comes back is another one."""
    load_stats(repo)
    other = {"driver_id": Int64, "other": Int64}
    repo.write_rows("stats", rows([NOW - HOUR], driver_id=[1], other=[1], trips=[2]))
    repo.apply(DRIVER, repo.view("stats", [DRIVER], other))
    store = repo.apply(DRIVER, repo.view("stats", [DRIVER], {**other, "trips": Int64}))
    found = cell(store, "stats:trips")
    assert (found.value, found.status) == (None, Status.NOT_FOUND)


def test_deleted_entity_stays_deleted(repo: FeastRepo) -> None:
    """FEAST.md 1.6, D6: also when a run reads its old row again."""
    store = load_stats(repo)
    online: Any = store._get_provider()
    view = store.get_feature_view("stats")
    online.online_store.delete_entity(store.config, view, [{"driver_id": 1}])
    store.materialize(NOW - 9 * HOUR, NOW)
    found = cell(store, "stats:trips")
    assert (found.value, found.status) == (None, Status.NOT_FOUND)
    assert cell(store, "stats:trips", driver_id=2).value == 20
    push_row(store, datetime.now(UTC) + timedelta(seconds=50), 3)
    assert cell(store, "stats:trips").value == 3


def test_length_of_a_join_key_name_is_no_pattern(repo: FeastRepo) -> None:
    """FEAST.md 1.6: 42 is `*` to a search of keys."""
    name = "k" * 42
    entity = Entity(name="long", join_keys=[name], value_type=ValueType.INT64)
    columns: dict[str, Any] = {name: [1], "value": [3]}
    repo.write_rows("long", rows([NOW - HOUR], **columns))
    long = repo.view("long", [entity], {name: Int64, "value": Int64})
    load_stats(repo)
    stats = repo.view("stats", [DRIVER], SCHEMA)
    store = repo.apply(DRIVER, entity, stats, long)
    load(store)
    store.apply([DRIVER, stats], objects_to_delete=[long], partial=False)
    assert cell(repo.store(), "stats:trips").value == 10


def test_service_that_asks_for_precomputed_vectors(repo: FeastRepo, kind: str) -> None:
    """FEAST.md 1.7, D34: its answers are those of its views, also after an asynchronous push."""
    if kind == STOCK:
        pytest.skip(_LEAKS)
    source = PushSource(name="pushed", batch_source=repo.source("stats"))
    view = repo.view("stats", [DRIVER], SCHEMA, source=source)
    repo.write_rows("stats", rows([NOW - HOUR], driver_id=[1], trips=[10]))
    service = FeatureService(name="all", features=[view], precompute_online=True)
    store = repo.apply(DRIVER, view, service)
    load(store)
    frame = {"driver_id": [1], "trips": [777], "event_timestamp": [NOW], "created": [NOW]}
    asyncio.run(store.push_async("pushed", pd.DataFrame(frame)))
    rows_asked = [{"driver_id": 1}, {"driver_id": 9}]
    answer = store.get_online_features(store.get_feature_service("all"), rows_asked)
    assert answer.to_dict()["trips"] == [777, None]


def test_on_demand_rows_are_stored_and_read(repo: FeastRepo) -> None:
    """FEAST.md D16: as Feast writes them, with the instant of the writing."""
    view = repo.view("stats", [DRIVER], SCHEMA)
    repo.write_rows("stats", rows([NOW - HOUR], driver_id=[1], trips=[10]))

    def twice(inputs: dict[str, Any]) -> dict[str, Any]:
        return {"twice": [2 * trips for trips in inputs["trips"]]}

    stored = on_demand_feature_view(
        sources=[view],
        entities=[DRIVER],
        schema=[Field(name="twice", dtype=Int64), Field(name="driver_id", dtype=Int64)],
        mode="python",
        write_to_online_store=True,
    )(twice)
    store = repo.apply(DRIVER, view, stored)
    frame = {"driver_id": [1], "trips": [10], "event_timestamp": [NOW], "created": [NOW]}
    store.write_to_online_store("twice", pd.DataFrame(frame))
    assert cell(store, "twice:twice").value == 20

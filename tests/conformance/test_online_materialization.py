"""What is known of stock Feast's materialization, asked of stock and of ours.

As in `test_online_items.py`: each case names its entries of FEAST.md, and a case from which stock
deviates is a strict xfail.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from feast import Entity, FeatureStore, FeatureView, PushSource
from feast.data_source import PushMode
from feast.types import Array, Float64, Int64, String
from feast.value_type import ValueType
from redis import Redis

from evenstore.errors import EvenstoreError, MaterializationError
from evenstore.online.connection import open_redis
from evenstore.semantics import Status
from tests.conformance.online_sides import (
    BIG,
    DRIVER,
    HOUR,
    NOW,
    OURS_KINDS,
    SCHEMA,
    STAMP,
    STOCK,
    OnlineDeviations,
    cell,
    load,
    online_repo,
    rows,
)
from tests.conformance.stores import STOCK_WARNINGS
from tests.support.feast_repo import FeastRepo
from tests.support.online_answers import Cell, ask
from tests.support.redis_process import wait_until

pytestmark = STOCK_WARNINGS

_NOT_SERVED = "0.4: a view under way is not served"
DEVIATIONS: OnlineDeviations = {
    (test, STOCK): (raises, f"upstream, {item}")
    for test, raises, item in (
        ("test_correction_at_an_equal_event_time_is_loaded", AssertionError, "0.3: dropped"),
        ("test_new_feature_is_loaded_for_every_entity", AssertionError, "0.3: dropped"),
        ("test_late_row_is_loaded", AssertionError, "0.5: the watermark is of event times"),
        ("test_correction_at_the_edge_of_two_runs_is_loaded", AssertionError, "D18: dropped"),
        ("test_integer_beside_a_null_is_exact", AssertionError, "0.6: it passes through float64"),
        ("test_nan_is_told_from_null", AssertionError, "D13: NaN becomes null"),
        ("test_reads_go_on_while_a_run_writes", AssertionError, _NOT_SERVED),
        ("test_row_without_a_key_is_left_out", ValueError, "1.1: it fails the whole run"),
        ("test_float_column_declared_wider_is_loaded", AssertionError, "D12: refused by the run"),
        ("test_narrowing_column_is_refused_by_apply", pytest.fail.Exception, "D11: it is cut"),
        ("test_null_in_a_list_is_refused", TypeError, "D14: a stack trace, or 0"),
        ("test_field_mapping_of_a_push_source_is_followed", ValueError, "D38: it is not found"),
        ("test_first_run_on_old_data_loads_it", AssertionError, "4.2: it begins at now - ttl"),
        ("test_end_in_the_future_poisons_no_later_run", AssertionError, "4.2: it begins there"),
        ("test_emptied_redis_is_loaded_again", AssertionError, "4.2: intervals are in Feast"),
        ("test_tie_goes_to_the_greatest_content", AssertionError, "D17: left to chance"),
        ("test_future_row_hides_no_valid_one", AssertionError, "D19: loaded when asked for"),
    )
}


@pytest.fixture(scope="module", params=[STOCK, OURS_KINDS[-1]])
def kind(request: pytest.FixtureRequest) -> str:
    """Whose parts a case runs on."""
    return str(request.param)


@pytest.fixture
def repo(kind: str, tmp_path: Path, redis_url: str) -> FeastRepo:
    return online_repo(tmp_path / "repo", redis_url, kind)


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    with open_redis(redis_url) as opened:
        yield opened


def _load(repo: FeastRepo, table: pa.Table, **features: Any) -> FeatureStore:
    """Apply one view of driver_id over a table, and load it."""
    repo.write_rows("stats", table)
    schema = {"driver_id": Int64, **(features or {"trips": Int64})}
    store = repo.apply(DRIVER, repo.view("stats", [DRIVER], schema))
    load(store)
    return store


def test_correction_at_an_equal_event_time_is_loaded(repo: FeastRepo) -> None:
    """FEAST.md 0.3, D2."""
    store = _load(repo, rows([NOW - HOUR], driver_id=[1], trips=[1]))
    repo.write_rows("stats", rows([NOW - HOUR], created=NOW, driver_id=[1], trips=[2]))
    store.materialize(NOW - 9 * HOUR, datetime.now(UTC))
    assert cell(store, "stats:trips") == Cell(2, Status.PRESENT, NOW - HOUR)


def test_new_feature_is_loaded_for_every_entity(repo: FeastRepo) -> None:
    """FEAST.md 0.3, D3."""
    table = rows([NOW - HOUR], driver_id=[1], trips=[1], more=[9])
    _load(repo, table)
    store = repo.apply(DRIVER, repo.view("stats", [DRIVER], {**SCHEMA, "more": Int64}))
    store.materialize(NOW - 9 * HOUR, datetime.now(UTC))
    assert cell(store, "stats:more").value == 9


def test_late_row_is_loaded(repo: FeastRepo) -> None:
    """FEAST.md 0.5, D4."""
    store = _load(repo, rows([NOW - HOUR], driver_id=[1], trips=[1]))
    late = rows([NOW - 2 * HOUR], created=NOW, driver_id=[2], trips=[2])
    repo.write_rows("stats", late, file="late.parquet")
    load(store)
    assert cell(store, "stats:trips", driver_id=2).value == 2


def test_correction_at_the_edge_of_two_runs_is_loaded(repo: FeastRepo) -> None:
    """FEAST.md D18: both runs include the instant at which one ends and the other begins."""
    repo.write_rows("stats", rows([NOW - 2 * HOUR, NOW - HOUR], driver_id=[1, 1], trips=[1, 2]))
    store = repo.apply(DRIVER, repo.view("stats", [DRIVER], SCHEMA))
    store.materialize(NOW - 9 * HOUR, NOW - HOUR)
    assert cell(store, "stats:trips") == Cell(2, Status.PRESENT, NOW - HOUR)
    news = rows([NOW - HOUR], created=NOW, driver_id=[1], trips=[3])
    repo.write_rows("stats", news, file="news.parquet")
    store.materialize(NOW - HOUR, NOW)
    assert cell(store, "stats:trips").value == 3


def test_integer_beside_a_null_is_exact(repo: FeastRepo) -> None:
    """FEAST.md 0.6, D10."""
    trips = pa.array([BIG, None], pa.int64())
    store = _load(repo, rows([NOW - HOUR] * 2, driver_id=[1, 2], trips=trips))
    assert cell(store, "stats:trips").value == BIG
    assert cell(store, "stats:trips", driver_id=2).value is None


def test_nan_is_told_from_null(repo: FeastRepo) -> None:
    """FEAST.md D13, 4.3: and an all-null row is loaded."""
    rate = pa.array([math.nan, None, math.inf])
    table = rows([NOW - HOUR] * 3, driver_id=[1, 2, 3], rate=rate)
    store = _load(repo, table, rate=Float64)
    found = [cell(store, "stats:rate", driver_id=key).value for key in (1, 2, 3)]
    assert repr(found) == "[nan, None, inf]"


def test_reads_go_on_while_a_run_writes(
    kind: str, tmp_path: Path, redis_url: str, client: Redis
) -> None:
    """FEAST.md 0.4, 4.2, D40: without `serve_features_while_materializing`."""
    repo = online_repo(tmp_path / "repo", redis_url, kind, registry={"path": "registry.db"})
    store = _load(repo, rows([NOW - HOUR], driver_id=[1], trips=[1]))
    repo.write_rows("stats", rows([NOW], driver_id=[1], trips=[2]))
    # Writers wait, readers do not.
    client.client_pause(60_000, all=False)
    run = threading.Thread(target=_load_all, args=(store,))
    run.start()
    try:
        if not wait_until(lambda: _blocked(client) > 0):
            pytest.fail("the run has never come to write")
        found = _try_to_read(repo.store())
    finally:
        client.client_unpause()
        run.join()
    assert found == Cell(1, Status.PRESENT, NOW - HOUR)
    assert cell(repo.store(), "stats:trips").value == 2


def _blocked(client: Redis) -> int:
    info: Any = client.info("clients")
    return int(info["blocked_clients"])


def _load_all(store: FeatureStore) -> None:
    store.materialize(NOW - 9 * HOUR, datetime.now(UTC))


def _try_to_read(store: FeatureStore) -> Cell | ValueError:
    try:
        return cell(store, "stats:trips")
    except ValueError as exc:
        return exc


def test_one_row_per_entity_is_read(
    repo: FeastRepo, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """FEAST.md 0.10, 4.1, 4.4: the newest, and from many row groups."""
    n_rows = 600
    instants = [NOW - timedelta(seconds=1 + i) for i in range(n_rows)]
    drivers = [i % 3 for i in range(n_rows)]
    table = rows(instants, driver_id=drivers, trips=list(range(n_rows)))
    store = _load(repo, pa.concat_tables([table.slice(0, 7), table.slice(7)]))
    assert [cell(store, "stats:trips", driver_id=key).value for key in range(3)] == [0, 1, 2]
    if kind != STOCK:
        assert "3 rows read, 3 written" in capfd.readouterr().err


def test_tie_goes_to_the_greatest_content(repo: FeastRepo) -> None:
    """FEAST.md 4.1, D17: two files of one instant, in both orders."""
    answers = []
    for name, trips in (("a", [7, 3]), ("b", [3, 7])):
        for file, value in zip(("1.parquet", "2.parquet"), trips, strict=True):
            repo.write_rows(name, rows([NOW - HOUR], driver_id=[1], trips=[value]), file=file)
        view = repo.view(name, [DRIVER], SCHEMA)
        store = repo.apply(DRIVER, view)
        load(store)
        answers.append(cell(store, f"{name}:trips").value)
    assert answers == [7, 7]


def test_row_without_a_key_is_left_out(repo: FeastRepo) -> None:
    """FEAST.md 1.1."""
    keys = pa.array(["a", None])
    repo.write_rows("texts", rows([NOW - HOUR] * 2, text=keys, value=[1, 2]))
    text = Entity(name="text", join_keys=["text"], value_type=ValueType.STRING)
    store = repo.apply(text, repo.view("texts", [text], {"text": String, "value": Int64}))
    load(store)
    assert cell(store, "texts:value", text="a").value == 1


def test_float_column_declared_wider_is_loaded(repo: FeastRepo) -> None:
    """FEAST.md D12."""
    rate = pa.array([0.5], pa.float32())
    store = _load(repo, rows([NOW - HOUR], driver_id=[1], rate=rate), rate=Float64)
    assert cell(store, "stats:rate").value == 0.5


def test_narrowing_column_is_refused_by_apply(repo: FeastRepo) -> None:
    """FEAST.md D11: 3.7 is no integer."""
    table = rows([NOW - HOUR], driver_id=[1], trips=[3.7])
    repo.write_rows("stats", table)
    with pytest.raises(EvenstoreError, match="trips"):
        repo.apply(DRIVER, repo.view("stats", [DRIVER], SCHEMA))


def test_null_in_a_list_is_refused(repo: FeastRepo) -> None:
    """FEAST.md D14."""
    likes = pa.array([[1, None]], pa.list_(pa.int64()))
    table = rows([NOW - HOUR], driver_id=[1], likes=likes)
    with pytest.raises(MaterializationError, match="likes"):
        _load(repo, table, likes=Array(Int64))


def test_first_run_on_old_data_loads_it(repo: FeastRepo) -> None:
    """FEAST.md 4.2: stock begins at now minus ttl, or one year."""
    event = NOW - timedelta(days=500)
    store = _load(repo, rows([event], driver_id=[1], trips=[1]))
    assert cell(store, "stats:trips") == Cell(1, Status.PRESENT, event)


def test_end_in_the_future_poisons_no_later_run(repo: FeastRepo) -> None:
    """FEAST.md 4.2."""
    store = _load(repo, rows([NOW - 2 * HOUR], driver_id=[1], trips=[1]))
    load(store, end=NOW + 9 * HOUR)
    repo.write_rows("stats", rows([NOW - HOUR], driver_id=[1], trips=[2]), file="new.parquet")
    load(store, end=NOW + 9 * HOUR)
    assert cell(store, "stats:trips").value == 2


def test_emptied_redis_is_loaded_again(repo: FeastRepo, client: Redis) -> None:
    """FEAST.md 4.2."""
    store = _load(repo, rows([NOW - HOUR], driver_id=[1], trips=[1]))
    client.flushall()
    load(store)
    assert cell(store, "stats:trips").value == 1


def test_future_row_hides_no_valid_one(repo: FeastRepo) -> None:
    """FEAST.md D19: the run's end is not what is valid now."""
    table = rows([NOW - HOUR, NOW + 9 * HOUR], driver_id=[1, 1], trips=[1, 2])
    repo.write_rows("stats", table)
    store = repo.apply(DRIVER, repo.view("stats", [DRIVER], SCHEMA))
    store.materialize(NOW - 9 * HOUR, NOW + 10 * HOUR)
    assert cell(store, "stats:trips").value == 1


def test_interval_is_recorded_after_success_only(repo: FeastRepo, client: Redis) -> None:
    """FEAST.md 4.1, 4.2: a failure is raised, and the next run completes."""
    store = _load(repo, rows([NOW - 2 * HOUR], driver_id=[1], trips=[1]))
    n_intervals = len(store.get_feature_view("stats").materialization_intervals)
    repo.write_rows("stats", rows([NOW - HOUR], driver_id=[1], trips=[2]))
    client.config_set("maxmemory", 1)
    try:
        with pytest.raises(Exception, match=r"(?i)memory|oom"):
            _load_all(repo.store())
    finally:
        client.config_set("maxmemory", 0)
    view = repo.store().get_feature_view("stats")
    assert len(view.materialization_intervals) == n_intervals
    _load_all(repo.store())
    assert cell(repo.store(), "stats:trips").value == 2


def test_start_and_end_are_ignored_where_that_is_asked(repo: FeastRepo) -> None:
    """FEAST.md 4.1: `--disable-event-timestamp` loads all there is."""
    repo.write_rows("stats", rows([NOW - 400 * 24 * HOUR], driver_id=[1], trips=[1]))
    store = repo.apply(DRIVER, repo.view("stats", [DRIVER], SCHEMA))
    begin = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
    store.materialize(begin, datetime.now(UTC), disable_event_timestamp=True)
    assert cell(store, "stats:trips").value == 1


def _pushed_view(repo: FeastRepo, source: PushSource) -> FeatureView:
    return repo.view("stats", [DRIVER], SCHEMA, source=source)


def test_field_mapping_of_a_push_source_is_followed(repo: FeastRepo) -> None:
    """FEAST.md D38, 4.1: the batch source's mapping, behind a push source."""
    batch = repo.source("stats", field_mapping={"raw_trips": "trips"})
    source = PushSource(name="pushed", batch_source=batch)
    repo.write_rows("stats", rows([NOW - HOUR], driver_id=[1], raw_trips=[4]))
    store = repo.apply(DRIVER, _pushed_view(repo, source))
    load(store)
    assert cell(store, "stats:trips").value == 4


def test_pushed_row_is_served_beside_loaded_ones_and_survives_a_run(repo: FeastRepo) -> None:
    """FEAST.md D20: what only the online store knows is not undone by a run."""
    source = PushSource(name="pushed", batch_source=repo.source("stats"))
    repo.write_rows("stats", rows([NOW - HOUR] * 2, driver_id=[1, 2], trips=[1, 2]))
    store = repo.apply(DRIVER, _pushed_view(repo, source))
    load(store)
    frame = {"driver_id": [1], "trips": [5], "event_timestamp": [NOW], "created": [NOW]}
    store.push("pushed", pd.DataFrame(frame), to=PushMode.ONLINE)
    store.materialize(NOW - 9 * HOUR, datetime.now(UTC))
    answer = ask(store, ["stats:trips"], [{"driver_id": 1}, {"driver_id": 2}])
    assert [answer["trips", i].value for i in (0, 1)] == [5, 2]


def test_columns_in_nanoseconds_with_a_zone_are_loaded(repo: FeastRepo) -> None:
    """FEAST.md 0.7: pandas' default."""
    table = rows([NOW - HOUR], driver_id=[1], trips=[1])
    stamps = pa.array([NOW - HOUR], STAMP).cast(pa.timestamp("ns", "UTC"))
    store = _load(repo, table.set_column(0, "event_timestamp", stamps))
    assert cell(store, "stats:trips") == Cell(1, Status.PRESENT, NOW - HOUR)

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from feast import Entity, FeatureView, FileSource
from feast import Field as FeastField
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Int64
from feast.value_type import ValueType
from redis import Redis

from evenstore.clock import datetime_to_us
from evenstore.codec.feast_row import FeastRowLayout
from evenstore.errors import (
    OnlineStoreError,
    OnlineStoreTimeoutError,
    OnlineStoreUnavailableError,
)
from evenstore.online.connection import open_redis
from evenstore.online.writer import WriteCount
from evenstore.schema.model import Layout
from evenstore.semantics import RowOrder
from tests.evenstore.online import hammer
from tests.evenstore.online.rows import MarkedRow, MarkedStore, marked_view
from tests.evenstore.online.stock import StockStore, int64_key
from tests.support.scale import scaled

_PROJECT = "p"
_T_US = 1_767_268_800_000_000


@pytest.fixture
def store(client: Redis, layout: Layout) -> MarkedStore:
    return MarkedStore(client, marked_view(2), _PROJECT, layout)


@pytest.fixture
def feast_store(client: Redis) -> MarkedStore:
    return MarkedStore(client, marked_view(2), _PROJECT, Layout.FEAST)


@pytest.fixture
def packed_store(client: Redis) -> MarkedStore:
    return MarkedStore(client, marked_view(2), _PROJECT, Layout.PACKED)


def _row(event_us: int, mark: int = 1, *, k: int = 1) -> MarkedRow:
    return MarkedRow(k, RowOrder(event_us, None, mark), mark)


def test_counts_tell_written_from_superseded(store: MarkedStore) -> None:
    assert store.write(_row(_T_US, k=1), _row(_T_US, k=2)) == WriteCount(2, 0)
    assert store.write(_row(_T_US, k=1), _row(_T_US + 1, k=2)) == WriteCount(1, 1)


def test_no_rows_are_no_commands(store: MarkedStore) -> None:
    assert store.write() == WriteCount(0, 0)
    assert store.client.dbsize() == 0


def test_greatest_row_of_one_batch_wins_wherever_it_stands(store: MarkedStore) -> None:
    store.write(_row(_T_US, 1), _row(_T_US + 2, 2), _row(_T_US + 1, 3))

    assert store.read() == _row(_T_US + 2, 2)


def test_views_of_one_entity_do_not_touch_each_other(store: MarkedStore) -> None:
    other = dataclasses.replace(store, view=marked_view(1, "other"))
    third = dataclasses.replace(store, view=marked_view(400, "third"))
    other.write(_row(_T_US))
    third.write(_row(_T_US, 3))
    store.write(_row(_T_US + 1, 2))
    third.write(_row(_T_US + 3, 4))
    other.write(_row(_T_US - 1, 9))

    assert [each.read() for each in (store, other, third)] == [
        _row(_T_US + 1, 2),
        _row(_T_US),
        _row(_T_US + 3, 4),
    ]


@pytest.mark.parametrize(("event_us", "is_newer"), [(-10_000_000, False), (-4_999_999, True)])
def test_row_of_stock_before_1970_is_compared_by_its_signed_time(
    redis_url: str, feast_store: MarkedStore, event_us: int, is_newer: bool
) -> None:
    stocks_view = FeatureView(
        name="marks",
        entities=[Entity(name="k", join_keys=["k"], value_type=ValueType.INT64)],
        schema=[FeastField(name=name, dtype=Int64) for name in ("k", "f0", "f1")],
        ttl=timedelta(0),
        source=FileSource(path="unused.parquet", timestamp_field="event_timestamp"),
    )
    instant = datetime(1969, 12, 31, 23, 59, 55, tzinfo=UTC)
    values = {"f0": Value(int64_val=9), "f1": Value(int64_val=9)}
    StockStore(redis_url, _PROJECT).write(stocks_view, [(int64_key("k", 1), values, instant, None)])

    feast_store.write(_row(event_us))

    stocks = MarkedRow(1, RowOrder(datetime_to_us(instant), None, 0), 9)
    assert feast_store.read() == (_row(event_us) if is_newer else stocks)


def test_scripts_flushed_meanwhile_are_loaded_again(store: MarkedStore) -> None:
    store.write(_row(_T_US))
    store.client.script_flush()

    assert store.write(_row(_T_US + 1), _row(_T_US, k=2)) == WriteCount(2, 0)


def test_lost_connection_is_opened_again(store: MarkedStore) -> None:
    store.write(_row(_T_US))
    store.client.client_kill_filter(_type="normal", skipme=True)

    assert store.write(_row(_T_US + 1)) == WriteCount(1, 0)


@pytest.mark.parametrize("in_step", [True, False])
def test_row_of_a_later_format_is_never_overwritten(
    feast_store: MarkedStore, in_step: bool
) -> None:
    feast_store.write(_row(_T_US), _row(_T_US, k=2))
    order_field = FeastRowLayout(marked_view(2)).order_field
    client, key = feast_store.client, feast_store.key(1)
    stored = client.execute_command("HGET", key, order_field)
    later = b"\x02" + stored[1:] + (b"" if in_step else b"more")
    client.execute_command("HSET", key, order_field, later)
    before = client.execute_command("HGETALL", key)

    with pytest.raises(OnlineStoreError, match="unknown format version") as error:
        feast_store.write(_row(_T_US + 1), _row(_T_US + 1, k=2))

    assert error.value.hint == "a newer evenstore wrote this store: upgrade this one"
    assert client.execute_command("HGETALL", key) == before


def test_entity_of_a_later_format_is_never_overwritten(packed_store: MarkedStore) -> None:
    packed_store.write(_row(_T_US), _row(_T_US, k=2))
    client, key = packed_store.client, packed_store.key(1)
    later = b"\x02" + client.execute_command("GET", key)[1:]
    client.set(key, later)

    with pytest.raises(OnlineStoreError, match="unknown format version") as error:
        packed_store.write(_row(_T_US + 1, k=2), _row(_T_US + 1))

    assert error.value.hint == "a newer evenstore wrote this store: upgrade this one"
    assert client.execute_command("GET", key) == later
    assert packed_store.read(2) == _row(_T_US, k=2)


@pytest.mark.parametrize("n_bytes", [2, 3, 4, 5, 12])
def test_entity_cut_short_is_an_error_and_is_kept(packed_store: MarkedStore, n_bytes: int) -> None:
    packed_store.write(_row(_T_US))
    client, key = packed_store.client, packed_store.key(1)
    cut = client.execute_command("GET", key)[:n_bytes]
    client.set(key, cut)

    with pytest.raises(OnlineStoreError, match="ends within a row") as error:
        packed_store.write(_row(_T_US + 1))

    assert error.value.hint is not None
    assert client.execute_command("GET", key) == cut


def test_order_field_cut_short_is_an_error_with_a_next_step(feast_store: MarkedStore) -> None:
    feast_store.write(_row(_T_US))
    order_field = FeastRowLayout(marked_view(2)).order_field
    feast_store.client.execute_command("HSET", feast_store.key(1), order_field, b"\x01\x01")

    with pytest.raises(OnlineStoreError, match="cut short") as error:
        feast_store.write(_row(_T_US + 1))

    assert error.value.hint is not None


def test_key_that_holds_no_hash_is_an_error_without_values_in_it(feast_store: MarkedStore) -> None:
    feast_store.client.set(feast_store.key(1), b"foreign")

    with pytest.raises(OnlineStoreError, match="WRONGTYPE") as error:
        feast_store.write(_row(_T_US))

    assert "EVALSHA" not in str(error.value)
    assert feast_store.client.get(feast_store.key(1)) == b"foreign"


def test_full_memory_is_an_error_and_no_row_is_half_written(store: MarkedStore) -> None:
    wide = dataclasses.replace(store, view=marked_view(1600))
    client = store.client
    memory: Any = client.info("memory")
    client.config_set("maxmemory-policy", "noeviction")
    client.config_set("maxmemory", int(memory["used_memory"]) + 1_500_000)
    try:
        with pytest.raises(OnlineStoreError, match="out of memory") as error:
            wide.write(*(_row(_T_US, k=k) for k in range(1500)))
    finally:
        client.config_set("maxmemory", 0)

    assert error.value.hint is not None
    assert "maxmemory" in error.value.hint
    stored = [wide.read(k) for k in range(1500)]
    assert all(row in (None, _row(_T_US, k=k)) for k, row in enumerate(stored))
    assert None in stored


def test_wide_rows_are_written_in_bounded_commands(store: MarkedStore) -> None:
    # A script serves nobody else while it runs.
    wide = dataclasses.replace(store, view=marked_view(200))
    store.client.config_resetstat()

    assert wide.write(*(_row(_T_US, k=k) for k in range(200))) == WriteCount(200, 0)

    calls: Any = store.client.info("commandstats")
    assert calls["cmdstat_evalsha"]["calls"] >= 8
    assert wide.read(199) == _row(_T_US, k=199)


def test_unreachable_redis_is_unavailable() -> None:
    with (
        open_redis("unix:///nowhere/redis.sock") as nowhere,
        pytest.raises(OnlineStoreUnavailableError) as error,
    ):
        MarkedStore(nowhere, marked_view(2), _PROJECT, Layout.PACKED).write(_row(_T_US))

    assert error.value.hint is not None


def test_silent_redis_is_a_timeout(store: MarkedStore, redis_url: str) -> None:
    client = store.client
    client.client_pause(60_000, all=False)
    try:
        with (
            open_redis(redis_url, timeout_s=0.1) as impatient,
            pytest.raises(OnlineStoreTimeoutError),
        ):
            dataclasses.replace(store, client=impatient).write(_row(_T_US))
    finally:
        client.client_unpause()


def test_replica_that_takes_no_writes_is_unavailable(store: MarkedStore) -> None:
    client = store.client
    client.replicaof("127.0.0.1", 1)
    try:
        with pytest.raises(OnlineStoreUnavailableError, match="replica"):
            store.write(_row(_T_US))
    finally:
        client.replicaof("NO", "ONE")


def test_two_processes_never_let_a_lower_row_win_and_a_reader_sees_whole_rows(
    redis_url: str, client: Redis, layout: Layout
) -> None:
    store = MarkedStore(client, marked_view(hammer.N_FEATURES), hammer.PROJECT, layout)
    n_writes = scaled(600, 100_000) // 2
    command = [sys.executable, "-m", hammer.__name__, redis_url, layout.value]
    writers = [
        subprocess.Popen([*command, str(seed), str(n_writes)], stdout=subprocess.PIPE, text=True)
        for seed in (1, 2)
    ]
    seen: list[RowOrder] = []
    try:
        while any(writer.poll() is None for writer in writers):
            row = store.read()
            if row is None:
                time.sleep(0.01)  # Leave the cores to the writers, which are being started.
                continue
            assert row.order.sequence_us == row.mark
            seen.append(row.order)
        outputs = [writer.communicate()[0] for writer in writers]
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()

    assert [writer.returncode for writer in writers] == [0, 0]
    assert len(set(seen)) > 10
    assert seen == sorted(seen)
    written = [[int(number) for number in output.split()] for output in outputs]
    rows = [MarkedRow(1, RowOrder(*order), mark) for *order, mark in written]
    greatest = max(rows, key=lambda row: row.order)
    assert store.read() == greatest

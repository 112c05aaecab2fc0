from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
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
from evenstore.codec.entity_key import EntityKeyEncoder
from evenstore.codec.feast_row import FeastRowLayout
from evenstore.errors import (
    OnlineStoreError,
    OnlineStoreTimeoutError,
    OnlineStoreUnavailableError,
)
from evenstore.online.connection import open_redis
from evenstore.online.writer import RowWriter, WriteCount
from evenstore.semantics import RowOrder
from tests.evenstore.online import hammer
from tests.evenstore.online.rows import (
    KEY,
    MarkedRow,
    decode_marked,
    encode_marked,
    marked_view,
    read_fields,
)
from tests.evenstore.online.stock import StockStore, int64_key
from tests.support.scale import scaled

_PROJECT = "p"
_T_US = 1_767_268_800_000_000


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    with open_redis(redis_url) as opened:
        yield opened


def _row(event_us: int, mark: int = 1, *, k: int = 1) -> MarkedRow:
    return MarkedRow(k, RowOrder(event_us, None, mark), mark)


def _write(client: Redis, *rows: MarkedRow, n_features: int = 2) -> WriteCount:
    view = marked_view(n_features)
    return RowWriter(client, view).write(encode_marked(view, _PROJECT, rows))


def _stored(client: Redis, k: int = 1, *, n_features: int = 2) -> MarkedRow | None:
    view = marked_view(n_features)
    return decode_marked(view, k, read_fields(client, view, _PROJECT, k))


def _key(k: int) -> bytes:
    return EntityKeyEncoder([KEY], _PROJECT).encode([k])


def test_counts_tell_written_from_superseded(client: Redis) -> None:
    assert _write(client, _row(_T_US, k=1), _row(_T_US, k=2)) == WriteCount(2, 0)
    assert _write(client, _row(_T_US, k=1), _row(_T_US + 1, k=2)) == WriteCount(1, 1)


def test_no_rows_are_no_commands(client: Redis) -> None:
    assert _write(client) == WriteCount(0, 0)
    assert client.dbsize() == 0


def test_greatest_row_of_one_batch_wins_wherever_it_stands(client: Redis) -> None:
    _write(client, _row(_T_US, 1), _row(_T_US + 2, 2), _row(_T_US + 1, 3))

    assert _stored(client) == _row(_T_US + 2, 2)


def test_views_of_one_entity_do_not_touch_each_other(client: Redis) -> None:
    for name in ("marks", "other"):
        view = marked_view(1, name)
        RowWriter(client, view).write(encode_marked(view, _PROJECT, [_row(_T_US)]))
    _write(client, _row(_T_US + 1, 2), n_features=1)

    view = marked_view(1, "other")
    stored = read_fields(client, view, _PROJECT, 1)
    layout = FeastRowLayout(view)
    ours = {layout.timestamp_field, layout.order_field, *layout.feature_fields.values()}
    kept = {name: value for name, value in stored.items() if name in ours}
    assert decode_marked(view, 1, kept) == _row(_T_US)


@pytest.mark.parametrize(("event_us", "is_newer"), [(-10_000_000, False), (-4_999_999, True)])
def test_row_of_stock_before_1970_is_compared_by_its_signed_time(
    redis_url: str, client: Redis, event_us: int, is_newer: bool
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

    _write(client, _row(event_us))

    stocks = MarkedRow(1, RowOrder(datetime_to_us(instant), None, 0), 9)
    assert _stored(client) == (_row(event_us) if is_newer else stocks)


def test_scripts_flushed_meanwhile_are_loaded_again(client: Redis) -> None:
    view = marked_view(2)
    writer = RowWriter(client, view)
    writer.write(encode_marked(view, _PROJECT, [_row(_T_US)]))
    client.script_flush()

    count = writer.write(encode_marked(view, _PROJECT, [_row(_T_US + 1), _row(_T_US, k=2)]))

    assert count == WriteCount(2, 0)


@pytest.mark.parametrize("in_step", [True, False])
def test_row_of_a_later_format_is_never_overwritten(client: Redis, in_step: bool) -> None:
    _write(client, _row(_T_US), _row(_T_US, k=2))
    layout = FeastRowLayout(marked_view(2))
    key = _key(1)
    stored = read_fields(client, marked_view(2), _PROJECT, 1)[layout.order_field]
    later = b"\x02" + stored[1:] + (b"" if in_step else b"more")
    client.execute_command("HSET", key, layout.order_field, later)
    before = read_fields(client, marked_view(2), _PROJECT, 1)

    with pytest.raises(OnlineStoreError, match="unknown format version") as error:
        _write(client, _row(_T_US + 1), _row(_T_US + 1, k=2))

    assert error.value.hint == "a newer evenstore wrote this store: upgrade this one"
    assert read_fields(client, marked_view(2), _PROJECT, 1) == before


def test_order_field_cut_short_is_an_error_with_a_next_step(client: Redis) -> None:
    _write(client, _row(_T_US))
    order_field = FeastRowLayout(marked_view(2)).order_field
    client.execute_command("HSET", _key(1), order_field, b"\x01\x01")

    with pytest.raises(OnlineStoreError, match="cut short") as error:
        _write(client, _row(_T_US + 1))

    assert error.value.hint is not None


def test_key_that_holds_no_hash_is_an_error_without_values_in_it(client: Redis) -> None:
    client.set(_key(1), b"foreign")

    with pytest.raises(OnlineStoreError, match="WRONGTYPE") as error:
        _write(client, _row(_T_US))

    assert "EVALSHA" not in str(error.value)
    assert client.get(_key(1)) == b"foreign"


def test_full_memory_is_an_error_and_no_row_is_half_written(client: Redis) -> None:
    view = marked_view(1600)
    rows = [_row(_T_US, k=k) for k in range(300)]
    memory: Any = client.info("memory")
    client.config_set("maxmemory-policy", "noeviction")
    client.config_set("maxmemory", int(memory["used_memory"]) + 8_000_000)
    try:
        with pytest.raises(OnlineStoreError, match="out of memory") as error:
            RowWriter(client, view).write(encode_marked(view, _PROJECT, rows))
    finally:
        client.config_set("maxmemory", 0)

    assert error.value.hint is not None
    assert "maxmemory" in error.value.hint
    stored = [decode_marked(view, k, read_fields(client, view, _PROJECT, k)) for k in range(300)]
    assert all(row in (None, _row(_T_US, k=k)) for k, row in enumerate(stored))
    assert None in stored


def test_wide_rows_are_written_in_bounded_commands(client: Redis) -> None:
    # Redis takes a million arguments in one command, and serves nobody else while a script runs.
    client.config_resetstat()

    count = _write(client, *(_row(_T_US, k=k) for k in range(200)), n_features=200)

    assert count == WriteCount(200, 0)
    calls: Any = client.info("commandstats")
    assert calls["cmdstat_evalsha"]["calls"] >= 8
    assert _stored(client, 199, n_features=200) == _row(_T_US, k=199)


def test_unreachable_redis_is_unavailable() -> None:
    with (
        open_redis("unix:///nowhere/redis.sock") as nowhere,
        pytest.raises(OnlineStoreUnavailableError) as error,
    ):
        _write(nowhere, _row(_T_US))

    assert error.value.hint is not None


def test_silent_redis_is_a_timeout(client: Redis, redis_url: str) -> None:
    client.client_pause(60_000, all=False)
    try:
        with (
            open_redis(redis_url, timeout_s=0.1) as impatient,
            pytest.raises(OnlineStoreTimeoutError),
        ):
            _write(impatient, _row(_T_US))
    finally:
        client.client_unpause()


def test_replica_that_takes_no_writes_is_unavailable(client: Redis) -> None:
    client.replicaof("127.0.0.1", 1)
    try:
        with pytest.raises(OnlineStoreUnavailableError, match="replica"):
            _write(client, _row(_T_US))
    finally:
        client.replicaof("NO", "ONE")


def test_two_processes_never_let_a_lower_row_win_and_a_reader_sees_whole_rows(
    redis_url: str, client: Redis
) -> None:
    view = marked_view(hammer.N_FEATURES)
    n_writes = scaled(2000, 100_000) // 2
    command = [sys.executable, "-m", hammer.__name__, redis_url]
    writers = [
        subprocess.Popen([*command, str(seed), str(n_writes)], stdout=subprocess.PIPE, text=True)
        for seed in (1, 2)
    ]
    seen: list[RowOrder] = []
    try:
        while any(writer.poll() is None for writer in writers):
            row = decode_marked(view, 1, read_fields(client, view, hammer.PROJECT, 1))
            if row is not None:
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
    assert decode_marked(view, 1, read_fields(client, view, hammer.PROJECT, 1)) == greatest

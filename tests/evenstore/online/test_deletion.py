from __future__ import annotations

import dataclasses
import subprocess
import sys
import time
from typing import Any

import pytest
from redis import Redis

from evenstore.clock import FrozenClock
from evenstore.codec.feast_row import FeastRowLayout, encode_timestamp
from evenstore.codec.packed_row import split_slots, view_id
from evenstore.errors import EntityRowsError, OnlineStoreError
from evenstore.online.deletion import Deletion
from evenstore.online.stored_rows import scan_rows
from evenstore.online.writer import RowWriter
from evenstore.schema.model import FeatureViewSchema, Layout
from evenstore.semantics import RowOrder
from tests.evenstore.online import hammer
from tests.evenstore.online.rows import MarkedRow, MarkedStore, encode_marked, marked_view
from tests.support.scale import scaled

_T_US = 1_767_268_800_000_000
_DAY_S = 86_400.0


@pytest.fixture
def store(client: Redis, layout: Layout) -> MarkedStore:
    return MarkedStore(client, marked_view(2), "p", layout)


@pytest.fixture
def packed_store(client: Redis) -> MarkedStore:
    return MarkedStore(client, marked_view(2), "p", Layout.PACKED)


def _row(event_us: int, mark: int = 1, *, k: int = 1) -> MarkedRow:
    return MarkedRow(k, RowOrder(event_us, None, mark), mark)


def _delete(store: MarkedStore, instant_us: int, *ks: Any) -> int:
    deletion = Deletion.now(FrozenClock(instant_us), remembered_s=_DAY_S)
    rows = [{"k": k} for k in ks or (1,)]
    return (
        store.writer()
        .write(deletion.encode(store.view, store.project, store.layout, rows))
        .n_written
    )


def test_deleted_entity_is_gone_and_stays_gone_for_older_rows(store: MarkedStore) -> None:
    store.write(_row(_T_US), _row(_T_US, k=2))

    assert _delete(store, _T_US + 5) == 1

    assert store.read(1) is None
    assert store.read(2) == _row(_T_US, k=2)
    assert store.write(_row(_T_US + 4, 2)).n_written == 0
    assert store.read(1) is None
    assert store.write(_row(_T_US + 6, 3)).n_written == 1
    assert store.read(1) == _row(_T_US + 6, 3)


def test_entity_without_a_row_is_remembered_too(store: MarkedStore) -> None:
    assert _delete(store, _T_US) == 1
    assert store.write(_row(_T_US - 1)).n_written == 0
    assert store.read(1) is None


def test_later_row_survives_an_earlier_deletion(store: MarkedStore) -> None:
    store.write(_row(_T_US + 1))

    assert _delete(store, _T_US) == 0
    assert store.read(1) == _row(_T_US + 1)


def test_deletion_is_of_one_view(store: MarkedStore) -> None:
    other = dataclasses.replace(store, view=marked_view(2, "other"))
    store.write(_row(_T_US))
    other.write(_row(_T_US))

    _delete(store, _T_US + 1)

    assert store.read() is None
    assert other.read() == _row(_T_US)


def test_entity_named_twice_is_deleted_once(store: MarkedStore) -> None:
    assert _delete(store, _T_US, 1, 1, 2) == 2


def test_nobody_is_deleted_where_one_key_is_wrong(store: MarkedStore) -> None:
    store.write(_row(_T_US))

    with pytest.raises(EntityRowsError, match="row 1"):
        _delete(store, _T_US + 1, 1, "1")
    with pytest.raises(EntityRowsError, match="lacks join key `k`"):
        Deletion.now(FrozenClock(0), remembered_s=1).encode(
            store.view, store.project, store.layout, [{"other": 1}]
        )

    assert store.read() == _row(_T_US)


def test_entityless_view_has_one_entity(client: Redis, layout: Layout) -> None:
    view = FeatureViewSchema("marks", (), marked_view(1).features, ttl_us=None)
    deletion = Deletion.now(FrozenClock(_T_US), remembered_s=_DAY_S)

    rows = deletion.encode(view, "p", layout, [{}])
    assert RowWriter(client, "p", view, layout).write(rows).n_written == 1

    (batch,) = scan_rows(client, "p", view, layout)
    assert [row.is_tombstone for row in batch.rows] == [True]


def test_walk_tells_tombstones_from_rows(store: MarkedStore) -> None:
    store.write(_row(_T_US), _row(_T_US, k=2))
    _delete(store, _T_US + 1, 1)

    rows = [
        row
        for batch in scan_rows(store.client, "p", store.view, store.layout)
        for row in batch.rows
    ]

    found = {row.key: (row.is_tombstone, row.order.event_us) for row in rows}
    assert found == {store.key(1): (True, _T_US + 1), store.key(2): (False, _T_US)}


def test_row_of_stock_after_a_deletion_counts_as_stocks(client: Redis) -> None:
    """Stock Feast does not know of tombstones; ours go on to honour them."""
    store = MarkedStore(client, marked_view(1), "p", Layout.FEAST)
    names = FeastRowLayout(store.view)
    store.write(_row(_T_US))
    _delete(store, _T_US + 10)
    stocks = {
        names.timestamp_field: encode_timestamp(_T_US + 10),
        names.feature_fields["f0"]: b"\x20\x09",
    }
    for field, value in stocks.items():
        client.execute_command("HSET", store.key(1), field, value)

    assert store.read() == MarkedRow(1, RowOrder(_T_US + 10, None, 0), 9)
    assert store.write(_row(_T_US + 9)).n_written == 0
    assert store.write(_row(_T_US + 11)).n_written == 1
    assert store.read() == _row(_T_US + 11)


def test_deleted_wide_row_leaves_nothing_but_its_tombstone(client: Redis) -> None:
    store = MarkedStore(client, marked_view(2500), "p", Layout.FEAST)
    store.write(_row(_T_US))

    _delete(store, _T_US + 1)

    assert client.execute_command("HKEYS", store.key(1)) == [b"_order:marks"]


def test_lone_tombstone_expires_and_one_beside_a_row_stays(packed_store: MarkedStore) -> None:
    other = dataclasses.replace(packed_store, view=marked_view(1, "other"))
    other.write(_row(_T_US, k=2))

    _delete(packed_store, _T_US, 1, 2)

    assert (
        0.9 * _DAY_S < packed_store.client.execute_command("TTL", packed_store.key(1)) <= _DAY_S + 1
    )
    assert packed_store.client.execute_command("TTL", packed_store.key(2)) == -1
    assert other.read(2) == _row(_T_US, k=2)


def _view(name: str, ttl_s: float) -> FeatureViewSchema:
    return dataclasses.replace(marked_view(1, name), ttl_us=int(ttl_s * 1_000_000))


def _write_expiring(
    client: Redis, view: FeatureViewSchema, event_us: int, *, grace_s: float = 0.0
) -> None:
    grace_us = int(grace_s * 1_000_000)
    rows = encode_marked(view, "p", Layout.PACKED, [_row(event_us)], expiry_grace_us=grace_us)
    RowWriter(client, "p", view, Layout.PACKED).write(rows)


def _expires_at_ms(client: Redis, key: bytes) -> int:
    # In one step and the time last: the sum is never earlier than the truth.
    both = "return {redis.call('PTTL', KEYS[1]), redis.call('TIME')}"
    left_ms, (seconds, micros) = client.execute_command("EVAL", both, 1, key)
    now_ms = int(seconds) * 1000 + -(-int(micros) // 1000)
    return int(left_ms) if left_ms < 0 else now_ms + int(left_ms)


def _now_us(client: Redis) -> int:
    seconds, micros = client.execute_command("TIME")
    return int(seconds) * 1_000_000 + int(micros)


def test_entity_expires_with_the_last_of_its_rows(packed_store: MarkedStore) -> None:
    client, key = packed_store.client, packed_store.key(1)
    now_us = _now_us(client)
    short, long = _view("short", 100), _view("long", 10_000)

    _write_expiring(client, long, now_us, grace_s=5)
    first_ms = _expires_at_ms(client, key)
    _write_expiring(client, short, now_us + 1, grace_s=5)

    earliest_ms = (now_us + 10_005_000_000) // 1000
    assert earliest_ms <= first_ms <= earliest_ms + 1000
    assert earliest_ms <= _expires_at_ms(client, key) <= earliest_ms + 1000


def test_entity_with_a_row_that_never_expires_stays(packed_store: MarkedStore) -> None:
    client, key = packed_store.client, packed_store.key(1)
    now_us = _now_us(client)
    _write_expiring(client, _view("short", 100), now_us)
    assert client.execute_command("PTTL", key) > 0

    packed_store.write(_row(now_us))
    assert client.execute_command("PTTL", key) == -1

    _write_expiring(client, _view("short", 100), now_us + 1)
    assert client.execute_command("PTTL", key) == -1


def test_what_kept_an_entity_may_go_without_shortening_the_other_rows_life(
    packed_store: MarkedStore,
) -> None:
    """A tombstone lives a day; the other view's row has a year."""
    client, key = packed_store.client, packed_store.key(1)
    now_us = _now_us(client)
    year = _view("year", 365 * _DAY_S)
    _write_expiring(client, year, now_us)
    packed_store.write(_row(now_us))

    _delete(packed_store, now_us + 1)

    slots = split_slots(client.execute_command("GET", key))
    assert set(slots) == {view_id("year"), view_id("marks")}
    left_s = client.execute_command("TTL", key)
    assert left_s == -1 or left_s > 300 * _DAY_S


def test_row_past_its_grace_is_gone_at_once(packed_store: MarkedStore) -> None:
    client = packed_store.client
    _write_expiring(client, _view("short", 100), _now_us(client) - 200_000_000, grace_s=1)

    assert client.exists(packed_store.key(1)) == 0


def test_rows_that_are_shown_after_their_ttl_do_not_expire(packed_store: MarkedStore) -> None:
    client = packed_store.client
    _write_expiring(client, marked_view(1, "forever"), _now_us(client))

    assert client.execute_command("PTTL", packed_store.key(1)) == -1


def test_order_field_of_a_later_format_is_not_deleted(client: Redis) -> None:
    store = MarkedStore(client, marked_view(2), "p", Layout.FEAST)
    store.write(_row(_T_US))
    order_field = FeastRowLayout(store.view).order_field
    stored = client.execute_command("HGET", store.key(1), order_field)
    client.execute_command("HSET", store.key(1), order_field, b"\x02" + stored[1:])

    with pytest.raises(OnlineStoreError, match="unknown format version"):
        _delete(store, _T_US + 1)


@pytest.mark.slow
def test_deletions_beside_a_writer_leave_the_greater_of_both(
    redis_url: str, client: Redis, layout: Layout
) -> None:
    store = MarkedStore(client, marked_view(hammer.N_FEATURES), hammer.PROJECT, layout)
    command = [
        sys.executable,
        "-m",
        hammer.__name__,
        redis_url,
        layout.value,
        "1",
        str(scaled(100, 10_000)),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        try:
            deleted_us = [0]
            while writer.poll() is None:
                row = store.read()
                if row is None:
                    time.sleep(0.001)  # Leave the core to the writer.
                    continue
                assert row.order.event_us >= max(deleted_us)
                deleted_us.append(row.order.event_us + 1)
                _delete(store, deleted_us[-1])
            output = writer.communicate()[0]
        finally:
            writer.kill()

    assert writer.returncode == 0
    assert len(deleted_us) > 2
    *order, mark = (int(number) for number in output.split())
    greatest = MarkedRow(1, RowOrder(*order), mark)
    is_alive = greatest.order.event_us >= max(deleted_us)
    assert store.read() == (greatest if is_alive else None)

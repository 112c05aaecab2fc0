"""The write rule inside Redis against the total order in plain Python.

Any rows, in any order and any number of times, from several writers of ours and from stock Feast in
between: what is stored is at every moment the greatest row written so far, whole. Deletions are
rows in the same order, that nobody reads.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import pytest
from feast import Entity, FeatureView, FileSource
from feast import Field as FeastField
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Int64
from feast.value_type import ValueType
from hypothesis import example, given, settings
from hypothesis import strategies as st
from redis import Redis

from evenstore.clock import us_to_datetime
from evenstore.online.connection import open_redis
from evenstore.online.deletion import Deletion
from evenstore.online.writer import WriteCount
from evenstore.redis_server import RedisServer, embedded_redis
from evenstore.schema.model import Layout
from evenstore.semantics import RowOrder
from tests.evenstore.online.rows import MarkedRow, MarkedStore, encode_marked, marked_view
from tests.evenstore.online.stock import StockStore, int64_key
from tests.support.scale import scaled

_PROJECT = "p"
_KEYS = (1, 2)
# Days around it differ in every byte of the order field; a second has stock's precision too.
_AFTER_1970_US = 1_700_000_000_000_000
_STEPS_US = (0, 1, 127, 128, 255, 256, 999_999, 1_000_000, 2**32, 86_400_000_000)


@dataclass(frozen=True)
class _Write:
    """One call of one writer: its rows share the ingest sequence; stock's have none."""

    writer: str
    rows: tuple[MarkedRow, ...]


@dataclass(frozen=True)
class _History:
    n_features: int
    writes: tuple[_Write, ...]
    layout: Layout = Layout.FEAST


@st.composite
def _histories(draw: st.DrawFn) -> _History:
    n_features = draw(st.sampled_from([0, 1, 1, 3, 3, 3, 3, 1600]))
    layout = draw(st.sampled_from(list(Layout)))
    has_stock = layout is Layout.FEAST and draw(st.booleans())
    # Stock forgets the order of rows before 1970, so that only ours are judged there.
    origins_us = [_AFTER_1970_US] if has_stock else [_AFTER_1970_US, -3_000_000, -(2**40)]
    origin_us = draw(st.sampled_from(origins_us))
    instants_us = st.sampled_from(_STEPS_US).map(lambda step_us: origin_us + step_us)
    writers = ["ours", "theirs", "stock"] if has_stock else ["ours", "theirs"]
    sequences_us = draw(st.permutations([1, 2, 255, 256, 2**32, 1_800_000_000_000_000]))
    writes, mark = [], 0
    for sequence_us in sequences_us[: draw(st.integers(1, 6))]:
        writer = draw(st.sampled_from(writers))
        entries = draw(
            st.dictionaries(
                st.tuples(
                    st.sampled_from(_KEYS),
                    instants_us,
                    st.none() if writer == "stock" else st.none() | instants_us,
                ),
                st.just(None),
                min_size=1,
                max_size=4,
            )
        )
        rows = []
        for k, event_us, created_us in entries:
            mark += 1
            order = RowOrder(event_us, created_us, 0 if writer == "stock" else sequence_us)
            rows.append(MarkedRow(k, order, mark if n_features else 0))
        writes.append(_Write(writer, tuple(rows)))
    replays = draw(st.lists(st.sampled_from(writes), max_size=3))
    return _History(n_features, tuple(draw(st.permutations([*writes, *replays]))), layout)


@functools.cache
def _feast_view(n_features: int) -> FeatureView:
    entity = Entity(name="k", join_keys=["k"], value_type=ValueType.INT64)
    names = ["k", *(f"f{i}" for i in range(n_features))]
    return FeatureView(
        name="marks",
        entities=[entity],
        schema=[FeastField(name=name, dtype=Int64) for name in names],
        ttl=timedelta(0),
        source=FileSource(path="unused.parquet", timestamp_field="event_timestamp"),
    )


def _write_stock(stock: StockStore, n_features: int, rows: Sequence[MarkedRow]) -> None:
    stock.write(
        _feast_view(n_features),
        [
            (
                int64_key("k", row.k),
                {f"f{i}": Value(int64_val=row.mark) for i in range(n_features)},
                us_to_datetime(row.order.event_us),
                None,
            )
            for row in rows
        ],
    )


def _other_collation() -> str:
    """Name a locale that does not collate by bytes, where this machine has one."""
    listed = subprocess.run(["locale", "-a"], capture_output=True, text=True, check=True).stdout
    return next((name for name in listed.split() if name.startswith("en_US.")), "C.UTF-8")


@pytest.fixture(scope="module", params=["C", _other_collation()])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RedisServer]:
    """A server under each of two locales.

    Lua compares strings by the server's collation, on which no order of bytes may depend.
    """
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LC_ALL", request.param)
        home = tmp_path_factory.mktemp("redis")
        with embedded_redis(home, environ={"PATH": os.environ.get("PATH", "")}) as running:
            yield running


@pytest.fixture(scope="module")
def client(server: RedisServer) -> Iterator[Redis]:
    with open_redis(server.url) as opened:
        yield opened


_STEP = _AFTER_1970_US + 1


@settings(max_examples=scaled(9, 3000))
@given(_histories())
@example(  # A row of stock at an equal instant is the lowest, whichever comes first.
    _History(
        1,
        (
            _Write("stock", (MarkedRow(1, RowOrder(_STEP, None, 0), 1),)),
            _Write("ours", (MarkedRow(1, RowOrder(_STEP, None, 5), 2),)),
            _Write("stock", (MarkedRow(1, RowOrder(_STEP, None, 0), 1),)),
        ),
    )
)
@example(  # Created null is lower than any created, whatever the sequence.
    _History(
        3,
        (
            _Write("ours", (MarkedRow(1, RowOrder(-5, -9, 1), 1),)),
            _Write("theirs", (MarkedRow(1, RowOrder(-5, None, 9), 2),)),
        ),
    )
)
def test_stored_row_is_the_greatest_written_so_far(
    server: RedisServer, client: Redis, history: _History
) -> None:
    client.flushall()
    store = MarkedStore(client, marked_view(history.n_features), _PROJECT, history.layout)
    writers = {name: store.writer() for name in ("ours", "theirs")}
    stock = StockStore(server.url, _PROJECT)
    greatest: dict[int, MarkedRow] = {}

    for write in history.writes:
        if write.writer == "stock":
            _write_stock(stock, history.n_features, write.rows)
        else:
            rows = encode_marked(store.view, _PROJECT, store.layout, write.rows)
            count = writers[write.writer].write(rows)
            assert count.n_written + count.n_superseded == len(write.rows)
        for row in write.rows:
            known = greatest.setdefault(row.k, row)
            greatest[row.k] = max(known, row, key=lambda candidate: candidate.order)
        stored = {k: store.read(k) for k in _KEYS}
        assert stored == {k: greatest.get(k) for k in _KEYS}


_Deed = MarkedRow | RowOrder
"""A row of one entity, or its deletion."""


@st.composite
def _deeds(draw: st.DrawFn) -> list[_Deed]:
    origin_us = draw(st.sampled_from([_AFTER_1970_US, -3_000_000]))
    instants_us = st.sampled_from(_STEPS_US[:6]).map(lambda step_us: origin_us + step_us)
    sequences_us = draw(st.permutations([1, 2, 255, 256, 2**32, 1_800_000_000_000_000]))
    deeds: list[_Deed] = []
    for mark, sequence_us in enumerate(sequences_us[: draw(st.integers(1, 6))], start=1):
        created_us = draw(st.none() | instants_us)
        if draw(st.booleans()):
            deeds.append(RowOrder(draw(instants_us), None, sequence_us))
        else:
            deeds.append(MarkedRow(1, RowOrder(draw(instants_us), created_us, sequence_us), mark))
    replays = draw(st.lists(st.sampled_from(deeds), max_size=4))
    return list(draw(st.permutations([*deeds, *replays])))


def _order(deed: _Deed) -> RowOrder:
    return deed.order if isinstance(deed, MarkedRow) else deed


@settings(max_examples=scaled(15, 3000))
@given(_deeds(), st.sampled_from(list(Layout)), st.booleans())
def test_deletions_and_rows_converge_to_the_greatest(
    client: Redis, deeds: list[_Deed], layout: Layout, has_neighbour: bool
) -> None:
    client.flushall()
    store = MarkedStore(client, marked_view(2), _PROJECT, layout)
    neighbour = dataclasses.replace(store, view=marked_view(1, "other"))
    kept = MarkedRow(1, RowOrder(_STEP, None, 1), 1)
    if has_neighbour:
        neighbour.write(kept)
    done: list[_Deed] = []

    for deed in deeds:
        if isinstance(deed, MarkedRow):
            store.write(deed)
        else:
            deletion = Deletion(deed, forgotten_us=2**52)
            rows = deletion.encode(store.view, _PROJECT, layout, [{"k": 1}])
            store.writer().write(rows)
        done.append(deed)
        greatest = max(done, key=_order)
        assert store.read() == (greatest if isinstance(greatest, MarkedRow) else None)
    assert neighbour.read() == (kept if has_neighbour else None)


@settings(max_examples=scaled(4, 300))
@given(_histories())
def test_replay_of_everything_changes_nothing(client: Redis, history: _History) -> None:
    client.flushall()
    store = MarkedStore(client, marked_view(history.n_features), _PROJECT, history.layout)
    for write in history.writes:
        store.write(*write.rows)
    before = {k: client.dump(store.key(k)) for k in _KEYS}

    again = [store.write(*write.rows) for write in history.writes]

    assert {k: client.dump(store.key(k)) for k in _KEYS} == before
    assert sum(again, WriteCount(0, 0)).n_written == 0

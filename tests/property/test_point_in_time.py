"""The joins against the oracle, over worlds that are dense with ties and edges."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureStore, ValueType
from feast.types import Int64
from hypothesis import given, settings
from hypothesis import strategies as st

from evenstore.duckdb_session import open_session
from evenstore.offline.history import describe_entities, open_history
from evenstore.schema.arrow import arrow_type
from evenstore.schema.compile import compile_store
from evenstore.schema.model import FeatureViewSchema
from evenstore.schema.request import FeatureRequest, resolve_references
from evenstore.schema.source import open_source
from evenstore.semantics import EARLIEST_US, ExpiredValues, Knowledge, TtlEnforcement
from evenstore.sql.latest import build_latest_rows_sql
from evenstore.sql.point_in_time import JoinStrategy
from tests.support.feast_repo import FeastRepo
from tests.support.oracle import Row, is_same_value, join, newest, place
from tests.support.scale import scaled
from tests.support.strategies import FEATURES, World, worlds

NAMES = [field.name for field in FEATURES]


class Bench:
    """One applied repo whose sources' files are replaced for each world.

    Feast's view says where the rows are; its schema is replaced by the world's, so that one apply
    serves worlds of every key type and ttl.
    """

    def __init__(self, folder: Path) -> None:
        self.repo = FeastRepo(folder)
        thing = Entity(name="thing", join_keys=["k"], value_type=ValueType.INT64)
        views = [
            self.repo.view(
                name,
                [thing],
                {"k": Int64, "n": Int64},
                source=self.repo.source(name, created=created),
            )
            for name, created in (("with_created", "created"), ("without_created", None))
        ]
        placeholder = pa.table(
            {
                "k": pa.array([], pa.int64()),
                "n": pa.array([], pa.int64()),
                "event_timestamp": pa.array([], pa.timestamp("us", "UTC")),
                "created": pa.array([], pa.timestamp("us", "UTC")),
            }
        )
        for view in views:
            self.repo.write_rows(view.name, placeholder)
        self.store: FeatureStore = self.repo.apply(thing, *views)
        self.registry = compile_store(self.store)
        self._numbers = itertools.count()

    def prepare(self, world: World) -> FeatureViewSchema:
        """Write a world's files under new names in an odd order, and return its view."""
        name = "with_created" if world.rules.has_created else "without_created"
        folder = self.repo.data / name
        for old in folder.glob("*.parquet"):
            old.unlink()
        for file in world.files:
            number = next(self._numbers)
            pq.write_table(world.file_table(file), folder / f"{-number % 7}-{number}.parquet")
        enforcement = TtlEnforcement.ENFORCE if world.rules.is_enforced else TtlEnforcement.SHADOW
        withhold = world.rules.withholds_expired
        return FeatureViewSchema(
            name=name,
            join_keys=world.join_keys,
            features=FEATURES,
            ttl_us=world.rules.ttl_us,
            ttl_enforcement=enforcement,
            expired_values=ExpiredValues.WITHHOLD if withhold else ExpiredValues.RETURN,
        )

    def request(self, view: FeatureViewSchema) -> FeatureRequest:
        """Resolve all features of a view."""
        registry = dataclasses.replace(self.registry, feature_views=(view,))
        return resolve_references(registry, tuple(f"{view.name}:{name}" for name in NAMES))

    def latest_values(
        self, view: FeatureViewSchema, until_us: int
    ) -> dict[tuple[Any, ...], dict[str, Any]]:
        """Select what a materialization would load, by entity key."""
        feast_view = self.store.get_feature_view(view.name)
        source = open_source(feast_view, view, self.repo.path)
        sql = build_latest_rows_sql(source, view, since_us=EARLIEST_US, until_us=until_us)
        with open_session() as session:
            rows = session.sql(sql).to_arrow_table().to_pylist()
        return {_key(view, row): row for row in rows}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("bench"))


@pytest.mark.timeout(3600)
@settings(max_examples=scaled(100, 20_000))
@given(world=worlds(), strategy=st.sampled_from([None, *JoinStrategy]))
def test_history_equals_oracle_for_any_world(
    bench: Bench, world: World, strategy: JoinStrategy | None
) -> None:
    view = bench.prepare(world)
    knowledge = Knowledge.AS_KNOWN if world.rules.is_as_known else Knowledge.LATEST_TRUTH
    entity_table = world.entity_table()
    read = open_history(bench.store, bench.request(view), entity_table, knowledge=knowledge)
    read = dataclasses.replace(read, strategy=strategy)

    table = read.to_table()

    answers = join(world.rows, world.entity_rows, NAMES, world.rules)
    assert table.select(entity_table.column_names) == entity_table
    for field in FEATURES:
        column = f"{view.name}__{field.name}"
        assert table.schema.field(column).type == arrow_type(field.dtype)
        _assert_values(table[column].to_pylist(), [answer.values[field.name] for answer in answers])
        assert table[f"{column}__status"].to_pylist() == [
            answer.statuses[field.name] for answer in answers
        ]
        event_us = table[f"{column}__event_timestamp"].cast(pa.int64()).to_pylist()
        assert event_us == [answer.event_us for answer in answers]


@pytest.mark.timeout(3600)
@settings(max_examples=scaled(30, 2_000))
@given(world=worlds(), slice_rows=st.integers(1, 5))
def test_stream_is_the_table_in_slices(bench: Bench, world: World, slice_rows: int) -> None:
    view = bench.prepare(world)
    read = open_history(
        bench.store,
        bench.request(view),
        world.entity_table(),
        knowledge=Knowledge.LATEST_TRUTH,
    )
    reader = read.to_reader(slice_rows)
    batches = list(reader)
    assert reader.schema == read.schema
    assert all(batch.num_rows <= slice_rows for batch in batches)
    streamed = pa.Table.from_batches(batches, reader.schema)
    assert repr(streamed.to_pylist()) == repr(read.to_table().to_pylist())


@pytest.mark.timeout(3600)
@settings(max_examples=scaled(50, 5_000))
@given(world=worlds())
def test_latest_rows_equal_oracle_for_any_world(bench: Bench, world: World) -> None:
    view = bench.prepare(world)
    until_us = max((as_of_us for _, as_of_us in world.entity_rows), default=0)
    winners = newest(world.rows, until_us)

    table = describe_entities(bench.store, view, as_of_us=until_us)
    values = bench.latest_values(view, until_us)

    described = {_key(view, row): row for row in table.to_pylist()}
    assert table.num_rows == len(described)
    assert described.keys() == winners.keys() == values.keys()
    for key, winner in winners.items():
        row = described[key]
        peers = [peer for peer in world.rows if peer.key == key and peer.event_us <= until_us]
        assert row["event_us"] == winner.event_us
        assert row["n_rows"] == len(peers)
        assert row["has_null"] == (None in winner.values.values())
        assert row["is_ambiguous"] == _is_ambiguous(winner, peers)
        _assert_values(
            [values[key][name] for name in NAMES], [winner.values[name] for name in NAMES]
        )


def _key(view: FeatureViewSchema, row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[key.name] for key in view.join_keys)


def _is_ambiguous(winner: Row, peers: Sequence[Row]) -> bool:
    instant = place(winner)[:2]
    return any(place(peer)[:2] == instant and place(peer) != place(winner) for peer in peers)


def _assert_values(offline_values: list[Any], oracle_values: list[Any]) -> None:
    assert len(offline_values) == len(oracle_values)
    for offline_value, oracle_value in zip(offline_values, oracle_values, strict=True):
        assert is_same_value(offline_value, oracle_value), (offline_value, oracle_value)

"""The joins against the oracle, over worlds that are dense with ties and edges.

A world holds `CASES` cases, and one DuckDB session serves all worlds: opening one costs more than a
join of a few rows.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureStore, FeatureView, ValueType
from feast.types import Int64
from hypothesis import given, settings
from hypothesis import strategies as st

from evenstore.dtypes import Dtype
from evenstore.duckdb_session import SessionLimits, open_session
from evenstore.offline.entity_rows import number_entity_rows, to_instants_us
from evenstore.offline.history import describe_entities, open_history
from evenstore.offline.joined import JoinedView, decide
from evenstore.offline.open_join import JoinOptions, ViewToJoin, open_join
from evenstore.offline.sql_join import SqlJoin
from evenstore.schema.arrow import arrow_type
from evenstore.schema.compile import compile_store
from evenstore.schema.files import SourceFiles
from evenstore.schema.model import FeatureViewSchema, Field
from evenstore.schema.request import FeatureRequest, ViewRead, resolve_references
from evenstore.schema.source import open_source
from evenstore.semantics import EARLIEST_US, ExpiredValues, Knowledge, TtlEnforcement
from evenstore.sql.latest import build_latest_rows_sql
from evenstore.sql.point_in_time import JoinStrategy
from evenstore.sql.relation import AS_OF_US
from tests.support.feast_repo import FeastRepo
from tests.support.oracle import Answer, Row, Rules, is_same_value, join, newest, place
from tests.support.scale import scaled
from tests.support.strategies import CASES, World, worlds


class Bench:
    """One applied repo whose sources' files are replaced for each world.

    Feast's view says where the rows are; its schema is replaced by the world's, so that one apply
    serves worlds of every key type and ttl.
    """

    def __init__(self, folder: Path, session: duckdb.DuckDBPyConnection) -> None:
        self.repo = FeastRepo(folder)
        self.session = session
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
        self.views: dict[str, FeatureView] = {view.name: view for view in views}
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
            path = folder / f"{-number % 7}-{number}.parquet"
            pq.write_table(world.file_table(file), path, row_group_size=world.row_group_rows)
        enforcement = TtlEnforcement.ENFORCE if world.rules.is_enforced else TtlEnforcement.SHADOW
        withhold = world.rules.withholds_expired
        return FeatureViewSchema(
            name=name,
            join_keys=world.join_keys,
            features=world.features,
            ttl_us=world.rules.ttl_us,
            ttl_enforcement=enforcement,
            expired_values=ExpiredValues.WITHHOLD if withhold else ExpiredValues.RETURN,
        )

    def source(self, view: FeatureViewSchema) -> SourceFiles:
        """Find and check the files that `prepare` wrote."""
        return open_source(self.views[view.name], view, self.repo.path)

    def request(self, view: FeatureViewSchema, world: World) -> FeatureRequest:
        """Resolve what a world asks for."""
        registry = dataclasses.replace(self.registry, feature_views=(view,))
        references = (f"{view.name}:{field.name}" for field in world.asked_features)
        return resolve_references(registry, tuple(references))

    def open_join(
        self, world: World, view: FeatureViewSchema, strategy: JoinStrategy, ttl_us: int | None
    ) -> SqlJoin:
        """Plan a world's join, as `evenstore.offline.join_views` does."""
        entity_table = world.entity_table()
        numbered = number_entity_rows(
            entity_table,
            world.join_keys,
            as_of_us=to_instants_us(entity_table["event_timestamp"], "event_timestamp"),
            ttl_us=ttl_us,
        )
        keys = tuple(key.name for key in view.join_keys)
        read = ViewRead(view, view.name, keys, world.asked_features)
        opened = open_join(
            self.session,
            ViewToJoin(self.source(view), read, numbered),
            JoinOptions(knowledge_of(world), strategy=strategy),
            # A join that failed leaves its table behind.
            number=next(self._numbers),
        )
        assert isinstance(opened, SqlJoin)
        return opened


def may_merge(world: World) -> bool:
    """Tell where a merge is sure to be possible; elsewhere the as-of join stands in for it."""
    instants = [row.event_us for row in world.rows] + [at for _, at in world.entity_rows]
    is_near = bool(world.rows and world.entity_rows) and max(instants) - min(instants) < 2**30
    return is_near and bool(world.join_keys) and not world.rules.is_as_known


def knowledge_of(world: World) -> Knowledge:
    return Knowledge.AS_KNOWN if world.rules.is_as_known else Knowledge.LATEST_TRUTH


def answers_of(world: World) -> list[Answer]:
    names = [field.name for field in world.features]
    return join(world.rows, world.entity_rows, names, world.rules)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with open_session(SessionLimits(threads=2)) as session:
        # Or DuckDB would answer as-of joins of few entity rows by looping over them.
        session.execute("set asof_loop_join_threshold = 0")
        yield Bench(tmp_path_factory.mktemp("bench"), session)


@pytest.mark.timeout(3600)
@settings(max_examples=scaled(250, 20_000) // CASES)
@given(world=worlds())
def test_every_join_equals_oracle_for_any_world(bench: Bench, world: World) -> None:
    view = bench.prepare(world)
    answers = answers_of(world)
    for strategy in JoinStrategy:
        joins = bench.open_join(world, view, strategy, None)
        if joins.plan.strategy is not strategy:
            assert strategy is JoinStrategy.MERGE
            assert not may_merge(world)
            continue
        joins.find_winners()
        as_of_us = joins.entity_rows[AS_OF_US].combine_chunks()
        joined = decide(joins.fetch_table(), joins.read, as_of_us)
        joins.forget_winners()
        _assert_answers(joined, world, answers)


@pytest.mark.timeout(3600)
@settings(max_examples=scaled(80, 4_000) // CASES)
@given(world=worlds(), slice_rows=st.integers(1, 50))
def test_join_that_sees_no_expired_row_finds_the_rest(
    bench: Bench, world: World, slice_rows: int
) -> None:
    """The window of event timestamps is the ttl: what is withheld need not be found."""
    rules = dataclasses.replace(world.rules, is_enforced=True, withholds_expired=True)
    world = dataclasses.replace(world, rules=rules)
    view = bench.prepare(world)
    answers = answers_of(world)
    for strategy in JoinStrategy:
        joins = bench.open_join(world, view, strategy, rules.ttl_us)
        joins.find_winners()
        tables = list(joins.fetch_slices(slice_rows))
        joins.forget_winners()

        assert all(table.num_rows <= slice_rows for table in tables)
        as_of_us = joins.entity_rows[AS_OF_US].combine_chunks()
        first_row = 0
        for table in tables:
            part = slice(first_row, first_row + table.num_rows)
            joined = decide(table, joins.read, as_of_us[part])
            for field in world.asked_features:
                _assert_values(
                    joined.values(field).to_pylist(),
                    [answer.values[field.name] for answer in answers[part]],
                )
            first_row = part.stop
        assert first_row == len(answers)


@pytest.mark.timeout(3600)
@settings(max_examples=scaled(60, 2_000) // CASES)
@given(world=worlds(), slice_rows=st.integers(1, 50))
def test_history_is_the_join_at_once_and_in_slices(
    bench: Bench, world: World, slice_rows: int
) -> None:
    view = bench.prepare(world)
    entity_table = world.entity_table()
    request = bench.request(view, world)
    read = open_history(bench.store, request, entity_table, knowledge=knowledge_of(world))

    table = read.to_table()
    reader = read.to_reader(slice_rows)
    batches = list(reader)

    assert reader.schema == read.schema == table.schema
    assert all(batch.num_rows <= slice_rows for batch in batches)
    answers = answers_of(world)
    for joined in (table, pa.Table.from_batches(batches, reader.schema)):
        assert joined.select(entity_table.column_names) == entity_table
        for field in world.asked_features:
            column = f"{view.name}__{field.name}"
            assert joined.schema.field(column).type == arrow_type(field.dtype)
            _assert_values(
                joined[column].to_pylist(), [answer.values[field.name] for answer in answers]
            )
            assert joined[f"{column}__status"].to_pylist() == [
                answer.statuses[field.name] for answer in answers
            ]
            event_us = joined[f"{column}__event_timestamp"].cast(pa.int64()).to_pylist()
            assert event_us == [answer.event_us for answer in answers]


@pytest.mark.timeout(3600)
@settings(max_examples=scaled(120, 4_000) // CASES)
@given(world=worlds(), is_from_the_beginning=st.booleans())
def test_latest_rows_equal_oracle_for_any_world(
    bench: Bench, world: World, is_from_the_beginning: bool
) -> None:
    view = bench.prepare(world)
    instants = [as_of_us for _, as_of_us in world.entity_rows] or [0]
    since_us, until_us = EARLIEST_US if is_from_the_beginning else instants[-1], instants[0]
    winners = newest([row for row in world.rows if row.event_us >= since_us], until_us)

    sql = build_latest_rows_sql(bench.source(view), view, since_us=since_us, until_us=until_us)
    latest = bench.session.sql(sql).to_arrow_table().to_pylist()

    values = {_key(view, row): row for row in latest}
    assert len(latest) == len(values)
    assert values.keys() == winners.keys()
    names = [field.name for field in world.features]
    for key, winner in winners.items():
        _assert_values(
            [values[key][name] for name in names], [winner.values[name] for name in names]
        )


@pytest.mark.timeout(3600)
@settings(max_examples=scaled(60, 2_000) // CASES)
@given(world=worlds())
def test_entities_are_described_as_the_oracle_sees_them(bench: Bench, world: World) -> None:
    view = bench.prepare(world)
    until_us = world.entity_rows[0][1] if world.entity_rows else 0
    winners = newest(world.rows, until_us)

    table = describe_entities(bench.store, view, as_of_us=until_us)

    described = {_key(view, row): row for row in table.to_pylist()}
    assert table.num_rows == len(described)
    assert described.keys() == winners.keys()
    for key, winner in winners.items():
        row = described[key]
        peers = [peer for peer in world.rows if peer.key == key and peer.event_us <= until_us]
        assert row["event_us"] == winner.event_us
        assert row["n_rows"] == len(peers)
        assert row["has_null"] == (None in winner.values.values())
        assert row["is_ambiguous"] == _is_ambiguous(winner, peers)


def test_as_of_join_finds_rows_of_composite_keys_with_bytes(bench: Bench) -> None:
    keys, features = (Field("k", Dtype.INT32), Field("a", Dtype.BYTES)), (Field("n", Dtype.INT64),)
    row = Row((-1, b"\x00"), event_us=1_700_000_000_000_000, created_us=None, values={"n": 5})
    asked = ((row.key, row.event_us), (row.key, row.event_us + 2**40))
    world = World(keys, features, 1, ((row,),), asked, Rules(has_created=False), "us", "UTC", 100)
    joins = bench.open_join(world, bench.prepare(world), JoinStrategy.AS_OF, None)
    joins.find_winners()
    assert joins.fetch_table()["n"].to_pylist() == [5, 5]


def test_answer_is_the_same_whatever_else_is_asked(bench: Bench) -> None:
    """To the bit: 0.0 and -0.0 are equal as content, yet one of them has to win always."""
    features = (Field("x", Dtype.FLOAT64),)
    rows = tuple(Row((1,), 0, None, {"x": value}) for value in (0.0, -0.0))
    world = World(
        (Field("k", Dtype.INT64),),
        features,
        1,
        (rows,),
        (((1,), 0),) * 100,
        Rules(has_created=False),
        "us",
        "UTC",
        100,
    )
    view = bench.prepare(world)
    found = set()
    for n_asked in (1, 2, 10, 100):
        some = dataclasses.replace(world, entity_rows=world.entity_rows[:n_asked])
        joins = bench.open_join(some, view, JoinStrategy.RANGE, None)
        joins.find_winners()
        found |= set(map(repr, joins.fetch_table()["x"].to_pylist()))
    assert len(found) == 1


def _key(view: FeatureViewSchema, row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[key.name] for key in view.join_keys)


def _is_ambiguous(winner: Row, peers: Sequence[Row]) -> bool:
    instant = place(winner)[:2]
    return any(place(peer)[:2] == instant and place(peer) != place(winner) for peer in peers)


def _assert_answers(joined: JoinedView, world: World, answers: Sequence[Answer]) -> None:
    assert joined.event_us.to_pylist() == [answer.event_us for answer in answers]
    for field in world.asked_features:
        found = joined.values(field)
        assert found.type == arrow_type(field.dtype)
        _assert_values(found.to_pylist(), [answer.values[field.name] for answer in answers])
        assert joined.statuses(field).to_pylist() == [
            answer.statuses[field.name] for answer in answers
        ]


def _assert_values(offline_values: list[Any], oracle_values: list[Any]) -> None:
    assert len(offline_values) == len(oracle_values)
    for offline_value, oracle_value in zip(offline_values, oracle_values, strict=True):
        assert is_same_value(offline_value, oracle_value), (offline_value, oracle_value)

"""The rows that a run loads against the oracle's newest, over worlds dense with ties and edges.

The files of a world are read in two parts with bounds of their own, as a plan with unread files
does. Stray instants far from all others make the first, rough ranking rough.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenstore.compute.newest import FoundRows, NewestRowReader
from evenstore.dtypes import Dtype
from evenstore.duckdb_session import SessionLimits
from evenstore.errors import ConfigurationError
from evenstore.schema.files import SourceFiles, TimestampColumn
from evenstore.schema.model import FeatureViewSchema, Field
from evenstore.semantics import EARLIEST_US
from evenstore.sql.newest import WantedRows
from evenstore.sql.relation import CREATED_US, EVENT_US
from tests.support.oracle import Row, Rules, is_same_value, newest, place
from tests.support.scale import scaled
from tests.support.strategies import CASES, World, worlds

_LIMITS = SessionLimits(threads=2)


class Bench:
    """A folder for the files of one world after another."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count()

    def prepare(self, world: World) -> tuple[FeatureViewSchema, SourceFiles]:
        """Write a world's files; files are never rewritten, for footers are remembered."""
        for old in self._folder.glob("*.parquet"):
            old.unlink()
        paths = []
        for file in world.files:
            path = self._folder / f"{next(self._numbers)}.parquet"
            pq.write_table(world.file_table(file), path, row_group_size=world.row_group_rows)
            paths.append(str(path))
        has_ns = world.unit == "ns"
        created = TimestampColumn("created", has_ns=has_ns) if world.rules.has_created else None
        names = [field.name for field in (*world.join_keys, *world.features)]
        source = SourceFiles(
            paths=tuple(paths),
            event=TimestampColumn("event_timestamp", has_ns=has_ns),
            created=created,
            columns=tuple((name, name) for name in names),
        )
        return FeatureViewSchema("thing", world.join_keys, world.features, ttl_us=None), source


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("bench"))


def _read(reader: NewestRowReader) -> tuple[FoundRows, list[dict[str, Any]]]:
    return reader.find(), [row for batch in reader.batches() for row in batch.to_pylist()]


def _key(view: FeatureViewSchema, row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[key.name] for key in view.join_keys)


def _is_ambiguous(winner: Row, rows: Sequence[Row]) -> bool:
    peers = [row for row in rows if row.key == winner.key and place(row)[:2] == place(winner)[:2]]
    return any(place(peer) != place(winner) for peer in peers)


def _is_wanted(row: Row, since_us: int, until_us: int, created_after_us: int | None) -> bool:
    is_told = (
        created_after_us is not None
        and row.created_us is not None
        and row.created_us > created_after_us
    )
    return row.event_us <= until_us and (row.event_us >= since_us or is_told)


def _check(bench: Bench, world: World, n_first: int, since: int, told: int | None) -> None:
    view, source = bench.prepare(world)
    sorted_us = sorted(row.event_us for row in world.rows) or [0]
    until_us = sorted_us[-1 - len(sorted_us) // 4]
    since_us = EARLIEST_US if since == 0 else sorted_us[0] + since
    created_after_us = None if told is None else sorted_us[0] + told
    n_first = min(n_first, len(source.paths))
    halves: list[tuple[tuple[tuple[Row, ...], ...], int, int | None]] = [
        (world.files[:n_first], EARLIEST_US, None),
        (world.files[n_first:], since_us, created_after_us),
    ]
    wanted, rows = [], []
    happened = world.rows
    n_left_out = 0
    for paths, (files, first_us, after_us) in zip(
        (source.paths[:n_first], source.paths[n_first:]), halves, strict=True
    ):
        if paths:
            wanted.append(WantedRows(source.only(paths), first_us, after_us))
        for row in itertools.chain(*files):
            if row not in happened:
                n_left_out += 1
            elif _is_wanted(row, first_us, until_us, after_us):
                rows.append(row)
                n_left_out += None in row.key
    winners = newest(rows, until_us)

    found, latest = _read(NewestRowReader(wanted, view, until_us=until_us, limits=_LIMITS))

    by_key = {_key(view, row): row for row in latest}
    assert len(latest) == len(by_key) == found.n_rows
    assert by_key.keys() == winners.keys()
    assert found.n_left_out == n_left_out
    assert found.n_ambiguous == sum(_is_ambiguous(winner, rows) for winner in winners.values())
    for key, winner in winners.items():
        found_row = by_key[key]
        instants_us = found_row[EVENT_US], found_row[CREATED_US]
        assert instants_us == (winner.event_us, winner.created_us)
        for field in world.features:
            assert is_same_value(found_row[field.name], winner.values[field.name])


@pytest.mark.timeout(3600)
@settings(max_examples=scaled(120, 8_000) // CASES)
@given(
    world=worlds(),
    n_first=st.integers(0, 3),
    since=st.integers(0, 4),
    told=st.none() | st.integers(-1, 4),
)
def test_rows_of_a_run_equal_oracle_for_any_world(
    bench: Bench, world: World, n_first: int, since: int, told: int | None
) -> None:
    _check(bench, world, n_first, since, told)


def _row(key: int, event_us: int, created_us: int | None, n: int | None) -> Row:
    return Row((key,), event_us, created_us, {"n": n})


def _world(*files: Sequence[Row]) -> World:
    return World(
        join_keys=(Field("k", Dtype.INT64),),
        features=(Field("n", Dtype.INT64),),
        n_asked=1,
        files=tuple(map(tuple, files)),
        entity_rows=(),
        rules=Rules(),
        unit="us",
        zone="UTC",
        row_group_rows=100,
    )


_FAR_US = 2**61


@pytest.mark.parametrize(
    "files",
    [
        # A far instant within the interval takes bits from the rough ranking: 1 and 2 are alike.
        [[_row(1, 1, None, 5), _row(1, 2, None, 4), _row(2, _FAR_US, None, 0)] * 3],
        [[_row(1, 2, None, 4)], [_row(1, 1, None, 5)], [_row(2, -_FAR_US, None, 0)] * 9],
        # The same instant, told apart by created, by content, or by nothing.
        [[_row(1, 1, 3, 1), _row(1, 1, 2, 9)], [_row(1, 1, None, 7)]],
        [[_row(1, 1, 3, 1)], [_row(1, 1, 3, 9)], [_row(1, 1, 3, None)]],
        [[_row(1, 1, None, 1)] * 2, [_row(1, 1, None, 1)]],
        [[], [_row(1, 1, None, 1)], []],
        [[]],
    ],
    ids=["far ahead", "far behind", "created", "content", "nothing", "empty files", "no rows"],
)
def test_ties_are_decided_exactly(bench: Bench, files: list[list[Row]]) -> None:
    _check(bench, _world(*files), n_first=1, since=0, told=None)


def _many_entities(tmp_path: Path, n_rows: int, limits: SessionLimits) -> NewestRowReader:
    numbers = pa.array(range(n_rows), pa.int64())
    instants = numbers.cast(pa.timestamp("us", "UTC"))
    table = pa.table({"k": numbers, "event_timestamp": instants, "n": numbers})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=10_000)
    view = FeatureViewSchema("thing", _world().join_keys, _world().features, ttl_us=None)
    columns = (("k", "k"), ("n", "n"))
    path = str(tmp_path / "a.parquet")
    source = SourceFiles((path,), TimestampColumn("event_timestamp"), None, columns)
    return NewestRowReader([WantedRows(source, EARLIEST_US)], view, until_us=n_rows, limits=limits)


def test_rows_are_found_within_little_memory(tmp_path: Path) -> None:
    """More entities than fit: what is kept per entity is spilled, and the rows are the same."""
    n_rows = 200_000
    limits = SessionLimits("24MB", 2, str(tmp_path / "spilled"))
    reader = _many_entities(tmp_path, n_rows, limits)

    found = reader.find()

    assert found == FoundRows(n_rows, 0, 0)
    keys = [key for batch in reader.batches() for key in batch.column("k").to_pylist()]
    assert sorted(keys) == list(range(n_rows))


def test_folder_that_cannot_be_spilled_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    limits = SessionLimits("16MB", 2, str(tmp_path / "file" / "spilled"))
    reader = _many_entities(tmp_path, 400_000, limits)

    with pytest.raises(ConfigurationError, match="spilled") as error:
        reader.find()

    assert error.value.hint is not None
    assert "temp_directory" in error.value.hint

"""Runs over a changing folder of Parquet files against the oracle's newest rows.

Files are published with new and late rows, corrected in place, and replaced by others; runs ask for
any interval, and now and then Redis is emptied. What is promised after a run whose end is the
latest so far: the newest row of every entity, where it is within ttl of that end. An older row is
expired and withheld; it may be there or not, but never as a younger one.

Not promised, and so not drawn: that a row taken out of the source also leaves the online store.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from redis import Redis

from evenstore.clock import FrozenClock, SystemClock
from evenstore.compute.run import ViewRun
from evenstore.dtypes import Dtype
from evenstore.duckdb_session import SessionLimits
from evenstore.online.connection import open_redis
from evenstore.online.writer import RowWriter, open_encoder
from evenstore.redis_server import RedisServer
from evenstore.schema.files import SourceFiles, TimestampColumn
from evenstore.schema.model import FeatureViewSchema, Field, Layout
from tests.evenstore.compute.stored import read_stored
from tests.support.oracle import Row, is_same_value, newest
from tests.support.scale import scaled

_ORIGIN_US = 1_300_000_000_000_000
_LATEST = 20
_KEYS = tuple((k,) for k in (1, 2, 3))
_VIEW = FeatureViewSchema(
    "stats",
    (Field("k", Dtype.INT64),),
    (Field("n", Dtype.INT64), Field("x", Dtype.FLOAT64)),
    ttl_us=None,
)


@dataclass(frozen=True)
class _Publish:
    """A new file; with `replaces`, the files so far go and their rows are in it too."""

    rows: tuple[Row, ...]
    replaces: bool = False


@dataclass(frozen=True)
class _Correct:
    """Every row of one file gets another value, and by `is_told` a later created timestamp."""

    file_idx: int
    n: int
    is_told: bool


@dataclass(frozen=True)
class _Run:
    """A run over an interval, in offsets; its start may lie after its end."""

    start: int
    end: int


@dataclass(frozen=True)
class _Empty:
    """FLUSHALL."""


_Step = _Publish | _Correct | _Run | _Empty

_rows = st.builds(
    Row,
    key=st.sampled_from([*_KEYS, (None,)]),
    event_us=st.integers(0, _LATEST).map(lambda offset: _ORIGIN_US + offset),
    created_us=st.none() | st.integers(0, 3).map(lambda offset: _ORIGIN_US + offset),
    values=st.fixed_dictionaries(
        {
            "n": st.none() | st.sampled_from([0, 2**53 + 1]),
            "x": st.sampled_from([None, float("nan"), 1.5]),
        }
    ),
)
_publications = st.builds(_Publish, st.lists(_rows, max_size=6).map(tuple), st.booleans())
_runs = st.builds(_Run, st.integers(-5, _LATEST + 5), st.integers(0, _LATEST))
_corrections = st.builds(_Correct, st.integers(0, 5), st.integers(0, 9), st.booleans())
_steps: st.SearchStrategy[_Step] = st.one_of(
    _publications, _runs, _runs, _corrections, st.sampled_from([_Empty()])
)


@dataclass
class _Source:
    """The folder as it is now, with what every file holds."""

    folder: Path
    files: dict[str, tuple[Row, ...]] = field(default_factory=dict)
    n_writes: int = 0

    @property
    def rows(self) -> list[Row]:
        return [row for rows in self.files.values() for row in rows]

    def write(self, name: str, rows: tuple[Row, ...]) -> None:
        columns: dict[str, Any] = {
            "k": pa.array([row.key[0] for row in rows], pa.int64()),
            "n": pa.array([row.values["n"] for row in rows], pa.int64()),
            "x": pa.array([row.values["x"] for row in rows], pa.float64()),
            "event": _instants([row.event_us for row in rows]),
            "created": _instants([row.created_us for row in rows]),
        }
        path = self.folder / name
        pq.write_table(pa.table(columns), path)
        self.files[name] = rows
        # Writes follow each other faster here than a file system's clock ticks.
        self.n_writes += 1
        os.utime(path, ns=(self.n_writes, self.n_writes))

    def publish(self, step: _Publish) -> None:
        old = dict(self.files) if step.replaces else {}
        rows = (*(row for rows in old.values() for row in rows), *step.rows)
        self.write(f"{self.n_writes}.parquet", rows)
        for name in old:
            (self.folder / name).unlink()
            del self.files[name]

    def correct(self, step: _Correct) -> None:
        names = list(self.files)
        if not names:
            return
        name = names[step.file_idx % len(names)]
        self.write(
            name,
            tuple(
                replace(
                    row,
                    created_us=_ORIGIN_US + 9 if step.is_told else row.created_us,
                    values={**row.values, "n": step.n},
                )
                for row in self.files[name]
            ),
        )

    def describe(self) -> SourceFiles:
        return SourceFiles(
            paths=tuple(str(self.folder / name) for name in self.files),
            event=TimestampColumn("event"),
            created=TimestampColumn("created"),
            columns=(("k", "k"), ("n", "n"), ("x", "x")),
        )


def _instants(instants_us: list[Any]) -> pa.Array:
    return pa.array(instants_us, pa.int64()).cast(pa.timestamp("us", "UTC"))


@pytest.fixture(scope="module")
def client(redis_server: RedisServer) -> Iterator[Redis]:
    with open_redis(redis_server.url) as opened:
        yield opened


def _run(client: Redis, view: FeatureViewSchema, source: _Source, step: _Run) -> None:
    ViewRun(
        client=client,
        encoder=open_encoder(view, "p", Layout.PACKED),
        writer=RowWriter(client, "p", view),
        project="p",
        view=view,
        source=source.describe(),
        clock=FrozenClock(_ORIGIN_US + 10**12),
        sequence_us=SystemClock().now_us(),
        limits=SessionLimits(threads=1),
    ).execute(start_us=_ORIGIN_US + step.start, end_us=_ORIGIN_US + step.end)


def _check(client: Redis, view: FeatureViewSchema, source: _Source, end: int) -> None:
    until_us = _ORIGIN_US + end
    stored = read_stored(client, view, "p", _KEYS)
    promised = newest(source.rows, until_us)
    for key in _KEYS:
        row, online = promised.get(key), stored.get(key)
        if row is None:
            assert online is None
        elif view.ttl_us is None or until_us - row.event_us <= view.ttl_us:
            assert online is not None
            assert online.event_us == row.event_us
            assert is_same_value(row.values["n"], online.values["n"])
            assert is_same_value(row.values["x"], online.values["x"])
        else:
            assert online is None or online.event_us <= row.event_us


def _row(k: int, offset: int, n: int) -> Row:
    return Row((k,), _ORIGIN_US + offset, None, {"n": n, "x": None})


@settings(max_examples=scaled(25, 2000))
@given(st.lists(_steps, min_size=2, max_size=10), st.none() | st.integers(1, 12))
@example(  # A run that ends early must not count files as read whose rows lie behind its end.
    [
        _Publish((_row(1, 1, 0),)),
        _Run(0, 10),
        _Publish((_row(1, 8, 5),)),
        _Run(0, 4),
        _Run(11, 20),
    ],
    None,
)
@example(  # A run begins right behind the last one's end.
    [_Publish((_row(1, 5, 0), _row(1, 6, 5))), _Run(0, 5), _Run(25, 10)],
    None,
)
@example(  # A row of exactly the ttl's age is valid.
    [_Publish((_row(1, 6, 0),)), _Run(25, 10)],
    4,
)
@example(  # Loaded in one schema and interval, corrected at equal timestamps, then emptied.
    [
        _Publish((_row(1, 8, 0), _row(2, 3, 0))),
        _Run(25, 10),
        _Correct(0, 7, is_told=False),
        _Run(11, 12),
        _Empty(),
        _Run(13, 14),
    ],
    12,
)
def test_online_rows_are_the_newest_after_every_latest_run(
    client: Redis, steps: list[_Step], ttl_us: int | None
) -> None:
    client.flushall()
    view = replace(_VIEW, ttl_us=ttl_us)
    latest_end = -1
    with TemporaryDirectory() as folder:
        source = _Source(Path(folder))
        for step in steps:
            if isinstance(step, _Publish):
                source.publish(step)
            elif isinstance(step, _Correct):
                source.correct(step)
            elif isinstance(step, _Empty):
                client.flushall()
            elif source.files:
                _run(client, view, source, step)
                if step.end >= latest_end:
                    latest_end = step.end
                    _check(client, view, source, step.end)

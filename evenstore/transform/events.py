"""Raw events in DuckDB: what a run of days may see, and a digest of what each day was made from.

The SQL of a feature table never sees a whole source. It sees views cut to the look back of its
first day and to the end of its last complete window, so that reading the future is impossible
across a run of days, and a year of history is not read for a month of features.
"""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
from duckdb import ColumnExpression, ConstantExpression, DuckDBPyConnection, FunctionExpression

from evenstore.clock import us_to_datetime
from evenstore.duckdb_session import SessionLimits, open_session
from evenstore.errors import TransformError
from evenstore.transform.feature_sql import EventSource, FeatureSql
from evenstore.transform.incidents import LateEvents
from evenstore.transform.window import day_start_us

__all__ = ["DayDigests", "Events", "open_events"]

_DIGEST_SQL = """
select day, count(*), sum(cast(row_hash as hugeint))
from event_hashes
group by day
order by day
"""

_EARLIEST_DAY = date(1, 1, 1)


class DayDigests:
    """Digest of the events that a day's windows can be made from.

    Equal digests mean equal events, so a day with an unchanged digest need not be computed again.
    They hold for one DuckDB version: its row hash may change, which costs a computation.
    """

    def __init__(
        self, day_lines: Mapping[date, tuple[str, ...]], look_back_days: int | None
    ) -> None:
        self._day_lines = sorted(day_lines.items())
        self._look_back_days = look_back_days

    def of(self, day: date, *, runs: str) -> str:
        """Hash the events that matter to a day, and `runs`, which says how its runs went."""
        first = _first_visible_day(day, self._look_back_days)
        digest = hashlib.sha256(runs.encode())
        for event_day, lines in self._day_lines:
            if first <= event_day <= day:
                digest.update("\n".join((event_day.isoformat(), *lines)).encode())
        return digest.hexdigest()[:16]


class Events:
    """The sources of one feature table, open in one DuckDB connection. Not thread-safe."""

    def __init__(
        self, connection: DuckDBPyConnection, sql: FeatureSql, sources: Mapping[str, list[str]]
    ) -> None:
        self.connection = connection
        self._sql = sql
        self._files = sources

    def show(self, first_day: date, *, until_us: int, without: LateEvents | None = None) -> None:
        """Give the SQL views of the events that windows from `first_day` to `until_us` may use.

        Args:
            first_day: First day of the windows; the look back begins before it.
            until_us: Exclusive end of the last complete window.
            without: Events to leave out, because they had not arrived.
        """
        first = _first_visible_day(first_day, self._sql.look_back_days)
        for source in self._sql.sources:
            visible = self._relation(source).filter(
                ColumnExpression(source.time_column) < _constant(until_us)
            )
            if first > _EARLIEST_DAY:
                visible = visible.filter(
                    ColumnExpression(source.time_column) >= _constant(day_start_us(first))
                )
            if without is not None:
                time_column = ColumnExpression(source.time_column)
                visible = visible.filter(
                    (time_column < _constant(without.since_us))
                    | (time_column >= _constant(without.until_us))
                )
            visible.create_view(source.name, replace=True)

    def digests(self) -> DayDigests:
        """Hash every day of every source, in one pass over each.

        Raises:
            TransformError: A source has rows without an event time.
        """
        day_lines: dict[date, tuple[str, ...]] = {}
        for source in self._sql.sources:
            for day, n_rows, total in self._hash_days(source):
                if day is None:
                    msg = f"{source.name}: {n_rows} rows have no `{source.time_column}`"
                    raise TransformError(
                        msg, hint="give each event its time, or leave those rows out of the file"
                    )
                line = f"{source.name} {n_rows} {total}"
                day_lines[day] = (*day_lines.get(day, ()), line)
        return DayDigests(day_lines, self._sql.look_back_days)

    def _hash_days(self, source: EventSource) -> list[tuple[date | None, int, int]]:
        relation = self._relation(source)
        columns = [ColumnExpression(name) for name in relation.columns]
        # A sum, because the order of rows must not matter and an exact duplicate must.
        relation.select(
            ColumnExpression(source.time_column).cast("DATE").alias("day"),
            FunctionExpression("hash", *columns).alias("row_hash"),
        ).create_view("event_hashes", replace=True)
        return self.connection.execute(_DIGEST_SQL).fetchall()

    def _relation(self, source: EventSource) -> duckdb.DuckDBPyRelation:
        relation = self.connection.read_parquet(self._files[source.name])
        if source.time_column not in relation.columns:
            msg = f"{source.name}: no column `{source.time_column}`"
            raise TransformError(msg, hint="columns are " + ", ".join(relation.columns))
        return relation


@contextmanager
def open_events(
    sql: FeatureSql, sources: Mapping[str, Path], limits: SessionLimits
) -> Iterator[Events]:
    """Open the sources of a feature table in an own DuckDB, pinned to UTC, until the block ends.

    Args:
        sql: Names the sources.
        sources: A Parquet file or a folder of them for each name.
        limits: Threads and memory.

    Raises:
        TransformError: A source is not given or has no Parquet file.
    """
    files = {source.name: _parquet_files(sql, source, sources) for source in sql.sources}
    with tempfile.TemporaryDirectory(prefix="evenstore-transform-") as spill_folder:
        # Without a folder of its own DuckDB would spill into `.tmp` of the working directory.
        folder = limits.temp_directory or spill_folder
        with open_session(dataclasses.replace(limits, temp_directory=folder)) as connection:
            yield Events(connection, sql, files)


def _parquet_files(sql: FeatureSql, source: EventSource, sources: Mapping[str, Path]) -> list[str]:
    path = sources.get(source.name)
    if path is None:
        msg = f"{sql.name}: no file given for the source `{source.name}`"
        raise TransformError(msg, hint="given: " + (", ".join(sorted(sources)) or "nothing"))
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        msg = f"{sql.name}: no Parquet file at `{path}` for the source `{source.name}`"
        raise TransformError(msg, hint="make the raw data first, or name another path")
    return [str(file) for file in files]


def _first_visible_day(day: date, look_back_days: int | None) -> date:
    if look_back_days is None or day.toordinal() <= look_back_days:
        return _EARLIEST_DAY
    return day - timedelta(days=look_back_days)


def _constant(instant_us: int) -> duckdb.Expression:
    instant: datetime = us_to_datetime(instant_us).astimezone(UTC).replace(tzinfo=None)
    return ConstantExpression(instant)

"""Runs one feature SQL file over a range of days: incremental, idempotent, safe to kill.

Days are computed many at a time, because the SQL aggregates the look back once for all of them, and
published one by one.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from evenstore.clock import Clock
from evenstore.duckdb_session import SessionLimits
from evenstore.errors import TransformError
from evenstore.progress import NullProgress, Progress
from evenstore.transform.day_files import DayFiles, Publication, open_day_files
from evenstore.transform.events import DayDigests, Events, open_events
from evenstore.transform.feature_sql import FeatureSql
from evenstore.transform.incidents import NO_INCIDENTS, Incidents, LateEvents, Outage
from evenstore.transform.rows import (
    EVENT_COLUMN,
    created_at_least,
    created_by,
    join_windows,
    publish_after,
    shape_days,
)
from evenstore.transform.window import (
    US_PER_DAY,
    consecutive_runs,
    day_start_us,
    days_between,
    newest_usable_end_us,
)

__all__ = ["TransformReport", "run_transform"]

_MONTH_DAYS = 31
_YEAR_DAYS = 366


@dataclass(frozen=True, slots=True)
class TransformReport:
    """What one run did.

    Attributes:
        name: The feature table.
        n_days: Days computed.
        n_days_skipped: Days whose files were already made by this SQL from the same events.
        n_days_incomplete: Days asked for without one window whose delay is over.
        n_rows: Rows of the days computed.
        files_written: New files; a computed day whose content did not change writes none.
        files_removed: Files that were replaced, or left by a run that was killed.
        elapsed_s: Seconds, the wait for another run included.
    """

    name: str
    n_days: int
    n_days_skipped: int
    n_days_incomplete: int
    n_rows: int
    files_written: int
    files_removed: int
    elapsed_s: float


@dataclass(slots=True)
class _Tally:
    n_rows: int = 0
    files_written: int = 0
    files_removed: int = 0

    def add(self, files: Sequence[pa.Table], publication: Publication) -> None:
        self.n_rows += sum(rows.num_rows for rows in files)
        self.files_written += publication.n_written
        self.files_removed += publication.n_removed


def run_transform(
    sql: FeatureSql,
    *,
    sources: Mapping[str, Path],
    destination: Path,
    first_day: date,
    last_day: date,
    clock: Clock,
    progress: Progress | None = None,
    only_missing: bool = False,
    incidents: Incidents = NO_INCIDENTS,
    days_per_query: int | None = None,
    limits: SessionLimits | None = None,
) -> TransformReport:
    """Compute the feature table for a range of days and publish a file for each.

    Args:
        sql: The feature table's definition.
        sources: A Parquet file, or a folder of them, for each source that the SQL names.
        destination: The table's own folder; made if need be.
        first_day: First day, inclusive.
        last_day: Last day, inclusive; days that are not over yet are left out and counted.
        clock: Decides which windows are over.
        progress: Is told of every day done.
        only_missing: Skip days made by this SQL from the same events and incidents.
        incidents: Outages, and events that arrived after the run that needed them.
        days_per_query: More is faster and takes more memory; by default a month, or a year where
            every query looks back over all events anyway.
        limits: Of DuckDB.

    Guarantees:
        No row has an event timestamp later than the clock's now. A rerun on the same events leaves
        the folder as it is, byte for byte. A run killed anywhere leaves whole files only, and the
        next run repairs the rest. A second run of the same table waits for the first.

    Raises:
        TransformError: A source is missing or lacks its event time, the SQL fails, or its result is
            no feature table. Days published before stay.
    """
    started_s = time.monotonic()
    usable_end_us = newest_usable_end_us(sql.grain, delay_us=sql.delay_us, now_us=clock.now_us())
    asked = days_between(first_day, last_day)
    days = [day for day in asked if day_start_us(day) + sql.grain.length_us <= usable_end_us]
    tally = _Tally()
    with (
        open_day_files(destination, sql) as files,
        open_events(sql, sources, limits or SessionLimits()) as events,
    ):
        told = progress or NullProgress()
        run = _Run(sql, files, events, incidents, clock.now_us(), usable_end_us, told, tally)
        n_computed = run.compute(days, days_per_query or _longest(sql), only_missing=only_missing)
    return TransformReport(
        name=sql.name,
        n_days=n_computed,
        n_days_skipped=len(days) - n_computed,
        n_days_incomplete=len(asked) - len(days),
        **asdict(tally),
        elapsed_s=time.monotonic() - started_s,
    )


def _longest(sql: FeatureSql) -> int:
    return _YEAR_DAYS if sql.look_back_days is None else _MONTH_DAYS


@dataclass(frozen=True, slots=True)
class _Run:
    """One run over opened files and events."""

    sql: FeatureSql
    files: DayFiles
    events: Events
    incidents: Incidents
    now_us: int
    usable_end_us: int
    progress: Progress
    tally: _Tally

    def compute(self, days: Sequence[date], days_per_query: int, *, only_missing: bool) -> int:
        try:
            inputs = self._inputs(days, self.events.digests())
            due = [day for day in days if not (only_missing and self._is_current(day, inputs[day]))]
            self.progress.advance(len(days) - len(due))
            for run in consecutive_runs(due, longest=days_per_query):
                self._publish(run, inputs)
        except duckdb.Error as exc:
            msg = f"{self.sql.name}: DuckDB refused: {str(exc).strip()}"
            raise TransformError(
                msg, hint="check the SQL against the columns of its sources"
            ) from exc
        return len(due)

    def _inputs(self, days: Sequence[date], digests: DayDigests) -> dict[date, str]:
        inputs = {}
        for day in days:
            outages = [(outage, outage.until_us <= self.now_us) for outage in self._outages(day)]
            runs = (self._windows_end_us(day), outages, self._late_events(day))
            inputs[day] = digests.of(day, runs=str(runs))
        return inputs

    def _is_current(self, day: date, inputs: str) -> bool:
        return self.files.is_current(day, inputs=inputs, n_files=self._n_files(day))

    def _windows_end_us(self, day: date) -> int:
        return min(day_start_us(day) + US_PER_DAY, self.usable_end_us)

    def _outages(self, day: date) -> Sequence[Outage]:
        return self.incidents.outages_of(day, delay_us=self.sql.delay_us)

    def _late_events(self, day: date) -> LateEvents | None:
        return self.incidents.late_events_of(day, self.sql.grain, delay_us=self.sql.delay_us)

    def _n_files(self, day: date) -> int:
        """Count the files that the runs of a day have published by now."""
        late = self._late_events(day)
        return 2 if late is not None and late.arrived_us <= self.now_us else 1

    def _publish(self, days: Sequence[date], inputs: Mapping[date, str]) -> None:
        complete = self._windows(days)
        for day, rows in complete.items():
            files = [
                created_by(publish_after(part, self._outages(day)), self.now_us)
                for part in self._files(day, rows)[: self._n_files(day)]
            ]
            self.tally.add(files, self.files.publish(day, files, inputs=inputs[day]))
            self.progress.advance()

    def _files(self, day: date, complete: pa.Table) -> Sequence[pa.Table]:
        """Return what the runs of a day published: one file, or one and its correction."""
        late = self._late_events(day)
        if late is None:
            return [complete]
        # Runs before the arrival saw less; the run at the arrival computed their windows again.
        known = self._windows([day], without=late)[day]
        ran_us = complete[EVENT_COLUMN].cast(pa.int64())
        is_early = pc.less(ran_us, late.arrived_us)
        is_touched = pc.greater(ran_us, late.since_us + self.sql.delay_us)
        first = join_windows(
            self.sql,
            known.filter(pc.less(known[EVENT_COLUMN].cast(pa.int64()), late.arrived_us)),
            complete.filter(pc.invert(is_early)),
        )
        correction = complete.filter(pc.and_(is_early, is_touched)).combine_chunks()
        return [first, created_at_least(correction, late.arrived_us)]

    def _windows(
        self, days: Sequence[date], *, without: LateEvents | None = None
    ) -> Mapping[date, pa.Table]:
        self.events.show(days[0], until_us=self._windows_end_us(days[-1]), without=without)
        return shape_days(self.sql, self._query(days), days, usable_end_us=self.usable_end_us)

    def _query(self, days: Sequence[date]) -> pa.Table:
        connection = self.events.connection
        statements = connection.extract_statements(self.sql.text)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            msg = f"{self.sql.name}: the file must hold exactly one SELECT"
            raise TransformError(
                msg, hint="use `with ... select ...` instead of several statements"
            )
        return connection.sql(
            self.sql.text, params={"first_day": days[0], "last_day": days[-1]}
        ).to_arrow_table()

"""One materialization run of one view.

Reads the newest rows, streams them to Redis, moves the watermark.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import redis
from typing_extensions import override

from evenstore.clock import Clock
from evenstore.codec.arrow_rows import ArrowRowEncoder
from evenstore.compute.plan import RunPlan, changed_files, plan_run
from evenstore.compute.watermark import (
    FileVersion,
    Watermark,
    mark_store,
    read_watermark,
    server_run,
    write_watermark,
)
from evenstore.duckdb_session import SessionLimits, open_session
from evenstore.errors import (
    EvenstoreError,
    MaterializationError,
    OfflineStoreError,
    OnlineStoreError,
)
from evenstore.online.writer import RowWriter, WriteCount
from evenstore.progress import open_progress
from evenstore.schema.arrow import arrow_type
from evenstore.schema.files import SourceFiles
from evenstore.schema.footer import fingerprint_files
from evenstore.schema.model import FeatureViewSchema, fingerprint
from evenstore.sql.latest import build_earliest_event_sql, build_latest_rows_sql
from evenstore.sql.relation import CREATED_US, EVENT_US, IS_AMBIGUOUS

__all__ = ["RunSummary", "ViewRun"]

_ROWS_PER_BATCH = 10_000


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What a run did.

    Attributes:
        view: The view's name.
        plan: The interval loaded, and why.
        n_read: Newest rows read, one per entity.
        n_written: Rows that were greater than the stored ones.
        n_superseded: Rows that were not.
        n_ambiguous: Winners that only their content set apart.
        n_late_files: Files read that the last run had not seen.
    """

    view: str
    plan: RunPlan
    n_read: int
    n_written: int
    n_superseded: int
    n_ambiguous: int
    n_late_files: int

    @override
    def __str__(self) -> str:
        ambiguous = f", {self.n_ambiguous:,} ambiguous" if self.n_ambiguous else ""
        return (
            f"{self.view}: {self.n_read:,} rows read, {self.n_written:,} written, "
            f"{self.n_superseded:,} superseded{ambiguous} ({self.plan.reason})"
        )


@dataclass(frozen=True)
class ViewRun:
    """A run of one view, ready to start.

    `sequence_us` is the machine's instant at which the source's files were listed, also where the
    clock that ttl and future rows go by is frozen: it orders reads of the source, not events.

    A run that is killed loses nothing: rows already written are right, the watermark has not moved,
    and the next run reads the same interval again.
    """

    client: redis.Redis
    project: str
    view: FeatureViewSchema
    source: SourceFiles
    clock: Clock
    sequence_us: int
    limits: SessionLimits

    @property
    def fingerprint(self) -> str:
        """Hash of the view and of which source columns it is read from."""
        source = self.source
        return fingerprint((self.view, source.event, source.created, source.columns))

    def execute(self, *, start_us: int, end_us: int) -> RunSummary:
        """Load an interval, both ends inclusive.

        Rows without a join key or event timestamp name nothing and are left out, as joins leave
        them out.

        Raises:
            MaterializationError: Reading, encoding or writing failed; the message says how far it
                got. The watermark has not moved.
        """
        counter = _Counter()
        try:
            return self._execute(start_us, end_us, counter)
        except EvenstoreError as exc:
            raise MaterializationError(
                exc.message,
                view=self.view.name,
                rows_written=counter.written.n_written,
                hint=exc.hint,
            ) from exc

    def _execute(self, start_us: int, end_us: int, counter: _Counter) -> RunSummary:
        mark = mark_store(self.client, self.project)
        started_on = server_run(self.client)
        # No skew: a source's row of the near future is loaded when its instant has come.
        until_us = min(end_us, self.clock.now_us())
        watermark = read_watermark(self.client, self.project, self.view.name)
        sequence_us = self.sequence_us
        if watermark is not None:  # The machine's clock may have been set back.
            sequence_us = max(sequence_us, watermark.sequence_us + 1)
        files = _file_versions(self.source)
        unread = changed_files(watermark, files)
        plan = plan_run(
            self.view,
            watermark,
            fingerprint=self.fingerprint,
            start_us=start_us,
            end_us=until_us,
            earliest_unread_us=self._earliest_us(unread) if watermark else None,
        )
        self._load(plan, sequence_us, counter)
        if server_run(self.client) != started_on:
            msg = "Redis was restarted while rows were written"
            raise OnlineStoreError(msg, hint="run again: what was lost is loaded then")
        # Also back, where this run ends earlier than the last: of files that only this one has
        # read, the rows between both ends are not loaded yet.
        moved = Watermark(until_us, files, self.fingerprint, sequence_us)
        write_watermark(self.client, self.project, self.view.name, moved, mark=mark)
        return RunSummary(
            view=self.view.name,
            plan=plan,
            n_read=counter.n_read,
            n_written=counter.written.n_written,
            n_superseded=counter.written.n_superseded,
            n_ambiguous=counter.n_ambiguous,
            n_late_files=len(unread) if watermark else 0,
        )

    def _earliest_us(self, paths: tuple[str, ...]) -> int | None:
        if not paths:
            return None
        unread = self.source.only(paths)
        with open_session(self.limits, sources=[unread]) as session:
            ((earliest_us,),) = session.sql(build_earliest_event_sql(unread, self.view)).fetchall()
        return None if earliest_us is None else int(earliest_us)

    def _load(self, plan: RunPlan, sequence_us: int, counter: _Counter) -> None:
        encoder = ArrowRowEncoder(self.view, self.project, sequence_us=sequence_us)
        writer = RowWriter(self.client, self.view)
        with open_progress(self.view.name) as progress:
            for batch in self._batches(plan):
                rows = encoder.encode(batch, event_column=EVENT_US, created_column=CREATED_US)
                counter.count(batch, writer.write(rows))
                progress.advance(batch.num_rows)

    def _batches(self, plan: RunPlan) -> Iterator[pa.RecordBatch]:
        sql = build_latest_rows_sql(
            self.source, self.view, since_us=plan.since_us, until_us=plan.until_us
        )
        declared = {
            field.name: arrow_type(field.dtype)
            for field in (*self.view.join_keys, *self.view.features)
        }
        with open_session(self.limits, sources=[self.source]) as session:
            reader: pa.RecordBatchReader = session.sql(sql).to_arrow_reader(_ROWS_PER_BATCH)
            for batch in _read_batches(reader):
                schema = pa.schema(
                    [
                        (name, declared.get(name, batch.schema.field(name).type))
                        for name in batch.schema.names
                    ]
                )
                yield batch.cast(schema)


def _read_batches(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    # DuckDB's errors during the stream arrive as Arrow's.
    while True:
        try:
            batch = reader.read_next_batch()
        except StopIteration:
            return
        except (OSError, pa.ArrowException) as exc:
            msg = f"the source cannot be read to its end: {str(exc).strip().splitlines()[0]}"
            raise OfflineStoreError(msg, hint="was a file replaced meanwhile? run again") from exc
        yield batch


class _Counter:
    """Counts while a run goes on, so that a failure can say how far it got."""

    def __init__(self) -> None:
        self.n_read = 0
        self.n_ambiguous = 0
        self.written = WriteCount(0, 0)

    def count(self, batch: pa.RecordBatch, written: WriteCount) -> None:
        self.n_read += batch.num_rows
        self.n_ambiguous += batch.column(IS_AMBIGUOUS).true_count
        self.written += written


def _file_versions(source: SourceFiles) -> dict[str, FileVersion]:
    return {
        identity.path: (identity.size_bytes, identity.modified_ns)
        for identity in fingerprint_files(source)
    }

"""One materialization run of one view.

Reads the newest rows, streams them to Redis, moves the watermark.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import pyarrow as pa
import redis

from evenstore.clock import Clock
from evenstore.codec.rows import EncodedRows, RowBatch, RowEncoder
from evenstore.compute.bad_rows import BadRowPolicy, GoodRows
from evenstore.compute.newest import FoundRows, NewestRowReader
from evenstore.compute.pace import Pace, PaceLimits
from evenstore.compute.plan import FileFacts, LateRowPolicy, RunPlan, plan_run
from evenstore.compute.summary import RunSummary
from evenstore.compute.watermark import (
    Watermark,
    load_fingerprint,
    mark_store,
    read_watermark,
    server_run,
    write_watermark,
)
from evenstore.duckdb_session import SessionLimits
from evenstore.errors import (
    EvenstoreError,
    MaterializationError,
    OnlineStoreError,
    SourceChangedError,
)
from evenstore.offline.retry import unchanged_sources
from evenstore.online.connection import execute
from evenstore.online.writer import RowWriter, WriteCount
from evenstore.progress import open_progress
from evenstore.schema.files import SourceFiles
from evenstore.schema.footer import ColumnRange, fingerprint_files, footers_of
from evenstore.schema.model import FeatureViewSchema
from evenstore.schema.values import to_declared_array
from evenstore.sql.newest import WantedRows
from evenstore.sql.relation import CREATED_US, EVENT_US, FILE

__all__ = ["RunOptions", "ViewRun"]

_ROWS_PER_CHUNK = 16_384


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a run treats late rows, bad rows and a busy Redis."""

    late_rows: LateRowPolicy = field(default_factory=LateRowPolicy)
    on_bad_row: BadRowPolicy = BadRowPolicy.FAIL
    pace: PaceLimits = field(default_factory=PaceLimits)


@dataclass(frozen=True)
class ViewRun:
    """A run of one view, ready to start.

    `sequence_us` is the machine's instant at which the source's files were listed, also where the
    clock that ttl and future rows go by is frozen: it orders reads of the source, not events.

    A run that is killed loses nothing: rows already written are right, the watermark has not moved,
    and the next run reads the same rows again.
    """

    client: redis.Redis
    encoder: RowEncoder
    writer: RowWriter
    project: str
    view: FeatureViewSchema
    source: SourceFiles
    clock: Clock
    sequence_us: int
    limits: SessionLimits
    options: RunOptions = field(default_factory=RunOptions)

    def execute(self, *, start_us: int, end_us: int) -> RunSummary:
        """Load an interval, both ends inclusive.

        Rows without a join key or event timestamp name nothing and are left out, as joins leave
        them out; the summary counts them.

        Raises:
            MaterializationError: Reading, encoding or writing failed; the message says how far it
                got. The watermark has not moved.
            SourceChangedError: A file was replaced while it was read: run again on the new files.
                The watermark has not moved.
        """
        counter = _Counter()
        try:
            return self._execute(start_us, end_us, counter)
        except SourceChangedError:
            raise
        except EvenstoreError as exc:
            raise MaterializationError(
                exc.message,
                view=self.view.name,
                rows_written=counter.written.n_written,
                hint=exc.hint,
            ) from exc

    def _execute(self, start_us: int, end_us: int, counter: _Counter) -> RunSummary:
        mark = mark_store(self.client, self.project, self.view.name)
        started_on = server_run(self.client)
        # No skew: a source's row of the near future is loaded when its instant has come.
        until_us = min(end_us, self.clock.now_us())
        watermark = read_watermark(self.client, self.project, self.view.name)
        sequence_us = self.sequence_us
        if watermark is not None:  # The machine's clock may have been set back.
            sequence_us = max(sequence_us, watermark.sequence_us + 1)
        source = _with_ranges(self.source)
        fingerprint = load_fingerprint(self.view, source, self.writer.layout)
        files = _file_facts(source)
        plan = plan_run(
            self.view,
            watermark,
            files,
            fingerprint=fingerprint,
            start_us=start_us,
            end_us=until_us,
            policy=self.options.late_rows,
        )
        is_reload = watermark is None or watermark.fingerprint != fingerprint
        loaded_us = None if watermark is None or is_reload else watermark.event_end_us
        found = self._transfer(source, plan, loaded_us, sequence_us, counter)
        if server_run(self.client) != started_on:
            msg = "Redis was restarted while rows were written"
            raise OnlineStoreError(msg, hint="run again: what was lost is loaded then")
        # Also back, where this run ends earlier than the last: of files that only this one has
        # read, the rows between both ends are not loaded yet.
        moved = Watermark(
            event_end_us=until_us,
            files={path: file.version for path, file in files.items()},
            fingerprint=fingerprint,
            sequence_us=sequence_us,
            created_end_us=_created_end_us(source, sequence_us),
            event_start_us=plan.since_us,
        )
        write_watermark(self.client, self.project, self.view.name, moved, mark=mark)
        return RunSummary(
            view=self.view.name,
            plan=plan,
            n_read=counter.n_read,
            n_written=counter.written.n_written,
            n_superseded=counter.written.n_superseded,
            n_late=counter.n_late,
            n_ambiguous=found.n_ambiguous,
            n_refused=counter.n_refused,
            n_left_out=found.n_left_out,
        )

    def _transfer(
        self,
        source: SourceFiles,
        plan: RunPlan,
        loaded_us: int | None,
        sequence_us: int,
        counter: _Counter,
    ) -> FoundRows:
        """Bring the planned rows from the source's files to Redis."""
        if not plan.parts:
            return FoundRows(0, 0, 0)
        wanted = [
            WantedRows(
                source.only(part.paths),
                part.since_us,
                part.created_after_us,
                counts_undated=part.is_unread,
            )
            for part in plan.parts
        ]
        is_unread = np.array([part.is_unread for part in plan.parts for _ in part.paths])
        with unchanged_sources([source]):
            reader = NewestRowReader(wanted, self.view, until_us=plan.until_us, limits=self.limits)
            found = reader.find()
            batches = _chunks(reader.batches(), self.options.pace.rows_per_chunk(_ROWS_PER_CHUNK))
            if loaded_us is not None:
                batches = counter.count_late(batches, is_unread, loaded_us)
            self._load(batches, found.n_rows, sequence_us, counter)
        return found

    def _load(
        self, batches: Iterable[pa.RecordBatch], n_rows: int, sequence_us: int, counter: _Counter
    ) -> None:
        """Encode and write the rows of a run, batch by batch."""
        declare = _Declaration(self.view)

        def encode(batch: pa.RecordBatch) -> EncodedRows:
            rows = RowBatch.of_arrow(
                declare(batch),
                self.view,
                event_column=EVENT_US,
                created_column=CREATED_US,
                sequence_us=sequence_us,
            )
            return self.encoder.encode(rows)

        good_rows = GoodRows(self.view, self.options.on_bad_row)
        pace = Pace(self.options.pace, lambda: execute(self.client, [(b"PING",)]))
        with (
            open_progress(self.view.name, total=n_rows) as progress,
            _Sender(self.writer) as sender,
        ):
            for batch in batches:
                counter.n_read += batch.num_rows
                for _, rows in good_rows.encode(batch, encode):
                    counter.written += sender.send(rows)
                counter.n_refused = good_rows.n_refused
                progress.advance(batch.num_rows)
                pace.rest(batch.num_rows)
            counter.written += sender.finish()


class _Sender:
    """Writes one batch while the next is read and encoded; never more than one ahead."""

    def __init__(self, writer: RowWriter) -> None:
        self._writer = writer
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="evenstore-write")
        self._under_way: Future[WriteCount] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()

    def send(self, rows: EncodedRows) -> WriteCount:
        """Wait for the batch before, begin to write this one, and return the former's count."""
        written = self.finish()
        self._under_way = self._thread.submit(self._writer.write, rows)
        return written

    def finish(self) -> WriteCount:
        """Wait for the last batch and return its count."""
        under_way, self._under_way = self._under_way, None
        return WriteCount(0, 0) if under_way is None else under_way.result()


class _Declaration:
    """Gives the columns that DuckDB made their declared Arrow types."""

    def __init__(self, view: FeatureViewSchema) -> None:
        self._dtypes = {named.name: named.dtype for named in (*view.join_keys, *view.features)}

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        names = batch.schema.names
        return pa.record_batch([self._column(batch, name) for name in names], names=names)

    def _column(self, batch: pa.RecordBatch, name: str) -> pa.Array:
        column, dtype = batch.column(name), self._dtypes.get(name)
        return column if dtype is None else to_declared_array(column, dtype)


class _Counter:
    """Counts while a run goes on, so that a failure can say how far it got."""

    def __init__(self) -> None:
        self.n_read = 0
        self.n_late = 0
        self.n_refused = 0
        self.written = WriteCount(0, 0)

    def count_late(
        self, batches: Iterable[pa.RecordBatch], is_unread: np.ndarray, loaded_us: int
    ) -> Iterator[pa.RecordBatch]:
        """Pass batches on, and count what the last run should have loaded."""
        for batch in batches:
            events_us = batch.column(EVENT_US).to_numpy()
            is_late = is_unread[batch.column(FILE).to_numpy()] & (events_us <= loaded_us)
            self.n_late += int(is_late.sum())
            yield batch


def _chunks(batches: Iterable[pa.RecordBatch], n_rows: int) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for start in range(0, batch.num_rows, n_rows):
            yield batch.slice(start, n_rows)


def _with_ranges(source: SourceFiles) -> SourceFiles:
    """Return a source whose identities and timestamp ranges are known."""
    stamps = [source.event.name, *([source.created.name] if source.created else [])]
    return dataclasses.replace(
        source,
        identities=source.identities or fingerprint_files(source),
        ranged=tuple(dict.fromkeys([*source.ranged, *stamps])),
    )


def _file_facts(source: SourceFiles) -> Mapping[str, FileFacts]:
    facts = {}
    for footer in footers_of(source):
        event = footer.range_of(source.event.name)
        created = None if source.created is None else footer.range_of(source.created.name)
        identity = footer.identity
        facts[footer.path] = FileFacts(
            (identity.size_bytes, identity.modified_ns),
            _instants(event),
            # A null is outside of the range, and ties with any other null.
            None if created is None or created.n_nulls != 0 else _instants(created),
        )
    return facts


def _created_end_us(source: SourceFiles, now_us: int) -> int | None:
    """Return the greatest created timestamp of all files, None where one does not say.

    One that lies ahead is a wrong clock's: rows created after it would never be late.
    """
    if source.created is None:
        return None
    ends = []
    for footer in footers_of(source):
        created = _instants(footer.range_of(source.created.name))
        if created is None and footer.n_rows:
            return None
        if created is not None:
            ends.append(created[1])
    return min(max(ends), now_us) if ends else None


def _instants(found: ColumnRange | None) -> tuple[int, int] | None:
    if found is None or not isinstance(found.minimum, int) or not isinstance(found.maximum, int):
        return None
    return found.minimum, found.maximum

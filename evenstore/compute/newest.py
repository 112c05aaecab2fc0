"""Reads the newest rows of a run: finds where they are, then streams them in the files' order.

Finding keeps one bit for each row of the source; streaming keeps one batch. So memory does not grow
with the number of entities: what DuckDB needs to find them is bounded, and spills.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from evenstore.duckdb_session import SessionLimits, open_session
from evenstore.errors import ConfigurationError, OfflineStoreError
from evenstore.schema.files import SourceFiles
from evenstore.schema.footer import footers_of
from evenstore.schema.model import FeatureViewSchema
from evenstore.sql.newest import NewestRows, WantedRows
from evenstore.sql.relation import FILE, FILE_ROW, IS_AMBIGUOUS, IS_TIED
from evenstore.sql.row_order import RowBounds, build_row_bounds_sql

__all__ = ["FoundRows", "NewestRowReader"]

# Enough to group a million entities in memory; more of them spill. Only finding is bounded so low:
# streaming needs a row group's columns at once, however many rows there are.
_FINDING_MEMORY = "192MB"
_POSITIONS_PER_BATCH = 100_000
_ROWS_PER_READ = 10_000


@dataclass(frozen=True, slots=True)
class FoundRows:
    """How many rows a run is about to load.

    Attributes:
        n_rows: Newest rows, one per entity.
        n_ambiguous: Those that only their content set apart from others.
        n_left_out: Rows of the source that name no entity or no instant.
    """

    n_rows: int
    n_ambiguous: int
    n_left_out: int


class NewestRowReader:
    """Finds and streams the newest row of every entity, once.

    Args:
        parts: Which rows of which files.
        view: The view.
        until_us: Latest event timestamp, inclusive.
        limits: Of DuckDB.

    Raises:
        SourceUnavailableError: A file cannot be read.
    """

    def __init__(
        self,
        parts: Sequence[WantedRows],
        view: FeatureViewSchema,
        *,
        until_us: int,
        limits: SessionLimits,
    ) -> None:
        self._parts = tuple(parts)
        self._view = view
        self._until_us = until_us
        self._limits = limits
        self._sources: list[SourceFiles] = [part.source for part in self._parts]
        sizes = [footer.n_rows for source in self._sources for footer in footers_of(source)]
        self._winners = [_Positions(n_rows) for n_rows in sizes]
        self._n_rows_in_files = sum(sizes)

    def find(self) -> FoundRows:
        """Find the newest rows; what finding needs beyond the memory for it is spilled.

        Raises:
            SourceUnavailableError: A file cannot be read.
            OfflineStoreError: DuckDB is out of memory or of temporary disk.
        """
        if not self._n_rows_in_files:
            return FoundRows(0, 0, 0)
        if self._limits.memory_limit is not None:
            return self._find(self._limits)
        try:
            return self._find(replace(self._limits, memory_limit=_FINDING_MEMORY))
        except OfflineStoreError as exc:
            if not _is_out_of_memory(exc):
                raise
        # A row group of long keys may not fit.
        return self._find(self._limits)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Stream the rows that were found.

        Shapes:
            out: rows x (join keys, features, `_event_us`, `_created_us`, `_file`, `_file_row`), of
                the types that DuckDB gives them.

        Raises:
            SourceUnavailableError: A file cannot be read.
            OfflineStoreError: Reading stopped before the end.
        """
        if not any(winners.n_set for winners in self._winners):
            return
        with self._open(self._limits) as session:
            statements = self._statements(session)
            reader: pa.RecordBatchReader = session.sql(statements.fetch_sql()).to_arrow_reader(
                _ROWS_PER_READ
            )
            yield from _regroup(self._keep_winners(batch) for batch in _read_batches(reader))

    def _find(self, limits: SessionLimits) -> FoundRows:
        for winners in self._winners:
            winners.clear()
        with self._open(limits) as session:
            statements = self._statements(session)
            is_any_tied = False
            for batch in _read_batches(
                session.sql(statements.find_sql()).to_arrow_reader(_POSITIONS_PER_BATCH)
            ):
                is_tied = batch.column(IS_TIED).to_numpy(zero_copy_only=False)
                positions = batch.column(FILE_ROW).to_numpy()[~is_tied]
                self._set(
                    positions >> statements.row_bits, positions & (2**statements.row_bits - 1)
                )
                is_any_tied |= bool(is_tied.any())
            n_ambiguous = self._find_tied(session, statements) if is_any_tied else 0
            ((n_left_out,),) = session.sql(statements.left_out_sql()).fetchall()
        n_rows = sum(winners.n_set for winners in self._winners)
        return FoundRows(n_rows, n_ambiguous, int(n_left_out))

    def _find_tied(self, session: duckdb.DuckDBPyConnection, statements: NewestRows) -> int:
        session.execute(statements.keep_tied_sql())
        session.execute(statements.keep_exact_sql())
        session.execute(statements.keep_same_sql())
        n_ambiguous = 0
        for sql in (statements.exact_sql(), statements.same_sql(), statements.content_sql()):
            for batch in _read_batches(session.sql(sql).to_arrow_reader(_POSITIONS_PER_BATCH)):
                self._set(batch.column(FILE).to_numpy(), batch.column(FILE_ROW).to_numpy())
                if IS_AMBIGUOUS in batch.schema.names:
                    n_ambiguous += batch.column(IS_AMBIGUOUS).true_count
        return n_ambiguous

    def _statements(self, session: duckdb.DuckDBPyConnection) -> NewestRows:
        bounds = [self._bounds(session, part) for part in self._parts]
        return NewestRows(
            self._parts, self._view, until_us=self._until_us, bounds=_join_bounds(bounds)
        )

    def _bounds(self, session: duckdb.DuckDBPyConnection, part: WantedRows) -> RowBounds:
        """Return the bounds of the wanted rows; far instants would cost the others bits."""
        ((n_rows, first_us, last_us, first_created_us, last_created_us),) = session.sql(
            build_row_bounds_sql(part.source)
        ).fetchall()
        event_us = created_us = None
        if first_us is not None:
            since_us = first_us if part.created_after_us is not None else part.since_us
            first_us = min(max(first_us, since_us), self._until_us)
            event_us = (first_us, max(first_us, min(last_us, self._until_us)))
        if first_created_us is not None:
            created_us = (first_created_us, last_created_us)
        return RowBounds(len(part.source.paths), n_rows, event_us, created_us)

    def _set(self, files: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]) -> None:
        if len(self._winners) == 1:
            self._winners[0].add(rows)
            return
        for file in np.unique(files):
            self._winners[file].add(rows[files == file])

    def _keep_winners(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        files, rows = batch.column(FILE).to_numpy(), batch.column(FILE_ROW).to_numpy()
        is_winner = np.zeros(len(rows), dtype=bool)
        for file in np.unique(files):
            of_file = files == file
            is_winner[of_file] = self._winners[file].contain(rows[of_file])
        return batch if is_winner.all() else batch.filter(pa.array(is_winner))

    @contextmanager
    def _open(self, limits: SessionLimits) -> Iterator[duckdb.DuckDBPyConnection]:
        with open_session(limits, sources=self._sources) as session:
            try:
                yield session
            except duckdb.IOException as exc:
                # It would be taken for an unreadable file of the source.
                if "directory" not in str(exc).lower():
                    raise
                msg = f"DuckDB cannot use its temporary directory: {str(exc).splitlines()[0]}"
                hint = "set `temp_directory` of batch_engine to a folder that can be written"
                raise ConfigurationError(msg, hint=hint) from exc


class _Positions:
    """A set of rows of one file, one bit each."""

    def __init__(self, n_rows: int) -> None:
        self._n_rows = n_rows
        self._bits = np.zeros(-(-n_rows // 8), dtype=np.uint8)
        self.n_set = 0

    def clear(self) -> None:
        self._bits[:] = 0
        self.n_set = 0

    def add(self, rows: npt.NDArray[np.int64]) -> None:
        """Add rows; none may be there already."""
        self._check(rows)
        np.bitwise_or.at(self._bits, rows >> 3, np.uint8(1) << (rows & 7).astype(np.uint8))
        self.n_set += len(rows)

    def contain(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        self._check(rows)
        found: npt.NDArray[np.bool_] = (
            self._bits[rows >> 3] >> (rows & 7).astype(np.uint8)
        ) & 1 > 0
        return found

    def _check(self, rows: npt.NDArray[np.int64]) -> None:
        if len(rows) and int(rows.max()) >= self._n_rows:
            msg = "a file has more rows than its footer said"
            raise OfflineStoreError(msg, hint="it was replaced meanwhile: run again")


def _is_out_of_memory(exc: OfflineStoreError) -> bool:
    # During a stream it arrives as Arrow's error, with DuckDB's text.
    is_arrows = isinstance(exc.__cause__, OSError | pa.ArrowException)
    is_told = is_arrows and "out of memory" in exc.message.lower()
    return is_told or isinstance(exc.__cause__, duckdb.OutOfMemoryException)


def _join_bounds(bounds: Sequence[RowBounds]) -> RowBounds:
    events = [found.event_us for found in bounds if found.event_us is not None]
    createds = [found.created_us for found in bounds if found.created_us is not None]
    return RowBounds(
        n_files=sum(found.n_files for found in bounds),
        n_rows=max(found.n_rows for found in bounds),
        event_us=_hull(events),
        created_us=_hull(createds),
    )


def _hull(ranges: Sequence[tuple[int, int]]) -> tuple[int, int] | None:
    if not ranges:
        return None
    return min(first for first, _ in ranges), max(last for _, last in ranges)


def _regroup(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Join small batches: where one row in a hundred wins, encoding would be called for a few."""
    waiting: list[pa.RecordBatch] = []
    n_rows = 0
    for batch in batches:
        if not batch.num_rows:
            continue
        waiting.append(batch)
        n_rows += batch.num_rows
        if n_rows >= _ROWS_PER_READ // 2:
            yield _joined(waiting)
            waiting, n_rows = [], 0
    if waiting:
        yield _joined(waiting)


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)


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

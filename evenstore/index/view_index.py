"""The index of one view, opened for one state of its source: find rows, take their features."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evenstore.duckdb_session import SessionLimits, open_session
from evenstore.index.bisection import Int64s
from evenstore.index.catalogue import (
    Catalogue,
    IndexedFile,
    IndexKind,
    indexed_files,
    read_catalogue,
    segment_folder,
    source_fingerprint,
)
from evenstore.index.gather import RowGather
from evenstore.index.merge import GreatestRows, TiedRows
from evenstore.index.segment import FoundRows, Segment, open_segment
from evenstore.schema.files import SourceFiles
from evenstore.schema.model import FeatureViewSchema, Field
from evenstore.schema.values import to_declared_array
from evenstore.sql.index_build import (
    NULL_CREATED_US,
    ROW,
    build_tied_content_sql,
    build_tied_rows_sql,
    build_tied_winners_sql,
    content_names,
)
from evenstore.sql.relation import CREATED_US, EVENT_US, FILE, FILE_ROW, ROW_IDX, content_columns

__all__ = ["StaleIndex", "ViewIndex", "open_index"]

_THREADS = 2
# Fewer are taken before a thread has started.
_FEW_ROWS = 10_000
_ATTEMPTS = 2
_TIED_RELATION = "tied_rows"
_BUILD_HINT = "run `evenstore index`"


@dataclass(frozen=True, slots=True)
class StaleIndex:
    """An index that cannot be used, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class ViewIndex:
    """An index that covers a source's files, all of them and no other.

    It stays usable when the index is built anew meanwhile. Safe to use from threads. Made by
    `open_index`.

    Attributes:
        source: The view's files.
        view: The view.
        kind: What the index holds beside keys and order.
        segments: Rows are numbered through all of them, in this order.
    """

    source: SourceFiles
    view: FeatureViewSchema
    kind: IndexKind
    segments: tuple[Segment, ...]

    @property
    def n_rows(self) -> int:
        """Rows that an answer can be made of."""
        return sum(segment.entry.n_rows for segment in self.segments)

    def find(
        self,
        keys: pa.Table,
        as_of_us: Int64s,
        *,
        is_as_known: bool,
        since_us: Int64s | None = None,
        limits: SessionLimits | None = None,
    ) -> Int64s:
        """Find the feature row that each entity row gets.

        Args:
            keys: One column for each join key of the view, of its declared Arrow type.
            as_of_us: Per row, microseconds.
            is_as_known: Take only rows that were created by then. Without effect on a source that
                has no created timestamps.
            since_us: Per row the earliest event timestamp that it may see; None for no bound.
            limits: Of the session in which ties between files are decided by content.

        Returns:
            Per row the number of a feature row, -1 where there is none.

        Guarantees:
            The same rows as the joins over the files choose, but among rows that are equal in key,
            timestamps and all features.

        Raises:
            SourceUnavailableError: Ties had to be decided by files that are gone.
        """
        found = [
            segment.find(keys, as_of_us, is_as_known=is_as_known, since_us=since_us)
            for segment in self.segments
        ]
        if len(found) == 1:
            rows = np.full(len(as_of_us), -1, dtype=np.int64)
            rows[found[0].places] = found[0].rows
            return rows
        return self._greatest(found, len(as_of_us), limits)

    def event_us(self, rows: Int64s) -> pa.Array:
        """Return the event timestamps of rows: int64 microseconds, null for -1."""
        return RowGather(rows).take(self._order_column(EVENT_US))

    def created_us(self, rows: Int64s) -> pa.Array:
        """Return the created timestamps of rows: int64 microseconds, null for -1 and for null."""
        created = RowGather(rows).take(self._order_column(CREATED_US))
        return pc.if_else(pc.equal(created, NULL_CREATED_US), None, created)

    def take(
        self, rows: Int64s, fields: Sequence[Field], *, with_event_us: bool = False
    ) -> pa.Table:
        """Take features of rows; only in an index of the kind `table`.

        Args:
            rows: What `find` returned, or a part of it.
            fields: Features of the view.
            with_event_us: Take `_event_us` too, which costs less here than by itself.

        Shapes:
            out: as many rows x (the features by name, `_event_us` where it is asked for), in the
                declared Arrow types; null for -1.
        """
        gather = RowGather(rows)
        features = [self._feature_column(field) for field in fields]
        if features:
            gather.divide(features[0])

        def take(field: Field, column: pa.ChunkedArray) -> pa.Array:
            return to_declared_array(gather.take(column), field.dtype)

        if len(rows) < _FEW_ROWS:
            columns = list(map(take, fields, features))
        else:
            with ThreadPoolExecutor(_THREADS) as pool:
                columns = list(pool.map(take, fields, features))
        names = [field.name for field in fields]
        if with_event_us:
            columns.append(gather.take(self._order_column(EVENT_US)))
            names.append(EVENT_US)
        return pa.table(columns, names=names)

    def positions(self, rows: Int64s) -> tuple[Int64s, Int64s]:
        """Return where rows are in the files; only in an index of the kind `positions`.

        Args:
            rows: Numbers that `find` returned, none of them -1.

        Returns:
            The index of each row's file in `source.paths`, and of the row in that file.
        """
        gather = RowGather(rows)
        file_numbers = gather.take(self._order_column(FILE)).to_numpy()
        file_rows = gather.take(self._order_column(FILE_ROW)).to_numpy()
        of_path = {path: number for number, path in enumerate(self.source.paths)}
        files = [segment.entry.files for segment in self.segments]
        in_source = np.array([of_path[file.path] for of_segment in files for file in of_segment])
        first_files = np.cumsum([0, *map(len, files)])
        segments = np.searchsorted(self._first_rows(), rows, side="right") - 1
        return in_source[first_files[segments] + file_numbers], file_rows

    def _greatest(
        self, found: Sequence[FoundRows], n_places: int, limits: SessionLimits | None
    ) -> Int64s:
        """Merge what each segment found."""
        greatest = GreatestRows(n_places)
        for first_row, segment, its in zip(self._first_rows(), self.segments, found, strict=True):
            greatest.add(
                its.places,
                its.rows + first_row,
                segment.order[EVENT_US][its.rows],
                segment.order[CREATED_US][its.rows],
            )
        tied = greatest.tied()
        if len(tied.rows):
            places, rows = self._decide(tied, limits)
            greatest.rows[places] = rows
        return greatest.rows

    def _first_rows(self) -> Int64s:
        """Return the number of each segment's first row."""
        n_rows = [segment.entry.n_rows for segment in self.segments]
        return np.cumsum([0, *n_rows[:-1]], dtype=np.int64)

    def _order_column(self, name: str) -> pa.ChunkedArray:
        columns = [pa.array(segment.order[name]) for segment in self.segments]
        return pa.chunked_array(columns, pa.int64())

    def _feature_column(self, field: Field) -> pa.ChunkedArray:
        columns = [segment.features[field.name] for segment in self.segments]
        # Where a map's source holds nothing but nulls, its type is not known.
        known = [column for column in columns if column.null_count < len(column)] or columns[:1]
        dtype = known[0].type
        chunks = [
            chunk if chunk.type == dtype else _retyped(chunk, dtype)
            for column in columns
            for chunk in column.chunks
        ]
        return pa.chunked_array(chunks, dtype)

    def _decide(self, tied: TiedRows, limits: SessionLimits | None) -> tuple[Int64s, Int64s]:
        """Return the greatest of tied rows by content: the entity rows, and a row for each."""
        relation = pa.table({ROW_IDX: tied.places, ROW: tied.rows})
        if self.kind == "table":
            fields = content_columns(self.view)
            content = self.take(tied.rows, fields).columns
            for name, column in zip(content_names(self.view), content, strict=True):
                relation = relation.append_column(name, column)
            rows_sql = build_tied_content_sql(_TIED_RELATION)
        else:
            files, file_rows = self.positions(tied.rows)
            relation = relation.append_column(FILE, pa.array(files))
            relation = relation.append_column(FILE_ROW, pa.array(file_rows))
            rows_sql = build_tied_rows_sql(self.source, self.view, _TIED_RELATION)
        with open_session(limits, sources=[self.source]) as session:
            session.register(_TIED_RELATION, relation)
            winners = session.sql(build_tied_winners_sql(self.view, rows_sql)).to_arrow_table()
        return winners[ROW_IDX].to_numpy(), winners[ROW].to_numpy()


def open_index(
    folder: Path, source: SourceFiles, view: FeatureViewSchema
) -> ViewIndex | StaleIndex:
    """Open the index of a view where it covers the view's files as they are.

    Args:
        folder: The index's folder; it need not exist.
        source: The view's files.
        view: The view.

    Returns:
        The index, or why there is none that can be used: that is never an error, as the files hold
        the same.

    Raises:
        SourceUnavailableError: A file of the source is gone.
    """
    files = indexed_files(source)
    reason = ""
    # What a builder replaces between the two steps is removed: then the catalogue is another one.
    for _ in range(_ATTEMPTS):
        try:
            catalogue = read_catalogue(folder)
            if catalogue is None:
                return StaleIndex(f"there is no index: {_BUILD_HINT}")
            reason = _why_stale(catalogue, files, source, view)
            if reason:
                break
            segments = tuple(
                open_segment(segment_folder(folder, entry), entry, view)
                for entry in catalogue.segments
            )
            return ViewIndex(source, view, catalogue.kind, segments)
        except (OSError, ValueError, KeyError, TypeError, IndexError, pa.ArrowException) as exc:
            reason = f"the index cannot be read ({exc}): {_BUILD_HINT}"
    return StaleIndex(reason)


def _why_stale(
    catalogue: Catalogue,
    files: tuple[IndexedFile, ...],
    source: SourceFiles,
    view: FeatureViewSchema,
) -> str:
    if catalogue.fingerprint != source_fingerprint(source, view):
        return f"the view or its columns changed since: {_BUILD_HINT}"
    indexed = {file for segment in catalogue.segments for file in segment.files}
    present = set(files)
    for differing, what in (
        (present - indexed, "not covered"),
        (indexed - present, "changed or gone"),
    ):
        if differing:
            are = "1 file is" if len(differing) == 1 else f"{len(differing):,} files are"
            return f"{are} {what}: {_BUILD_HINT}"
    return ""


def _retyped(values: pa.Array, dtype: pa.DataType) -> pa.Array:
    if values.null_count == len(values):
        return pa.nulls(len(values), dtype)
    return values.cast(dtype)

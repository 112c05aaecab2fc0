"""Writes the rows of some files as sorted ones, every column as it was.

DuckDB sorts nothing but the positions of the rows. The rows themselves go through Arrow: from the
files to a memory-mapped spool, and from there, in order, to new files. So no type passes through
another system, and memory holds one row group.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evenstore.compaction.journal import NewFile
from evenstore.compaction.selection import SORTED_BY, SourceFile, describe_order
from evenstore.errors import SourceUnavailableError
from evenstore.index.arrow_columns import map_columns, open_batch_writer, open_column_spool
from evenstore.index.bisection import Int64s
from evenstore.index.gather import RowGather
from evenstore.progress import Progress
from evenstore.schema.files import SourceFiles
from evenstore.sql.compact import build_row_order_sql
from evenstore.sql.relation import FILE, FILE_ROW

__all__ = ["HIDDEN_FILES", "Rewrite"]

HIDDEN_FILES = ".compacted-*.parquet.tmp"
"""What new files are called until they are published."""

_ROW = "row"
_READ_ROWS = 65_536
_ROW_GROUP_ROWS = 131_072
# Under Arrow's own limit a column of distinct numbers would be kept as a dictionary, a quarter
# larger than without one.
_DICTIONARY_BYTES = 2**18
_DROPPED_METADATA = frozenset({b"pandas", b"ARROW:schema", SORTED_BY})


@dataclass(frozen=True, slots=True)
class Rewrite:
    """One group of files of one folder and of the same columns.

    Attributes:
        source: The files, in the order of `files`.
        files: The same, with their footers.
        sort_columns: Source columns that the rows are sorted by; those that the files have.
        target_rows: Rows of one new file, about.
    """

    source: SourceFiles
    files: Sequence[SourceFile]
    sort_columns: tuple[str, ...]
    target_rows: int

    @property
    def n_rows(self) -> int:
        """Rows of all files."""
        return sum(file.n_rows for file in self.files)

    def write(
        self, session: duckdb.DuckDBPyConnection, scratch: Path, progress: Progress
    ) -> list[NewFile]:
        """Write new files under hidden names, and to disk.

        Args:
            session: Where positions are sorted.
            scratch: A folder for temporary files.
            progress: Told of rows.

        Raises:
            SourceUnavailableError: A file cannot be read, or does not have the rows that it had.
        """
        spool = scratch / f"{uuid.uuid4().hex}.arrow"
        schema = self._plain_schema()
        with open_batch_writer(spool, schema) as writer:
            for batch in self._read(schema):
                writer.write(batch)
        rows = map_columns(spool)
        spool.unlink()
        with open_column_spool(scratch, (_ROW,)) as positions:
            for numbers in self._sorted_rows(session):
                positions.append({_ROW: numbers})
            column = positions.columns()[_ROW]
            if not len(column) == rows.num_rows == self.n_rows:
                msg = f"{self.source.name}: a file changed while it was read"
                raise SourceUnavailableError(msg, hint="run again")
            order = column.to_numpy() if len(column) else np.empty(0, np.int64)
            return self._write_files(rows, order, progress)

    def _plain_schema(self) -> pa.Schema:
        """Return the columns as they are spooled: without dictionaries, which differ by batch."""
        fields = []
        for field in self.files[0].schema:
            is_dictionary = pa.types.is_dictionary(field.type)
            fields.append(field.with_type(field.type.value_type) if is_dictionary else field)
        return pa.schema(fields)

    def _present_columns(self) -> list[str]:
        # A file written before the source had created timestamps lacks them.
        names = set(self.files[0].schema.names)
        return [name for name in self.sort_columns if name in names]

    def _read(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        for file in self.files:
            path = file.identity.path
            try:
                with pq.ParquetFile(path) as opened:
                    for batch in opened.iter_batches(_READ_ROWS):
                        yield batch.cast(schema)
            except (OSError, pa.ArrowException) as exc:
                msg = f"{self.source.name}: cannot read `{path}`: {exc}"
                raise SourceUnavailableError(
                    msg, hint="was it replaced meanwhile? run again"
                ) from exc

    def _sorted_rows(self, session: duckdb.DuckDBPyConnection) -> Iterator[Int64s]:
        first_rows = np.cumsum([0, *(file.n_rows for file in self.files)])
        sql = build_row_order_sql(self.source, self._present_columns())
        for batch in session.sql(sql).to_arrow_reader(_ROW_GROUP_ROWS):
            files, rows = batch.column(FILE).to_numpy(), batch.column(FILE_ROW).to_numpy()
            yield first_rows[files] + rows

    def _write_files(self, rows: pa.Table, order: Int64s, progress: Progress) -> list[NewFile]:
        n_files = max(1, -(-len(order) // self.target_rows))
        folder = Path(self.files[0].folder)
        written = []
        for part in np.array_split(order, n_files):
            name = f"compacted-{uuid.uuid4().hex}.parquet"
            new = NewFile(str(folder / f".{name}.tmp"), str(folder / name))
            written.append(new)
            self._write_file(Path(new.hidden_path), rows, part, progress)
        return written

    def _write_file(self, path: Path, rows: pa.Table, order: Int64s, progress: Progress) -> None:
        schema = self._written_schema()
        with path.open("wb") as file:
            with pq.ParquetWriter(file, schema, **self._options(schema)) as writer:
                for first in range(0, len(order), _ROW_GROUP_ROWS):
                    gather = RowGather(order[first : first + _ROW_GROUP_ROWS])
                    columns = [gather.take(column) for column in rows.columns]
                    table = pa.table(columns, schema=rows.schema).cast(schema)
                    writer.write_table(table, row_group_size=_ROW_GROUP_ROWS)
                    progress.advance(table.num_rows)
            file.flush()
            os.fsync(file.fileno())

    def _written_schema(self) -> pa.Schema:
        first = self.files[0]
        kept = {
            key: value
            for key, value in first.metadata.items()
            if key not in _DROPPED_METADATA
            and all(file.metadata.get(key) == value for file in self.files)
        }
        return first.schema.with_metadata({**kept, SORTED_BY: describe_order(self.sort_columns)})

    def _options(self, schema: pa.Schema) -> dict[str, Any]:
        ascending = [(name, "ascending") for name in self._present_columns()]
        sorting = pq.SortingColumn.from_ordering(schema, ascending)
        return {
            "compression": self.files[0].compression,
            "dictionary_pagesize_limit": _DICTIONARY_BYTES,
            "sorting_columns": sorting,
        }

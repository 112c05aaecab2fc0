"""Columns on disk as Arrow IPC files: written in bounded memory, memory-mapped when read.

A column that is searched must lie in one piece; the columns that are only taken from need not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import numpy as np
import pyarrow as pa

from evenstore.index.bisection import Int64s

__all__ = [
    "BatchWriter",
    "ColumnSpool",
    "map_columns",
    "open_batch_writer",
    "open_column_spool",
    "whole_column",
    "write_columns",
]

_INT64_BYTES = 8
# Smaller batches cost a call each for every column taken; larger ones are held in memory.
_BATCH_BYTES = 32 * 2**20


class ColumnSpool:
    """Columns of int64 that grow row by row and become one batch. Made by `open_column_spool`."""

    def __init__(self, files: Mapping[str, IO[bytes]]) -> None:
        self._files = files

    def append(self, columns: Mapping[str, Int64s]) -> None:
        """Add rows."""
        for name, values in columns.items():
            self._files[name].write(np.ascontiguousarray(values, dtype=np.int64).data)

    def columns(self) -> pa.Table:
        """Return all rows so far, memory-mapped."""
        mapped = {}
        for name, file in self._files.items():
            file.flush()
            n_bytes = file.tell()
            rows = np.empty(0, dtype=np.int64)
            if n_bytes:
                rows = np.memmap(file, np.int64, "r", shape=(n_bytes // _INT64_BYTES,))
            mapped[name] = pa.array(rows)
        return pa.table(mapped)


@contextmanager
def open_column_spool(folder: Path, names: tuple[str, ...]) -> Iterator[ColumnSpool]:
    """Open a spool in a folder, of files without a name that end with the process."""
    with ExitStack() as stack:
        files = {name: stack.enter_context(TemporaryFile(dir=folder)) for name in names}
        yield ColumnSpool(files)


class BatchWriter:
    """Writes a stream of batches as fewer and larger ones. Made by `open_batch_writer`."""

    def __init__(self, writer: pa.RecordBatchFileWriter) -> None:
        self._writer = writer
        self._waiting: list[pa.RecordBatch] = []
        self._n_bytes = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        self._waiting.append(batch)
        self._n_bytes += batch.get_total_buffer_size()
        if self._n_bytes >= _BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if self._waiting:
            for batch in pa.Table.from_batches(self._waiting).combine_chunks().to_batches():
                self._writer.write_batch(batch)
        self._waiting = []
        self._n_bytes = 0


@contextmanager
def open_batch_writer(path: Path, schema: pa.Schema) -> Iterator[BatchWriter]:
    """Open a writer; the file is whole after the block."""
    with pa.ipc.new_file(path, schema) as writer:
        batches = BatchWriter(writer)
        yield batches
        batches.flush()


def write_columns(path: Path, columns: pa.Table) -> None:
    """Write columns, each chunk as it is."""
    with pa.ipc.new_file(path, columns.schema) as writer:
        writer.write_table(columns)


def map_columns(path: Path) -> pa.Table:
    """Map a file into memory; it may be removed then.

    Raises:
        OSError: There is no such file.
        ValueError: It is no Arrow file, or cut short.
    """
    # The columns keep the mapping: a file that stays open would count against the process's limit.
    with pa.memory_map(str(path)) as mapped:
        return pa.ipc.open_file(mapped).read_all()


def whole_column(column: pa.ChunkedArray) -> Int64s:
    """Return a column of int64 without nulls as one array; nothing is copied where it is one."""
    chunks = [chunk.to_numpy() for chunk in column.chunks]
    return chunks[0] if len(chunks) == 1 else np.concatenate([np.empty(0, np.int64), *chunks])

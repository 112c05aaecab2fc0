"""Makes a segment: DuckDB sorts, out of core where it must, and the stream becomes columns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evenstore.index.arrow_columns import (
    open_batch_writer,
    open_column_spool,
    write_columns,
)
from evenstore.index.bisection import Bools, Int64s
from evenstore.index.catalogue import IndexKind
from evenstore.index.entity_keys import number_keys
from evenstore.index.segment import (
    ENTITIES_FILE,
    FEATURES_FILE,
    KEY_COLUMN,
    ORDER_FILE,
    START,
    key_file,
    order_columns,
    pair_file,
)
from evenstore.progress import Progress
from evenstore.schema.arrow import arrow_type
from evenstore.schema.files import SourceFiles
from evenstore.schema.footer import footers_of
from evenstore.schema.model import FeatureViewSchema, fold_name
from evenstore.sql.index_build import ENTITY, ROW, build_known_order_sql, build_sorted_rows_sql
from evenstore.sql.relation import AVAILABLE_US, CREATED_US, EVENT_US

__all__ = ["write_segment"]

_BATCH_ROWS = 65_536
_ORDER_RELATION = "index_order"


def write_segment(
    session: duckdb.DuckDBPyConnection,
    folder: Path,
    source: SourceFiles,
    view: FeatureViewSchema,
    *,
    kind: IndexKind,
    progress: Progress,
) -> tuple[int, int]:
    """Write the files of a segment into an empty folder.

    The memory that it takes beside the session's is that of the distinct entity keys.

    Args:
        session: Where rows are sorted.
        folder: Where to.
        source: The files that the segment is made of.
        view: The view.
        kind: What to keep beside keys and order.
        progress: Told of rows.

    Returns:
        The number of rows and of entities.
    """
    spooled = order_columns(kind, has_created=False)
    kept = [field.name for field in view.features] if kind == "table" else []
    entities = _Entities(view)
    sql = build_sorted_rows_sql(
        source, view, with_features=kind == "table", missing=_missing_columns(source)
    )
    reader = session.sql(sql).to_arrow_reader(_BATCH_ROWS)
    schema = pa.schema([reader.schema.field(name) for name in kept])
    with open_column_spool(folder, (*spooled, ENTITY, ROW)) as spool:
        with open_batch_writer(folder / FEATURES_FILE, schema) as features:
            for batch in reader:
                rows = np.arange(entities.n_rows, entities.n_rows + batch.num_rows)
                order = {name: batch.column(name).to_numpy() for name in spooled}
                spool.append({**order, ENTITY: entities.add(batch), ROW: rows})
                features.write(batch.select(kept))
                progress.advance(batch.num_rows)
        if source.created is None:
            write_columns(folder / ORDER_FILE, spool.columns().select(spooled))
        else:
            _write_both_orders(session, folder, spool.columns(), spooled)
    entities.write(folder)
    return entities.n_rows, entities.n_entities


def _missing_columns(source: SourceFiles) -> set[str]:
    """Name the columns that are used and that none of the files has: others of the source do."""
    present = {fold_name(name) for footer in footers_of(source) for name in footer.types}
    present |= {fold_name(column.name) for column in source.path_columns}
    used = [column for _, column in source.columns]
    if source.created is not None:
        used.append(source.created.name)
    return {column for column in used if fold_name(column) not in present}


class _Entities:
    """Finds where entities begin in a stream of rows that is ordered by them."""

    def __init__(self, view: FeatureViewSchema) -> None:
        self._join_keys = view.join_keys
        self._names = [key.name for key in view.join_keys]
        self._last: pa.RecordBatch | None = None
        self._firsts: list[pa.RecordBatch] = []
        self._starts: list[Int64s] = []
        self.n_rows = 0
        self.n_entities = 0

    def add(self, batch: pa.RecordBatch) -> Int64s:
        """Take the next rows; return the number of each row's entity."""
        keys = batch.select(self._names)
        is_first = self._is_first(keys, batch.num_rows)
        at = np.flatnonzero(is_first)
        numbers = np.cumsum(is_first) + (self.n_entities - 1)
        self._starts.append(at + self.n_rows)
        if self._names:
            self._firsts.append(keys.take(pa.array(at)))
            self._last = keys.slice(batch.num_rows - 1)
        self.n_rows += batch.num_rows
        self.n_entities += len(at)
        return numbers

    def write(self, folder: Path) -> None:
        """Write the entities and where their rows begin."""
        starts = np.concatenate([*self._starts, np.array([self.n_rows])])
        if not self._names:
            # The one entity of a view without join keys is there even without rows.
            starts, self.n_entities = np.array([0, self.n_rows]), 1
        write_columns(folder / ENTITIES_FILE, pa.table({START: starts}))
        schema = pa.schema([(key.name, arrow_type(key.dtype)) for key in self._join_keys])
        keys = number_keys(self._join_keys, pa.Table.from_batches(self._firsts, schema))
        for i, values in enumerate(keys.values):
            write_columns(folder / key_file(i), pa.table({KEY_COLUMN: values}))
        for i, pairs in enumerate(keys.pairs, start=1):
            write_columns(folder / pair_file(i), pa.table({KEY_COLUMN: pairs}))

    def _is_first(self, keys: pa.RecordBatch, n_rows: int) -> Bools:
        is_first = np.zeros(n_rows, dtype=np.bool_)
        if n_rows:
            is_first[0] = self.n_rows == 0 or self._differs(keys)
        for column in keys.columns:
            differs = pc.not_equal(column.slice(1), column.slice(0, max(n_rows - 1, 0)))
            is_first[1:] |= differs.to_numpy(zero_copy_only=False)
        return is_first

    def _differs(self, keys: pa.RecordBatch) -> bool:
        return self._last is not None and not self._last.equals(keys.slice(0, 1))


def _write_both_orders(
    session: duckdb.DuckDBPyConnection, folder: Path, rows: pa.Table, names: tuple[str, ...]
) -> None:
    """Write the order of the rows, and the one in which they became known."""
    with open_column_spool(folder, (AVAILABLE_US, ROW)) as known:
        for columns in _known_order(session, rows):
            known.append(columns)
        order = rows.select(names)
        for name in (AVAILABLE_US, ROW):
            order = order.append_column(name, known.columns()[name])
        write_columns(folder / ORDER_FILE, order)


def _known_order(session: duckdb.DuckDBPyConnection, rows: pa.Table) -> Iterator[dict[str, Int64s]]:
    """Yield when rows became known, entity by entity, and the greatest row that was known then.

    As entities follow one another, the greatest of all rows so far is the one that is wanted, or
    belongs to an earlier entity: then none is known yet.
    """
    session.register(_ORDER_RELATION, rows.select([ENTITY, EVENT_US, CREATED_US, ROW]))
    greatest = -1
    try:
        sql = build_known_order_sql(_ORDER_RELATION)
        for batch in session.sql(sql).to_arrow_reader(_BATCH_ROWS):
            found = np.maximum.accumulate(np.maximum(batch.column(ROW).to_numpy(), greatest))
            greatest = int(found[-1])
            yield {AVAILABLE_US: batch.column(AVAILABLE_US).to_numpy(), ROW: found}
    finally:
        session.unregister(_ORDER_RELATION)

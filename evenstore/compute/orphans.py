"""Finds entities that a run once stored and that the source does not name any more."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from feast import FeatureView

from evenstore.clock import us_to_datetime
from evenstore.codec.entity_key import EntityKeyEncoder
from evenstore.dtypes import Dtype
from evenstore.offline.retry import list_again, retry_on_change, unchanged_sources
from evenstore.online.stored_rows import StoredRow
from evenstore.schema.arrow import arrow_type
from evenstore.schema.footer import fingerprint_files
from evenstore.schema.model import FeatureViewSchema
from evenstore.schema.source import open_source
from evenstore.semantics import RowOrder
from evenstore.sql.orphans import (
    STORED_BATCH,
    build_keep_orphans_sql,
    build_keep_stored_sql,
    count_orphans_sql,
    key_column,
    orphans_sql,
)

__all__ = ["OrphanSearch"]

_US_PER_S = 1_000_000
_ROWS_PER_READ = 1000


class OrphanSearch:
    """Collects stored entities, then compares them with the source; what does not fit is spilled.

    The source's files are listed after the last entity was collected: whatever a run had stored by
    then is of files that are listed, as long as they are not removed.

    Args:
        session: Open for the view's source.
        table: The Feast view.
        view: The view.
        encoder: Takes the entities' keys apart.
        repo_path: The Feast repo.
    """

    def __init__(
        self,
        session: duckdb.DuckDBPyConnection,
        table: FeatureView,
        view: FeatureViewSchema,
        encoder: EntityKeyEncoder,
        repo_path: Path,
    ) -> None:
        self._session = session
        self._table = table
        self._view = view
        self._encoder = encoder
        self._repo_path = repo_path
        self._is_empty = True
        names = [key_column(i) for i in range(len(view.join_keys))]
        types = [arrow_type(key.dtype) for key in view.join_keys]
        self._schema = pa.schema(
            [
                *zip(names, types, strict=True),
                ("redis_key", pa.binary()),
                ("event_us", pa.int64()),
                ("created_us", pa.int64()),
                ("sequence_us", pa.int64()),
            ]
        )

    def add(self, rows: Sequence[StoredRow]) -> None:
        """Collect rows that a run wrote."""
        records = [self._record(row) for row in rows]
        known = [record for record in records if record is not None]
        if not known:
            return
        columns = [
            pa.array(values, field.type)
            for values, field in zip(zip(*known, strict=True), self._schema, strict=True)
        ]
        self._session.register(STORED_BATCH, pa.table(columns, schema=self._schema))
        self._session.execute(build_keep_stored_sql(is_first=self._is_empty))
        self._session.unregister(STORED_BATCH)
        self._is_empty = False

    def find(self) -> int:
        """Compare, and return how many entities the source does not name.

        Raises:
            SourceChangedError: A file was replaced during every attempt.
            SourceUnavailableError: A file cannot be read.
        """
        if self._is_empty:
            return 0
        retry_on_change(self._compare)
        ((n_orphans,),) = self._session.sql(count_orphans_sql()).fetchall()
        return int(n_orphans)

    def orphans(self) -> Iterator[list[tuple[bytes, RowOrder]]]:
        """Stream the Redis keys that `find` found, with the order of the rows that were seen."""
        if self._is_empty:
            return
        cursor = self._session.execute(orphans_sql(self._view))
        while found := cursor.fetchmany(_ROWS_PER_READ):
            yield [(key, RowOrder(event, created, seq)) for key, event, created, seq in found]

    def _compare(self) -> None:
        listed = list_again(
            functools.partial(open_source, self._table, self._view, self._repo_path)
        )
        source = dataclasses.replace(
            listed, identities=listed.identities or fingerprint_files(listed)
        )
        with unchanged_sources([source]):
            self._session.execute(build_keep_orphans_sql(source, self._view))

    def _record(self, row: StoredRow) -> tuple[Any, ...] | None:
        values = self._encoder.decode(row.key)
        if values is None:
            return None
        typed = []
        for key, value in zip(self._view.join_keys, values, strict=True):
            if key.dtype is not Dtype.UNIX_TIMESTAMP:
                typed.append(value)
                continue
            try:
                typed.append(us_to_datetime(value * _US_PER_S))
            except OverflowError:
                return None  # No source can hold it, and so no run wrote it.
        order = row.order
        return (*typed, row.key, order.event_us, order.created_us, order.sequence_us)

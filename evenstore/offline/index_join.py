"""Joins a view by its side index: winners from memory-mapped columns, no file opened for them."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from typing_extensions import override

from evenstore.duckdb_session import SessionLimits
from evenstore.index.view_index import ViewIndex
from evenstore.offline.join import RowFetch, ViewJoin
from evenstore.schema.request import ViewRead
from evenstore.sql.relation import (
    AS_OF_US,
    EVENT_US,
    FILE,
    FILE_ROW,
    IS_TIED,
    ROW_IDX,
    SINCE_US,
)

__all__ = ["IndexJoin"]


class IndexJoin(ViewJoin):
    """One view's join to numbered entity rows, by a side index that covers its files.

    Args:
        session: Where features are fetched that the index does not hold.
        read: The view, the caller's key columns and the features.
        entity_rows: What `number_entity_rows` made.
        index: The index.
        fetch: Fetches features by position.
        is_as_known: Take only rows that were created by then.
        limits: Of the session in which ties between files are decided by content.
    """

    def __init__(
        self,
        session: duckdb.DuckDBPyConnection,
        read: ViewRead,
        entity_rows: pa.Table,
        *,
        index: ViewIndex,
        fetch: RowFetch,
        is_as_known: bool,
        limits: SessionLimits | None,
    ) -> None:
        super().__init__(read, entity_rows)
        self._session = session
        self._index = index
        self._fetch = fetch
        self._is_as_known = is_as_known
        self._limits = limits
        self._rows: npt.NDArray[np.int64] = np.zeros(0, dtype=np.int64)

    @override
    def find_winners(self) -> None:
        keys = self.entity_rows.select(list(self.read.key_columns))
        self._rows = self._index.find(
            keys.rename_columns([key.name for key in self.read.view.join_keys]),
            self.entity_rows[AS_OF_US].to_numpy(),
            is_as_known=self._is_as_known,
            since_us=self.entity_rows[SINCE_US].to_numpy(),
            limits=self._limits,
        )
        if self._index.kind == "positions":
            self._keep_positions()

    @override
    def fetch_table(self) -> pa.Table:
        if self._index.kind == "positions":
            return self._fetch.table()
        return self._take(self._rows)

    @override
    def fetch_slices(self, slice_rows: int) -> Iterator[pa.Table]:
        if self._index.kind == "positions":
            yield from self._fetch.slices(slice_rows)
            return
        for first_row in range(0, len(self._rows), slice_rows):
            yield self._take(self._rows[first_row : first_row + slice_rows])

    @override
    def forget_winners(self) -> None:
        self._rows = np.zeros(0, dtype=np.int64)
        if self._index.kind == "positions":
            self._fetch.forget()

    @override
    def explain(self) -> str:
        segments = (
            "1 segment"
            if len(self._index.segments) == 1
            else (f"{len(self._index.segments)} segments")
        )
        held = "features too" if self._index.kind == "table" else "features come from the files"
        return (
            f"{self.read.output_name}: side index, because it covers the source's files as they are"
            f"\n  searches {self._index.n_rows:,} feature rows in {segments}; {held}"
        )

    @override
    def sql(self) -> str:
        if self._index.kind == "positions":
            return f"-- winners: side index\n{self._fetch.sql()}"
        return "-- winners and features: side index"

    def _take(self, rows: npt.NDArray[np.int64]) -> pa.Table:
        table = self._index.take(rows, self.read.features)
        return table.append_column(EVENT_US, self._index.event_us(rows))

    def _keep_positions(self) -> None:
        is_found = self._rows >= 0
        found = self._rows[is_found]
        files, file_rows = self._index.positions(found)
        self._fetch.keep(
            pa.table(
                {
                    ROW_IDX: np.flatnonzero(is_found),
                    EVENT_US: self._index.event_us(found),
                    FILE: files,
                    FILE_ROW: file_rows,
                    IS_TIED: np.zeros(len(found), dtype=bool),
                }
            )
        )

"""One view's join in a DuckDB session: what every way of finding winners has to offer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from evenstore.duckdb_session import open_cursor
from evenstore.offline.scatter import scatter_rows, scatter_slices
from evenstore.schema.request import ViewRead
from evenstore.sql.point_in_time import PointInTimeJoin
from evenstore.sql.relation import ROW_IDX

__all__ = ["RowFetch", "ViewJoin"]


class ViewJoin(ABC):
    """One view's join to numbered entity rows.

    Args:
        read: The view, the caller's key columns and the features.
        entity_rows: What `number_entity_rows` made.
    """

    def __init__(self, read: ViewRead, entity_rows: pa.Table) -> None:
        self.read = read
        self.entity_rows = entity_rows

    @abstractmethod
    def find_winners(self) -> None:
        """Find where each entity row's feature row is, and keep it."""

    @abstractmethod
    def fetch_table(self) -> pa.Table:
        """Return `_event_us` and the features, one row per entity row, in order."""

    @abstractmethod
    def fetch_slices(self, slice_rows: int) -> Iterator[pa.Table]:
        """Return the same in slices of entity rows, of which one is held at a time."""

    @abstractmethod
    def forget_winners(self) -> None:
        """Give the memory back."""

    @abstractmethod
    def explain(self) -> str:
        """Say in plain text what is done and why."""

    @abstractmethod
    def sql(self) -> str:
        """Return the statements as they run."""


@dataclass(frozen=True, slots=True)
class RowFetch:
    """Fetches the features of winners by their positions in the files.

    Attributes:
        session: Where the table of winners is.
        statements: The SQL.
        n_rows: Entity rows.
    """

    session: duckdb.DuckDBPyConnection
    statements: PointInTimeJoin
    n_rows: int

    def keep(self, winners: pa.Table) -> None:
        """Make the table of winners from what was found outside of SQL."""
        found = f"{self.statements.winner_table}_found"
        self.session.register(found, winners)
        self.session.execute(self.statements.keep_winners_sql(found))
        self.session.unregister(found)

    def table(self) -> pa.Table:
        """Return `_event_us` and the features, one row per entity row, in order."""
        found = self.session.sql(self.statements.fetch_sql(in_order=False)).to_arrow_table()
        return scatter_rows(found, ROW_IDX, n_rows=self.n_rows)

    def slices(self, slice_rows: int) -> Iterator[pa.Table]:
        """Return the same in slices of entity rows, of which one is held at a time."""
        with open_cursor(self.session) as cursor:
            found = cursor.sql(self.statements.fetch_sql(in_order=True)).to_arrow_reader(slice_rows)
            yield from scatter_slices(found, ROW_IDX, n_rows=self.n_rows, slice_rows=slice_rows)

    def forget(self) -> None:
        """Drop the table of winners."""
        self.session.execute(self.statements.drop_winners_sql())

    def sql(self) -> str:
        """Return the query."""
        return self.statements.fetch_sql(in_order=False)

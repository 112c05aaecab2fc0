"""Joins the views of one retrieval to its entity rows: at once, or as a stream of slices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from evenstore.duckdb_session import open_session
from evenstore.offline.join import ViewJoin
from evenstore.offline.joined import JoinedView, decide
from evenstore.offline.open_join import JoinOptions, ViewToJoin, open_join
from evenstore.offline.retry import unchanged_sources
from evenstore.schema.files import SourceFiles
from evenstore.sql.relation import AS_OF_US

__all__ = ["ViewJoins"]


@dataclass(frozen=True, slots=True)
class ViewJoins:
    """The views of one retrieval.

    Attributes:
        views: What is joined; all have the same number of entity rows.
        options: How.
    """

    views: Sequence[ViewToJoin]
    options: JoinOptions

    def run(self) -> list[JoinedView]:
        """Join all views; one `JoinedView` each, in their order.

        Raises:
            SourceChangedError: A file was replaced or removed meanwhile.
            SourceUnavailableError: A file cannot be read.
            UnsupportedDtypeError: A list holds a null.
        """
        with unchanged_sources(self._sources), self._session() as session:
            joined = []
            for view, join in zip(self.views, self._open(session), strict=True):
                join.find_winners()
                joined.append(_decide(view, join, join.fetch_table(), 0))
                join.forget_winners()
            return joined

    def stream(self, slice_rows: int) -> Iterator[list[JoinedView]]:
        """Join all views; yield one `JoinedView` each for every slice of entity rows, in order.

        Every slice but the last has `slice_rows` rows; without entity rows there is none. Winners
        are found before the first slice; features are fetched as slices are asked for.

        Raises:
            SourceChangedError: A file was replaced or removed meanwhile; slices that were yielded
                before are not to be used.
            SourceUnavailableError: A file cannot be read.
            UnsupportedDtypeError: A list holds a null.
        """
        with unchanged_sources(self._sources), self._session() as session:
            joins = list(self._open(session))
            for join in joins:
                join.find_winners()
            slices = [join.fetch_slices(slice_rows) for join in joins]
            for i, tables in enumerate(zip(*slices, strict=True)):
                yield [
                    _decide(view, join, table, i * slice_rows)
                    for view, join, table in zip(self.views, joins, tables, strict=True)
                ]

    def explain(self) -> str:
        """Say how each view is joined and why."""
        with self._session() as session:
            return "\n".join(join.explain() for join in self._open(session))

    def sql(self) -> str:
        """Return the statements that run."""
        with self._session() as session:
            return ";\n\n".join(join.sql() for join in self._open(session))

    @property
    def _sources(self) -> list[SourceFiles]:
        return [view.source for view in self.views]

    def _session(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        return open_session(self.options.limits, sources=self._sources)

    def _open(self, session: duckdb.DuckDBPyConnection) -> Iterator[ViewJoin]:
        for number, view in enumerate(self.views):
            yield open_join(session, view, self.options, number=number)


def _decide(view: ViewToJoin, join: ViewJoin, table: pa.Table, first_row: int) -> JoinedView:
    judged_at_us = view.judged_at_us
    if judged_at_us is None:
        judged_at_us = join.entity_rows[AS_OF_US].combine_chunks()
    return decide(table, join.read, judged_at_us.slice(first_row, table.num_rows))

"""Joins a view by SQL over its files: plan, winners, ties, fetch."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pyarrow as pa
from typing_extensions import override

from evenstore.offline.join import RowFetch, ViewJoin
from evenstore.offline.merge import merge_winners
from evenstore.offline.plan import JoinPlan
from evenstore.sql.merge import MergeInput
from evenstore.sql.point_in_time import JoinStrategy, PointInTimeJoin

__all__ = ["SqlJoin"]


class SqlJoin(ViewJoin):
    """One view's join to numbered entity rows, over its files as they are.

    Args:
        session: Where the join runs; its tables are the session's.
        entity_rows: What `number_entity_rows` made; registered as the statements name it.
        plan: What was chosen.
        statements: The SQL.
    """

    def __init__(
        self,
        session: duckdb.DuckDBPyConnection,
        entity_rows: pa.Table,
        plan: JoinPlan,
        statements: PointInTimeJoin,
    ) -> None:
        super().__init__(statements.read, entity_rows)
        self._session = session
        self.plan = plan
        self._statements = statements
        self._fetch = RowFetch(session, statements, entity_rows.num_rows)

    @override
    def find_winners(self) -> None:
        steps = self._statements
        if self.plan.strategy is JoinStrategy.MERGE:
            self._merge()
        else:
            self._session.execute(steps.winners_sql())
        ((n_tied,),) = self._session.sql(steps.count_ties_sql()).fetchall()
        if n_tied:
            self._session.execute(steps.place_ties_sql())

    @override
    def fetch_table(self) -> pa.Table:
        return self._fetch.table()

    @override
    def fetch_slices(self, slice_rows: int) -> Iterator[pa.Table]:
        yield from self._fetch.slices(slice_rows)

    @override
    def forget_winners(self) -> None:
        self._fetch.forget()

    @override
    def explain(self) -> str:
        return self.plan.explain()

    @override
    def sql(self) -> str:
        steps = self._statements
        return ";\n\n".join([steps.winners_sql(), steps.place_ties_sql(), self._fetch.sql()])

    def _merge(self) -> None:
        steps = self._statements
        merged = MergeInput(
            steps.source,
            steps.read,
            steps.entity_relation,
            f"{steps.winner_table}_entities",
            steps.event_range_us,
        )
        self._fetch.keep(merge_winners(self._session, merged, self.entity_rows))

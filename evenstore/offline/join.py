"""Joins views to entity rows in one DuckDB session: plan, winners, ties, fetch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa

from evenstore.duckdb_session import open_cursor
from evenstore.offline.bounds import choose_blocks, read_row_bounds
from evenstore.offline.merge import can_merge, merge_winners
from evenstore.offline.plan import JoinPlan, choose_plan
from evenstore.offline.scatter import scatter_rows, scatter_slices
from evenstore.schema.files import SourceFiles
from evenstore.schema.request import ViewRead
from evenstore.semantics import Knowledge
from evenstore.sql.merge import MergeInput
from evenstore.sql.point_in_time import JoinStrategy, PointInTimeJoin
from evenstore.sql.relation import AS_OF_US, ROW_IDX, SINCE_US
from evenstore.sql.row_order import RowOrder
from evenstore.sql.sample import Sample

__all__ = ["ViewJoin"]

_INT64_MIN = -(2**63)


@dataclass(frozen=True, slots=True)
class ViewJoin:
    """One view's join to numbered entity rows, in a session.

    Attributes:
        session: Where the join runs; its tables are the session's.
        entity_rows: What `number_entity_rows` made.
        plan: What was chosen.
        statements: The SQL.
    """

    session: duckdb.DuckDBPyConnection
    entity_rows: pa.Table
    plan: JoinPlan
    statements: PointInTimeJoin

    @classmethod
    def open(
        cls,
        session: duckdb.DuckDBPyConnection,
        source: SourceFiles,
        read: ViewRead,
        entity_rows: pa.Table,
        *,
        knowledge: Knowledge,
        number: int = 0,
        strategy: JoinStrategy | None = None,
        may_merge: bool = True,
    ) -> ViewJoin:
        """Plan a join.

        Args:
            session: An open session.
            source: The view's files.
            read: The view, the caller's key columns and the features.
            entity_rows: What `number_entity_rows` made.
            knowledge: Which rows may be known.
            number: Tells the joins of one session apart.
            strategy: How to find winners; chosen from the data where it is None.
            may_merge: Whether a history may be sorted in memory, outside of the session's limits.

        Raises:
            SourceUnavailableError: A file cannot be read.
        """
        relation = f"entity_rows_{number}"
        session.register(relation, entity_rows)
        bounds = read_row_bounds(session, source)
        event_range_us = _event_range(entity_rows)
        plan = choose_plan(
            session,
            read,
            bounds,
            Sample(source, read, relation, choose_blocks(source), entity_rows.num_rows),
            n_entity_rows=entity_rows.num_rows,
            event_range_us=event_range_us,
            can_merge=may_merge
            and bool(read.key_columns)
            and not (knowledge is Knowledge.AS_KNOWN and source.created is not None)
            and can_merge(
                n_rows=bounds.n_rows,
                n_entity_rows=entity_rows.num_rows,
                event_range_us=_whole_range(bounds.event_us, entity_rows),
            ),
            strategy=strategy,
        )
        statements = PointInTimeJoin(
            source=source,
            read=read,
            knowledge=knowledge,
            strategy=plan.strategy,
            order=RowOrder(bounds),
            entity_relation=relation,
            winner_table=f"winners_{number}",
            event_range_us=event_range_us,
        )
        return cls(session, entity_rows, plan, statements)

    def find_winners(self) -> None:
        """Find where each entity row's feature row is, and keep it in the session."""
        if self.plan.strategy is JoinStrategy.MERGE:
            self._merge()
        else:
            self.session.execute(self.statements.winners_sql())
        ((n_tied,),) = self.session.sql(self.statements.count_ties_sql()).fetchall()
        if n_tied:
            self.session.execute(self.statements.place_ties_sql())

    def _merge(self) -> None:
        steps = self.statements
        merged = MergeInput(
            steps.source,
            steps.read,
            steps.entity_relation,
            f"{steps.winner_table}_entities",
            steps.event_range_us,
        )
        found = f"{steps.winner_table}_found"
        self.session.register(found, merge_winners(self.session, merged, self.entity_rows))
        self.session.execute(steps.keep_winners_sql(found))
        self.session.unregister(found)

    def fetch_table(self) -> pa.Table:
        """Return `_event_us` and the features, one row per entity row, in order."""
        found = self.session.sql(self.statements.fetch_sql(in_order=False)).to_arrow_table()
        return scatter_rows(found, ROW_IDX, n_rows=self.entity_rows.num_rows)

    def fetch_slices(self, slice_rows: int) -> Iterator[pa.Table]:
        """Return the same in slices of entity rows, of which one is held at a time."""
        with open_cursor(self.session) as cursor:
            found = cursor.sql(self.statements.fetch_sql(in_order=True)).to_arrow_reader(slice_rows)
            yield from scatter_slices(
                found, ROW_IDX, n_rows=self.entity_rows.num_rows, slice_rows=slice_rows
            )

    def forget_winners(self) -> None:
        """Give the memory back."""
        self.session.execute(self.statements.drop_winners_sql())

    def sql(self) -> str:
        """Return the statements as they run."""
        steps = self.statements
        fetch = steps.fetch_sql(in_order=False)
        return ";\n\n".join([steps.winners_sql(), steps.place_ties_sql(), fetch])


def _event_range(entity_rows: pa.Table) -> tuple[int | None, int | None]:
    if not entity_rows.num_rows:
        return None, None
    since_us = int(np.min(entity_rows[SINCE_US].to_numpy()))
    until_us = int(np.max(entity_rows[AS_OF_US].to_numpy()))
    return None if since_us == _INT64_MIN else since_us, until_us


def _whole_range(event_us: tuple[int, int] | None, entity_rows: pa.Table) -> tuple[int, int] | None:
    """Return between which instants both events and entity rows are."""
    if event_us is None or not entity_rows.num_rows:
        return None
    as_of_us = entity_rows[AS_OF_US].to_numpy()
    return min(event_us[0], int(as_of_us.min())), max(event_us[1], int(as_of_us.max()))

"""Chooses how the winners of one view are found, from the data, and says why."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from evenstore.clock import format_us
from evenstore.schema.request import ViewRead
from evenstore.sql.point_in_time import JoinStrategy
from evenstore.sql.row_order import RowBounds
from evenstore.sql.sample import Sample

__all__ = ["JoinPlan", "choose_plan"]

_ALWAYS_FEW_PAIRS = 20_000_000
# Measured (ADR 0008): about here the as-of join's sort costs what the range join's pairs cost.
_MANY_ENTITY_ROWS_PER_ENTITY = 6.0


@dataclass(frozen=True, slots=True)
class JoinPlan:
    """How one view is joined.

    Attributes:
        view: The name that the view was asked for by.
        strategy: How winners are found.
        reason: Why this one.
        bounds: What the files' statistics say.
        n_entity_rows: Entity rows.
        event_range_us: Event timestamps that are read; None for no bound.
        no_index: Why the view's side index is not used; empty where there is none.
    """

    view: str
    strategy: JoinStrategy
    reason: str
    bounds: RowBounds
    n_entity_rows: int
    event_range_us: tuple[int | None, int | None]
    no_index: str = ""

    def explain(self) -> str:
        """Say in plain text what is done and why."""
        since_us, until_us = self.event_range_us
        since = "the beginning" if since_us is None else format_us(since_us)
        until = "the end" if until_us is None else format_us(until_us)
        files = "1 file" if self.bounds.n_files == 1 else f"{self.bounds.n_files:,} files"
        no_index = f"\n  side index not used: {self.no_index}" if self.no_index else ""
        return (
            f"{self.view}: {self.strategy.value}, because {self.reason}\n"
            f"  reads join keys and timestamps of {self.bounds.n_rows:,} feature rows in {files}, "
            f"events from {since} to {until}\n"
            f"  then fetches features for {self.n_entity_rows:,} entity rows by row position"
            f"{no_index}"
        )


def choose_plan(
    session: duckdb.DuckDBPyConnection,
    read: ViewRead,
    bounds: RowBounds,
    sample: Sample,
    *,
    n_entity_rows: int,
    event_range_us: tuple[int | None, int | None],
    can_merge: bool,
    strategy: JoinStrategy | None = None,
    no_index: str = "",
) -> JoinPlan:
    """Choose from the number of rows and, where that does not decide, a sample of the join keys.

    Args:
        session: Where the sample is read.
        read: The view.
        bounds: What the files' statistics say.
        sample: Counts pairs in a few blocks of feature rows.
        n_entity_rows: Entity rows.
        event_range_us: Event timestamps that are read; None for no bound.
        can_merge: Whether the history can be sorted in memory.
        strategy: What to take in any case; an as-of join where it is a merge that cannot be.
        no_index: Why the view's side index is not used.
    """
    reason = "it was asked for"
    if strategy is None:
        strategy, reason = _choose(session, read, bounds, sample, n_entity_rows)
        if strategy is JoinStrategy.AS_OF and can_merge:
            strategy = JoinStrategy.MERGE
    if strategy is JoinStrategy.MERGE and not can_merge:
        strategy = JoinStrategy.AS_OF
    return JoinPlan(
        read.output_name, strategy, reason, bounds, n_entity_rows, event_range_us, no_index
    )


def _choose(
    session: duckdb.DuckDBPyConnection,
    read: ViewRead,
    bounds: RowBounds,
    sample: Sample,
    n_entity_rows: int,
) -> tuple[JoinStrategy, str]:
    if not read.view.join_keys:
        return JoinStrategy.AS_OF, "the view has no entity: every row is every entity row's history"
    if bounds.n_rows * n_entity_rows <= _ALWAYS_FEW_PAIRS:
        return JoinStrategy.RANGE, (
            f"{bounds.n_rows:,} feature rows and {n_entity_rows:,} entity rows are few"
        )
    ((n_matched, n_pairs),) = session.sql(sample.sql()).fetchall()
    per_entity = n_pairs / n_matched if n_matched else 0.0
    said = f"a feature row belongs to {per_entity:,.1f} entity rows in a sample of the join keys"
    if per_entity > _MANY_ENTITY_ROWS_PER_ENTITY:
        return JoinStrategy.AS_OF, f"{said}: sorting is cheaper than pairing"
    return JoinStrategy.RANGE, f"{said}: pairing is cheaper than sorting"

"""Opens the join of one view: by its side index where that covers the files, else by SQL."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from evenstore.duckdb_session import SessionLimits
from evenstore.index.catalogue import index_folder
from evenstore.index.view_index import ViewIndex, open_index
from evenstore.offline.bounds import choose_blocks, read_row_bounds
from evenstore.offline.index_join import IndexJoin
from evenstore.offline.join import RowFetch, ViewJoin
from evenstore.offline.merge import can_merge
from evenstore.offline.plan import choose_plan
from evenstore.offline.sql_join import SqlJoin
from evenstore.schema.files import SourceFiles
from evenstore.schema.request import ViewRead
from evenstore.semantics import Knowledge
from evenstore.sql.point_in_time import JoinStrategy, PointInTimeJoin
from evenstore.sql.relation import AS_OF_US, SINCE_US
from evenstore.sql.row_order import RowBounds, RowOrder
from evenstore.sql.sample import Sample

__all__ = ["JoinOptions", "ViewToJoin", "open_join"]

_INT64_MIN = -(2**63)


@dataclass(frozen=True, slots=True)
class ViewToJoin:
    """One view of a retrieval.

    Attributes:
        source: The view's files.
        read: The view, the caller's key columns and the features.
        entity_rows: What `number_entity_rows` made for this view's keys.
        judged_at_us: Per entity row, int64, the instant at which age is judged; None for the
            instant up to which rows are seen.
    """

    source: SourceFiles
    read: ViewRead
    entity_rows: pa.Table
    judged_at_us: pa.Array | None = None


@dataclass(frozen=True, slots=True)
class JoinOptions:
    """What holds for all views of a retrieval.

    Attributes:
        knowledge: Which rows may be known.
        limits: Memory and threads.
        strategy: How to find winners by SQL; chosen from the data where it is None.
        repo_path: Where side indexes are looked for; None for no index.
        with_created: Fetch created timestamps too.
    """

    knowledge: Knowledge
    limits: SessionLimits | None = None
    strategy: JoinStrategy | None = None
    repo_path: Path | None = None
    with_created: bool = False


def open_join(
    session: duckdb.DuckDBPyConnection, view: ViewToJoin, options: JoinOptions, *, number: int
) -> ViewJoin:
    """Open the join of one view.

    Args:
        session: An open session.
        view: What is joined.
        options: How.
        number: Tells the joins of one session apart.

    Raises:
        SourceUnavailableError: A file cannot be read.
    """
    relation = f"entity_rows_{number}"
    session.register(relation, view.entity_rows)
    index = _open_index(view, options)
    if isinstance(index, ViewIndex):
        # Only its fetch is used, which knows nothing of an order.
        order = RowOrder(RowBounds(len(view.source.paths), 0, None, None))
        steps = _statements(view, options, JoinStrategy.RANGE, order, number)
        return IndexJoin(
            session,
            view.read,
            view.entity_rows,
            index=index,
            fetch=RowFetch(session, steps, view.entity_rows.num_rows),
            is_as_known=steps.is_as_known,
            limits=options.limits,
        )
    bounds = read_row_bounds(session, view.source)
    n_entity_rows = view.entity_rows.num_rows
    plan = choose_plan(
        session,
        view.read,
        bounds,
        Sample(view.source, view.read, relation, choose_blocks(view.source), n_entity_rows),
        n_entity_rows=n_entity_rows,
        event_range_us=_event_range(view.entity_rows),
        can_merge=_can_merge(view, options, bounds),
        strategy=options.strategy,
        no_index=index,
    )
    steps = _statements(view, options, plan.strategy, RowOrder(bounds), number)
    return SqlJoin(session, view.entity_rows, plan, steps)


def _open_index(view: ViewToJoin, options: JoinOptions) -> ViewIndex | str:
    """Return the index, or why it is not used; empty where there is none."""
    if options.repo_path is None or options.strategy is not None:
        return ""
    folder = index_folder(options.repo_path, view.read.view.name)
    if not folder.is_dir():
        return ""
    if options.with_created:
        return "created timestamps were asked for"
    index = open_index(folder, view.source, view.read.view)
    return index if isinstance(index, ViewIndex) else index.reason


def _statements(
    view: ViewToJoin, options: JoinOptions, strategy: JoinStrategy, order: RowOrder, number: int
) -> PointInTimeJoin:
    return PointInTimeJoin(
        source=view.source,
        read=view.read,
        knowledge=options.knowledge,
        strategy=strategy,
        order=order,
        entity_relation=f"entity_rows_{number}",
        winner_table=f"winners_{number}",
        event_range_us=_event_range(view.entity_rows),
        with_created=options.with_created,
    )


def _can_merge(view: ViewToJoin, options: JoinOptions, bounds: RowBounds) -> bool:
    is_as_known = options.knowledge is Knowledge.AS_KNOWN and view.source.created is not None
    is_bounded = options.limits is not None and options.limits.memory_limit is not None
    if is_as_known or is_bounded or not view.read.key_columns:
        return False
    return can_merge(
        n_rows=bounds.n_rows,
        n_entity_rows=view.entity_rows.num_rows,
        event_range_us=_whole_range(bounds.event_us, view.entity_rows),
    )


def _event_range(entity_rows: pa.Table) -> tuple[int | None, int | None]:
    """Return between which event timestamps entity rows may see rows; None for no bound."""
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

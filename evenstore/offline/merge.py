"""Finds winners by sorting the asked entities' history once, in memory.

For long histories that fit: about half of what DuckDB's as-of join takes. Entity and event
timestamp are packed into one integer, so that sorting is sorting integers and an entity row's
winner is the last one not after its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from evenstore.sql.merge import MergeInput
from evenstore.sql.relation import (
    AS_OF_US,
    CREATED_US,
    ENTITY,
    EVENT_US,
    FILE,
    FILE_ROW,
    IS_TIED,
    ROW_IDX,
    SINCE_US,
)

__all__ = ["can_merge", "merge_winners"]

_Ints = npt.NDArray[np.int64]
_MOST_ROWS = 8_000_000
_INT64_MIN = -(2**63)


def can_merge(*, n_rows: int, n_entity_rows: int, event_range_us: tuple[int, int] | None) -> bool:
    """Tell whether a merge fits: into memory (64 bytes a row) and into 63 bits.

    Args:
        n_rows: Feature rows.
        n_entity_rows: Entity rows; there are at most as many entities.
        event_range_us: Between which instants events and entity rows are.
    """
    if event_range_us is None or n_rows > _MOST_ROWS:
        return False
    span_us = event_range_us[1] - event_range_us[0] + 2
    return span_us * (n_entity_rows + 1) < 2**62


def merge_winners(
    session: duckdb.DuckDBPyConnection, statements: MergeInput, entity_rows: pa.Table
) -> pa.Table:
    """Find the winner of each entity row, as `PointInTimeJoin.winners_sql` would.

    Shapes:
        out: at most one row per entity row x (`_row_idx`, `_event_us`, `_file`, `_file_row`,
            `_is_tied`).
    """
    session.execute(statements.number_entities_sql())
    asked = session.sql(statements.entity_rows_sql()).to_arrow_table()
    rows = session.sql(statements.feature_rows_sql()).to_arrow_table()
    row_idx = _ints(asked, ROW_IDX)
    found, winners, is_tied = _search(
        _Rows.of(rows),
        _ints(asked, ENTITY),
        since_us=_ints(entity_rows, SINCE_US)[row_idx],
        as_of_us=_ints(entity_rows, AS_OF_US)[row_idx],
    )
    taken = rows.select([EVENT_US, FILE, FILE_ROW]).take(pa.array(winners))
    return pa.table(
        {
            ROW_IDX: row_idx[found],
            EVENT_US: taken[EVENT_US],
            FILE: taken[FILE],
            FILE_ROW: taken[FILE_ROW],
            IS_TIED: is_tied,
        }
    )


@dataclass(frozen=True, slots=True)
class _Rows:
    """Feature rows; a null created timestamp is the least integer."""

    entity: _Ints
    event_us: _Ints
    created_us: _Ints

    @classmethod
    def of(cls, table: pa.Table) -> _Rows:
        created = table[CREATED_US].combine_chunks().fill_null(_INT64_MIN)
        return cls(_ints(table, ENTITY), _ints(table, EVENT_US), created.to_numpy())


def _search(
    rows: _Rows, entity: _Ints, *, since_us: _Ints, as_of_us: _Ints
) -> tuple[npt.NDArray[np.bool_], _Ints, npt.NDArray[np.bool_]]:
    """Return which entity rows have a winner, the winners' row numbers, and which are tied."""
    if not len(rows.entity) or not len(entity):
        nothing = np.zeros(0, dtype=np.int64)
        return np.zeros(len(entity), dtype=bool), nothing, nothing.astype(bool)
    first_us = min(int(rows.event_us.min()), int(as_of_us.min()))
    span_us = max(int(rows.event_us.max()), int(as_of_us.max())) - first_us + 1
    packed = rows.entity * span_us + (rows.event_us - first_us)
    order = np.argsort(packed)
    packed = packed[order]
    own = entity * span_us
    at = np.searchsorted(packed, own + (as_of_us - first_us), side="right") - 1
    event_us = packed[np.maximum(at, 0)] - own + first_us
    found = (at >= 0) & (event_us >= np.maximum(since_us, first_us))
    at = at[found]
    best, is_tied = _newest_created(packed, rows.created_us[order], at)
    return found, order[best], is_tied


def _newest_created(
    packed: _Ints, created_us: _Ints, at: _Ints
) -> tuple[_Ints, npt.NDArray[np.bool_]]:
    """Take the last created of the rows of one entity and event timestamp that end at `at`."""
    best = at.copy()
    is_tied = np.zeros(len(at), dtype=bool)
    step = 0
    active = np.arange(len(at))
    while True:
        step += 1
        before = at[active] - step
        active = active[before >= 0]
        before = at[active] - step
        is_same = packed[before] == packed[at[active]]
        active, before = active[is_same], before[is_same]
        if not len(active):
            return best, is_tied
        chosen = created_us[best[active]]
        is_tied[active[created_us[before] == chosen]] = True
        is_newer = created_us[before] > chosen
        is_tied[active[is_newer]] = False
        best[active[is_newer]] = before[is_newer]


def _ints(table: pa.Table, name: str) -> _Ints:
    values: _Ints = table[name].to_numpy()
    return values

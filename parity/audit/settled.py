"""Statuses that Feast does not state.

Feast answers null and PRESENT for an expired row as for a null value, and no status of its own for
what on-demand views compute. Where the values are equal and of the same row, an application cannot
see a difference, so there is none.
"""

from __future__ import annotations

from evenstore.semantics import Status
from parity.compare import Cell, CellColumn, are_values_equal

__all__ = ["settle_statuses"]


def settle_statuses(offline: CellColumn, online: CellColumn, *, is_on_demand: bool) -> CellColumn:
    """Return the online cells, with the offline status where Feast cannot tell another one."""
    statuses = [
        offline.statuses[row_idx]
        if _is_same_answer(offline.cell(row_idx), online.cell(row_idx), is_on_demand=is_on_demand)
        else online.statuses[row_idx]
        for row_idx in range(len(online))
    ]
    return CellColumn(online.values, statuses, online.event_us)


def _is_same_answer(offline: Cell, online: Cell, *, is_on_demand: bool) -> bool:
    if online.status is None or not are_values_equal(offline.value, online.value):
        return False
    if is_on_demand:
        return True
    is_null = offline.value is None and online.status in {Status.NULL_VALUE, Status.PRESENT}
    return is_null and offline.event_us == online.event_us

"""The comparison itself: two columns of cells in, one outcome per row out. No I/O, no clock.

A cell is what one side answers for one feature of one entity row: value, status and event
timestamp. Outcomes are said of the online side relative to the offline side.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass

from evenstore.semantics import Status
from parity.values import PlainValue

__all__ = [
    "Cell",
    "CellColumn",
    "Outcome",
    "are_values_equal",
    "compare_cells",
    "compare_columns",
]


class Outcome(enum.Enum):
    """What the online cell is, relative to the offline cell.

    MATCH, WITHIN_TOLERANCE and EXPIRED_ABSENT are agreement; every other outcome violates parity.
    """

    MATCH = "match"
    WITHIN_TOLERANCE = "within-tolerance"
    EXPIRED_ABSENT = "expired-absent"
    STALE = "stale"
    MISSING = "missing"
    EXTRA = "extra"
    MISMATCH = "mismatch"
    STATUS_DIFFERS = "status-differs"
    TIMESTAMP_DIFFERS = "timestamp-differs"
    UNANSWERED = "unanswered"

    @property
    def is_agreement(self) -> bool:
        """Tell whether both sides give the same answer."""
        return self in {Outcome.MATCH, Outcome.WITHIN_TOLERANCE, Outcome.EXPIRED_ABSENT}


@dataclass(frozen=True, slots=True)
class Cell:
    """One side's answer for one feature of one entity row.

    Attributes:
        value: None for null, whatever the reason.
        status: Feast's field status; None where the side refuses to answer for the entity row, as
            the gateway does for a stored row that it cannot read.
        event_us: Event timestamp of the row that won; None where there is no row, and for outputs
            of on-demand views.
    """

    value: PlainValue | None
    status: Status | None
    event_us: int | None


@dataclass(frozen=True, slots=True)
class CellColumn:
    """One side's cells of one feature, for all entity rows in order.

    Attributes:
        values: As in `Cell`, one per row.
        statuses: One per row.
        event_us: One per row.
    """

    values: Sequence[PlainValue | None]
    statuses: Sequence[Status | None]
    event_us: Sequence[int | None]

    def __post_init__(self) -> None:
        if not len(self.values) == len(self.statuses) == len(self.event_us):
            msg = "values, statuses and event timestamps are not of the same entity rows"
            raise ValueError(msg)

    def __len__(self) -> int:
        return len(self.values)

    def cell(self, row_idx: int) -> Cell:
        """Return the cell of one entity row."""
        return Cell(self.values[row_idx], self.statuses[row_idx], self.event_us[row_idx])


def compare_columns(offline: CellColumn, online: CellColumn) -> list[Outcome]:
    """Compare one feature for all entity rows, in row order.

    Raises:
        ValueError: The columns differ in length: they are not of the same entity rows.
    """
    if len(offline) != len(online):
        msg = f"{len(offline)} offline rows, {len(online)} online rows"
        raise ValueError(msg)
    values = zip(offline.values, online.values, strict=True)
    statuses = zip(offline.statuses, online.statuses, strict=True)
    instants = zip(offline.event_us, online.event_us, strict=True)
    # Nearly all cells match in all three, and making two `Cell`s of each costs ten times as much.
    return [
        Outcome.MATCH
        if _is_plain_match(value, status, event_us)
        else compare_cells(
            Cell(value[0], status[0], event_us[0]), Cell(value[1], status[1], event_us[1])
        )
        for value, status, event_us in zip(values, statuses, instants, strict=True)
    ]


def compare_cells(offline: Cell, online: Cell) -> Outcome:
    """Decide the one outcome of a pair of cells.

    The first that holds, in this order: UNANSWERED, STALE, MISSING, EXTRA, MISMATCH,
    STATUS_DIFFERS, TIMESTAMP_DIFFERS. So a lost write is called stale even where its value happens
    to be equal, and one cause is not counted three times. An offline OUTSIDE_MAX_AGE beside an
    online NOT_FOUND agrees where the values do: the row was never loaded or has expired physically.
    """
    if online.status is None:
        return Outcome.UNANSWERED
    if _is_older(online.event_us, offline.event_us):
        return Outcome.STALE
    if not are_values_equal(offline.value, online.value):
        return _value_outcome(offline.value, online.value)
    return _label_outcome(offline, online)


def are_values_equal(offline_value: PlainValue | None, online_value: PlainValue | None) -> bool:
    """Tell whether two plain values of one declared type are equal, exactly.

    NaN equals NaN and differs from null; 0.0 equals -0.0; lists are equal when they have the same
    length and equal elements in the same order.
    """
    # True == 1 == 1.0 in Python, never between two values of one declared type.
    if type(offline_value) is not type(online_value):
        return False
    if isinstance(offline_value, tuple) and isinstance(online_value, tuple):
        return len(offline_value) == len(online_value) and all(
            map(are_values_equal, offline_value, online_value)
        )
    if isinstance(offline_value, float) and isinstance(online_value, float):
        both_nan = math.isnan(offline_value) and math.isnan(online_value)
        return both_nan or offline_value == online_value
    return offline_value == online_value


def _is_plain_match(
    values: tuple[PlainValue | None, PlainValue | None],
    statuses: tuple[Status | None, Status | None],
    event_us: tuple[int | None, int | None],
) -> bool:
    offline_value, online_value = values
    return (
        offline_value == online_value
        and type(offline_value) is type(online_value)
        and type(offline_value) is not tuple
        and statuses[0] is statuses[1]
        and statuses[1] is not None
        and event_us[0] == event_us[1]
    )


def _is_older(online_event_us: int | None, offline_event_us: int | None) -> bool:
    if online_event_us is None or offline_event_us is None:
        return False
    return online_event_us < offline_event_us


def _value_outcome(offline_value: PlainValue | None, online_value: PlainValue | None) -> Outcome:
    if online_value is None:
        return Outcome.MISSING
    return Outcome.EXTRA if offline_value is None else Outcome.MISMATCH


def _label_outcome(offline: Cell, online: Cell) -> Outcome:
    if (offline.status, online.status) == (Status.OUTSIDE_MAX_AGE, Status.NOT_FOUND):
        return Outcome.EXPIRED_ABSENT
    if offline.status is not online.status:
        return Outcome.STATUS_DIFFERS
    return Outcome.MATCH if offline.event_us == online.event_us else Outcome.TIMESTAMP_DIFFERS

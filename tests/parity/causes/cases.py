"""One differing cell with everything as it should be, for tests to break in one place."""

from __future__ import annotations

from typing import Any

from evenstore.dtypes import Dtype
from evenstore.semantics import Status
from parity.causes.cell_facts import CellFacts
from parity.causes.finding import StoredOrder
from parity.causes.rows import LoadState, SourceRow, StoredRow
from parity.compare import Cell

__all__ = [
    "AS_OF_US",
    "CREATED_US",
    "EVENT_US",
    "HOUR_US",
    "cell",
    "facts",
    "order",
    "source",
    "stored",
]

HOUR_US = 3_600_000_000
AS_OF_US = 1_323_475_200_000_000  # 2011-12-10T00:00:00Z
EVENT_US = AS_OF_US - 2 * HOUR_US
CREATED_US = EVENT_US + HOUR_US // 2
LOADED = LoadState(
    intervals=((None, AS_OF_US - HOUR_US),),
    created_end_us=AS_OF_US - HOUR_US,
    loaded_at_us=AS_OF_US - HOUR_US,
    is_schema_current=True,
)


def order(
    hours: float = 0, *, created: float | None = 0, sequence: int | None = None
) -> StoredOrder:
    """A place some hours after EVENT_US, created some hours after CREATED_US."""
    created_us = None if created is None else CREATED_US + round(created * HOUR_US)
    return StoredOrder(EVENT_US + round(hours * HOUR_US), created_us, sequence)


def source(
    value: Any = 1.5,
    hours: float = 0,
    *,
    created: float | None = 0,
    was_read: bool | None = True,
    **others: Any,
) -> SourceRow:
    """A row of the source; others are further features or `arrived_us`."""
    arrived_us = others.pop("arrived_us", None)
    return SourceRow(
        order(hours, created=created),
        {"spend": value, "orders": 7, **others},
        "/data/activity.parquet",
        was_read,
        arrived_us,
    )


def stored(
    value: Any = 1.5, hours: float = 0, *, created: float | None = 0, **others: Any
) -> StoredRow:
    """A stored row; others are fields of `StoredRow`."""
    values = others.pop("values", {"spend": value, "orders": 7})
    return StoredRow(order(hours, created=created), values, **others)


def cell(value: Any, hours: float | None = 0, status: Status | None = Status.PRESENT) -> Cell:
    """An answer of the row some hours after EVENT_US; None for no row."""
    return Cell(value, status, None if hours is None else EVENT_US + round(hours * HOUR_US))


def facts(**changes: Any) -> CellFacts:
    """A cell that differs for no reason that anything tells."""
    given: dict[str, Any] = {
        "feature": "spend",
        "dtype": Dtype.FLOAT64,
        "as_of_us": AS_OF_US,
        "offline": cell(1.5),
        "online": cell(99.0),
        "history": (source(),),
        "stored": stored(99.0),
        "loads": LOADED,
        "n_source_rows": 1,
        "key_exists": True,
    }
    return CellFacts(**(given | changes))

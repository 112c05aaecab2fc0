"""A comparison that was never seen red proves nothing: each fault planted here must be named.

Faults are planted at the level of data: offline cells as they are, online cells with one fault.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from evenstore.dtypes import Dtype
from evenstore.schema.model import Field
from evenstore.schema.request import Column
from evenstore.semantics import Status
from parity.compare import Cell, CellColumn, Outcome
from parity.report import CheckedRows, FeatureComparison, compare_feature
from parity.text import format_difference
from tests.parity.cases import AS_OF_US, DAY_US

SPEND = Column("customer_activity", Field("spend_30d", Dtype.FLOAT64), is_on_demand=False)
BASKET = Column("customer_activity", Field("basket_30d", Dtype.FLOAT64), is_on_demand=False)
ROWS = CheckedRows(
    columns={"customer_id": [12346, 12347, 12348], "till": ["a", "b", "c"]},
    as_of_us=[AS_OF_US] * 3,
)
FAULTY_ROW = 1
EVENT_US = AS_OF_US - DAY_US

Plant = Callable[[Cell], Cell]


def column_of(*cells: Cell) -> CellColumn:
    return CellColumn(
        [cell.value for cell in cells],
        [cell.status for cell in cells],
        [cell.event_us for cell in cells],
    )


def compare(column: Column, offline: list[Cell], online: list[Cell]) -> FeatureComparison:
    return compare_feature(
        column,
        ROWS,
        key_columns=["customer_id"],
        offline=column_of(*offline),
        online=column_of(*online),
        ambiguous=[False] * len(offline),
    )


def present(value: float) -> Cell:
    return Cell(value, Status.PRESENT, EVENT_US)


def one_ulp_up(cell: Cell) -> Cell:
    assert isinstance(cell.value, float)
    return replace(cell, value=math.nextafter(cell.value, math.inf))


def one_us_early(cell: Cell) -> Cell:
    return replace(cell, event_us=EVENT_US - 1)


def one_us_late(cell: Cell) -> Cell:
    return replace(cell, event_us=EVENT_US + 1)


def stale_row(cell: Cell) -> Cell:
    return replace(cell, value=11.0, event_us=EVENT_US - DAY_US)


def stale_row_of_equal_value(cell: Cell) -> Cell:
    return replace(cell, event_us=EVENT_US - DAY_US)


def missing_row(_cell: Cell) -> Cell:
    return Cell(None, Status.NOT_FOUND, None)


def null_for_value(_cell: Cell) -> Cell:
    return Cell(None, Status.NULL_VALUE, EVENT_US)


def nan_for_value(cell: Cell) -> Cell:
    return replace(cell, value=math.nan)


def sign_lost(cell: Cell) -> Cell:
    assert isinstance(cell.value, float)
    return replace(cell, value=-cell.value)


def expired_too_early(_cell: Cell) -> Cell:
    return Cell(None, Status.OUTSIDE_MAX_AGE, EVENT_US)


def wrong_status(cell: Cell) -> Cell:
    return replace(cell, status=Status.OUTSIDE_MAX_AGE)


def refused_row(_cell: Cell) -> Cell:
    return Cell(None, None, None)


@pytest.mark.parametrize(
    ("plant", "outcome"),
    [
        (one_ulp_up, Outcome.MISMATCH),
        (nan_for_value, Outcome.MISMATCH),
        (sign_lost, Outcome.MISMATCH),
        (one_us_early, Outcome.STALE),
        (one_us_late, Outcome.TIMESTAMP_DIFFERS),
        (stale_row, Outcome.STALE),
        (stale_row_of_equal_value, Outcome.STALE),
        (missing_row, Outcome.MISSING),
        (null_for_value, Outcome.MISSING),
        (expired_too_early, Outcome.MISSING),
        (wrong_status, Outcome.STATUS_DIFFERS),
        (refused_row, Outcome.UNANSWERED),
    ],
)
def test_fault_in_a_present_value_is_named(plant: Plant, outcome: Outcome) -> None:
    offline = [present(12.5), present(13.5), present(14.5)]
    online = [*offline]
    online[FAULTY_ROW] = plant(online[FAULTY_ROW])
    assert_named(compare(SPEND, offline, online), outcome)


@pytest.mark.parametrize(
    ("offline_cell", "online_cell", "outcome"),
    [
        # Null for NaN, and NaN for null.
        (present(math.nan), Cell(None, Status.NULL_VALUE, EVENT_US), Outcome.MISSING),
        (Cell(None, Status.NULL_VALUE, EVENT_US), present(math.nan), Outcome.EXTRA),
        # A row that only the online store has, and one that should have expired.
        (Cell(None, Status.NOT_FOUND, None), present(13.5), Outcome.EXTRA),
        (Cell(None, Status.OUTSIDE_MAX_AGE, EVENT_US), present(13.5), Outcome.EXTRA),
        # A feature that was added and never backfilled: the row is there, the feature is not.
        (
            Cell(None, Status.NULL_VALUE, EVENT_US),
            Cell(None, Status.NOT_FOUND, EVENT_US),
            Outcome.STATUS_DIFFERS,
        ),
    ],
)
def test_fault_beside_an_absent_value_is_named(
    offline_cell: Cell, online_cell: Cell, outcome: Outcome
) -> None:
    offline = [present(12.5), offline_cell, present(14.5)]
    online = [present(12.5), online_cell, present(14.5)]
    assert_named(compare(SPEND, offline, online), outcome)


def test_swapped_columns_are_named_for_both_features() -> None:
    spend = [present(12.5), present(13.5), present(0.0)]
    basket = [present(4.25), present(5.25), present(0.0)]
    for column, offline, online in ((SPEND, spend, basket), (BASKET, basket, spend)):
        comparison = compare(column, offline, online)
        assert [d.outcome for d in comparison.differences] == [Outcome.MISMATCH] * 2
        assert {d.feature for d in comparison.differences} == {column.field.name}


def test_rows_in_another_order_are_named() -> None:
    offline = [present(12.5), present(13.5), present(14.5)]
    comparison = compare(SPEND, offline, [offline[1], offline[0], offline[2]])
    assert [d.entity_key["customer_id"] for d in comparison.differences] == [12346, 12347]


def test_clean_column_has_no_difference() -> None:
    cells = [present(12.5), present(math.nan), Cell(None, Status.NOT_FOUND, None)]
    comparison = compare(SPEND, cells, cells)
    assert comparison.differences == ()
    assert comparison.counts.n_differing == 0


def assert_named(comparison: FeatureComparison, outcome: Outcome) -> None:
    assert comparison.counts.n_differing == 1
    assert comparison.counts.by_outcome[outcome] == 1
    (difference,) = comparison.differences
    assert difference.outcome is outcome
    line = format_difference(difference)
    assert line.startswith(
        f"{outcome.value} customer_activity:spend_30d customer_id=12347 offline="
    )

"""Each rule by hand: one cell, the rows of its source, the runs that are recorded."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evenstore.dtypes import Dtype
from evenstore.semantics import Status
from parity.audit.stock_causes import StoredView, find_stock_cause
from parity.causes.finding import Cause, StoredOrder
from parity.causes.rows import SourceRow
from parity.compare import Cell, Outcome
from parity.report import Difference
from parity.values import PlainValue

HOUR_US = 3_600_000_000
AS_OF_US = 1_000 * HOUR_US
EVENT_US = 900 * HOUR_US
RUN = (0, 950 * HOUR_US)
VIEW = StoredView(
    name="stats",
    ttl_us=None,
    runs=(RUN,),
    is_materializing=False,
    takes_pushes=False,
    has_created=True,
    key_ttl_s=None,
)
NO_CREATED = replace(VIEW, has_created=False)


def row(
    value: PlainValue | None, event_us: int = EVENT_US, created_us: int | None = 901 * HOUR_US
) -> SourceRow:
    return SourceRow(StoredOrder(event_us, created_us), {"x": value})


def cause(
    offline: Cell,
    online: Cell,
    *rows: SourceRow,
    view: StoredView = VIEW,
    first_online_us: int | None = 0,
    is_kept_type: bool = False,
) -> Cause:
    difference = Difference(
        Outcome.MISMATCH, "stats", "x", Dtype.INT64, 0, {"id": 1}, AS_OF_US, offline, online
    )
    found = find_stock_cause(
        difference,
        view,
        rows,
        first_online_us=first_online_us,
        is_kept_type=is_kept_type,
        command="",
    )
    return found.cause


def present(value: PlainValue, event_us: int = EVENT_US) -> Cell:
    return Cell(value, Status.PRESENT, event_us)


ABSENT = Cell(None, Status.NOT_FOUND, None)
OLDER_US = EVENT_US - HOUR_US // 3


def test_row_that_no_run_covers() -> None:
    due_us = RUN[1] + 1
    assert cause(present(2, due_us), present(1), row(2, due_us), row(1)) is Cause.NOT_MATERIALIZED
    never = replace(VIEW, runs=())
    assert cause(present(2), ABSENT, row(2), view=never) is Cause.NOT_MATERIALIZED


def test_edge_of_a_run_is_covered() -> None:
    edge_us = RUN[1]
    older = row(1, OLDER_US)
    late = row(2, edge_us, created_us=edge_us + 1)
    assert cause(present(2, edge_us), present(1, OLDER_US), late, older) is Cause.LATE_ARRIVAL
    known = row(2, edge_us, created_us=edge_us)
    assert cause(present(2, edge_us), present(1, OLDER_US), known, older) is Cause.WRITE_ORDER


def test_row_that_is_gone() -> None:
    assert cause(present(2), ABSENT, row(2)) is Cause.KEY_EXPIRED
    assert cause(present(2), ABSENT, row(2, created_us=None), view=NO_CREATED) is Cause.LATE_ARRIVAL
    forgets = replace(NO_CREATED, key_ttl_s=60)
    assert cause(present(2), ABSENT, row(2, created_us=None), view=forgets) is Cause.KEY_EXPIRED


def test_row_that_only_the_store_has() -> None:
    assert cause(ABSENT, present(1)) is Cause.DELETED_ROW
    pushes = replace(VIEW, takes_pushes=True)
    assert cause(ABSENT, present(1), view=pushes) is Cause.PUSHED_ONLINE_ONLY
    newer = present(3, EVENT_US + 7)
    assert cause(present(2), newer, row(2), view=pushes) is Cause.PUSHED_ONLINE_ONLY
    future = present(3, AS_OF_US + 1)
    assert cause(present(2), future, row(2)) is Cause.UNKNOWN


def test_expired_row() -> None:
    expired = Cell(None, Status.OUTSIDE_MAX_AGE, EVENT_US)
    assert cause(expired, present(2), row(2)) is Cause.TTL_BOUNDARY


@pytest.mark.parametrize("hours", [-5, 1, 5.5])
def test_value_at_another_hour(hours: float) -> None:
    shifted = present(2, EVENT_US + int(hours * HOUR_US))
    assert cause(present(2), shifted, row(2)) is Cause.TIMEZONE
    assert cause(present(2), replace(shifted, value=3), row(2)) is not Cause.TIMEZONE


def test_correction_under_the_same_event_timestamp() -> None:
    corrected, first = row(2, created_us=902 * HOUR_US), row(1)
    assert cause(present(2), present(1), corrected, first) is Cause.DROPPED_CORRECTION
    replaced = row(2, created_us=RUN[1] + 1)
    assert cause(present(2), present(1), replaced) is Cause.DROPPED_CORRECTION
    silent = row(2, created_us=None)
    assert cause(present(2), present(1), silent, view=NO_CREATED) is Cause.DROPPED_CORRECTION
    assert cause(present(2), present(1), row(2)) is Cause.UNKNOWN


def test_tie() -> None:
    assert cause(present(2), present(1), row(2), row(1)) is Cause.AMBIGUOUS_TIE


def test_feature_that_old_rows_lack() -> None:
    null = Cell(None, Status.NULL_VALUE, EVENT_US)
    added = Cause.NEW_FEATURE_NOT_BACKFILLED
    assert cause(present(2), null, row(2), first_online_us=None) is added
    assert cause(present(2), null, row(2), first_online_us=EVENT_US + 1) is added
    assert cause(present(2), null, row(2), first_online_us=EVENT_US) is Cause.UNKNOWN


def test_values_that_changed_on_the_way() -> None:
    big = 2**53 + 1
    assert cause(present(big), present(2**53), row(big)) is Cause.DTYPE_PRECISION
    narrow = 0.10000000149011612
    assert cause(present(0.1), present(narrow), row(0.1)) is Cause.DTYPE_PRECISION
    assert cause(present(3.7), present(3), row(3.7), is_kept_type=True) is Cause.DTYPE_PRECISION
    assert cause(present(3), present("3"), row(3)) is Cause.SDK_CONVERSION
    null = Cell(None, Status.NULL_VALUE, EVENT_US)
    nan = float("nan")
    assert cause(present(nan), null, row(nan), first_online_us=None) is Cause.NAN_OR_NULL


def test_refused_read() -> None:
    refused = Cell(None, None, None)
    running = replace(VIEW, is_materializing=True)
    assert cause(present(2), refused, row(2), view=running) is Cause.NOT_MATERIALIZED
    assert cause(present(2), refused, row(2)) is Cause.UNKNOWN

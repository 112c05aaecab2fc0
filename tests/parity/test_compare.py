from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenstore.semantics import Status
from parity.compare import (
    Cell,
    CellColumn,
    Outcome,
    are_values_equal,
    compare_cells,
    compare_columns,
)
from parity.values import PlainValue, Undecodable
from tests.support.scale import scaled

T1, T2 = 1_000_000, 2_000_000


def present(value: PlainValue | None, event_us: int | None = T1) -> Cell:
    return Cell(value, Status.PRESENT, event_us)


NOT_FOUND = Cell(None, Status.NOT_FOUND, None)
EXPIRED = Cell(None, Status.OUTSIDE_MAX_AGE, T1)
NULL = Cell(None, Status.NULL_VALUE, T1)


@pytest.mark.parametrize(
    ("offline", "online", "outcome"),
    [
        (present(1), present(1), Outcome.MATCH),
        (NOT_FOUND, NOT_FOUND, Outcome.MATCH),
        (NULL, NULL, Outcome.MATCH),
        (EXPIRED, EXPIRED, Outcome.MATCH),
        (present(math.nan), present(math.nan), Outcome.MATCH),
        (EXPIRED, NOT_FOUND, Outcome.EXPIRED_ABSENT),
        (NOT_FOUND, EXPIRED, Outcome.STATUS_DIFFERS),
        (NULL, NOT_FOUND, Outcome.STATUS_DIFFERS),
        (NULL, EXPIRED, Outcome.STATUS_DIFFERS),
        (present(1), present(2), Outcome.MISMATCH),
        (present(1), NOT_FOUND, Outcome.MISSING),
        (present(math.nan), NULL, Outcome.MISSING),
        (Cell(1, Status.OUTSIDE_MAX_AGE, T1), NOT_FOUND, Outcome.MISSING),
        (NOT_FOUND, present(1), Outcome.EXTRA),
        (NULL, present(math.nan), Outcome.EXTRA),
        (EXPIRED, present(1), Outcome.EXTRA),
        (present(1, T2), present(1, T1), Outcome.STALE),
        (present(2, T2), present(1, T1), Outcome.STALE),
        (present(2, T2), NULL, Outcome.STALE),
        (present(1, T1), present(1, T2), Outcome.TIMESTAMP_DIFFERS),
        (present(1, T1), present(1, None), Outcome.TIMESTAMP_DIFFERS),
        (present(1, None), present(1, T1), Outcome.TIMESTAMP_DIFFERS),
        (present(1, T1), present(2, T2), Outcome.MISMATCH),
        (present(1), Cell(1, Status.OUTSIDE_MAX_AGE, T1), Outcome.STATUS_DIFFERS),
        (present(1), Cell(None, None, None), Outcome.UNANSWERED),
        (NOT_FOUND, Cell(None, None, None), Outcome.UNANSWERED),
        (present(1), present(Undecodable("1.0")), Outcome.MISMATCH),
    ],
)
def test_pair_of_cells_has_one_outcome(offline: Cell, online: Cell, outcome: Outcome) -> None:
    assert compare_cells(offline, online) is outcome


@pytest.mark.parametrize(
    ("offline_value", "online_value"),
    [
        (0.0, -0.0),
        (math.nan, math.nan),
        (math.inf, math.inf),
        (2**63 - 1, 2**63 - 1),
        ("a", "a"),
        (b"a", b"a"),
        ((), ()),
        ((1.0, math.nan), (1.0, math.nan)),
        (None, None),
    ],
)
def test_equal_values_are_equal_both_ways(
    offline_value: PlainValue | None, online_value: PlainValue | None
) -> None:
    assert are_values_equal(offline_value, online_value)
    assert are_values_equal(online_value, offline_value)


@pytest.mark.parametrize(
    ("offline_value", "online_value"),
    [
        (math.nan, None),
        (math.nan, 0.0),
        (1.0, math.nextafter(1.0, 2.0)),
        (2**53 + 1, 2**53),
        (1, True),
        (1, 1.0),
        ("1", 1),
        ("e\u0301", "\u00e9"),
        ("a", b"a"),
        ((), None),
        ((), (1,)),
        ((1, 2), (2, 1)),
        ((1, 2), (1,)),
        ((0,), (False,)),
        (Undecodable("1"), Undecodable("1")),
    ],
)
def test_different_values_are_different_both_ways(
    offline_value: PlainValue | None, online_value: PlainValue | None
) -> None:
    assert not are_values_equal(offline_value, online_value)
    assert not are_values_equal(online_value, offline_value)


def test_only_matches_tolerated_and_expired_absent_cells_are_agreement() -> None:
    agreeing = {outcome for outcome in Outcome if outcome.is_agreement}
    assert agreeing == {Outcome.MATCH, Outcome.WITHIN_TOLERANCE, Outcome.EXPIRED_ABSENT}


def test_columns_are_compared_row_by_row() -> None:
    offline = CellColumn([1, 2], [Status.PRESENT] * 2, [T1, T1])
    online = CellColumn([1, None], [Status.PRESENT, Status.NOT_FOUND], [T1, None])
    assert compare_columns(offline, online) == [Outcome.MATCH, Outcome.MISSING]


def test_columns_of_different_length_are_refused() -> None:
    column = CellColumn([1], [Status.PRESENT], [T1])
    with pytest.raises(ValueError, match="1 offline rows, 0 online rows"):
        compare_columns(column, CellColumn([], [], []))
    with pytest.raises(ValueError, match="not of the same entity rows"):
        CellColumn([1], [Status.PRESENT], [])


def naive_text(value: Any) -> str:
    """An equality that shares nothing with the real one: canonical text, then string equality."""
    if isinstance(value, tuple):
        return "list:" + "|".join(f"<{naive_text(item)}>" for item in value)
    if isinstance(value, float):
        return "float:nan" if math.isnan(value) else f"float:{value + 0.0!r}"
    return f"{type(value).__name__}:{value!r}"


def naive_outcome(offline: Cell, online: Cell) -> str:
    """The documented order of outcomes, as a table of (name, holds) pairs."""
    same_value = naive_text(offline.value) == naive_text(online.value)
    pair = ">".join(getattr(cell.status, "name", "") for cell in (offline, online))
    holds = [
        ("unanswered", pair.endswith(">")),
        ("stale", (offline.event_us, online.event_us) == (T2, T1)),
        ("missing", offline.value is not None and online.value is None),
        ("extra", offline.value is None and online.value is not None),
        ("mismatch", not same_value),
        ("expired-absent", pair == "OUTSIDE_MAX_AGE>NOT_FOUND"),
        ("status-differs", len(set(pair.split(">"))) == 2),
        ("timestamp-differs", str(offline.event_us) != str(online.event_us)),
    ]  # fmt: skip
    return next((name for name, is_true in holds if is_true), "match")


SCALARS = st.one_of(
    st.sampled_from([0, 1, -1, 2**53, 2**53 + 1, 0.0, -0.0, 1.0, math.nan, math.inf]),
    st.sampled_from(["", "a", "1", b"", b"a", True, False]),
)
VALUES = st.one_of(st.none(), SCALARS, st.lists(SCALARS, max_size=3).map(tuple))
CELLS = st.builds(Cell, VALUES, st.sampled_from(Status), st.sampled_from([None, T1, T2]))
REFUSED = Cell(None, None, None)


@settings(max_examples=scaled(500, 50_000), deadline=None)
@given(CELLS, st.one_of(CELLS, st.just(REFUSED)))
def test_outcome_agrees_with_a_naive_oracle(offline: Cell, online: Cell) -> None:
    assert compare_cells(offline, online).value == naive_outcome(offline, online)


@settings(max_examples=scaled(200, 10_000), deadline=None)
@given(CELLS)
def test_cell_always_matches_itself(cell: Cell) -> None:
    assert compare_cells(cell, cell) is Outcome.MATCH


@settings(max_examples=scaled(200, 10_000), deadline=None)
@given(CELLS, CELLS)
def test_agreement_means_equal_values_whatever_the_status(offline: Cell, online: Cell) -> None:
    if compare_cells(offline, online).is_agreement:
        assert naive_text(offline.value) == naive_text(online.value)


# Values that Python takes for equal and a declared type does not, and the other way round.
ODD_VALUES: list[PlainValue | None] = [
    *(None, True, 1, 1.0, 0.0, -0.0, math.nan, "1", b"1"),
    *((1,), (True,), (1.0,), (math.nan,), ((1,),), ((True,),)),
]
CELLS = st.builds(
    Cell,
    value=st.sampled_from(ODD_VALUES),
    status=st.sampled_from([Status.PRESENT, Status.NULL_VALUE, None]),
    event_us=st.sampled_from([None, 1, 2]),
)


@settings(max_examples=scaled(100, 2_000), deadline=None)
@given(st.lists(st.tuples(CELLS, CELLS), max_size=20))
def test_columns_are_compared_as_their_cells_are(pairs: list[tuple[Cell, Cell]]) -> None:
    def column(cells: list[Cell]) -> CellColumn:
        return CellColumn(
            [cell.value for cell in cells],
            [cell.status for cell in cells],
            [cell.event_us for cell in cells],
        )

    found = compare_columns(column([a for a, _ in pairs]), column([b for _, b in pairs]))
    assert found == [compare_cells(offline, online) for offline, online in pairs]


def test_no_two_odd_values_are_taken_for_equal_in_a_column() -> None:
    for values in itertools.product(ODD_VALUES, repeat=2):
        cells = [Cell(value, Status.PRESENT, 1) for value in values]
        columns = [CellColumn([cell.value], [cell.status], [cell.event_us]) for cell in cells]
        assert compare_columns(*columns) == [compare_cells(*cells)], values

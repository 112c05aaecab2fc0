"""Columns compared together give what cells compared one by one give."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from evenstore.client.values import to_arrow
from evenstore.clock import us_to_datetime
from evenstore.codec.nullable_array import NullableArray
from evenstore.dtypes import Dtype
from evenstore.semantics import Status
from parity.compare import Cell, Outcome, are_values_equal, compare_cells
from parity.full.outcomes import OUTCOMES, find_differing_rows, find_outcomes
from parity.full.rows import Rows
from parity.full.value_column import ValueColumn
from parity.statistics.features import count_bit_equal
from parity.values import PlainValue
from tests.support.scale import scaled

N_ROWS = scaled(2_000, 50_000)
FLOATS = (0.0, -0.0, 1.5, math.nan, math.inf, -math.inf, 2.0**-149)
SCALARS: dict[Dtype, tuple[PlainValue, ...]] = {
    Dtype.INT64: (0, -1, 2**53, 2**53 + 1, -(2**63), 2**63 - 1),
    Dtype.INT32: (0, -1, 2**31 - 1, -(2**31)),
    Dtype.FLOAT64: (*FLOATS, math.nextafter(1.5, 2)),
    Dtype.FLOAT32: (*FLOATS, float(np.nextafter(np.float32(1.5), np.float32(2)))),
    Dtype.BOOL: (True, False),
    Dtype.UNIX_TIMESTAMP: (0, -1, 1_700_000_000),
    Dtype.STRING: ("", "a", "\u00e9", "e\u0301"),
    Dtype.BYTES: (b"", b"a", b"\xff\x00"),
}
LISTS = {
    Dtype.INT64_LIST: Dtype.INT64,
    Dtype.FLOAT32_LIST: Dtype.FLOAT32,
    Dtype.FLOAT64_LIST: Dtype.FLOAT64,
    Dtype.STRING_LIST: Dtype.STRING,
    Dtype.BOOL_LIST: Dtype.BOOL,
    Dtype.UNIX_TIMESTAMP_LIST: Dtype.UNIX_TIMESTAMP,
}
STATUSES = (Status.PRESENT, Status.NULL_VALUE, Status.NOT_FOUND, Status.OUTSIDE_MAX_AGE)


def draw(rng: random.Random, dtype: Dtype, n_rows: int) -> list[PlainValue | None]:
    """Draw values of a type; one in five is null."""
    if dtype in LISTS:
        items = SCALARS[LISTS[dtype]]
        lists = [tuple(rng.choices(items, k=rng.randrange(3))) for _ in range(n_rows)]
        return [None if rng.random() < 0.2 else value for value in lists]
    values = SCALARS[dtype]
    return [None if rng.random() < 0.2 else rng.choice(values) for _ in range(n_rows)]


def decoded(dtype: Dtype, values: Sequence[PlainValue | None]) -> list[Any]:
    """Return values as a lookup decodes them: instants are datetimes."""
    if dtype is Dtype.UNIX_TIMESTAMP:
        return [None if value is None else instant(value) for value in values]
    if dtype is Dtype.UNIX_TIMESTAMP_LIST:
        return [
            None if not isinstance(value, tuple) else [instant(item) for item in value]
            for value in values
        ]
    return [list(value) if isinstance(value, tuple) else value for value in values]


def instant(seconds: PlainValue | None) -> datetime:
    assert isinstance(seconds, int)
    return us_to_datetime(seconds * 1_000_000)


@pytest.mark.parametrize("dtype", [*SCALARS, *LISTS], ids=lambda dtype: dtype.value)
def test_values_are_equal_where_cells_are(dtype: Dtype) -> None:
    rng = random.Random(dtype.value)
    offline_values, online_values = draw(rng, dtype, N_ROWS), draw(rng, dtype, N_ROWS)
    offline = ValueColumn.of_offline(dtype, to_arrow(dtype, offline_values))
    online = ValueColumn.of_online(dtype, decoded(dtype, online_values))
    equal, same_bits = offline.equals(online)
    pairs = zip(offline_values, online_values, strict=True)
    assert equal.tolist() == [are_values_equal(*pair) for pair in pairs]
    assert np.count_nonzero(same_bits) == count_bit_equal(offline_values, online_values)
    everywhere = np.arange(N_ROWS)
    for column, values in ((offline, offline_values), (online, online_values)):
        assert all(map(are_values_equal, column.plain(everywhere), values))
        some = everywhere[1::7]
        assert all(
            map(are_values_equal, column.take(some).plain(np.arange(len(some))), values[1::7])
        )


@pytest.mark.parametrize("has_nulls", [True, False])
def test_arrays_of_a_lookup_are_values(has_nulls: bool) -> None:
    numbers = np.array([1.5, math.nan, -0.0])
    is_null = np.array([False, False, has_nulls])
    given = NullableArray(numbers, is_null) if has_nulls else numbers
    offline = pa.array([1.5, math.nan, None if has_nulls else 0.0], pa.float64())
    online = ValueColumn.of_online(Dtype.FLOAT64, given)
    equal, same_bits = ValueColumn.of_offline(Dtype.FLOAT64, offline).equals(online)
    assert equal.tolist() == [True, True, True]
    assert same_bits.tolist() == [True, True, has_nulls]


def test_all_nan_count_as_one() -> None:
    one, other = np.array([0x7FF8000000000000, -1], np.int64).view(np.float64)
    offline = ValueColumn.of_offline(Dtype.FLOAT64, pa.array([one, 1.0]))
    equal, same_bits = offline.equals(ValueColumn.of_online(Dtype.FLOAT64, np.array([other, 2.0])))
    assert equal.tolist() == same_bits.tolist() == [True, False]


def test_float32_that_is_stored_too_wide_is_not_narrowed_to_be_equal() -> None:
    offline = ValueColumn.of_offline(Dtype.FLOAT32, pa.array([0.1], pa.float32()))
    for wide in ([0.1], np.array([0.1])):
        equal, _ = offline.equals(ValueColumn.of_online(Dtype.FLOAT32, wide))
        assert equal.tolist() == [False]


def test_null_in_an_offline_list_equals_nothing() -> None:
    offline = ValueColumn.of_offline(
        Dtype.INT64_LIST, pa.array([[0], [None]], pa.list_(pa.int64()))
    )
    online = ValueColumn.of_online(Dtype.INT64_LIST, [[0], [0]])
    assert offline.equals(online)[0].tolist() == [True, False]


def test_outcomes_are_those_of_cells() -> None:
    rng = random.Random(7)
    cells = [
        (random_cell(rng, is_online=False), random_cell(rng, is_online=True)) for _ in range(N_ROWS)
    ]
    offline, online = (rows_of([pair[side] for pair in cells]) for side in (0, 1))
    (found,) = find_outcomes(offline, online)
    outcomes = [OUTCOMES[number] for number in found.numbers.tolist()]
    assert outcomes == [compare_cells(*pair) for pair in cells]
    # Each was drawn at least once, so that each was tested.
    assert set(outcomes) == set(Outcome) - {Outcome.WITHIN_TOLERANCE}
    differs = find_differing_rows([found], N_ROWS).tolist()
    assert differs == [not outcome.is_agreement for outcome in outcomes]


def test_sides_of_other_lengths_are_refused() -> None:
    one, two = rows_of([Cell(1, Status.PRESENT, 1)]), rows_of([Cell(1, Status.PRESENT, 1)] * 2)
    with pytest.raises(ValueError, match="1 offline rows, 2 online rows"):
        find_outcomes(one, two)


def random_cell(rng: random.Random, *, is_online: bool) -> Cell:
    status = rng.choice(STATUSES)
    if is_online and rng.random() < 0.1:
        return Cell(None, None, None)
    value = rng.choice((1, 2)) if status is Status.PRESENT else None
    return Cell(value, status, None if status is Status.NOT_FOUND else rng.choice((5, 6)))


def rows_of(cells: Sequence[Cell]) -> Rows:
    values = [cell.value for cell in cells]
    statuses = [Status.INVALID if cell.status is None else cell.status for cell in cells]
    return Rows(
        event_us=np.array([cell.event_us or 0 for cell in cells], np.int64),
        is_there=np.array([cell.event_us is not None for cell in cells], np.bool_),
        values=[ValueColumn.of_offline(Dtype.INT64, to_arrow(Dtype.INT64, values))],
        statuses=[np.array(statuses, np.int8)],
    )

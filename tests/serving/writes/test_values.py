from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest

from evenstore.dtypes import Dtype
from serving.writes.values import BadValueError, read_instants, read_values, to_array

_SECOND = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
_UUID = "6f9619ff-8b86-d011-b42d-00cf4fc964ff"
_STRUCT = 'Struct({"city": String, "floor": Int64})'


@pytest.mark.parametrize(
    ("dtype", "given", "expected"),
    [
        ("Int32", -(2**31), -(2**31)),
        ("Int64", 2**53 + 1, 2**53 + 1),
        ("Float64", 1, 1.0),
        ("Float64", "-Infinity", -math.inf),
        ("Float32", 0.1, 0.10000000149011612),
        ("Bool", False, False),
        ("String", "Grüße", "Grüße"),
        ("Bytes", "AP8=", b"\x00\xff"),
        ("UnixTimestamp", 1767323045, _SECOND),
        ("UnixTimestamp", "2026-01-02T04:04:05.9+01:00", _SECOND),
        ("Array(Int64)", [1, 2], [1, 2]),
        ("Array(Float64)", [1, "NaN"], [1.0, pytest.approx(math.nan, nan_ok=True)]),
        ("Array(UnixTimestamp)", [1767323045], [_SECOND]),
        ("Array(Array(Int64))", [[1], []], [[1], []]),
        ("Set(String)", ["b", "a"], ["b", "a"]),
        ("Map", {"a": 1}, {"a": 1}),
        ("Map", '{"a": 1}', {"a": 1}),
        (_STRUCT, {"city": "Ulm"}, {"city": "Ulm", "floor": None}),
        ("Json", '{"a": [1]}', '{"a": [1]}'),
        ("Uuid", _UUID, _UUID),
        ("Decimal", "12.50", "12.50"),
    ],
)
def test_values_are_those_of_the_declared_type(dtype: str, given: Any, expected: Any) -> None:
    assert read_values([None, given], Dtype(dtype)) == [None, expected]
    assert to_array(read_values([None, given], Dtype(dtype)), Dtype(dtype)).null_count == 1


@pytest.mark.parametrize(
    ("dtype", "given"),
    [
        ("Int32", 2**31),
        ("Int64", 2**63),
        ("Int64", "1"),
        ("Int64", 1.0),
        ("Int64", True),
        ("Float64", "1.5"),
        ("Float64", True),
        ("Float64", 2**53 + 1),
        ("Float32", 1e39),
        ("Bool", 1),
        ("String", 1),
        ("String", "\ud800"),
        ("Bytes", "no base64"),
        ("UnixTimestamp", 1.5),
        ("UnixTimestamp", "yesterday"),
        ("UnixTimestamp", 10**18),
        ("Array(Int64)", [1, None]),
        ("Array(Int64)", [1, "2"]),
        ("Array(Int64)", 1),
        ("Set(Int64)", [1.5]),
        ("Map", [1]),
        ("Map", "[1]"),
        (_STRUCT, {"street": "?"}),
        (_STRUCT, {"floor": "1"}),
        ("Json", "{"),
        ("Uuid", "6f9619ff"),
        ("Decimal", 12.5),
        ("ScalarMap", {"1": 2}),
        ("ZonedTimestamp", "2026-01-02T03:04:05"),
        ("ZonedTimestamp", "9999-12-31T23:59:59-14:00"),
        ("UnixTimestamp", "0001-01-01T00:00:00+14:00"),
    ],
)
def test_nothing_is_cast(dtype: str, given: Any) -> None:
    with pytest.raises(BadValueError) as caught:
        read_values([None, given], Dtype(dtype))
    assert caught.value.row_idx == 1
    assert dtype in caught.value.problem


def test_long_columns_of_float32_are_checked_too() -> None:
    numbers = [0.1, math.inf, math.nan, None] * 10
    assert len(to_array(read_values(numbers, Dtype.FLOAT32), Dtype.FLOAT32)) == 40
    with pytest.raises(BadValueError) as caught:
        read_values([*numbers, 1e39], Dtype.FLOAT32)
    assert caught.value.row_idx == 40


def test_instants_without_a_zone_are_in_utc() -> None:
    texts = ["2026-01-02T03:04:05Z", "2026-01-02 03:04:05", "2026-01-02T04:04:05+01:00"]
    assert set(read_instants(texts, is_nullable=False)) == {1767323045000000}


_OUTSIDE = ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"]


@pytest.mark.parametrize("given", [None, 1767323045, "soon", True, ["2026-01-02"], *_OUTSIDE])
def test_other_event_timestamps_are_refused(given: Any) -> None:
    with pytest.raises(BadValueError):
        read_instants([given], is_nullable=False)

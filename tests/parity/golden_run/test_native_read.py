from __future__ import annotations

import math
from typing import Any

import pytest

from evenstore.dtypes import Dtype
from evenstore.semantics import Status
from parity.compare import are_values_equal
from parity.golden_run.native_read import _decode
from parity.values import Undecodable

PRESENT, NULL, OLD = Status.PRESENT, Status.NULL_VALUE, Status.OUTSIDE_MAX_AGE


@pytest.mark.parametrize(
    ("dtype", "sent", "value"),
    [
        (Dtype.INT64, 2**53 + 1, 2**53 + 1),
        (Dtype.FLOAT64, "NaN", math.nan),
        (Dtype.FLOAT64, "-Infinity", -math.inf),
        (Dtype.FLOAT64, 12, 12.0),
        (Dtype.STRING, "NaN", "NaN"),
        (Dtype.BYTES, "AP8=", b"\x00\xff"),
        (Dtype.UNIX_TIMESTAMP, "1969-12-31T23:59:59Z", -1),
        (Dtype.UNIX_TIMESTAMP_LIST, ["1970-01-01T00:00:01Z"], (1,)),
        (Dtype.FLOAT64_LIST, ["NaN", 0.5], (math.nan, 0.5)),
        (Dtype("Array(Array(UnixTimestamp))"), [["1970-01-01T00:00:02Z"], []], ((2,), ())),
        (Dtype("ZonedTimestamp"), "1970-01-01T01:00:03+01:00", 3),
        (
            Dtype('Struct({"seen": UnixTimestamp, "n": Int64})'),
            {"n": 5, "seen": "1970-01-01T00:00:04Z"},
            (("n", 5), ("seen", 4)),
        ),
    ],
    ids=str,
)
def test_value_is_what_the_offline_side_makes_of_it(dtype: Dtype, sent: Any, value: Any) -> None:
    (found,) = _decode(dtype, [sent], [PRESENT])
    assert are_values_equal(value, found)


def test_null_is_never_taken_for_nan() -> None:
    null, nan, expired = _decode(Dtype.FLOAT32, [None, "NaN", "NaN"], [PRESENT, PRESENT, OLD])
    assert null is None
    assert are_values_equal(math.nan, nan)
    assert expired is None
    assert _decode(Dtype.FLOAT32, [None], [NULL]) == [None]


@pytest.mark.parametrize(
    ("dtype", "sent"),
    [
        (Dtype.INT64, "5"),
        (Dtype.UNIX_TIMESTAMP, "yesterday"),
        (Dtype.UNIX_TIMESTAMP, 5.5),
        (Dtype.UNIX_TIMESTAMP_LIST, "1970-01-01T00:00:01Z"),
        (Dtype.STRING, 5),
    ],
    ids=str,
)
def test_value_of_another_type_is_undecodable(dtype: Dtype, sent: Any) -> None:
    (found,) = _decode(dtype, [sent], [PRESENT])
    assert isinstance(found, Undecodable)

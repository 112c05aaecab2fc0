"""Values of the declared type: kept exactly, or refused with their place."""

from __future__ import annotations

import datetime as dt
import decimal
import math
import uuid
from typing import Any

import numpy as np
import pandas as pd
import pytest

from evenstore.dtypes import Dtype
from evenstore.errors import UnsupportedDtypeError
from evenstore.schema.on_demand_values import coerce_value, coerce_values

NOON = dt.datetime(2024, 1, 1, 12, tzinfo=dt.UTC)
NEW_YORK = dt.timezone(dt.timedelta(hours=-5))
NAN = float("nan")

KEPT: list[tuple[Dtype, Any, Any]] = [
    (Dtype.INT32, 2**31 - 1, 2**31 - 1),
    (Dtype.INT64, -(2**63), -(2**63)),
    (Dtype.INT64, np.int64(2**53 + 1), 2**53 + 1),
    (Dtype.FLOAT64, 1, 1.0),
    (Dtype.FLOAT64, -0.0, -0.0),
    (Dtype.FLOAT64, np.float32(0.1), 0.10000000149011612),
    (Dtype.FLOAT32, 0.1, 0.10000000149011612),
    (Dtype.FLOAT32, 1e39, math.inf),
    (Dtype.FLOAT32, -1e39, -math.inf),
    (Dtype.FLOAT32, math.inf, math.inf),
    (Dtype.BOOL, np.True_, True),
    (Dtype.STRING, "é\U0001f600\0", "é\U0001f600\0"),
    (Dtype.BYTES, b"\xff\0", b"\xff\0"),
    (Dtype.UNIX_TIMESTAMP, NOON.replace(microsecond=999_999), NOON),
    (Dtype.UNIX_TIMESTAMP, NOON.astimezone(NEW_YORK), NOON),
    (
        Dtype.UNIX_TIMESTAMP,
        dt.datetime(1969, 12, 31, 23, 59, 59, 1, tzinfo=dt.UTC),
        dt.datetime(1969, 12, 31, 23, 59, 59, tzinfo=dt.UTC),
    ),
    (Dtype.UNIX_TIMESTAMP, pd.Timestamp("2024-01-01T12:00:00.000000001Z"), NOON),
    (
        Dtype.UNIX_TIMESTAMP,
        dt.datetime(9999, 12, 31, tzinfo=dt.UTC),
        dt.datetime(9999, 12, 31, tzinfo=dt.UTC),
    ),
    (Dtype.INT64_LIST, (1, 2), [1, 2]),
    (Dtype.FLOAT32_LIST, np.array([0.5, 1.5]), [0.5, 1.5]),
    (Dtype.STRING_LIST, [], []),
    (Dtype.UNIX_TIMESTAMP_LIST, [NOON], [NOON]),
]

REFUSED: list[tuple[Dtype, Any]] = [
    (Dtype.INT32, 2**31),
    (Dtype.INT32, -(2**31) - 1),
    (Dtype.INT64, 2**63),
    (Dtype.INT64, 1.0),
    (Dtype.INT64, True),
    (Dtype.INT64, "1"),
    (Dtype.FLOAT64, 2**53 + 1),
    (Dtype.FLOAT64, 10**400),
    (Dtype.FLOAT64, True),
    (Dtype.FLOAT64, "1.5"),
    (Dtype.FLOAT32, "1.5"),
    (Dtype.BOOL, 1),
    (Dtype.STRING, b"a"),
    (Dtype.STRING, 1),
    (Dtype.STRING, "\ud800"),
    (Dtype.BYTES, "a"),
    (Dtype.UNIX_TIMESTAMP, NOON.replace(tzinfo=None)),
    (Dtype.UNIX_TIMESTAMP, 1_700_000_000),
    (Dtype.UNIX_TIMESTAMP, pd.NaT),
    (Dtype.INT64_LIST, 1),
    (Dtype.INT64_LIST, [1, None]),
    (Dtype.INT64_LIST, [1.5]),
    (Dtype.STRING_LIST, "abc"),
    (Dtype.FLOAT64_LIST, [[1.0]]),
]


@pytest.mark.parametrize(("dtype", "value", "kept"), KEPT, ids=str)
def test_value_of_the_declared_type_is_kept(dtype: Dtype, value: Any, kept: Any) -> None:
    coerced = coerce_value(value, dtype, where="view:x")
    assert coerced == kept
    assert type(coerced) is type(kept)
    assert repr(coerced) == repr(kept)


@pytest.mark.parametrize(("dtype", "value"), REFUSED, ids=str)
def test_value_of_another_type_is_refused_with_its_place(dtype: Dtype, value: Any) -> None:
    with pytest.raises(UnsupportedDtypeError, match=r"^view:x: .* is not ") as caught:
        coerce_value(value, dtype, where="view:x")
    assert caught.value.hint == "return the declared type, or None for null"


@pytest.mark.parametrize("dtype", Dtype, ids=lambda dtype: dtype.value)
def test_null_is_null_in_every_type(dtype: Dtype) -> None:
    assert coerce_value(None, dtype, where="view:x") is None


@pytest.mark.parametrize("dtype", [Dtype.FLOAT32, Dtype.FLOAT64])
def test_nan_stays_nan_and_is_no_null(dtype: Dtype) -> None:
    assert math.isnan(coerce_value(NAN, dtype, where="view:x"))


UUID = "12345678-1234-5678-1234-567812345678"
CITY = 'Struct({"city": String, "visits": Int64})'

KEPT_OFFLINE: list[tuple[str, Any, Any]] = [
    ("Uuid", uuid.UUID(UUID), UUID),
    ("TimeUuid", UUID.upper(), UUID),
    ("Decimal", decimal.Decimal("12.50"), "12.50"),
    ("Decimal", 7, "7"),
    ("Decimal", "1e3", "1e3"),
    ("Json", '{"a": [1]}', '{"a": [1]}'),
    ("PdfBytes", b"%PDF", b"%PDF"),
    ("ZonedTimestamp", NOON.astimezone(NEW_YORK), NOON),
    ("Map", {"a": "b", "c": None}, {"a": "b", "c": None}),
    ("Set(Int64)", {3, 1, 2}, [1, 2, 3]),
    ("Set(String)", ["b", "a", "b"], ["a", "b"]),
    ("Set(Float64)", [NAN, 1.0, NAN, -1.0], [-1.0, 1.0, NAN]),
    ("Array(Array(Int64))", [[1], []], [[1], []]),
    (CITY, {"city": "Paris", "visits": 2}, {"city": "Paris", "visits": 2}),
    (CITY, {"visits": np.int64(2)}, {"city": None, "visits": 2}),
    (
        f"Set({CITY})",
        [{"city": None}, {"city": "a"}],
        [{"city": "a", "visits": None}, {"city": None, "visits": None}],
    ),
]

REFUSED_OFFLINE: list[tuple[str, Any]] = [
    ("Uuid", "12"),
    ("Uuid", 12),
    ("Decimal", 1.5),
    ("Decimal", "one"),
    ("Decimal", True),
    ("Json", "{"),
    ("Json", {"a": 1}),
    ("PdfBytes", "%PDF"),
    ("Map", {"a": 1}),
    ("Map", [("a", "b")]),
    ("Set(Int64)", [1, None]),
    ("Set(Int64)", 1),
    ("Array(Array(Int64))", [[1, None]]),
    (CITY, {"town": "Paris"}),
    (CITY, ["Paris", 2]),
    (CITY, {"city": 1}),
]


@pytest.mark.parametrize(("name", "value", "kept"), KEPT_OFFLINE, ids=str)
def test_value_of_a_type_kept_offline_only_is_kept(name: str, value: Any, kept: Any) -> None:
    assert repr(coerce_value(value, Dtype(name), where="view:x")) == repr(kept)


@pytest.mark.parametrize(("name", "value"), REFUSED_OFFLINE, ids=str)
def test_value_that_is_not_of_a_type_kept_offline_only_is_refused(name: str, value: Any) -> None:
    with pytest.raises(UnsupportedDtypeError, match=r"^view:x.* is not "):
        coerce_value(value, Dtype(name), where="view:x")


def test_column_keeps_its_length_and_its_nulls() -> None:
    assert coerce_values([1, None, 2.0], Dtype.FLOAT64, where="view:x") == [1.0, None, 2.0]

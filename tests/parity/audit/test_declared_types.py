from __future__ import annotations

import math
from datetime import date, datetime

import pyarrow as pa
import pytest

from evenstore.dtypes import Dtype
from parity.audit.declared_types import conform

INSTANT = pa.timestamp("us", tz="UTC")


@pytest.mark.parametrize(
    ("column", "dtype", "expected"),
    [
        (pa.chunked_array([[1, None]], pa.int32()), Dtype.INT64, pa.int64()),
        (pa.chunked_array([[1.0, None, 2.0**53]], pa.float64()), Dtype.INT64, pa.int64()),
        (pa.chunked_array([[0.5, math.nan, None]], pa.float64()), Dtype.FLOAT32, pa.float32()),
        (pa.chunked_array([["a"]], pa.large_string()), Dtype.STRING, pa.string()),
        (
            pa.chunked_array([[[1, 2], None]], pa.list_(pa.int32())),
            Dtype.INT64_LIST,
            pa.list_(pa.int64()),
        ),
    ],
)
def test_column_takes_its_declared_type_where_no_value_changes(
    column: pa.ChunkedArray, dtype: Dtype, expected: pa.DataType
) -> None:
    found = conform(column, dtype, where="v:f")
    assert (found.kept_type, found.problem) == (None, None)
    assert found.column.type == expected
    assert str(found.column.to_pylist()) == str(column.cast(expected).to_pylist())


@pytest.mark.parametrize(
    ("column", "dtype", "kept"),
    [
        (pa.chunked_array([[0.1]], pa.float64()), Dtype.FLOAT32, Dtype.FLOAT64),
        (pa.chunked_array([[3.7]], pa.float64()), Dtype.INT64, Dtype.FLOAT64),
        (pa.chunked_array([[2**53 + 1]], pa.int64()), Dtype.FLOAT64, Dtype.INT64),
        (pa.chunked_array([["x"]], pa.string()), Dtype.INT64, Dtype.STRING),
    ],
)
def test_column_keeps_its_own_type_where_a_value_would_change(
    column: pa.ChunkedArray, dtype: Dtype, kept: Dtype
) -> None:
    found = conform(column, dtype, where="v:f")
    assert found.kept_type is kept
    assert found.column.to_pylist() == column.to_pylist()


@pytest.mark.parametrize(
    "column",
    [
        pa.chunked_array([[datetime.fromisoformat("1969-12-31T23:59:58.5")]], pa.timestamp("ns")),
        pa.chunked_array([[datetime.fromisoformat("1970-01-01T01:59:58.5+02:00")]], INSTANT),
    ],
)
def test_timestamp_is_floored_to_the_second_and_read_as_utc(column: pa.ChunkedArray) -> None:
    found = conform(column, Dtype.UNIX_TIMESTAMP, where="v:f")
    assert found.column.cast(pa.int64()).to_pylist() == [-2_000_000]


def test_date_is_its_midnight() -> None:
    column = pa.chunked_array([[date(1970, 1, 2)]], pa.date32())
    found = conform(column, Dtype.UNIX_TIMESTAMP, where="v:f")
    assert found.column.cast(pa.int64()).to_pylist() == [86_400_000_000]


@pytest.mark.parametrize(
    ("column", "dtype"),
    [
        (pa.chunked_array([[[1, None]]], pa.list_(pa.int64())), Dtype.INT64_LIST),
        (pa.chunked_array([[b"x"]], pa.binary()), Dtype.INT64),
        (pa.chunked_array([["{}"]], pa.string()), Dtype("Json")),
    ],
)
def test_column_that_cannot_be_compared_says_why(column: pa.ChunkedArray, dtype: Dtype) -> None:
    found = conform(column, dtype, where="v:f")
    assert found.problem is not None
    assert found.problem.startswith("v:f")
    assert found.column.null_count == 1

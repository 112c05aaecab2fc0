from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from evenstore.client.values import decode_online, to_arrow
from evenstore.dtypes import Dtype
from evenstore.errors import UnsupportedDtypeError
from evenstore.schema.arrow import arrow_type
from evenstore.semantics import Status


@pytest.mark.parametrize(
    ("dtype", "sent", "expected"),
    [
        (Dtype.INT64, [2**63 - 1, None], [2**63 - 1, None]),
        (Dtype.FLOAT64, ["-Infinity", 12], [-math.inf, 12.0]),
        (Dtype.BYTES, ["AP8=", None], [b"\x00\xff", None]),
        (Dtype.BOOL, [True, None], [True, None]),
        (Dtype.STRING, ["NaN", ""], ["NaN", ""]),
        (Dtype.UNIX_TIMESTAMP, [-1, 2], [datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC), 2]),
        (Dtype.UNIX_TIMESTAMP_LIST, [[0], None], [[0], None]),
        (Dtype.FLOAT32_LIST, [[0.5, "Infinity"], []], [[0.5, math.inf], []]),
    ],
)
def test_json_becomes_the_arrow_column_of_the_offline_store(
    dtype: Dtype, sent: list[Any], expected: list[Any]
) -> None:
    statuses = [Status.NULL_VALUE if value is None else Status.PRESENT for value in sent]
    column = to_arrow(dtype, decode_online(dtype, sent, statuses))
    assert column.type == arrow_type(dtype)
    if dtype.element is Dtype.UNIX_TIMESTAMP:
        seconds: list[Any] = [
            int(value.timestamp()) if isinstance(value, datetime) else value for value in expected
        ]
        plain = pa.list_(pa.int64()) if dtype.is_list else pa.int64()
        us = [
            [second * 10**6 for second in value]
            if isinstance(value, list)
            else None
            if value is None
            else value * 10**6
            for value in seconds
        ]
        assert column.cast(plain).to_pylist() == us
    else:
        assert column.to_pylist() == expected


def test_float_keeps_its_last_bit_and_null_beside_present_is_nan() -> None:
    statuses = [Status.PRESENT, Status.PRESENT, Status.NOT_FOUND]
    for dtype, nearest in ((Dtype.FLOAT64, 0.1), (Dtype.FLOAT32, 0.10000000149011612)):
        column = to_arrow(dtype, decode_online(dtype, [0.1, None, None], statuses))
        first, second, third = column.to_pylist()
        assert first == nearest
        assert math.isnan(second)
        assert third is None


@pytest.mark.parametrize(
    ("name", "sent", "expected"),
    [
        ("PdfBytes", "JVBERg==", b"%PDF"),
        ("Json", "[]", "[]"),
        ("Decimal", "1.50", "1.50"),
        ("ZonedTimestamp", "1970-01-01T05:29:59+05:30", datetime(1969, 12, 31, 23, 59, 59)),  # noqa: DTZ001
    ],
)
def test_further_scalars_become_their_arrow_columns(name: str, sent: Any, expected: Any) -> None:
    dtype = Dtype(name)
    values = decode_online(dtype, [sent, None], [Status.PRESENT, Status.NULL_VALUE])
    column = to_arrow(dtype, values)
    assert column.type == arrow_type(dtype)
    first, second = column.to_pylist()
    assert (first.replace(tzinfo=None) if name == "ZonedTimestamp" else first) == expected
    assert second is None


@pytest.mark.parametrize("name", ["Map", "Set(Bytes)", "Array(Array(Int64))"])
def test_json_of_values_that_hold_values_becomes_no_arrow_column(name: str) -> None:
    with pytest.raises(UnsupportedDtypeError, match="no Arrow column"):
        to_arrow(Dtype(name), [None])

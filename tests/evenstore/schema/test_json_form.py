from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings

from evenstore.dtypes import Dtype
from evenstore.errors import UnsupportedDtypeError
from evenstore.schema.json_form import dump_value, load_value, value_reader
from evenstore.schema.on_demand_values import coerce_value
from tests.property.nested_values import read_cases
from tests.support.scale import scaled


@pytest.mark.parametrize(
    ("dtype", "value", "written"),
    [
        (Dtype.INT64, 2**63 - 1, 2**63 - 1),
        (Dtype.FLOAT64, 0.1, 0.1),
        (Dtype.FLOAT64, math.inf, "Infinity"),
        (Dtype.FLOAT32, -math.inf, "-Infinity"),
        (Dtype.BYTES, b"\x00\xff", "AP8="),
        (Dtype.STRING, "Grüße", "Grüße"),
        (Dtype.UNIX_TIMESTAMP, datetime(2011, 12, 9, 0, 30, tzinfo=UTC), "2011-12-09T00:30:00Z"),
        (Dtype.FLOAT64_LIST, [1.5, -math.inf], [1.5, "-Infinity"]),
        (Dtype.BYTES_LIST, [b"a", b""], ["YQ==", ""]),
        (Dtype('Struct({"at": UnixTimestamp})'), {"at": None}, {"at": None}),
    ],
)
def test_value_is_written_as_documented(dtype: Dtype, value: Any, written: Any) -> None:
    assert json.loads(dump_value(value, dtype)) == written
    assert load_value(dump_value(value, dtype), dtype, where="x") == value


def test_nan_is_a_text_and_read_back() -> None:
    assert dump_value(math.nan, Dtype.FLOAT64) == '"NaN"'
    assert math.isnan(load_value('"NaN"', Dtype.FLOAT64, where="x"))


@settings(max_examples=scaled(60, 3_000), deadline=None)
@given(read_cases())
def test_every_value_is_read_back(case: tuple[Dtype, Any]) -> None:
    dtype, value = case
    declared = coerce_value(value, dtype, where="x")
    assert repr(load_value(dump_value(declared, dtype), dtype, where="x")) == repr(declared)


@pytest.mark.parametrize(
    ("dtype", "sent"),
    [
        (Dtype.BYTES, "no base64!"),
        (Dtype.UNIX_TIMESTAMP, "yesterday"),
        (Dtype.UNIX_TIMESTAMP, "2011-12-09T00:30:00"),
        (Dtype.UNIX_TIMESTAMP, 10**15),
        (Dtype.UNIX_TIMESTAMP, "0001-01-01T00:00:00+14:00"),
        (Dtype.UNIX_TIMESTAMP, True),
        (Dtype.FLOAT64, "nan"),
        (Dtype.INT64, "1"),
        (Dtype.BYTES_LIST, "YQ=="),
    ],
)
def test_what_cannot_be_read_is_left_and_refused(dtype: Dtype, sent: Any) -> None:
    read = value_reader(dtype)
    left = sent if read is None else read(sent)
    assert left == sent
    with pytest.raises(UnsupportedDtypeError):
        coerce_value(left, dtype, where="x")


def test_instants_are_read_from_text_and_from_seconds() -> None:
    read = value_reader(Dtype.UNIX_TIMESTAMP)
    assert read is not None
    instant = datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert read("1969-12-31T23:59:59Z") == read("1970-01-01T00:59:59+01:00") == read(-1) == instant


def test_binary_forms_take_no_base64() -> None:
    assert value_reader(Dtype.BYTES, is_text_form=False) is None

"""Which source types widen exactly: the whole table, so that a new entry is a decision."""

from __future__ import annotations

import pyarrow as pa
import pytest

from evenstore.dtypes import Dtype
from evenstore.schema.arrow import arrow_type, is_exact_widening

SOURCES: dict[str, pa.DataType] = {
    "int8": pa.int8(),
    "int16": pa.int16(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "uint8": pa.uint8(),
    "uint16": pa.uint16(),
    "uint32": pa.uint32(),
    "uint64": pa.uint64(),
    "float16": pa.float16(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "string": pa.string(),
    "large_string": pa.large_string(),
    "string_view": pa.string_view(),
    "binary": pa.binary(),
    "large_binary": pa.large_binary(),
    "binary_view": pa.binary_view(),
    "date32": pa.date32(),
    "date64": pa.date64(),
    "timestamp_s": pa.timestamp("s"),
    "timestamp_ms": pa.timestamp("ms", "UTC"),
    "timestamp_us": pa.timestamp("us", "Europe/London"),
    "timestamp_ns": pa.timestamp("ns"),
    "time": pa.time64("us"),
    "duration": pa.duration("us"),
    "decimal": pa.decimal128(10, 0),
    "struct": pa.struct([("a", pa.int64())]),
    "map": pa.map_(pa.string(), pa.int64()),
}
INSTANTS = "date32 date64 timestamp_s timestamp_ms timestamp_us timestamp_ns"
EXACT = {
    Dtype.INT32: "int8 int16 int32 uint8 uint16",
    Dtype.INT64: "int8 int16 int32 int64 uint8 uint16 uint32",
    Dtype.FLOAT32: "int8 int16 uint8 uint16 float16 float32",
    Dtype.FLOAT64: "int8 int16 int32 uint8 uint16 uint32 float16 float32 float64",
    Dtype.BOOL: "bool",
    Dtype.STRING: "string large_string string_view",
    Dtype.BYTES: "binary large_binary binary_view",
    Dtype.UNIX_TIMESTAMP: INSTANTS,
}
SCALARS = [dtype for dtype in Dtype if not dtype.is_list]


def test_table_of_scalars_is_complete() -> None:
    assert EXACT.keys() == set(SCALARS)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("dtype", SCALARS, ids=lambda dtype: dtype.value)
def test_scalar_widens_exactly_only_where_the_table_says(dtype: Dtype, source: str) -> None:
    assert is_exact_widening(SOURCES[source], dtype) == (source in EXACT[dtype].split())


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    "dtype", [dtype for dtype in Dtype if dtype.is_list], ids=lambda dtype: dtype.value
)
def test_list_widens_as_its_elements_do(dtype: Dtype, source: str) -> None:
    element = SOURCES[source]
    is_exact = source in EXACT[dtype.element].split()
    for made in (pa.list_(element), pa.large_list(element), pa.list_(element, 3)):
        assert is_exact_widening(made, dtype) == is_exact
    assert not is_exact_widening(element, dtype)
    assert not is_exact_widening(pa.list_(pa.list_(element)), dtype)
    assert not is_exact_widening(pa.list_(element), dtype.element)


@pytest.mark.parametrize("dtype", Dtype, ids=lambda dtype: dtype.value)
def test_declared_type_keeps_itself_and_nulls(dtype: Dtype) -> None:
    assert is_exact_widening(arrow_type(dtype), dtype)
    assert is_exact_widening(pa.null(), dtype)


def test_dictionary_widens_as_its_values_do() -> None:
    texts = pa.dictionary(pa.int32(), pa.string())
    assert is_exact_widening(texts, Dtype.STRING)
    assert not is_exact_widening(texts, Dtype.INT32)

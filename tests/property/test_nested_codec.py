"""Bytes of values that hold values against stock Feast's own conversion, over all types."""

from __future__ import annotations

import contextlib
import struct
import uuid
from datetime import datetime
from typing import Any

import orjson
import pyarrow as pa
import pytest
from feast.feature_server_utils import _value_to_native
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import python_values_to_proto_values
from feast.types import Array, FeastType, PrimitiveFeastType, Set, Struct
from hypothesis import given, settings
from hypothesis import strategies as st

from evenstore.codec.feast_value import value_decoder, value_encoder
from evenstore.codec.json_value import json_writer
from evenstore.dtypes import Dtype
from evenstore.errors import CodecError, CorruptRowError
from evenstore.schema.arrow import arrow_type
from tests.property.nested_values import pushed_cases, read_cases
from tests.support.scale import scaled

_CASES = settings(max_examples=scaled(60, 10_000))
_SCALARS = {str(feast_type): feast_type for feast_type in PrimitiveFeastType}


def _feast_type(dtype: Dtype) -> FeastType:
    if dtype.is_struct:
        return Struct({name: _feast_type(field) for name, field in dtype.fields})
    if dtype.is_list:
        return Array(_feast_type(dtype.element))
    return Set(_feast_type(dtype.element)) if dtype.is_set else _SCALARS[dtype.value]


def _stock_bytes(dtype: Dtype, values: Any) -> bytes:
    """Convert one value as stock does; it has map entries in another order in each process."""
    (message,) = python_values_to_proto_values(values, _feast_type(dtype).to_value_type())
    return bytes(message.SerializeToString())


def _is_ordered(dtype: Dtype) -> bool:
    """Tell whether the bytes of a value have one order, so that stock's are the same ones."""
    has_order = not (dtype.is_struct or dtype.is_map)
    return has_order and (dtype.element is dtype or _is_ordered(dtype.element))


def _with_sorted_set(stored: bytes) -> Value:
    """Parse a value; stock stores the elements of a set of scalars in any order."""
    message = Value.FromString(stored)
    elements = getattr(message, str(message.WhichOneof("val"))).val
    elements[:] = sorted(elements)
    return message


def _bits(value: Any) -> Any:
    if isinstance(value, float):
        return struct.pack("<d", value)
    if isinstance(value, list):
        return [_bits(item) for item in value]
    if isinstance(value, dict):
        return {_bits(key): _bits(item) for key, item in value.items()}
    # An instant is the same in every zone.
    return value.timestamp() if isinstance(value, datetime) else repr(value)


@_CASES
@given(read_cases())
def test_value_bytes_are_those_of_a_run_of_stock(case: tuple[Dtype, Any]) -> None:
    dtype, value = case
    column = pa.array([value], arrow_type(dtype))

    stored = value_encoder(dtype)(value)

    stock = _stock_bytes(dtype, column.to_numpy(zero_copy_only=False))
    if dtype.is_set and not (dtype.element.is_list or dtype.element.is_set):
        assert _with_sorted_set(stored) == _with_sorted_set(stock)
        assert len(stored) == len(stock)
    else:
        _assert_same(dtype, stored, stock)


def _assert_same(dtype: Dtype, stored: bytes, stock: bytes) -> None:
    if _is_ordered(dtype):
        assert stored == stock
    else:
        # Of equal messages equally long ones differ at most in the order of map entries.
        assert Value.FromString(stored) == Value.FromString(stock)
        assert len(stored) == len(stock)


@_CASES
@given(pushed_cases())
def test_value_bytes_are_those_of_a_push_to_stock(case: tuple[Dtype, Any]) -> None:
    dtype, value = case

    _assert_same(dtype, value_encoder(dtype)(value), _stock_bytes(dtype, [value]))


@_CASES
@given(read_cases() | pushed_cases())
def test_decoded_value_is_the_encoded_one_bit_for_bit(case: tuple[Dtype, Any]) -> None:
    dtype, value = case

    decoded = value_decoder(dtype)(value_encoder(dtype)(value))

    assert _bits(decoded) == _bits(_with_texts(value))


def _with_texts(value: Any) -> Any:
    """Make UUIDs texts, as the offline store does."""
    if isinstance(value, dict):
        return {
            str(key) if isinstance(key, uuid.UUID) else key: item for key, item in value.items()
        }
    return value


@_CASES
@given(read_cases() | pushed_cases(), st.data())
def test_cut_bytes_are_refused_and_flipped_ones_never_crash(
    case: tuple[Dtype, Any], data: st.DataObject
) -> None:
    dtype, value = case
    stored = value_encoder(dtype)(value)
    cut = data.draw(st.integers(1, len(stored) - 1))
    with pytest.raises(CorruptRowError):
        value_decoder(dtype)(stored[:cut])

    flipped = bytearray(stored)
    flipped[data.draw(st.integers(0, len(flipped) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(CorruptRowError):
        value_decoder(dtype)(bytes(flipped))


_ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=4)
    | st.binary(max_size=4)
    | st.datetimes()
    | st.dates()
    | st.times()
    | st.uuids()
    | st.decimals(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3) | st.integers() | st.none(), inner, max_size=2)
    ),
    max_leaves=6,
)
_TYPES = st.sampled_from(
    [
        "Map",
        "ScalarMap",
        "Array(Map)",
        "Array(Array(ScalarMap))",
        'Struct({"": Map, "a": Float32})',
        "Set(Array(Decimal))",
        "Set(Bytes)",
        "Json",
        "Uuid",
        "Decimal",
        "ZonedTimestamp",
    ]
).map(Dtype)


@_CASES
@given(_TYPES, _ANYTHING)
def test_foreign_value_is_refused_by_our_error_or_can_be_read(dtype: Dtype, value: Any) -> None:
    try:
        stored = value_encoder(dtype)(value)
    except CodecError:
        return
    decoded = value_decoder(dtype)(stored)
    # What was read can be stored again: so Feast's SDK is answered.
    assert _bits(value_decoder(dtype)(value_encoder(dtype)(decoded))) == _bits(decoded)


@_CASES
@given(read_cases() | pushed_cases())
def test_json_is_that_of_feasts_http_server(case: tuple[Dtype, Any]) -> None:
    dtype, value = case
    stored = value_encoder(dtype)(value)

    rendered = json_writer(dtype)(value_decoder(dtype)(stored))

    stock = _value_to_native(Value.FromString(stored))
    if dtype.value == "ScalarMap":  # Which stock renders as null.
        assert len(rendered) == len(value)
    else:
        assert _with_lists_for_null(stock, dtype) == rendered
    assert orjson.loads(orjson.dumps(rendered)) == rendered


def _with_lists_for_null(rendered: Any, dtype: Dtype) -> Any:
    """Put the empty lists back that stock renders as null, but only where a list must be."""
    if rendered is None or not (dtype.is_list or dtype.is_set):
        return rendered
    is_nested = dtype.element.is_list or dtype.element.is_set
    return [
        [] if item is None and is_nested else _with_lists_for_null(item, dtype.element)
        for item in rendered
    ]

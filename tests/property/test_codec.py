"""Bytes of evenstore against Feast's own protobuf messages, over every supported type."""

from __future__ import annotations

import math
import struct
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.helpers import _mmh3, _redis_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import example, given, settings
from hypothesis import strategies as st

from evenstore.clock import datetime_to_us
from evenstore.codec.entity_key import EntityKeyEncoder, split_project
from evenstore.codec.feast_row import (
    decode_order,
    decode_timestamp,
    encode_order,
    encode_timestamp,
    feature_field,
)
from evenstore.codec.feast_value import value_decoder, value_encoder
from evenstore.dtypes import Dtype
from evenstore.errors import CodecError, CorruptRowError
from evenstore.schema.model import Field
from evenstore.semantics import Origin, RowOrder
from tests.support.scale import scaled

_CASES = settings(max_examples=scaled(150, 10_000))
_EARLIEST_US = -62_135_596_800_000_000
_LATEST_US = 253_402_300_799_999_999
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _float32(value: float) -> float:
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


_NAN_PAYLOADS = st.integers(1, 2**51 - 1).map(
    lambda payload: struct.unpack("<d", struct.pack("<Q", 0x7FF8 << 48 | payload))[0]
)
_FLOATS = st.floats() | _NAN_PAYLOADS | st.sampled_from([0.0, -0.0, math.inf, -math.inf])
_EDGES_64 = st.sampled_from([0, 1, -1, 2**53 + 1, -(2**63), 2**63 - 1])
_SCALARS: dict[Dtype, st.SearchStrategy[Any]] = {
    Dtype.BYTES: st.binary(max_size=300),
    Dtype.STRING: st.text(max_size=300),
    Dtype.INT32: st.integers(-(2**31), 2**31 - 1),
    Dtype.INT64: st.integers(-(2**63), 2**63 - 1) | _EDGES_64,
    Dtype.FLOAT64: _FLOATS,
    Dtype.FLOAT32: st.floats(width=32),
    Dtype.BOOL: st.booleans(),
    Dtype.UNIX_TIMESTAMP: st.integers(_EARLIEST_US, _LATEST_US).map(
        lambda us: _EPOCH + timedelta(microseconds=us)
    ),
}
_FIELDS = {
    Dtype.BYTES: "bytes",
    Dtype.STRING: "string",
    Dtype.INT32: "int32",
    Dtype.INT64: "int64",
    Dtype.FLOAT64: "double",
    Dtype.FLOAT32: "float",
    Dtype.BOOL: "bool",
    Dtype.UNIX_TIMESTAMP: "unix_timestamp",
}


def _values(dtype: Dtype) -> st.SearchStrategy[Any]:
    scalars = _SCALARS[dtype.element]
    return st.lists(scalars, max_size=20) if dtype.is_list else scalars


@st.composite
def _typed_values(draw: st.DrawFn) -> tuple[Dtype, Any]:
    dtype = draw(st.sampled_from(Dtype))
    return dtype, draw(_values(dtype))


def _feast_bytes(dtype: Dtype, value: Any) -> bytes:
    def plain(item: Any) -> Any:
        return (item - _EPOCH) // timedelta(seconds=1) if isinstance(item, datetime) else item

    message = Value()
    field = _FIELDS[dtype.element]
    if dtype.is_list:
        elements = getattr(message, f"{field}_list_val")
        elements.SetInParent()  # An empty list is present, not null.
        elements.val.extend(plain(item) for item in value)
    else:
        setattr(message, f"{field}_val", plain(value))
    return bytes(message.SerializeToString())


def _bits(value: Any) -> Any:
    """Make a value comparable bit by bit, timestamps in the whole seconds that are stored."""
    if isinstance(value, list):
        return [_bits(item) for item in value]
    if isinstance(value, float):
        return struct.pack("<d", value)
    if isinstance(value, datetime):
        return (value - _EPOCH) // timedelta(seconds=1)
    return value


@_CASES
@given(_typed_values())
@example((Dtype.FLOAT64, -0.0))
@example((Dtype.STRING, ""))
@example((Dtype.BYTES_LIST, [b"", b""]))
@example((Dtype.BOOL_LIST, []))
def test_value_bytes_are_those_of_feasts_own_message(case: tuple[Dtype, Any]) -> None:
    dtype, value = case

    assert value_encoder(dtype)(value) == _feast_bytes(dtype, value)


@_CASES
@given(_typed_values())
def test_decoded_value_is_the_encoded_one_bit_for_bit(case: tuple[Dtype, Any]) -> None:
    dtype, value = case

    decoded = value_decoder(dtype)(value_encoder(dtype)(value))

    assert _bits(decoded) == _bits(value)
    assert type(decoded) is type(value)


def _decode_or_refuse(dtype: Dtype, data: bytes) -> None:
    """Decode hostile bytes: a clean refusal, or a value that can be stored again."""
    try:
        value = value_decoder(dtype)(data)
    except CorruptRowError:
        return
    encode = value_encoder(dtype)
    assert _bits(value_decoder(dtype)(encode(value))) == _bits(value)


@_CASES
@given(_typed_values(), st.data())
def test_truncated_value_is_refused_and_never_crashes(
    case: tuple[Dtype, Any], data: st.DataObject
) -> None:
    dtype, value = case
    stored = value_encoder(dtype)(value)
    length = data.draw(st.integers(1, len(stored) - 1))

    with pytest.raises(CorruptRowError):
        value_decoder(dtype)(stored[:length])


@_CASES
@given(_typed_values(), st.sampled_from(Dtype), st.data())
def test_flipped_bytes_are_refused_or_are_a_value(
    case: tuple[Dtype, Any], read_as: Dtype, data: st.DataObject
) -> None:
    dtype, value = case
    stored = bytearray(value_encoder(dtype)(value))
    for _ in range(data.draw(st.integers(1, 3))):
        stored[data.draw(st.integers(0, len(stored) - 1))] = data.draw(st.integers(0, 255))

    _decode_or_refuse(dtype, bytes(stored))
    _decode_or_refuse(read_as, bytes(stored))


@_CASES
@given(_typed_values(), st.sampled_from(Dtype))
def test_value_of_another_type_is_never_misread(case: tuple[Dtype, Any], read_as: Dtype) -> None:
    dtype, value = case
    if read_as is dtype:
        return

    with pytest.raises(CorruptRowError):
        value_decoder(read_as)(value_encoder(dtype)(value))


_ANYTHING = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.datetimes()
    | st.datetimes(timezones=st.just(UTC))
    | st.characters(categories=["Cs"])
    | st.sets(st.integers())
)


@_CASES
@given(st.sampled_from(Dtype), _ANYTHING | st.lists(_ANYTHING, max_size=3))
@example(Dtype.FLOAT64, 2**53 + 1)
@example(Dtype.FLOAT64, True)
@example(Dtype.STRING_LIST, "abc")
@example(Dtype.INT64_LIST, b"abc")
@example(Dtype.INT64, 10**5000)
@example(Dtype.UNIX_TIMESTAMP, datetime(2026, 1, 1))  # noqa: DTZ001 - a naive one is the case.
def test_foreign_value_is_refused_or_kept_as_it_is(dtype: Dtype, value: Any) -> None:
    encode = value_encoder(dtype)
    try:
        stored = encode(value)
    except CodecError as exc:
        message = exc.message
    else:
        # Rounding to float32 is what that type means.
        is_kept = dtype.element is Dtype.FLOAT32 or _bits(value_decoder(dtype)(stored)) == _bits(
            value
        )
        assert is_kept
        return
    assert dtype.value in message
    assert len(message) < 200


_KEY_FIELDS = {
    Dtype.BYTES: "bytes_val",
    Dtype.STRING: "string_val",
    Dtype.INT32: "int32_val",
    Dtype.INT64: "int64_val",
    Dtype.UNIX_TIMESTAMP: "unix_timestamp_val",
}
_KEY_VALUES: dict[Dtype, st.SearchStrategy[Any]] = {
    Dtype.BYTES: _SCALARS[Dtype.BYTES],
    Dtype.STRING: _SCALARS[Dtype.STRING],
    Dtype.INT32: _SCALARS[Dtype.INT32],
    Dtype.INT64: _SCALARS[Dtype.INT64],
    Dtype.UNIX_TIMESTAMP: _SCALARS[Dtype.INT64],
}


@st.composite
def _entity_keys(draw: st.DrawFn) -> tuple[list[Field], list[Any]]:
    names = draw(st.lists(st.text(max_size=12), min_size=1, max_size=4, unique=True))
    keys = [Field(name, draw(st.sampled_from(list(_KEY_FIELDS)))) for name in names]
    return keys, [draw(_KEY_VALUES[key.dtype]) for key in keys]


def _feast_key(keys: list[Field], values: list[Any]) -> EntityKey:
    return EntityKey(
        join_keys=[key.name for key in keys],
        entity_values=[
            Value(**{_KEY_FIELDS[key.dtype]: value})
            for key, value in zip(keys, values, strict=True)
        ],
    )


@_CASES
@given(_entity_keys(), st.text(max_size=20))
def test_entity_key_bytes_are_feasts_for_any_declared_order(
    entity: tuple[list[Field], list[Any]], project: str
) -> None:
    keys, values = entity
    feast_key = _feast_key(keys, values)

    key = EntityKeyEncoder(keys, project).encode(values)

    assert key == serialize_entity_key(feast_key, 3) + project.encode()
    assert key == _redis_key(project, feast_key, 3)
    assert split_project(key) == project.encode()


@_CASES
@given(_entity_keys(), st.text(min_size=1, max_size=8), st.text(min_size=1, max_size=8))
def test_project_is_found_by_lengths_not_by_its_text(
    entity: tuple[list[Field], list[Any]], prefix: str, project: str
) -> None:
    key = EntityKeyEncoder(entity[0], prefix + project).encode(entity[1])

    assert split_project(key) == (prefix + project).encode()


@_CASES
@given(_entity_keys(), st.data())
def test_cut_entity_key_has_no_project(
    entity: tuple[list[Field], list[Any]], data: st.DataObject
) -> None:
    key = EntityKeyEncoder(entity[0], "").encode(entity[1])

    assert split_project(key[: data.draw(st.integers(0, len(key) - 1))]) is None


@_CASES
@given(st.binary(max_size=60))
@example(b"\xff\xff\xff\xff" + b"\x02\x00\x00\x00\x00\x00\x00\x00" * 4)
@example(b"\x01\x00\x00\x00" + b"\x02\x00\x00\x00\xff\xff\xff\xff")
@example(b"evenstore:watermarks:tiny")
def test_hostile_bytes_never_crash_the_search_for_a_project(key: bytes) -> None:
    project = split_project(key)

    assert project is None or key.endswith(project)


@_CASES
@given(st.integers(_EARLIEST_US, _LATEST_US))
@example(_EARLIEST_US)
@example(_LATEST_US)
@example(0)
@example(-1)
@example(-1_000_000)
def test_timestamp_bytes_are_protobufs(instant_us: int) -> None:
    message = Timestamp()
    message.FromMicroseconds(instant_us)

    encoded = encode_timestamp(instant_us)

    assert encoded == message.SerializeToString()
    assert decode_timestamp(encoded) == instant_us


@_CASES
@given(st.binary(max_size=16))
def test_hostile_timestamp_is_refused_or_can_be_a_datetime(data: bytes) -> None:
    try:
        instant_us = decode_timestamp(data)
    except CorruptRowError:
        return
    assert datetime_to_us(_EPOCH + timedelta(microseconds=instant_us)) == instant_us


_ORDERS = st.builds(
    RowOrder,
    event_us=st.integers(_EARLIEST_US, _LATEST_US),
    created_us=st.none() | st.integers(_EARLIEST_US, _LATEST_US),
    sequence_us=st.integers(0, 2**62),
)


@_CASES
@given(_ORDERS, st.sampled_from(Origin))
def test_decoded_order_is_the_encoded_one(order: RowOrder, origin: Origin) -> None:
    field = encode_order(order, origin)

    assert decode_order(field, encode_timestamp(order.event_us)) == (order, origin)


@_CASES
@given(_ORDERS, _ORDERS)
def test_order_bytes_compare_as_the_orders_do(one: RowOrder, other: RowOrder) -> None:
    one_bytes = encode_order(one, Origin.RUN)[2:26]
    other_bytes = encode_order(other, Origin.RUN)[2:26]

    assert (one_bytes < other_bytes) == (one < other)
    assert (one_bytes == other_bytes) == (one == other)


@_CASES
@given(_ORDERS, st.data())
def test_flipped_order_field_is_refused_or_an_order(order: RowOrder, data: st.DataObject) -> None:
    field = bytearray(encode_order(order, Origin.RUN))
    field[data.draw(st.integers(0, len(field) - 1))] = data.draw(st.integers(0, 255))
    field = field[: data.draw(st.integers(0, len(field)))]

    try:
        decoded, _ = decode_order(bytes(field), encode_timestamp(order.event_us))
    except CodecError:
        return
    assert decoded.event_us == order.event_us


@_CASES
@given(st.text(), st.text())
def test_feature_field_is_feasts_hash(view: str, feature: str) -> None:
    assert feature_field(view, feature) == _mmh3(f"{view}:{feature}")

from __future__ import annotations

import math
import struct

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenstore.codec.packed_encoder import PackedRowEncoder
from evenstore.codec.packed_row import RowSchema
from evenstore.codec.packed_subset import PackedSubset
from evenstore.codec.rows import RowBatch, RowInstants
from evenstore.dtypes import Dtype
from evenstore.errors import CorruptRowError
from evenstore.schema.arrow import arrow_type
from evenstore.schema.model import FeatureViewSchema, Field
from evenstore.semantics import Origin
from tests.support.scale import scaled

_FIELDS = (
    Field("a", Dtype.INT64),
    Field("b", Dtype.FLOAT32),
    Field("c", Dtype.STRING),
    Field("d", Dtype.BOOL),
    Field("e", Dtype.INT32),
    Field("f", Dtype.FLOAT64),
    Field("g", Dtype.BYTES),
    Field("h", Dtype.INT64_LIST),
    Field("i", Dtype.UNIX_TIMESTAMP),
    Field("j", Dtype.INT64),
)
_VALUES = {
    Dtype.INT64: st.integers(-(2**63), 2**63 - 1) | st.integers(-200, 200),
    Dtype.INT32: st.integers(-(2**31), 2**31 - 1),
    Dtype.FLOAT32: st.floats(width=32),
    Dtype.FLOAT64: st.floats(),
    Dtype.BOOL: st.booleans(),
    Dtype.STRING: st.text(max_size=300),
    Dtype.BYTES: st.binary(max_size=300),
    Dtype.INT64_LIST: st.lists(st.integers(-5, 2**40), max_size=3),
    Dtype.UNIX_TIMESTAMP: st.integers(-(2**40), 2**40),
}


def _encode(
    fields: tuple[Field, ...], values: dict[str, object], *, expires_after_us: int | None = None
) -> bytes:
    instants = RowInstants(
        event_us=np.array([1_700_000_000_000_000], np.int64),
        created_us=np.array([5], np.int64),
        is_created_null=np.array([False]),
        sequence_us=np.array([9], np.int64),
        origin=Origin.PUSH,
    )
    columns = [
        pa.array(
            [values[field.name]], pa.int64() if _is_instant(field) else arrow_type(field.dtype)
        )
        for field in fields
    ]
    view = FeatureViewSchema("v", (), fields, ttl_us=None)
    encoder = PackedRowEncoder(view, "p", expires_after_us=expires_after_us)
    rows = encoder.encode(RowBatch([], columns, frozenset(), instants))
    row: bytes = rows.columns[0][0].as_py()
    return row


def _is_instant(field: Field) -> bool:
    return field.dtype is Dtype.UNIX_TIMESTAMP


@settings(max_examples=scaled(80, 5000))
@given(st.data())
def test_subset_is_what_the_encoder_makes_of_fewer_features(data: st.DataObject) -> None:
    fields = tuple(data.draw(st.lists(st.sampled_from(_FIELDS), unique=True)))
    kept = tuple(field for field in fields if data.draw(st.booleans()))
    values: dict[str, object] = {
        field.name: data.draw(st.none() | _VALUES[field.dtype]) for field in fields
    }
    expires_after_us = data.draw(st.sampled_from([None, 5]))
    row = _encode(fields, values, expires_after_us=expires_after_us)

    subset = PackedSubset(RowSchema.of(fields), kept)

    assert subset.schema == RowSchema.of(kept)
    assert subset.take(row) == _encode(kept, values, expires_after_us=expires_after_us)


def test_feature_of_another_type_is_not_kept() -> None:
    subset = PackedSubset(RowSchema.of(_FIELDS[:2]), [Field("a", Dtype.STRING), _FIELDS[1]])

    assert subset.schema == RowSchema.of(_FIELDS[1:2])


def test_payload_of_a_nan_is_kept() -> None:
    payload = struct.unpack("<d", b"\x01\x02\x03\x04\x05\x06\xf8\x7f")[0]
    assert math.isnan(payload)
    row = _encode((_FIELDS[0], _FIELDS[5]), {"a": 1, "f": payload})

    taken = PackedSubset(RowSchema.of((_FIELDS[0], _FIELDS[5])), [_FIELDS[5]]).take(row)

    assert taken.endswith(b"\x01\x02\x03\x04\x05\x06\xf8\x7f")


@pytest.mark.parametrize("n_bytes", [1, 2, -1, -4])
def test_row_cut_short_is_no_row(n_bytes: int) -> None:
    values: dict[str, object] = {"a": 2**40, "c": "text"}
    row = _encode((_FIELDS[0], _FIELDS[2]), values)

    with pytest.raises(CorruptRowError):
        PackedSubset(RowSchema.of((_FIELDS[0], _FIELDS[2])), [_FIELDS[0]]).take(row[:n_bytes])

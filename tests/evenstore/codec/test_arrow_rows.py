from __future__ import annotations

import math
import struct
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from evenstore.codec.arrow_rows import ArrowRowEncoder
from evenstore.codec.entity_key import EntityKeyEncoder
from evenstore.codec.feast_row import decode_order, encode_timestamp
from evenstore.codec.feast_value import value_decoder
from evenstore.dtypes import Dtype
from evenstore.errors import CodecError
from evenstore.schema.arrow import arrow_type
from evenstore.schema.model import FeatureViewSchema, Field
from evenstore.semantics import Origin, RowOrder

_T_US = 1_767_268_800_123_456


def _view(dtype: Dtype, *keys: Field) -> FeatureViewSchema:
    return FeatureViewSchema("stats", keys, (Field("x", dtype),), ttl_us=None)


def _batch(dtype: Dtype, values: pa.Array, **columns: pa.Array) -> pa.RecordBatch:
    n_rows = len(values)
    return pa.RecordBatch.from_pydict(
        {
            **columns,
            "x": values.cast(arrow_type(dtype)),
            "event": pa.array([_T_US] * n_rows, pa.int64()),
            "created": pa.array([None] * n_rows, pa.int64()),
        }
    )


def _stored(dtype: Dtype, values: pa.Array) -> list[bytes]:
    view = _view(dtype)
    rows = ArrowRowEncoder(view, "p", sequence_us=7).encode(
        _batch(dtype, values), event_column="event", created_column="created"
    )
    return list(rows.features[0])


def test_integers_beside_nulls_are_exact_beyond_two_to_the_53() -> None:
    stored = _stored(Dtype.INT64, pa.array([2**53 + 1, None, -(2**63)], pa.int64()))

    assert [value_decoder(Dtype.INT64)(data) for data in stored] == [2**53 + 1, None, -(2**63)]


def test_nan_is_kept_and_differs_from_null() -> None:
    stored = _stored(Dtype.FLOAT64, pa.array([math.nan, None], from_pandas=False))

    assert math.isnan(value_decoder(Dtype.FLOAT64)(stored[0]))
    assert stored[1] == b""


@pytest.mark.parametrize(
    ("dtype", "form", "bits"),
    [
        # A signalling NaN with a payload: one conversion to another float would set a bit of it.
        (Dtype.FLOAT64, "<d", bytes.fromhex("efbeadde0000f07f")),
        (Dtype.FLOAT32, "<f", bytes.fromhex("efbe807f")),
    ],
)
def test_float_keeps_every_bit(dtype: Dtype, form: str, bits: bytes) -> None:
    assert math.isnan(struct.unpack(form, bits)[0])
    values = pa.Array.from_buffers(arrow_type(dtype), 1, [None, pa.py_buffer(bits)])

    assert _stored(dtype, values)[0][1:] == bits


def test_sliced_batch_is_encoded_from_its_own_rows() -> None:
    values = pa.array([1.0, None, 3.0, 4.0], pa.float64())
    batch = _batch(Dtype.FLOAT64, values).slice(1, 2)

    rows = ArrowRowEncoder(_view(Dtype.FLOAT64), "p", sequence_us=7).encode(
        batch, event_column="event", created_column="created"
    )

    assert [value_decoder(Dtype.FLOAT64)(data) for data in rows.features[0]] == [None, 3.0]


def test_null_in_a_list_is_refused_and_the_feature_named() -> None:
    with pytest.raises(CodecError, match=r"stats:x: .*None") as error:
        _stored(Dtype.INT64_LIST, pa.array([[1, None]]))

    assert error.value.hint is not None
    assert "nulls inside lists" in error.value.hint


def test_instant_that_no_datetime_holds_is_refused_and_the_feature_named() -> None:
    values = pa.array([2**62], pa.int64()).cast(pa.timestamp("us", "UTC"))

    with pytest.raises(CodecError, match="stats:x"):
        _stored(Dtype.UNIX_TIMESTAMP, values)


def test_row_carries_its_place_in_the_order() -> None:
    view = _view(Dtype.INT64)
    batch = _batch(Dtype.INT64, pa.array([1, 2], pa.int64()))
    batch = batch.set_column(2, "created", pa.array([None, _T_US + 1], pa.int64()))

    rows = ArrowRowEncoder(view, "p", sequence_us=7).encode(
        batch, event_column="event", created_column="created"
    )

    assert rows.timestamps == [encode_timestamp(_T_US)] * 2
    assert [decode_order(field, rows.timestamps[0]) for field in rows.orders] == [
        (RowOrder(_T_US, None, 7), Origin.RUN),
        (RowOrder(_T_US, _T_US + 1, 7), Origin.RUN),
    ]


def test_timestamp_join_key_is_whole_seconds_floored() -> None:
    key = Field("at", Dtype.UNIX_TIMESTAMP)
    at = pa.array([datetime(1969, 12, 31, 23, 59, 59, 1, tzinfo=UTC)], pa.timestamp("us", "UTC"))
    batch = _batch(Dtype.INT64, pa.array([1], pa.int64()), at=at)

    rows = ArrowRowEncoder(_view(Dtype.INT64, key), "p", sequence_us=7).encode(
        batch, event_column="event", created_column="created"
    )

    assert rows.keys == [EntityKeyEncoder([key], "p").encode([-1])]


def test_entityless_rows_share_feasts_dummy_key() -> None:
    batch = _batch(Dtype.INT64, pa.array([1, 2], pa.int64()))

    rows = ArrowRowEncoder(_view(Dtype.INT64), "p", sequence_us=7).encode(
        batch, event_column="event", created_column="created"
    )

    assert rows.keys == [EntityKeyEncoder([], "p").encode(())] * 2

"""Rows of Arrow batches as bytes, in both layouts: what goes in comes out, to the bit."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from evenstore.codec.entity_key import EntityKeyEncoder
from evenstore.codec.feast_encoder import FeastRowEncoder
from evenstore.codec.feast_row import decode_order
from evenstore.codec.feast_value import value_decoder, value_encoder
from evenstore.codec.packed_encoder import PackedRowEncoder
from evenstore.codec.packed_key import PackedKeyEncoder
from evenstore.codec.packed_reader import PackedReader
from evenstore.codec.packed_row import RowSchema, read_row
from evenstore.codec.rows import EncodedRows, RowBatch
from evenstore.dtypes import Dtype
from evenstore.errors import CodecError
from evenstore.schema.arrow import arrow_type
from evenstore.schema.model import FeatureViewSchema, Field, Layout
from evenstore.semantics import Origin, RowOrder

_T_US = 1_767_268_800_123_456
_LAYOUTS = pytest.mark.parametrize("layout", list(Layout), ids=lambda layout: layout.value)


def _view(features: Sequence[Field], *keys: Field) -> FeatureViewSchema:
    return FeatureViewSchema("stats", keys, tuple(features), ttl_us=None)


def _batch(columns: dict[str, pa.Array]) -> pa.RecordBatch:
    n_rows = len(next(iter(columns.values())))
    instants = {
        "event": pa.array([_T_US] * n_rows, pa.int64()),
        "created": pa.array([None] * n_rows, pa.int64()),
    }
    return pa.RecordBatch.from_pydict(columns | instants)


def _encode(view: FeatureViewSchema, batch: pa.RecordBatch, layout: Layout) -> EncodedRows:
    rows = RowBatch.of_arrow(
        batch, view, event_column="event", created_column="created", sequence_us=7
    )
    encoder = FeastRowEncoder(view, "p") if layout is Layout.FEAST else PackedRowEncoder(view, "p")
    return encoder.encode(rows)


def _split_feast(values: bytes) -> list[bytes]:
    split = []
    while values:
        (length,) = struct.unpack_from("<I", values)
        split.append(values[4 : 4 + length])
        values = values[4 + length :]
    return split


def _stored(view: FeatureViewSchema, batch: pa.RecordBatch, layout: Layout) -> list[list[Any]]:
    """Encode and decode; values in the order of the features' names."""
    rows = _encode(view, batch, layout)
    schema = RowSchema.of(view.features)
    decoded = []
    for cell in rows.columns[-1].to_pylist():
        if layout is Layout.PACKED:
            head = read_row(cell)
            assert head.fingerprint == schema.fingerprint
            read = PackedReader(schema).read(cell, head.payload_start, head.flags)
            decoded.append(list(read))
        else:
            by_name = dict(zip((f.name for f in view.features), _split_feast(cell), strict=True))
            decoded.append([value_decoder(f.dtype)(by_name[f.name]) for f in schema.features])
    return decoded


def _round_trip(dtype: Dtype, values: pa.Array, layout: Layout) -> list[Any]:
    batch = _batch({"x": values.cast(arrow_type(dtype))})
    return [row[0] for row in _stored(_view([Field("x", dtype)]), batch, layout)]


@_LAYOUTS
def test_integers_beside_nulls_are_exact_beyond_two_to_the_53(layout: Layout) -> None:
    """FEAST.md D10: stock takes them through float64."""
    values = [2**53 + 1, None, -(2**63), 2**63 - 1, 0, 127, 128, -128, -129, 2**31, -(2**31) - 1]

    assert _round_trip(Dtype.INT64, pa.array(values, pa.int64()), layout) == values


@_LAYOUTS
def test_nan_is_kept_and_differs_from_null(layout: Layout) -> None:
    """FEAST.md D13."""
    values = pa.array([math.nan, None, math.inf, -0.0], from_pandas=False)

    nan, null, infinite, zero = _round_trip(Dtype.FLOAT64, values, layout)

    assert math.isnan(nan)
    assert null is None
    assert infinite == math.inf
    assert math.copysign(1, zero) == -1


@_LAYOUTS
@pytest.mark.parametrize(
    ("dtype", "bits"),
    [
        # A signalling NaN with a payload: one conversion to another float would set a bit of it.
        (Dtype.FLOAT64, bytes.fromhex("efbeadde0000f07f")),
        (Dtype.FLOAT32, bytes.fromhex("efbe807f")),
    ],
)
def test_float_keeps_every_bit(dtype: Dtype, bits: bytes, layout: Layout) -> None:
    values = pa.Array.from_buffers(arrow_type(dtype), 1, [None, pa.py_buffer(bits)])

    rows = _encode(_view([Field("x", dtype)]), _batch({"x": values}), layout)

    assert rows.columns[-1][0].as_py().endswith(bits)


@_LAYOUTS
@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        (Dtype.STRING, ["", "naïve", None, "\0x", "x" * 253, "x" * 254, "x" * 70_000]),
        (Dtype.BYTES, [b"", b"\xff\0", None]),
        (Dtype.BOOL, [True, None, False]),
        (Dtype.INT32, [-(2**31), None, 2**31 - 1]),
        (Dtype.FLOAT32, [1.5, None, -2.25]),
        (Dtype.STRING_LIST, [[], ["a", ""], None, ["é" * 300]]),
        (Dtype.INT64_LIST, [[], [1, -1, 2**63 - 1], None]),
        (Dtype.FLOAT64_LIST, [[], [0.1] * 40, None]),
        (Dtype.BOOL_LIST, [[True, False], None, []]),
        (Dtype.BYTES_LIST, [[b"", b"\0"], None]),
    ],
    ids=lambda value: value.value if isinstance(value, Dtype) else "",
)
def test_values_come_back(dtype: Dtype, values: list[Any], layout: Layout) -> None:
    assert _round_trip(dtype, pa.array(values, arrow_type(dtype)), layout) == values


@_LAYOUTS
def test_feature_timestamps_are_whole_seconds_floored(layout: Layout) -> None:
    """FEAST.md D9."""
    values = pa.array([-1, None, 1_999_999], pa.timestamp("us", "UTC"))

    assert _round_trip(Dtype.UNIX_TIMESTAMP, values, layout) == [
        datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC),
        None,
        datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC),
    ]


@_LAYOUTS
def test_features_of_many_types_and_nulls_lie_side_by_side(layout: Layout) -> None:
    columns = {
        "n": (Dtype.INT64, [1, None, 300, -70_000]),
        "b": (Dtype.BOOL, [None, True, False, True]),
        "s": (Dtype.STRING, ["x", None, "", "long" * 100]),
        "f": (Dtype.FLOAT32, [0.5, 1.5, None, 2.5]),
        "l": (Dtype.FLOAT64_LIST, [None, [1.0], [], [2.0, 3.0]]),
        "d": (Dtype.FLOAT64, [None, None, 1e300, -0.5]),
        "a": (Dtype.INT32, [None, 2**31 - 1, None, 0]),
    }
    view = _view([Field(name, dtype) for name, (dtype, _) in columns.items()])
    arrays = {
        name: pa.array(values, arrow_type(dtype)) for name, (dtype, values) in columns.items()
    }

    stored = _stored(view, _batch(arrays), layout)

    assert stored == [
        list(row) for row in zip(*(columns[n][1] for n in sorted(columns)), strict=True)
    ]


@_LAYOUTS
def test_sliced_batch_is_encoded_from_its_own_rows(layout: Layout) -> None:
    columns = {
        "x": pa.array([1.0, None, 3.0, 4.0], pa.float64()),
        "l": pa.array([[9], None, [], [7, 8]], pa.list_(pa.int64())),
        "s": pa.array(["a", "b", None, "d"]),
        "t": pa.array([True, False, None, True]),
    }
    dtypes = {"x": Dtype.FLOAT64, "l": Dtype.INT64_LIST, "s": Dtype.STRING, "t": Dtype.BOOL}
    view = _view([Field(name, dtype) for name, dtype in dtypes.items()])

    stored = _stored(view, _batch(columns).slice(1, 2), layout)

    assert stored == [[None, "b", False, None], [[], None, None, 3.0]]


@_LAYOUTS
def test_null_in_a_list_is_refused_and_the_feature_named(layout: Layout) -> None:
    """FEAST.md D14: stock stores 0."""
    with pytest.raises(CodecError, match=r"stats:x: a list holds a null") as error:
        _round_trip(Dtype.INT64_LIST, pa.array([[1, None]]), layout)

    assert error.value.hint is not None
    assert "nulls inside lists" in error.value.hint


@_LAYOUTS
def test_instant_that_no_datetime_holds_is_refused_and_the_feature_named(layout: Layout) -> None:
    values = pa.array([2**62], pa.int64()).cast(pa.timestamp("us", "UTC"))

    with pytest.raises(CodecError, match="stats:x"):
        _round_trip(Dtype.UNIX_TIMESTAMP, values, layout)


@_LAYOUTS
@pytest.mark.parametrize("event_us", [-(2**60), 253_402_300_800_000_000])
def test_event_timestamp_that_no_datetime_holds_is_refused(event_us: int, layout: Layout) -> None:
    batch = _batch({"x": pa.array([1], pa.int64())})
    batch = batch.set_column(1, "event", pa.array([event_us], pa.int64()))

    with pytest.raises(CodecError, match="stats"):
        _encode(_view([Field("x", Dtype.INT64)]), batch, layout)


@_LAYOUTS
def test_row_carries_its_place_in_the_order(layout: Layout) -> None:
    batch = _batch({"x": pa.array([1, 2], pa.int64())})
    batch = batch.set_column(2, "created", pa.array([None, _T_US + 1], pa.int64()))

    rows = _encode(_view([Field("x", Dtype.INT64)]), batch, layout)

    orders: list[tuple[RowOrder, Origin]]
    if layout is Layout.PACKED:
        heads = [read_row(row) for row in rows.columns[0].to_pylist()]
        orders = [(head.order, head.origin) for head in heads]
    else:
        orders = [decode_order(field, field[26:]) for field in rows.columns[0].to_pylist()]
    assert orders == [
        (RowOrder(_T_US, None, 7), Origin.RUN),
        (RowOrder(_T_US, _T_US + 1, 7), Origin.RUN),
    ]


@_LAYOUTS
def test_keys_are_those_that_a_reader_makes(layout: Layout) -> None:
    fields = [
        Field("at", Dtype.UNIX_TIMESTAMP),
        Field("who", Dtype.STRING),
        Field("a", Dtype.INT32),
    ]
    at = pa.array([datetime(1969, 12, 31, 23, 59, 59, 1, tzinfo=UTC)], pa.timestamp("us", "UTC"))
    columns = {"x": pa.array([1]), "at": at, "who": pa.array(["é"]), "a": pa.array([5], pa.int32())}

    rows = _encode(_view([Field("x", Dtype.INT64)], *fields), _batch(columns), layout)

    encoder = PackedKeyEncoder if layout is Layout.PACKED else EntityKeyEncoder
    assert rows.keys.to_pylist() == [encoder(fields, "p").encode([-1, "é", 5])]


@_LAYOUTS
def test_entityless_rows_share_one_key(layout: Layout) -> None:
    rows = _encode(
        _view([Field("x", Dtype.INT64)]), _batch({"x": pa.array([1, 2], pa.int64())}), layout
    )

    encoder = PackedKeyEncoder if layout is Layout.PACKED else EntityKeyEncoder
    assert rows.keys.to_pylist() == [encoder([], "p").encode(())] * 2


def test_empty_batch_is_no_rows() -> None:
    for layout in Layout:
        view = _view([Field("x", Dtype.INT64), Field("s", Dtype.STRING)], Field("k", Dtype.INT64))
        empty = {"x": pa.array([], pa.int64()), "s": pa.array([], pa.string())}
        rows = _encode(view, _batch(empty | {"k": pa.array([], pa.int64())}), layout)

        assert len(rows) == 0


def test_declared_order_of_features_does_not_change_a_packed_row() -> None:
    fields = [Field("b", Dtype.INT64), Field("a", Dtype.STRING)]
    batch = _batch({"b": pa.array([5]), "a": pa.array(["x"])})

    first, second = (
        _encode(_view(order), batch, Layout.PACKED).columns[0].to_pylist()
        for order in (fields, fields[::-1])
    )

    assert first == second


def test_bytes_of_the_packed_layout_are_frozen() -> None:
    """Changing these bytes makes stored rows unreadable: give the format a new version instead."""
    fields = [
        Field("n", Dtype.INT64),
        Field("f", Dtype.FLOAT32),
        Field("s", Dtype.STRING),
        Field("d", Dtype.FLOAT64),
        Field("b", Dtype.BOOL),
        Field("l", Dtype.INT64_LIST),
    ]
    columns = {
        "n": pa.array([300, None]),
        "f": pa.array([1.5, None], pa.float32()),
        "s": pa.array(["ab", None]),
        "d": pa.array([2.5, None]),
        "b": pa.array([True, None]),
        "l": pa.array([[1], None], pa.list_(pa.int64())),
        "k": pa.array([1, 2]),
    }

    rows = _encode(_view(fields, Field("k", Dtype.INT64)), _batch(columns), Layout.PACKED)

    assert [key.hex() for key in rows.keys.to_pylist()] == _GOLDEN_KEYS
    assert [row.hex() for row in rows.columns[0].to_pylist()] == _GOLDEN_ROWS
    assert value_encoder(Dtype.INT64_LIST)([1]).hex() in _GOLDEN_ROWS[0]


_GOLDEN_KEYS = ["7040a8e59d1a0100000000000000", "7040a8e59d1a0200000000000000"]
_GOLDEN_ROWS = [
    "e64752550dd2400019b8adaaf22dc7017702049a010100000000000004400000c03f2c010572030a0101026162",
    "e64752550dd2400019b8adaaf22dc7097702049a3f00",
]

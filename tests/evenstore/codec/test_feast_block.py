"""Rows of the `feast` layout read together must be what they are one by one, or not be read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from evenstore.codec.feast_block import FeastBlockReader
from evenstore.codec.feast_fields import value_tag
from evenstore.codec.feast_row import decode_timestamp, encode_timestamp
from evenstore.codec.feast_value import value_decoder, value_encoder
from evenstore.codec.nullable_array import NullableArray
from evenstore.codec.view_block import NoBlockError
from evenstore.dtypes import Dtype
from evenstore.errors import CorruptRowError
from tests.support.scale import scaled

_NOW = encode_timestamp(1_700_000_000_123_456)
_DTYPES = [Dtype.INT64, Dtype.INT32, Dtype.BOOL, Dtype.FLOAT64, Dtype.FLOAT32]


def _read(dtype: Dtype, cells: Sequence[bytes]) -> list[Any]:
    (column,) = FeastBlockReader([dtype]).read([_NOW] * len(cells), [cells]).values
    return column if isinstance(column, list) else column.tolist()


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return type(one) is type(other) and bool(one == other)


@pytest.mark.parametrize("dtype", [Dtype.INT64, Dtype.INT32])
def test_integers_of_every_length(dtype: Dtype) -> None:
    n_bits = 63 if dtype is Dtype.INT64 else 31
    values = {
        sign * (1 << bit) + step for bit in range(n_bits) for sign in (1, -1) for step in (-1, 0, 1)
    }
    values |= {(1 << n_bits) - 1, -(1 << n_bits)}
    column = sorted(value for value in values if -(1 << n_bits) <= value < 1 << n_bits)
    assert _read(dtype, [value_encoder(dtype)(value) for value in column]) == column


@settings(max_examples=scaled(300, 20_000))
@given(
    st.sampled_from(_DTYPES),
    st.lists(st.binary(max_size=12) | st.just(b"\x80" * 9 + b"\x01"), min_size=1, max_size=5),
    st.lists(st.booleans(), min_size=5, max_size=5),
)
@example(Dtype.INT64, [b"\xff" * 7 + b"\x80"], [True] * 5)
@example(Dtype.INT64, [b"\xff" * 8 + b"\x80"], [True] * 5)
@example(Dtype.INT64, [b"\xff" * 9 + b"\x02"], [True] * 5)
@example(Dtype.INT32, [b"\x80\x80\x80\x80\x08"], [True] * 5)
def test_any_bytes_are_read_alike(dtype: Dtype, payloads: list[bytes], has_tag: list[bool]) -> None:
    tag = value_tag(dtype)
    cells = [
        tag + each if tagged else each for each, tagged in zip(payloads, has_tag, strict=False)
    ]
    try:
        found = _read(dtype, cells)
    except NoBlockError:
        return
    expected = [value_decoder(dtype)(cell) for cell in cells]
    assert all(map(_same, found, expected)), (found, expected)


@settings(max_examples=scaled(300, 20_000))
@given(
    st.lists(
        st.integers(-(10**15), 10**17).map(encode_timestamp) | st.binary(max_size=14),
        min_size=1,
        max_size=5,
    )
)
@example([encode_timestamp(0)])
@example([encode_timestamp(1_700_000_000_000_000), encode_timestamp(1_700_000_000_000_001)])
def test_any_timestamps_are_read_alike(cells: list[bytes]) -> None:
    try:
        found = FeastBlockReader([]).read(cells, []).event_us.tolist()
    except NoBlockError:
        return
    assert found == [decode_timestamp(cell) for cell in cells]


def test_plain_rows_are_read_together_with_their_nulls() -> None:
    """What falls back where it need not costs eight times as much, and nobody would see."""
    values: dict[Dtype, list[Any]] = {
        Dtype.INT64: [None, -1, 2**62, 5],
        Dtype.FLOAT64: [None, 0.1, float("inf"), -0.0],
        Dtype.FLOAT32: [None, 0.5, 2.0, 3.0],
        Dtype.BOOL: [None, True, False, True],
        Dtype.STRING: [None, "", "a", "b"],
    }
    stamps = [0, 1, 1_700_000_000_000_000, 253_402_300_799_999_999]
    cells = [[value_encoder(dtype)(each) for each in column] for dtype, column in values.items()]

    with pytest.raises(NoBlockError):  # Whose seconds are left out.
        FeastBlockReader([]).read([encode_timestamp(stamp) for stamp in stamps], [])
    block = FeastBlockReader([*values]).read([encode_timestamp(stamps[-1])] * 4, cells)

    assert block.event_us.tolist() == [stamps[-1]] * 4
    for column, expected in zip(block.values, values.values(), strict=True):
        assert isinstance(column, NullableArray | list)
        assert list(column if isinstance(column, list) else column.tolist()) == expected


def test_damaged_cell_of_any_type_is_not_read_together() -> None:
    for dtype in [*_DTYPES, Dtype.STRING]:
        with pytest.raises(NoBlockError):
            _read(dtype, [b"\xff\xff"])
        with pytest.raises(CorruptRowError):
            value_decoder(dtype)(b"\xff\xff")

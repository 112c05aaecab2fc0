"""Encodes rows of one view in the packed layout, all rows of a batch at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from evenstore.codec.cells import (
    Bytes,
    Cells,
    blank_where,
    byte_matrix,
    join_cells,
    masked_cells,
    number_array,
    numbered_cells,
)
from evenstore.codec.key_cells import encode_key_cells
from evenstore.codec.packed_key import PackedKeyEncoder
from evenstore.codec.packed_row import (
    EXPIRES,
    FIXED_FORMATS,
    HAS_NULLS,
    INTEGER_WIDTHS,
    RowSchema,
    encode_length,
)
from evenstore.codec.refusal import name_feature
from evenstore.codec.rows import EncodedRows, RowBatch, RowInstants
from evenstore.codec.sortable_cells import sortable_matrix
from evenstore.codec.value_cells import encode_value_cells, raw_numbers, text_cells, whole_seconds
from evenstore.dtypes import TEXT_DTYPES, Dtype
from evenstore.errors import CodecError
from evenstore.schema.model import FeatureViewSchema

__all__ = ["PackedRowEncoder"]

_Mask = npt.NDArray[np.bool_]
_US_PER_MS = 1_000


class PackedRowEncoder:
    """Makes rows of one view: one column, the row.

    Args:
        view: The view.
        project: The Feast project.
        expires_after_us: How long after its event timestamp Redis may forget a row; None for never.
            Then rows have a second column, the instant of that in milliseconds, as text.
    """

    def __init__(
        self, view: FeatureViewSchema, project: str, *, expires_after_us: int | None = None
    ) -> None:
        self._view = view
        self._keys = PackedKeyEncoder(view.join_keys, project)
        self._schema = RowSchema.of(view.features)
        self._fingerprint = np.frombuffer(self._schema.fingerprint, np.uint8)
        self._expires_after_us = expires_after_us
        self._positions = {field.name: i for i, field in enumerate(view.features)}

    def encode(self, rows: RowBatch) -> EncodedRows:
        """Encode rows (see `RowEncoder`)."""
        rows.instants.check(self._view.name)
        keys = encode_key_cells(self._keys, rows.keys, rows.n_rows)
        fields = self._schema.features
        columns = [rows.features[self._positions[field.name]] for field in fields]
        is_null = _null_matrix(columns, rows.n_rows)
        blocks = [
            *self._order_blocks(rows.instants),
            self._flag_block(rows.instants, is_null),
            (np.broadcast_to(self._fingerprint, (rows.n_rows, 4)), None),
            _null_block(is_null),
            *self._fixed_blocks(columns, is_null),
        ]
        cells = masked_cells(*_joined(blocks, rows.n_rows))
        variable = [self._variable_cells(columns[i], i, rows) for i in self._schema.variable]
        if variable:
            cells = join_cells(cells, *(cell for pair in variable for cell in pair))
        if self._expires_after_us is None:
            return EncodedRows(keys, (cells,))
        expires_at_ms = (rows.instants.event_us + self._expires_after_us) // _US_PER_MS + 1
        texts = pa.array(expires_at_ms).cast(pa.string()).cast(pa.binary())
        return EncodedRows(keys, (cells, texts))

    def _order_blocks(self, instants: RowInstants) -> list[tuple[Bytes, _Mask]]:
        event_us = instants.event_us
        try:
            return [
                sortable_matrix(event_us),
                sortable_matrix(instants.created_us - event_us, instants.is_created_null),
                sortable_matrix(instants.sequence_us - event_us),
            ]
        except OverflowError as exc:
            msg = f"{self._view.name}: {exc}"
            raise CodecError(msg, hint="timestamps go from the year 1 to 9999") from exc

    def _flag_block(self, instants: RowInstants, is_null: _Mask) -> tuple[Bytes, None]:
        flags: Bytes = np.where(is_null.any(axis=1), HAS_NULLS, 0).astype(np.uint8)
        flags |= np.uint8(instants.origin | (0 if self._expires_after_us is None else EXPIRES))
        return flags[:, None], None

    def _fixed_blocks(
        self, columns: Sequence[pa.Array], is_null: _Mask
    ) -> list[tuple[Bytes, _Mask | None]]:
        n_rows = len(is_null)
        schema = self._schema
        widths = np.zeros((n_rows, (2 * len(schema.integers) + 7) // 8), np.uint8)
        blocks: list[tuple[Bytes, _Mask | None]] = [(widths, None)]
        integer = 0
        for i in schema.fixed:
            nulls = is_null[:, i]
            dtype = schema.features[i].dtype
            if dtype in FIXED_FORMATS:
                raw = raw_numbers(columns[i])
                mask = np.broadcast_to(~nulls[:, None], raw.shape) if nulls.any() else None
                blocks.append((raw, mask))
                continue
            with name_feature(self._view.name, schema.features[i].name):
                numbers = _integers(columns[i], dtype)
            codes = _width_codes(numbers)
            codes[nulls] = 0
            widths[:, integer // 4] |= codes << np.uint8(2 * (integer % 4))
            integer += 1
            blocks.append(_integer_block(numbers, codes, nulls))
        return blocks

    def _variable_cells(self, column: pa.Array, position: int, rows: RowBatch) -> list[Cells]:
        field = self._schema.features[position]
        with name_feature(self._view.name, field.name):
            if field.name in rows.encoded:
                cells = column.fill_null(b"") if column.null_count else column
            elif field.dtype in TEXT_DTYPES:
                cells = text_cells(column)
            else:
                cells = encode_value_cells(column, field.dtype)
        lengths = numbered_cells(pc.binary_length(cells), encode_length)
        return [blank_where(column.is_null(), lengths) if column.null_count else lengths, cells]


def _integers(column: pa.Array, dtype: Dtype) -> npt.NDArray[np.int64]:
    if dtype is Dtype.UNIX_TIMESTAMP:
        return whole_seconds(column)
    return number_array(column).astype(np.int64, copy=False)


def _width_codes(numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    magnitudes = numbers ^ (numbers >> 63)
    codes = (magnitudes >= 1 << 7).astype(np.uint8)
    codes += magnitudes >= 1 << 15
    codes += magnitudes >= 1 << 31
    return codes


def _integer_block(
    numbers: npt.NDArray[np.int64], codes: npt.NDArray[np.uint8], nulls: _Mask
) -> tuple[Bytes, _Mask | None]:
    widest = INTEGER_WIDTHS[int(codes.max(initial=0))]
    # Little endian: the low bytes come first, whatever the width.
    raw = byte_matrix(numbers.astype(f"<i{widest}"))
    if not nulls.any() and int(codes.min(initial=3)) == int(codes.max(initial=0)):
        return raw, None
    sizes = np.array(INTEGER_WIDTHS)[codes]
    sizes[nulls] = 0
    return raw, np.arange(widest) < sizes[:, None]


def _null_matrix(columns: Sequence[pa.Array], n_rows: int) -> _Mask:
    is_null = np.zeros((n_rows, len(columns)), np.bool_)
    for i, column in enumerate(columns):
        if column.null_count:
            is_null[:, i] = column.is_null().to_numpy(zero_copy_only=False)
    return is_null


def _null_block(is_null: _Mask) -> tuple[Bytes, _Mask]:
    has_nulls: _Mask = np.asarray(is_null.any(axis=1))
    width = (is_null.shape[1] + 7) // 8 if has_nulls.any() else 0
    bits = np.packbits(is_null, axis=1, bitorder="little")[:, :width]
    return bits, np.broadcast_to(has_nulls[:, None], bits.shape)


def _joined(blocks: Sequence[tuple[Bytes, _Mask | None]], n_rows: int) -> tuple[Bytes, _Mask]:
    width = sum(matrix.shape[1] for matrix, _ in blocks)
    matrix = np.empty((n_rows, width), np.uint8)
    mask = np.ones((n_rows, width), np.bool_)
    at = 0
    for block, counts in blocks:
        end = at + block.shape[1]
        matrix[:, at:end] = block
        if counts is not None:
            mask[:, at:end] = counts
        at = end
    return matrix, mask

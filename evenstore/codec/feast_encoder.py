"""Encodes rows of one view in the `feast` layout, all rows of a batch at once."""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from evenstore.codec.cells import (
    Cells,
    cells_of,
    fixed_cells,
    join_cells,
    masked_cells,
    numbered_cells,
    varint_matrix,
)
from evenstore.codec.entity_key import EntityKeyEncoder
from evenstore.codec.feast_row import ORDER_BIAS, ORDER_VERSION
from evenstore.codec.key_cells import encode_key_cells
from evenstore.codec.refusal import name_feature
from evenstore.codec.rows import EncodedRows, RowBatch, RowInstants
from evenstore.codec.value_cells import encode_value_cells
from evenstore.schema.model import FeatureViewSchema, Field

__all__ = ["FeastRowEncoder"]

_U32 = struct.Struct("<I")
_US_PER_S = 1_000_000
_NS_PER_US = 1_000
_SECONDS_TAG = 0x08
_NANOS_TAG = 0x10


class FeastRowEncoder:
    """Makes two columns: `_order:`, and the features as declared, each behind its length (u32).

    Args:
        view: The view.
        project: The Feast project.
    """

    def __init__(self, view: FeatureViewSchema, project: str) -> None:
        self._view = view
        self._keys = EntityKeyEncoder(view.join_keys, project)

    def encode(self, rows: RowBatch) -> EncodedRows:
        """Encode rows (see `RowEncoder`)."""
        keys = encode_key_cells(self._keys, rows.keys, rows.n_rows)
        rows.instants.check(self._view.name)
        timestamps = _timestamp_cells(rows.instants.event_us)
        orders = join_cells(_order_cells(rows.instants), timestamps)
        features = [
            self._feature(column, field, rows)
            for column, field in zip(rows.features, self._view.features, strict=True)
        ]
        values = [piece for cells in features for piece in (_u32_lengths(cells), cells)]
        return EncodedRows(
            keys, (orders, join_cells(*values) if values else cells_of([b""] * len(keys)))
        )

    def _feature(self, column: pa.Array, field: Field, rows: RowBatch) -> Cells:
        if field.name in rows.encoded:
            return column.fill_null(b"") if column.null_count else column
        with name_feature(self._view.name, field.name):
            return encode_value_cells(column, field.dtype)


def _u32_lengths(cells: Cells) -> Cells:
    return numbered_cells(pc.binary_length(cells), _U32.pack)


def _timestamp_cells(event_us: npt.NDArray[np.int64]) -> Cells:
    seconds, rest_us = np.divmod(event_us, _US_PER_S)
    parts = []
    for tag, numbers in ((_SECONDS_TAG, seconds), (_NANOS_TAG, rest_us * _NS_PER_US)):
        digits, digit_mask = varint_matrix(numbers.view(np.uint64))
        tags = np.full((len(numbers), 1), tag, np.uint8)
        # A zero is left out, tag and all.
        mask = np.column_stack([numbers != 0, digit_mask & (numbers != 0)[:, None]])
        parts.append((np.column_stack([tags, digits]), mask))
    return masked_cells(
        np.column_stack([matrix for matrix, _ in parts]),
        np.column_stack([mask for _, mask in parts]),
    )


def _order_cells(instants: RowInstants) -> Cells:
    n_rows = len(instants.event_us)
    matrix = np.empty((n_rows, 26), np.uint8)
    matrix[:, 0] = ORDER_VERSION
    matrix[:, 1] = instants.origin
    bias = np.uint64(ORDER_BIAS)
    created = instants.created_us.view(np.uint64) + bias
    created = np.where(instants.is_created_null, np.uint64(0), created)
    sequence = instants.sequence_us.view(np.uint64)
    for at, words in ((2, instants.event_us.view(np.uint64) + bias), (10, created), (18, sequence)):
        matrix[:, at : at + 8] = words.astype(">u8").view(np.uint8).reshape(-1, 8)
    return fixed_cells(matrix)

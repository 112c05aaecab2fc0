"""Encodes Arrow batches of feature rows, column by column."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from evenstore.codec.entity_key import EntityKeyEncoder
from evenstore.codec.feast_row import encode_order, encode_timestamp
from evenstore.codec.feast_value import ValueEncoder, value_encoder
from evenstore.codec.rows import EncodedRows
from evenstore.dtypes import Dtype
from evenstore.errors import CodecError
from evenstore.schema.model import FeatureViewSchema
from evenstore.semantics import Origin, RowOrder, floor_to_s

__all__ = ["ArrowRowEncoder"]


class ArrowRowEncoder:
    """Encodes rows of one view that a run read.

    Build once per run; values go from Arrow to bytes without passing through float.

    Args:
        view: The view.
        project: The Feast project.
        sequence_us: The microsecond at which the run read its source; all its rows share it.
    """

    def __init__(self, view: FeatureViewSchema, project: str, *, sequence_us: int) -> None:
        self._view = view
        self._keys = EntityKeyEncoder(view.join_keys, project)
        self._encoders = [(field, value_encoder(field.dtype)) for field in view.features]
        self._sequence_us = sequence_us

    def encode(
        self, batch: pa.RecordBatch, *, event_column: str, created_column: str
    ) -> EncodedRows:
        """Encode a batch.

        Args:
            batch: Join keys and features under their declared names and types.
            event_column: int64 microseconds.
            created_column: int64 microseconds, null where the source has none.

        Raises:
            CodecError: A value is not of its declared type; a list holds a null.
        """
        events_us = batch.column(event_column).to_pylist()
        createds_us = batch.column(created_column).to_pylist()
        # The rows of one published file share their instants.
        timestamps = {event_us: encode_timestamp(event_us) for event_us in set(events_us)}
        instants = list(zip(events_us, createds_us, strict=True))
        orders = {
            (event_us, created_us): encode_order(
                RowOrder(event_us, created_us, self._sequence_us), Origin.RUN
            )
            for event_us, created_us in set(instants)
        }
        return EncodedRows(
            keys=self._encode_keys(batch),
            timestamps=[timestamps[event_us] for event_us in events_us],
            orders=[orders[pair] for pair in instants],
            features=[self._encode_feature(batch, i) for i in range(len(self._encoders))],
        )

    def _encode_keys(self, batch: pa.RecordBatch) -> Sequence[bytes]:
        if not self._view.join_keys:
            return [self._keys.encode(())] * batch.num_rows
        columns = []
        for key in self._view.join_keys:
            values = batch.column(key.name).to_pylist()
            if key.dtype is Dtype.UNIX_TIMESTAMP:
                raw_us = batch.column(key.name).cast(pa.int64()).to_pylist()
                values = [floor_to_s(instant_us) for instant_us in raw_us]
            columns.append(values)
        return self._keys.encode_columns(columns)

    def _encode_feature(self, batch: pa.RecordBatch, position: int) -> Sequence[bytes]:
        field, encode = self._encoders[position]
        where = f"{self._view.name}:{field.name}"
        column = batch.column(field.name)
        if not field.dtype.is_list and field.dtype.is_float:
            return _encode_floats(column, encode(0.0)[:1])
        try:
            if field.dtype.is_list:
                return [encode(value) for value in column.to_pylist()]
            return _encode_distinct(column, encode)
        except CodecError as exc:
            hint = (
                "nulls inside lists cannot be kept: leave them out" if field.dtype.is_list else None
            )
            msg = f"{where}: {exc.message}"
            raise CodecError(msg, hint=hint) from exc
        except (OverflowError, ValueError) as exc:  # An instant that no datetime can hold.
            msg = f"{where}: {exc}"
            raise CodecError(msg, hint="timestamps go from the year 1 to 9999") from exc


def _encode_distinct(column: pa.Array, encode: ValueEncoder) -> list[bytes]:
    """Encode each distinct value of a batch once: counts, codes and flags repeat all the time."""
    distinct = column.dictionary_encode()
    encoded = [encode(value) for value in distinct.dictionary.to_pylist()]
    return [b"" if i is None else encoded[i] for i in distinct.indices.to_pylist()]


def _encode_floats(column: pa.Array, tag: bytes) -> list[bytes]:
    """Put the tag before every float's own bytes: Arrow and the format store them alike.

    A Python float in between would quieten a signalling float32 NaN, and take four times as long.
    """
    width = column.type.byte_width
    # Arrow keeps little endian on every machine it runs on; a null's slot holds anything.
    start = column.offset * width
    data = column.buffers()[1]
    if data is None:  # Nothing but nulls, or nothing at all.
        return [b""] * len(column)
    raw = np.frombuffer(data, np.uint8, len(column) * width, start).reshape(-1, width)
    stored = np.empty((len(column), 1 + width), np.uint8)
    stored[:, 0] = tag[0]
    stored[:, 1:] = raw
    joined, step = stored.tobytes(), 1 + width
    encoded = [joined[i : i + step] for i in range(0, len(joined), step)]
    if column.null_count:
        for i in np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False)):
            encoded[i] = b""
    return encoded

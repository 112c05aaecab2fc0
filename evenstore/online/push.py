"""Pushed rows, as Feast hands them over, encoded for the writer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from feast.protos.feast.types.EntityKey_pb2 import EntityKey as EntityKeyProto
from feast.protos.feast.types.Value_pb2 import Value as ValueProto

from evenstore.clock import datetime_to_us, format_us
from evenstore.codec.entity_key import check_key_value
from evenstore.codec.rows import EncodedRows, RowBatch, RowEncoder, RowInstants
from evenstore.dtypes import Dtype
from evenstore.errors import FutureRowError, OnlineStoreError
from evenstore.schema.model import FeatureViewSchema, Field
from evenstore.semantics import Origin, RowOrder

__all__ = ["PushedRow", "PushedRowEncoder", "read_key_values"]

_US_PER_S = 1_000_000
_NAT = -(2**63)
_NUMBER_TYPES = {
    Dtype.INT32: pa.int32(),
    Dtype.INT64: pa.int64(),
    Dtype.FLOAT32: pa.float32(),
    Dtype.FLOAT64: pa.float64(),
    Dtype.BOOL: pa.bool_(),
    Dtype.UNIX_TIMESTAMP: pa.int64(),
}
_TEXT_TYPES = {Dtype.STRING: pa.string(), Dtype.BYTES: pa.binary()}

PushedRow = tuple[EntityKeyProto, dict[str, ValueProto], datetime, datetime | None]
"""Entity key, values by feature, event timestamp, created timestamp."""


class PushedRowEncoder:
    """Encodes one call's pushed rows of one view.

    Args:
        view: The view.
        encoder: Makes the bytes.
        latest_us: Latest event timestamp that is accepted.
        sequence_us: The ingest sequence of the call.
    """

    def __init__(
        self, view: FeatureViewSchema, encoder: RowEncoder, *, latest_us: int, sequence_us: int
    ) -> None:
        self._view = view
        self._encoder = encoder
        self._content_names = sorted(field.name for field in view.features)
        self._latest_us = latest_us
        self._sequence_us = sequence_us

    def encode(self, rows: Sequence[PushedRow]) -> EncodedRows:
        """Encode the greatest row of every entity, ties by content as in offline joins.

        Raises:
            FutureRowError: A row is later than accepted.
            OnlineStoreError: A row lacks a feature of its view.
            EntityRowsError: A join key is missing, null or of another type.
        """
        orders = [self._order(row_idx, row) for row_idx, row in enumerate(rows)]
        winners: dict[tuple[Any, ...], int] = {}
        for row_idx, row in enumerate(rows):
            key = tuple(read_key_values(row[0], self._view, row_idx=row_idx))
            rival = winners.setdefault(key, row_idx)
            if rival != row_idx and self._is_greater(orders, rows, row_idx, rival):
                winners[key] = row_idx
        kept = list(winners.values())
        return self._encoder.encode(
            RowBatch(
                keys=_key_columns(self._view, list(winners)),
                features=[
                    _feature_column([rows[i][1][field.name] for i in kept], field)
                    for field in self._view.features
                ],
                encoded=frozenset(
                    field.name
                    for field in self._view.features
                    if field.dtype not in _NUMBER_TYPES and field.dtype not in _TEXT_TYPES
                ),
                instants=_instants([orders[i] for i in kept], self._sequence_us),
            )
        )

    def _order(self, row_idx: int, row: PushedRow) -> RowOrder:
        _, values, event, created = row
        where = f"{self._view.name}: row {row_idx}"
        missing = [field.name for field in self._view.features if field.name not in values]
        if missing:
            names = ", ".join(f"`{name}`" for name in missing)
            msg = f"{where} lacks {names}"
            raise OnlineStoreError(msg, hint="write all features of the view in one row")
        if _is_absent(event):
            msg = f"{where} has no event timestamp"
            raise OnlineStoreError(msg, hint="every row needs the instant from which it holds")
        event_us = datetime_to_us(event, naive_is_utc=True)
        if event_us > self._latest_us:
            msg = f"{where} has event timestamp {format_us(event_us)}, after now"
            raise FutureRowError(msg, hint="it would hide the row that is valid until then")
        created_us = None
        if created is not None and not _is_absent(created):
            created_us = datetime_to_us(created, naive_is_utc=True)
        return RowOrder(event_us, created_us, self._sequence_us)

    def _is_greater(
        self, orders: Sequence[RowOrder], rows: Sequence[PushedRow], row_idx: int, rival: int
    ) -> bool:
        if orders[row_idx] != orders[rival]:
            return orders[row_idx] > orders[rival]
        return self._content(rows[row_idx]) > self._content(rows[rival])

    def _content(self, row: PushedRow) -> list[tuple[Any, ...]]:
        return [_rank(row[1][name]) for name in self._content_names]


def _key_columns(view: FeatureViewSchema, keys: Sequence[tuple[Any, ...]]) -> list[pa.Array]:
    columns = []
    for position, key in enumerate(view.join_keys):
        values = [values[position] for values in keys]
        if key.dtype is Dtype.UNIX_TIMESTAMP:  # Checked values are whole seconds.
            column = pa.array([value * _US_PER_S for value in values], pa.int64())
        else:
            column = pa.array(values, _NUMBER_TYPES.get(key.dtype) or _TEXT_TYPES[key.dtype])
        columns.append(column)
    return columns


def _feature_column(values: Sequence[ValueProto], field: Field) -> pa.Array:
    """Return a column of a number or text type, or cells of all else."""
    content: list[Any] = []
    arrow_type = _NUMBER_TYPES.get(field.dtype) or _TEXT_TYPES.get(field.dtype)
    for value in values:
        kind = value.WhichOneof("val")
        if kind is None:
            content.append(None)
        elif arrow_type is None:
            content.append(value.SerializeToString(deterministic=True))
        else:
            content.append(getattr(value, kind))
    if arrow_type is None:
        return pa.array(content, pa.binary())
    try:
        if field.dtype is Dtype.UNIX_TIMESTAMP:
            return pa.array([_to_us(seconds) for seconds in content], pa.int64())
        return pa.array(content, arrow_type)
    except (pa.ArrowException, OverflowError, TypeError) as exc:
        msg = f"a pushed `{field.name}` is not {field.dtype.value}: {exc}"
        raise OnlineStoreError(msg, hint="push values of the declared type") from exc


def _to_us(seconds: int | None) -> int | None:
    # Feast makes the least integer of pandas' NaT.
    return None if seconds is None or seconds == _NAT else seconds * _US_PER_S


def _instants(orders: Sequence[RowOrder], sequence_us: int) -> RowInstants:
    return RowInstants(
        event_us=np.array([order.event_us for order in orders], np.int64),
        created_us=np.array([order.created_us or 0 for order in orders], np.int64),
        is_created_null=np.array([order.created_us is None for order in orders], np.bool_),
        sequence_us=np.full(len(orders), sequence_us, np.int64),
        origin=Origin.PUSH,
    )


def read_key_values(
    entity_key: EntityKeyProto, view: FeatureViewSchema, *, row_idx: int
) -> list[Any]:
    """Return an entity key's values in the view's order, checked against the declared types.

    The type that Feast gave a value depends on the other views of a request; the declared one does
    not.

    Raises:
        EntityRowsError: A join key is missing, null or of another type.
    """
    given = dict(zip(entity_key.join_keys, entity_key.entity_values, strict=True))
    values = []
    for key in view.join_keys:
        value = given.get(key.name)
        kind = None if value is None else value.WhichOneof("val")
        values.append(
            check_key_value(None if kind is None else getattr(value, kind), key, row_idx=row_idx)
        )
    return values


def _is_absent(instant: datetime) -> bool:
    # pandas' missing timestamp is a datetime that differs from itself.
    return instant != instant  # noqa: PLR0124


def _rank(value: ValueProto) -> tuple[Any, ...]:
    kind = value.WhichOneof("val")
    if kind is None:
        return (0,)
    content = getattr(value, kind)
    return _rank_list(content.val) if kind.endswith("list_val") else _rank_scalar(content)


def _rank_list(elements: Sequence[Any]) -> tuple[Any, ...]:
    return (1, *(_rank_scalar(element) for element in elements))


def _rank_scalar(content: Any) -> tuple[Any, ...]:
    is_nan = isinstance(content, float) and math.isnan(content)
    return (2,) if is_nan else (1, content)

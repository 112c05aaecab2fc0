"""Pushed rows, as Feast hands them over, encoded for the writer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from feast.protos.feast.types.EntityKey_pb2 import EntityKey as EntityKeyProto
from feast.protos.feast.types.Value_pb2 import Value as ValueProto

from evenstore.clock import datetime_to_us, format_us
from evenstore.codec.entity_key import EntityKeyEncoder, check_key_value
from evenstore.codec.feast_row import encode_order, encode_timestamp
from evenstore.codec.rows import EncodedRows
from evenstore.errors import FutureRowError, OnlineStoreError
from evenstore.schema.model import FeatureViewSchema
from evenstore.semantics import Origin, RowOrder

__all__ = ["PushedRow", "PushedRowEncoder", "read_key_values"]

PushedRow = tuple[EntityKeyProto, dict[str, ValueProto], datetime, datetime | None]
"""Entity key, values by feature, event timestamp, created timestamp."""


class PushedRowEncoder:
    """Encodes one call's pushed rows of one view.

    Args:
        view: The view.
        project: The Feast project.
        latest_us: Latest event timestamp that is accepted.
        sequence_us: The ingest sequence of the call.
    """

    def __init__(
        self, view: FeatureViewSchema, project: str, *, latest_us: int, sequence_us: int
    ) -> None:
        self._view = view
        self._keys = EntityKeyEncoder(view.join_keys, project)
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
        winners: dict[bytes, int] = {}
        for row_idx, row in enumerate(rows):
            key = self._keys.encode(read_key_values(row[0], self._view, row_idx=row_idx))
            rival = winners.setdefault(key, row_idx)
            if rival != row_idx and self._is_greater(orders, rows, row_idx, rival):
                winners[key] = row_idx
        kept = list(winners.values())
        return EncodedRows(
            keys=list(winners),
            timestamps=[encode_timestamp(orders[i].event_us) for i in kept],
            orders=[encode_order(orders[i], Origin.PUSH) for i in kept],
            features=[
                [rows[i][1][field.name].SerializeToString() for i in kept]
                for field in self._view.features
            ],
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

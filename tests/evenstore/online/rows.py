"""Rows whose values tell which row they are of, so that a torn one gives itself away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import redis

from evenstore.codec.entity_key import EntityKeyEncoder
from evenstore.codec.feast_row import (
    FeastRowLayout,
    decode_order,
    encode_order,
    encode_timestamp,
)
from evenstore.codec.feast_value import value_decoder, value_encoder
from evenstore.codec.rows import EncodedRows
from evenstore.dtypes import Dtype
from evenstore.schema.model import FeatureViewSchema, Field
from evenstore.semantics import Origin, RowOrder

__all__ = ["KEY", "MarkedRow", "decode_marked", "encode_marked", "marked_view", "read_fields"]

KEY = Field("k", Dtype.INT64)
_encode_int64 = value_encoder(Dtype.INT64)
_decode_int64 = value_decoder(Dtype.INT64)


@dataclass(frozen=True)
class MarkedRow:
    """A row of entity `k`, all of whose features hold `mark`."""

    k: int
    order: RowOrder
    mark: int


def marked_view(n_features: int, name: str = "marks") -> FeatureViewSchema:
    """Make a view with some int64 features."""
    features = tuple(Field(f"f{i}", Dtype.INT64) for i in range(n_features))
    return FeatureViewSchema(name, (KEY,), features, ttl_us=None)


def encode_marked(
    view: FeatureViewSchema, project: str, rows: Sequence[MarkedRow], origin: Origin = Origin.RUN
) -> EncodedRows:
    """Encode rows for the writer."""
    encoder = EntityKeyEncoder(view.join_keys, project)
    values = [_encode_int64(row.mark) for row in rows]
    return EncodedRows(
        keys=[encoder.encode([row.k]) for row in rows],
        timestamps=[encode_timestamp(row.order.event_us) for row in rows],
        orders=[encode_order(row.order, origin) for row in rows],
        features=[values] * len(view.features),
    )


def read_fields(
    client: redis.Redis, view: FeatureViewSchema, project: str, k: int
) -> Mapping[bytes, bytes]:
    """Read all that is stored for one entity, in one step."""
    key = EntityKeyEncoder(view.join_keys, project).encode([k])
    fields: Mapping[bytes, bytes] = client.execute_command("HGETALL", key)
    return fields


def decode_marked(
    view: FeatureViewSchema, k: int, fields: Mapping[bytes, bytes]
) -> MarkedRow | None:
    """Decode a stored row and check that all its features are of one row."""
    layout = FeastRowLayout(view)
    timestamp = fields.get(layout.timestamp_field)
    if timestamp is None:
        assert not fields
        return None
    order, _ = decode_order(fields.get(layout.order_field), timestamp)
    marks = {_decode_int64(fields[field]) for field in layout.feature_fields.values()}
    assert len(marks) <= 1, f"a torn row: {marks}"
    return MarkedRow(k, order, marks.pop() if marks else 0)

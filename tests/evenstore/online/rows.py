"""Rows whose values tell which row they are of, so that a torn one gives itself away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import redis

from evenstore.codec.entity_key import EntityKeyEncoder
from evenstore.codec.feast_row import FeastRowLayout, decode_order
from evenstore.codec.feast_value import value_decoder
from evenstore.codec.packed_key import PackedKeyEncoder
from evenstore.codec.packed_reader import PackedReader
from evenstore.codec.packed_row import RowSchema, read_row, split_slots, view_id
from evenstore.codec.rows import EncodedRows, RowBatch, RowInstants
from evenstore.dtypes import Dtype
from evenstore.online.writer import RowWriter, WriteCount, open_encoder
from evenstore.schema.model import FeatureViewSchema, Field, Layout
from evenstore.semantics import Origin, RowOrder

__all__ = ["KEY", "MarkedRow", "MarkedStore", "encode_marked", "marked_view"]

KEY = Field("k", Dtype.INT64)
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
    view: FeatureViewSchema,
    project: str,
    layout: Layout,
    rows: Sequence[MarkedRow],
    origin: Origin = Origin.RUN,
    *,
    expiry_grace_us: int | None = None,
) -> EncodedRows:
    """Encode rows for the writer."""
    orders = [row.order for row in rows]
    instants = RowInstants(
        event_us=np.array([order.event_us for order in orders], np.int64),
        created_us=np.array([order.created_us or 0 for order in orders], np.int64),
        is_created_null=np.array([order.created_us is None for order in orders], np.bool_),
        sequence_us=np.array([order.sequence_us for order in orders], np.int64),
        origin=origin,
    )
    marks = pa.array([row.mark for row in rows], pa.int64())
    keys = pa.array([row.k for row in rows], pa.int64())
    batch = RowBatch([keys], [marks] * len(view.features), frozenset(), instants)
    encoder = open_encoder(view, project, layout, expiry_grace_us=expiry_grace_us)
    return encoder.encode(batch)


@dataclass(frozen=True)
class MarkedStore:
    """Marked rows of one view in Redis."""

    client: redis.Redis
    view: FeatureViewSchema
    project: str
    layout: Layout

    def writer(self) -> RowWriter:
        """Return a writer of the view's rows."""
        return RowWriter(self.client, self.project, self.view, self.layout)

    def write(self, *rows: MarkedRow, origin: Origin = Origin.RUN) -> WriteCount:
        """Write rows in one call."""
        return self.writer().write(
            encode_marked(self.view, self.project, self.layout, rows, origin)
        )

    def key(self, k: int) -> bytes:
        """Return an entity's Redis key."""
        encoder = PackedKeyEncoder if self.layout is Layout.PACKED else EntityKeyEncoder
        return encoder(self.view.join_keys, self.project).encode([k])

    def read(self, k: int = 1) -> MarkedRow | None:
        """Read one row in one step, and check that all its features are of one row."""
        if self.layout is Layout.PACKED:
            return self._read_packed(k)
        fields = self.client.execute_command("HGETALL", self.key(k))
        layout = FeastRowLayout(self.view)
        timestamp = fields.get(layout.timestamp_field)
        if timestamp is None:
            assert not fields.keys() & layout.feature_fields.values()
            return None
        order, _ = decode_order(fields.get(layout.order_field), timestamp)
        return _whole(
            k, order, [_decode_int64(fields[name]) for name in layout.feature_fields.values()]
        )

    def _read_packed(self, k: int) -> MarkedRow | None:
        value = self.client.execute_command("GET", self.key(k))
        row = None if value is None else split_slots(value).get(view_id(self.view.name))
        if row is None:
            return None
        head = read_row(row)
        if head.is_tombstone:
            return None
        schema = RowSchema.of(self.view.features)
        assert head.fingerprint == schema.fingerprint
        return _whole(k, head.order, PackedReader(schema).read(row, head.payload_start, head.flags))


def _whole(k: int, order: RowOrder, marks: Sequence[int]) -> MarkedRow:
    distinct = set(marks)
    assert len(distinct) <= 1, f"a torn row: {distinct}"
    return MarkedRow(k, order, distinct.pop() if distinct else 0)

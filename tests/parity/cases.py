"""Small schemas and entity tables that several parity tests share; plain data, no store."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from evenstore.dtypes import Dtype
from evenstore.schema.model import FeatureViewSchema, Field
from evenstore.schema.request import Column, FeatureRequest, ViewRead
from parity.strata import ViewEntities, classify_entities

__all__ = ["AS_OF_US", "CUSTOMER", "DAY_US", "PRODUCT", "build_request", "build_view", "describe"]

DAY_US = 86_400_000_000
AS_OF_US = 1_323_475_200_000_000  # 2011-12-10T00:00:00Z
CUSTOMER = Field("customer_id", Dtype.INT64)
PRODUCT = Field("product", Dtype.STRING)


def build_view(
    name: str, keys: Sequence[Field], features: Sequence[Field], *, ttl_us: int | None = DAY_US
) -> ViewRead:
    """A view that is asked for by its own name and all its features."""
    schema = FeatureViewSchema(name, tuple(keys), tuple(features), ttl_us)
    return ViewRead(schema, name, tuple(key.name for key in keys), tuple(features))


def build_request(*reads: ViewRead, request_fields: Sequence[Field] = ()) -> FeatureRequest:
    """A service of all features of some views."""
    keys = {key.name: key for read in reads for key in read.view.join_keys}
    return FeatureRequest(
        name="checkout_v1",
        entity_columns=tuple(keys.values()),
        request_fields=tuple(request_fields),
        columns=tuple(
            Column(read.output_name, field, is_on_demand=False)
            for read in reads
            for field in read.features
        ),
        reads=reads,
        on_demand=(),
    )


def describe(
    read: ViewRead,
    keys: Sequence[tuple[object, ...]],
    *,
    n_rows: Sequence[int] | None = None,
    expired: Sequence[int] = (),
    null: Sequence[int] = (),
    tied: Sequence[int] = (),
) -> ViewEntities:
    """Entities of a view; `expired`, `null` and `tied` are positions in `keys`."""
    everyone = range(len(keys))
    columns = {
        field.name: pa.array(
            [key[position] for key in keys],
            pa.int64() if field.dtype is Dtype.INT64 else pa.string(),
        )
        for position, field in enumerate(read.view.join_keys)
    }
    table = pa.table(
        {
            **columns,
            "n_rows": pa.array(n_rows or [1] * len(keys), pa.int64()),
            "event_us": pa.array([0 if i in expired else AS_OF_US for i in everyone], pa.int64()),
            "has_null": pa.array([i in null for i in everyone], pa.bool_()),
            "is_ambiguous": pa.array([i in tied for i in everyone], pa.bool_()),
        }
    )
    return classify_entities(read, table, as_of_us=AS_OF_US)

"""Small training data with a planted signal, made without a feature store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from evenstore.dtypes import Dtype
from evenstore.schema.model import (
    FeatureServiceSchema,
    FeatureViewSchema,
    Field,
    OnDemandViewSchema,
    Projection,
    RegistrySchema,
)
from evenstore.schema.request import FeatureRequest, resolve_service
from evenstore.semantics import Knowledge, Status
from training.dataset import TrainingDataset
from training.entity_rows import check_entity_rows
from training.join import DatasetJoin
from training.manifest import DatasetSpec

__all__ = [
    "DAY_US",
    "SPEC",
    "START_US",
    "JoinedRows",
    "make_dataset",
    "make_entity_rows",
    "make_features",
    "make_join",
    "make_request",
]

DAY_US = 86_400_000_000
START_US = 1_300_000_000_000_000
INSTANT = pa.timestamp("us", tz="UTC")

_VIEW = FeatureViewSchema(
    name="activity",
    join_keys=(Field("customer_id", Dtype.INT64),),
    features=(
        Field("spend", Dtype.FLOAT64),
        Field("orders", Dtype.INT64),
        Field("country", Dtype.STRING),
        Field("is_member", Dtype.BOOL),
        Field("first_order", Dtype.UNIX_TIMESTAMP),
    ),
    ttl_us=None,
)
_BASKET = OnDemandViewSchema(
    name="basket",
    mode="python",
    is_singleton=False,
    inputs=(("activity", "spend"),),
    request_fields=(Field("basket_value", Dtype.FLOAT64),),
    features=(Field("ratio", Dtype.FLOAT64),),
    udf=b"",
    udf_source="ratio = basket_value / spend",
)
SPEC = DatasetSpec(
    "checkout_v1", Knowledge.AS_KNOWN, "buys_again", label_timestamp_column="label_timestamp"
)


def make_request(view: FeatureViewSchema = _VIEW) -> FeatureRequest:
    """Resolve a service of one view with five features and one on-demand output."""
    names = tuple(field.name for field in view.features)
    service = FeatureServiceSchema(
        "checkout_v1",
        (Projection("activity", "activity", names), Projection("basket", "basket", ("ratio",))),
    )
    return resolve_service(RegistrySchema("shop", (view,), (_BASKET,), (service,)), "checkout_v1")


def make_entity_rows(n_rows: int, *, seed: int = 0) -> pa.Table:
    """Make one row per half day, with a label window of two days."""
    random = np.random.default_rng(seed)
    times_us = START_US + np.arange(n_rows) * (DAY_US // 2)
    return pa.table(
        {
            "customer_id": pa.array(random.integers(0, 50, n_rows)),
            "event_timestamp": pa.array(times_us).cast(INSTANT),
            "basket_value": pa.array(random.gamma(2.0, 10.0, n_rows)),
            "buys_again": pa.array(random.random(n_rows) < 0.5),
            "label_timestamp": pa.array(times_us + 2 * DAY_US).cast(INSTANT),
        }
    )


def make_features(entity_rows: pa.Table, *, seed: int = 0) -> pa.Table:
    """Join made-up features to entity rows; spend and country follow the label, the rest is noise.

    Every tenth row has no feature row at all.
    """
    random = np.random.default_rng(seed)
    n_rows = entity_rows.num_rows
    label = entity_rows["buys_again"].to_numpy()
    is_missing = np.arange(n_rows) % 10 == 0
    event_us = entity_rows["event_timestamp"].cast(pa.int64()).to_numpy() - 3_600_000_000
    country = np.where(random.random(n_rows) < 0.2 + 0.6 * label, "France", "Spain")
    values: dict[str, Any] = {
        "activity__spend": pa.array(label + random.normal(0.0, 1.0, n_rows), mask=is_missing),
        "activity__orders": pa.array(random.integers(0, 9, n_rows), mask=is_missing),
        "activity__country": pa.array(country, pa.string(), mask=is_missing),
        "activity__is_member": pa.array(random.random(n_rows) < 0.3, mask=is_missing),
        "activity__first_order": pa.array(event_us - 90 * DAY_US, mask=is_missing).cast(INSTANT),
        "basket__ratio": pa.array(random.random(n_rows), mask=is_missing),
    }
    codes = np.where(is_missing, Status.NOT_FOUND, Status.PRESENT).astype(np.int8)
    table = entity_rows
    for name, column in values.items():
        table = table.append_column(name, column)
        table = table.append_column(f"{name}__status", pa.array(codes))
        found_at = pa.array(event_us, mask=is_missing).cast(INSTANT)
        table = table.append_column(f"{name}__event_timestamp", found_at)
    return table


@dataclass(frozen=True)
class JoinedRows:
    """Rows that are joined already, given out as a join does.

    Attributes:
        table: The rows.
        batch_rows: Rows of each batch.
    """

    table: pa.Table
    batch_rows: int = 1_000

    @property
    def schema(self) -> pa.Schema:
        """The columns."""
        return self.table.schema

    def to_reader(self, batch_rows: int = 0) -> pa.RecordBatchReader:
        """Give the rows in batches."""
        batches = self.table.to_batches(batch_rows or self.batch_rows)
        return pa.RecordBatchReader.from_batches(self.table.schema, batches)

    def explain(self) -> str:
        """Say that there is nothing to join."""
        return "joined already"


def make_join(
    joined: pa.Table | JoinedRows,
    entity_rows: pa.Table,
    *,
    request: FeatureRequest | None = None,
    spec: DatasetSpec = SPEC,
) -> DatasetJoin:
    """Make the join of a dataset whose rows are given."""
    read = joined if isinstance(joined, JoinedRows) else JoinedRows(joined)
    return DatasetJoin(spec, "0" * 16, request or make_request(), entity_rows, read, ())


def make_dataset(n_rows: int = 600, *, seed: int = 0, spec: DatasetSpec = SPEC) -> TrainingDataset:
    """Make a dataset in which spend tells much, country some, and both together more."""
    request = make_request()
    entity_rows = check_entity_rows(make_entity_rows(n_rows, seed=seed), request, spec)
    joined = make_features(entity_rows, seed=seed)
    return TrainingDataset(make_join(joined, entity_rows, request=request, spec=spec))

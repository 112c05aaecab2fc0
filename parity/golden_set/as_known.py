"""The offline side of a golden set: each entity row joined as it was known at its own instant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
from feast import FeatureStore

from evenstore.client.values import to_arrow
from evenstore.offline.history import read_history
from evenstore.schema.request import FeatureRequest
from evenstore.semantics import Knowledge, Status
from parity.compare import CellColumn
from parity.values import PlainValue, decode_offline

__all__ = ["read_as_known"]

_AS_OF_COLUMN = "_parity_as_of"


def read_as_known(
    store: FeatureStore,
    request: FeatureRequest,
    columns: Mapping[str, Sequence[PlainValue]],
    as_of_us: Sequence[int],
) -> list[CellColumn]:
    """Join a request's features to entity rows; only rows created by its instant are known.

    Returns:
        One column per feature, in the request's order.

    Raises:
        ParityError: A column has not its declared Arrow type.
        OfflineStoreError: The sources cannot be read.
    """
    sent = (*request.entity_columns, *request.request_fields)
    entity_columns = {field.name: to_arrow(field.dtype, columns[field.name]) for field in sent}
    entity_columns[_AS_OF_COLUMN] = pa.array(as_of_us, pa.timestamp("us", tz="UTC"))
    table = read_history(
        store,
        request,
        pa.table(entity_columns),
        knowledge=Knowledge.AS_KNOWN,
        event_timestamp_column=_AS_OF_COLUMN,
    )
    cells = []
    for column in request.columns:
        name = column.output_name(full_feature_names=True)
        statuses = [Status(code) for code in table[f"{name}__status"].to_pylist()]
        event_us = table[f"{name}__event_timestamp"].cast(pa.int64()).to_pylist()
        values = decode_offline(column.field.dtype, table[name], statuses, where=name)
        cells.append(CellColumn(values, statuses, event_us))
    return cells

"""The offline side: what the Parquet sources say, through Feast's registry and our joins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from evenstore.client.values import to_arrow
from evenstore.dtypes import Dtype
from evenstore.offline.history import describe_entities, read_history
from evenstore.progress import Progress
from evenstore.schema.compile import compile_store
from evenstore.schema.model import RegistrySchema
from evenstore.schema.repository import open_repository
from evenstore.schema.request import FeatureRequest, ViewRead
from evenstore.semantics import Knowledge, Status
from parity.compare import CellColumn
from parity.report import CheckedRows
from parity.strata import ViewEntities, classify_entities
from parity.values import decode_offline

__all__ = ["OfflineSide"]

_AS_OF_COLUMN = "_parity_as_of"


class OfflineSide:
    """Reads one Feast repo's offline store. Open once per check; it writes nothing.

    Raises:
        ConfigurationError: The folder is no Feast repo that was applied.
        SchemaError: A definition cannot be compiled.
    """

    def __init__(self, repo: Path) -> None:
        self._store = open_repository(repo)
        self.registry: RegistrySchema = compile_store(self._store)

    def read_entities(
        self, reads: Sequence[ViewRead], *, as_of_us: int, progress: Progress
    ) -> list[ViewEntities]:
        """Find every entity of each view and the strata it is in at an instant.

        Raises:
            OfflineStoreError: The sources cannot be read.
            ParityError: A join key has not its declared Arrow type.
        """
        described: dict[str, pa.Table] = {}
        for read in reads:
            if read.view.name not in described:
                table = describe_entities(self._store, read.view, as_of_us=as_of_us)
                described[read.view.name] = table
            progress.advance()
        return [
            classify_entities(read, described[read.view.name], as_of_us=as_of_us) for read in reads
        ]

    def read_cells(self, request: FeatureRequest, rows: CheckedRows) -> list[CellColumn]:
        """Join the request's features to the rows, each at the instant the gateway stated for it.

        Returns:
            One column per feature, in the request's order. All rows that exist now are known
            (`LATEST_TRUTH`): the online store is judged by what should be in it.

        Raises:
            ParityError: A column has not its declared Arrow type.
            OfflineStoreError: The sources cannot be read.
        """
        table = read_history(
            self._store,
            request,
            _entity_table(request, rows),
            knowledge=Knowledge.LATEST_TRUTH,
            event_timestamp_column=_AS_OF_COLUMN,
        )
        return [
            _cell_column(table, column.output_name(full_feature_names=True), column.field.dtype)
            for column in request.columns
        ]


def _entity_table(request: FeatureRequest, rows: CheckedRows) -> pa.Table:
    sent = (*request.entity_columns, *request.request_fields)
    columns: dict[str, Any] = {
        field.name: to_arrow(field.dtype, rows.columns[field.name]) for field in sent
    }
    columns[_AS_OF_COLUMN] = pa.array(rows.as_of_us, pa.timestamp("us", tz="UTC"))
    return pa.table(columns)


def _cell_column(table: pa.Table, name: str, dtype: Dtype) -> CellColumn:
    statuses = [Status(code) for code in table[f"{name}__status"].to_pylist()]
    event_us = table[f"{name}__event_timestamp"].cast(pa.int64()).to_pylist()
    return CellColumn(decode_offline(dtype, table[name], statuses, where=name), statuses, event_us)

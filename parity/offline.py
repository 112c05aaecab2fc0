"""The offline side: what the Parquet sources say, through Feast's registry and our joins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from feast import FeatureStore

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
from parity.live.promise import PROMISE_TAG, parse_promise
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
        self._newest_us: dict[str, npt.NDArray[np.int64]] = {}

    @property
    def store(self) -> FeatureStore:
        """The opened repo, for what only Feast knows."""
        return self._store

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
                self._newest_us[read.view.name] = table["event_us"].to_numpy()
            progress.advance()
        return [
            classify_entities(read, described[read.view.name], as_of_us=as_of_us) for read in reads
        ]

    def count_newer(self, view_name: str, event_us: int) -> int:
        """Count the entities of a view, read before, whose newest row is later than an instant."""
        return int(np.count_nonzero(self._newest_us[view_name] > event_us))

    def promise_us(self, view_name: str) -> int | None:
        """Return how far a view may lag by its own promise; None where it makes none.

        Raises:
            ConfigurationError: Its tag is no duration.
        """
        # A version of a view, `view@v2`, keeps the promise of the view.
        name = view_name.partition("@")[0]
        tags = self._store.registry.get_any_feature_view(name, self._store.project).tags
        return parse_promise(view_name, (tags or {}).get(PROMISE_TAG))

    def read_cells(
        self,
        request: FeatureRequest,
        rows: CheckedRows,
        *,
        knowledge: Knowledge = Knowledge.LATEST_TRUTH,
        seen_until_us: Mapping[str, Sequence[int]] | None = None,
    ) -> list[CellColumn]:
        """Join the request's features to the rows, each at the instant the gateway stated for it.

        Args:
            request: The feature service.
            rows: The entity rows and their instants.
            knowledge: Which rows are known. By default all that exist now: the online store is
                judged by what should be in it.
            seen_until_us: For some views, by the name they are asked for by, an instant per entity
                row after which none of their rows is seen.

        Returns:
            One column per feature, in the request's order.

        Raises:
            ParityError: A column has not its declared Arrow type.
            OfflineStoreError: The sources cannot be read.
        """
        table = read_history(
            self._store,
            request,
            _entity_table(request, rows),
            knowledge=knowledge,
            event_timestamp_column=_AS_OF_COLUMN,
            seen_until_us={
                name: pa.array(until_us, pa.int64())
                for name, until_us in (seen_until_us or {}).items()
            },
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

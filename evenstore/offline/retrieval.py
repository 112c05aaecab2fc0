"""Feast's retrieval job over a join that runs when it is asked for its result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from feast import OnDemandFeatureView
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.saved_dataset import SavedDatasetStorage, ValidationReference
from typing_extensions import override

from evenstore.errors import OfflineStoreError
from evenstore.schema.source import resolve_path
from evenstore.whole_file import whole_file

__all__ = ["ArrowRetrievalJob"]

_NULLABLE = {pa.int64(): "Int64", pa.int32(): "Int32"}


class ArrowRetrievalJob(RetrievalJob):
    """A lazy result; every call runs the join again.

    Args:
        run: Makes the table.
        full_feature_names: Whether columns are named `view__feature`.
        on_demand: On-demand views that Feast computes on the result.
        metadata: What was asked for.
        repo_path: What relative paths of saved datasets are relative to.
        sql: Makes the SQL text.
    """

    def __init__(
        self,
        run: Callable[[], pa.Table],
        *,
        full_feature_names: bool,
        on_demand: list[OnDemandFeatureView],
        metadata: RetrievalMetadata | None,
        repo_path: Path | None,
        sql: Callable[[], str],
    ) -> None:
        self._run = run
        self._full_feature_names = full_feature_names
        self._on_demand = on_demand
        self._metadata = metadata
        self._repo_path = repo_path
        self._sql = sql

    @override
    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        return self._run()

    @override
    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        frame: pd.DataFrame = self._run().to_pandas()
        return frame

    @override
    def to_df(
        self, validation_reference: ValidationReference | None = None, timeout: int | None = None
    ) -> pd.DataFrame:
        """Return the result as pandas; integers beside nulls stay integers (`Int64`, `Int32`)."""
        table = self.to_arrow(validation_reference=validation_reference, timeout=timeout)
        frame: pd.DataFrame = table.to_pandas()
        for name in table.column_names:
            column = table[name]
            if column.null_count and column.type in _NULLABLE:
                # By way of float an integer above 2^53 would be another one.
                frame[name] = pd.array(column.to_pylist(), dtype=_NULLABLE[column.type])
        return frame

    @override
    def to_sql(self) -> str:
        """Return the SQL that runs, one statement per view."""
        return self._sql()

    @property
    @override
    def full_feature_names(self) -> bool:
        return self._full_feature_names

    @property
    @override
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        return self._on_demand

    @property
    @override
    def metadata(self) -> RetrievalMetadata | None:
        return self._metadata

    @override
    def persist(
        self,
        storage: SavedDatasetStorage,
        allow_overwrite: bool = False,
        timeout: int | None = None,
    ) -> None:
        """Write the result, on-demand outputs included, to one Parquet file, atomically.

        Raises:
            OfflineStoreError: The storage is no file, or the file exists and may not be
                overwritten.
        """
        if not isinstance(storage, SavedDatasetFileStorage):
            msg = f"a saved dataset cannot go to {type(storage).__name__}"
            raise OfflineStoreError(msg, hint="use SavedDatasetFileStorage")
        path = Path(resolve_path(storage.file_options.uri, self._repo_path))
        if path.exists() and not allow_overwrite:
            msg = f"`{path}` exists"
            raise OfflineStoreError(msg, hint="choose another path, or pass allow_overwrite=True")
        with whole_file(path) as temporary:
            pq.write_table(self.to_arrow(timeout=timeout), temporary)

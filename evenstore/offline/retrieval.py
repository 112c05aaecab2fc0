"""Feast's retrieval jobs: a join, or a plain selection, that runs when its result is asked for."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from feast import OnDemandFeatureView
from feast.data_source import DataSource
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.saved_dataset import SavedDatasetStorage, ValidationReference
from typing_extensions import override

from evenstore.duckdb_session import SessionLimits, open_session
from evenstore.errors import OfflineStoreError
from evenstore.offline.feast_join import FeastJoin, SeenBetween
from evenstore.offline.pull import open_pull
from evenstore.offline.retry import list_again, retry_on_change, unchanged_sources
from evenstore.schema.files import SourceFiles
from evenstore.schema.source import resolve_path
from evenstore.schema.values import holds_records
from evenstore.sql.pull import Pull, build_pull_sql
from evenstore.whole_file import whole_file

if TYPE_CHECKING:
    import polars as pl

__all__ = ["HistoricalJob", "PullJob"]

_NULLABLE = {
    pa.int64(): "Int64",
    pa.int32(): "Int32",
    pa.int8(): "Int8",
}
_SLICE_ROWS = 65_536


class _StreamedJob(RetrievalJob):
    """What both jobs have in common: every result is made of slices; every call runs again."""

    def __init__(self, repo_path: Path | None) -> None:
        self._repo_path = repo_path

    @abstractmethod
    def slices(self, slice_rows: int = _SLICE_ROWS) -> Iterator[pa.Table]:
        """Yield the result in tables of at most so many rows; at least one, which may be empty."""

    @override
    def to_df(
        self, validation_reference: ValidationReference | None = None, timeout: int | None = None
    ) -> pd.DataFrame:
        """Return the result as pandas; integers beside nulls stay integers (`Int64`, `Int32`)."""
        table = self.to_arrow(validation_reference=validation_reference, timeout=timeout)
        frame: pd.DataFrame = table.to_pandas(maps_as_pydicts="strict")
        for name in table.column_names:
            column = table[name]
            if column.null_count and column.type in _NULLABLE:
                # By way of float an integer above 2^53 would be another one.
                frame[name] = pd.array(column.to_pylist(), dtype=_NULLABLE[column.type])
            elif holds_records(column.type):
                # pandas would make a float of an integer beside a null inside a map or struct.
                values = column.to_pylist(maps_as_pydicts="strict")
                frame[name] = pd.Series(values, dtype=object)
        return frame

    def to_polars(self) -> pl.DataFrame:
        """Return the result as a polars frame.

        Raises:
            OfflineStoreError: polars is not installed.
        """
        try:
            import polars as pl
        except ImportError as exc:
            msg = "polars is not installed"
            raise OfflineStoreError(msg, hint="pip install polars") from exc
        return pl.DataFrame(self.to_arrow())

    def to_arrow_reader(self, batch_rows: int = _SLICE_ROWS) -> pa.RecordBatchReader:
        """Return the result as a stream of batches, in order, of which one is held at a time.

        Args:
            batch_rows: Most rows of a batch.
        """
        slices = self.slices(batch_rows)
        first = next(slices)

        def batches() -> Iterator[pa.RecordBatch]:
            yield from first.combine_chunks().to_batches()
            for table in slices:
                yield from table.combine_chunks().to_batches()

        return pa.RecordBatchReader.from_batches(first.schema, batches())

    def to_parquet(self, path: Path | str, *, allow_overwrite: bool = True) -> None:
        """Write the result to one Parquet file, atomically, without holding it in memory.

        Args:
            path: The file; a relative path counts from the working folder.
            allow_overwrite: Whether a file that is there may be replaced.

        Raises:
            OfflineStoreError: The file exists and may not be replaced.
            ConfigurationError: The path cannot be written.
        """
        target = Path(path)
        if target.exists() and not allow_overwrite:
            msg = f"`{target}` exists"
            raise OfflineStoreError(msg, hint="choose another path, or pass allow_overwrite=True")
        retry_on_change(lambda: _write(self.to_arrow_reader(), target))

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
        path = resolve_path(storage.file_options.uri, self._repo_path)
        self.to_parquet(path, allow_overwrite=allow_overwrite)

    @override
    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        frame: pd.DataFrame = self._to_arrow_internal(timeout=timeout).to_pandas()
        return frame

    @property
    @override
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        # Computed by the join, in their declared types; Feast would infer others from the rows.
        return []


class HistoricalJob(_StreamedJob):
    """A point-in-time join.

    Args:
        join: What is joined.
        asked: The entity rows, or between which instants entities are to be found.
    """

    def __init__(self, join: FeastJoin, asked: pa.Table | SeenBetween) -> None:
        super().__init__(join.repo_path)
        self._join = join
        self._asked = asked
        self._metadata = join.metadata(asked)

    def with_statuses(self) -> HistoricalJob:
        """Return the same retrieval with `<feature>__status` and `<feature>__event_timestamp`.

        The status is int8: 1 PRESENT, 2 NULL_VALUE, 3 NOT_FOUND, 4 OUTSIDE_MAX_AGE, as
        in Feast's `FieldStatus`.
        """
        join = dataclasses.replace(self._join, with_statuses=True)
        return HistoricalJob(join, self._asked)

    def explain(self) -> str:
        """Say in plain text how each view is joined, and why so."""
        return self._join.explain(self._asked)

    @override
    def slices(self, slice_rows: int = _SLICE_ROWS) -> Iterator[pa.Table]:
        yield from self._join.stream(self._asked, slice_rows)

    @override
    def to_sql(self) -> str:
        """Return the statements that run, for every view: winners, ties, fetch."""
        return self._join.describe_sql(self._asked)

    @override
    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        return self._join.run(self._asked)

    @property
    @override
    def full_feature_names(self) -> bool:
        return self._join.full_feature_names

    @property
    @override
    def metadata(self) -> RetrievalMetadata | None:
        return self._metadata


class PullJob(_StreamedJob):
    """A plain selection from one source, of the files that it has when the result is asked for.

    Args:
        pull: What is selected.
        source: From where.
        limits: Memory and threads.
        repo_path: What relative paths are relative to.

    Raises:
        SourceUnavailableError: There are no files, or one is no Parquet file.
        SchemaError: A column is missing, or files disagree.
        UnsupportedDtypeError: A timestamp column holds no timestamps.
    """

    def __init__(
        self, pull: Pull, source: DataSource, limits: SessionLimits, repo_path: Path | None
    ) -> None:
        super().__init__(repo_path)
        self._pull = pull
        self._source = source
        self._limits = limits
        # Columns that do not fit are refused by the call, not when the result is asked for.
        self._open()

    @override
    def slices(self, slice_rows: int = _SLICE_ROWS) -> Iterator[pa.Table]:
        with self._selected() as selected:
            reader = selected.to_arrow_reader(slice_rows)
            n_slices = 0
            for batch in reader:
                n_slices += 1
                yield pa.Table.from_batches([batch])
            if not n_slices:
                yield reader.schema.empty_table()

    @override
    def to_sql(self) -> str:
        """Return the SQL that runs."""
        return build_pull_sql(self._pull, self._open())

    @override
    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        return retry_on_change(self._run)

    @property
    @override
    def full_feature_names(self) -> bool:
        return False

    @property
    @override
    def metadata(self) -> RetrievalMetadata | None:
        return RetrievalMetadata(
            features=list(self._pull.features), keys=list(self._pull.join_keys)
        )

    def _run(self) -> pa.Table:
        with self._selected() as selected:
            return selected.to_arrow_table()

    def _open(self) -> SourceFiles:
        return list_again(lambda: open_pull(self._source, self._repo_path, self._pull))

    @contextmanager
    def _selected(self) -> Iterator[duckdb.DuckDBPyRelation]:
        sources = [self._open()]
        with unchanged_sources(sources), open_session(self._limits, sources=sources) as session:
            yield session.sql(build_pull_sql(self._pull, *sources))


def _write(reader: pa.RecordBatchReader, target: Path) -> None:
    with (
        whole_file(target) as temporary,
        pq.ParquetWriter(temporary, reader.schema, compression="zstd") as writer,
    ):
        for batch in reader:
            writer.write_batch(batch)

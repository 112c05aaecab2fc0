"""A dataset's join: resolved, checked and pinned when it is opened, run when it is asked for.

The result is checked and hashed batch by batch, so that it need not be held.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias, Union

import pyarrow as pa

from evenstore.errors import TrainingError
from evenstore.progress import NullProgress, Progress
from evenstore.schema.model import Field
from evenstore.schema.request import FeatureRequest, resolve_service
from evenstore.semantics import Knowledge
from training.entity_rows import EntityRowsSource, check_entity_rows, read_entity_rows
from training.leakage import check_created_times, check_feature_times, check_label_times
from training.manifest import (
    DatasetSpec,
    Manifest,
    created_timestamp_of,
    event_timestamp_of,
    status_of,
)
from training.sources import PinnedView, hash_views, pin_view
from training.value_hash import ValueHasher, hash_table
from training.versions import installed_versions

if TYPE_CHECKING:
    import feast

__all__ = [
    "DatasetJoin",
    "HistoryRead",
    "JoinRun",
    "Repository",
    "current_versions",
    "open_join",
    "open_store",
]

Repository: TypeAlias = Union[str, Path, "feast.FeatureStore"]
"""The folder of a Feast feature repo, or an opened feature store."""

_LIBRARIES = ("evenstore", "feast", "duckdb", "pyarrow", "numpy", "pandas")


class HistoryRead(Protocol):
    """What a join gives its rows through; `evenstore.offline.history.HistoricalRead` does."""

    @property
    def schema(self) -> pa.Schema:
        """The columns of every batch."""
        ...

    def to_reader(self, batch_rows: int = ...) -> pa.RecordBatchReader:
        """Join, and give the rows in the order of the entity rows."""
        ...

    def explain(self) -> str:
        """Say how the rows are joined."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class DatasetJoin:
    """All that is known of a dataset before it is joined.

    Attributes:
        spec: What was asked for.
        registry_fingerprint: Of the registry that the service was resolved with.
        request: The resolved feature service.
        entity_table: The checked entity rows.
        read: Joins them.
        views: The pinned files of each view.
    """

    spec: DatasetSpec
    registry_fingerprint: str
    request: FeatureRequest
    entity_table: pa.Table
    read: HistoryRead
    views: tuple[PinnedView, ...]

    @property
    def features(self) -> tuple[Field, ...]:
        """The feature columns with their declared types, in service order."""
        return tuple(
            Field(column.output_name(full_feature_names=True), column.field.dtype)
            for column in self.request.columns
        )

    @property
    def schema(self) -> pa.Schema:
        """The columns of the dataset: the entity rows', then three per feature.

        Raises:
            TrainingError: The join does not give one of them.
        """
        names = self.entity_table.column_names
        for field in self.features:
            names += [field.name, status_of(field.name), event_timestamp_of(field.name)]
        joined = self.read.schema
        absent = [name for name in names if name not in joined.names]
        if absent:
            msg = f"the join of `{self.spec.feature_service}` lacks the columns {absent}"
            raise TrainingError(msg, hint="the offline store is at fault: please report it")
        return pa.schema([joined.field(name) for name in names])

    @property
    def created_views(self) -> tuple[str, ...]:
        """Views for which the join says when a row was created and as-known mode asks for it."""
        if self.spec.knowledge is not Knowledge.AS_KNOWN:
            return ()
        given = set(self.read.schema.names) - set(self.entity_table.column_names)
        names = (read.output_name for read in self.request.reads)
        return tuple(name for name in names if created_timestamp_of(name) in given)


class JoinRun:
    """One run of a join; iterate over it to its end, then ask for the manifest.

    Args:
        join: What to run.
        progress: Told of every row.
    """

    def __init__(self, join: DatasetJoin, progress: Progress | None = None) -> None:
        self._join = join
        self._progress = NullProgress() if progress is None else progress
        self.schema = join.schema
        self._hasher = ValueHasher(self.schema)
        self._n_rows = 0

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Give the dataset's batches, each checked for leaks; the join runs here.

        Raises:
            TrainingError: Rows are lost or too many, or a row contains its own future.
        """
        join = self._join
        n_wanted = join.entity_table.num_rows
        features, views, spec = join.features, join.created_views, join.spec
        with join.read.to_reader() as reader:
            for joined in reader:
                check_feature_times(joined, features, spec, first_row_idx=self._n_rows)
                check_created_times(joined, views, spec, first_row_idx=self._n_rows)
                batch = joined.select(self.schema.names)
                self._hasher.update(batch)
                self._n_rows += batch.num_rows
                self._progress.advance(batch.num_rows)
                yield batch
        if self._n_rows != n_wanted:
            msg = (
                f"the join of `{join.spec.feature_service}` gave {self._n_rows:,} rows for "
                f"{n_wanted:,} entity rows"
            )
            raise TrainingError(msg, hint="the offline store is at fault: please report it")

    @property
    def result_hash(self) -> str:
        """Value hash of the rows; of the whole result only after the last batch."""
        return self._hasher.hexdigest()

    def manifest(self) -> Manifest:
        """Hash the source files and say what the result was made from; only after the last batch.

        Raises:
            SourceUnavailableError: A file cannot be read any more.
            TrainingError: A file was changed since the join was opened.
        """
        join = self._join
        return Manifest(
            spec=join.spec,
            registry_fingerprint=join.registry_fingerprint,
            schema_fingerprint=join.request.fingerprint,
            join_keys=tuple(field.name for field in join.request.entity_columns),
            features=join.features,
            views=hash_views(join.views, join.spec.knowledge),
            n_rows=self._n_rows,
            entity_rows_hash=hash_table(join.entity_table),
            result_hash=self.result_hash,
            versions=current_versions(),
            defaults=tuple(
                (column.output_name(full_feature_names=True), column.default_json)
                for column in join.request.columns
                if column.default_json is not None
            ),
            max_stale_us=max((read.max_stale_us for read in join.request.reads), default=0),
        )


def open_join(entity_rows: EntityRowsSource, repo: Repository, spec: DatasetSpec) -> DatasetJoin:
    """Resolve the feature service, check the entity rows and pin the source files.

    Raises:
        ConfigurationError: There is no feature repo or no file at the path.
        UnknownFeatureServiceError: The registry has no such service.
        EntityRowsError: The rows cannot be joined; names column and row.
        SourceUnavailableError: A source's files are missing or unreadable.
        TrainingError: A label was known before its row's instant.
    """
    table = read_entity_rows(entity_rows)
    store = open_store(repo)
    # Imported late: Feast takes seconds, and fitting from a file of entity rows needs none of it.
    from evenstore.offline.history import open_history
    from evenstore.schema.compile import compile_store

    registry = compile_store(store)
    request = resolve_service(registry, spec.feature_service)
    entity_table = check_entity_rows(table, request, spec)
    check_label_times(entity_table, spec)
    read = open_history(
        store,
        request,
        entity_table,
        knowledge=spec.knowledge,
        event_timestamp_column=spec.event_timestamp_column,
        # The guard looks at them; a dataset does not keep them.
        with_created=spec.knowledge is Knowledge.AS_KNOWN,
    )
    pairs = zip(request.reads, read.sources, strict=True)
    views = tuple(pin_view(view, source, Path(store.repo_path)) for view, source in pairs)
    return DatasetJoin(spec, registry.fingerprint, request, entity_table, read, views)


def open_store(repo: Repository) -> feast.FeatureStore:
    """Open a feature repo; an opened feature store is returned as it is.

    Raises:
        ConfigurationError: There is no usable `feature_store.yaml`, or nothing was applied yet.
    """
    if not isinstance(repo, str | Path):
        return repo
    from evenstore.schema.repository import open_repository

    return open_repository(Path(repo))


def current_versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that a dataset depends on."""
    return {"python": platform.python_version(), **installed_versions(*_LIBRARIES)}

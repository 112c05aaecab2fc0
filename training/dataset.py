"""Training datasets: entity rows joined point-in-time with the features of one feature service."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from evenstore.errors import ConfigurationError, TrainingError
from evenstore.progress import NullProgress, Progress
from evenstore.schema.model import Field
from evenstore.schema.request import FeatureRequest, resolve_service
from evenstore.semantics import Knowledge
from evenstore.whole_file import whole_file
from training.entity_rows import EntityRowsSource, check_entity_rows, read_entity_rows
from training.leakage import check_leakage
from training.manifest import DatasetSpec, Manifest, event_timestamp_of, status_of
from training.value_hash import hash_table
from training.versions import installed_versions

if TYPE_CHECKING:
    import feast

__all__ = ["TrainingDataset", "assemble_dataset"]

_MANIFEST_KEY = b"evenstore.training.manifest"
_LIBRARIES = ("evenstore", "feast", "duckdb", "pyarrow")


@dataclass(frozen=True, slots=True, eq=False)
class TrainingDataset:
    """A joined table and the manifest that says where it is from.

    Attributes:
        table: The entity rows' columns, then per feature `view__feature`, `view__feature__status`
            and `view__feature__event_timestamp`; one row per entity row, in their order.
        manifest: What it was made from.
    """

    table: pa.Table
    manifest: Manifest

    @property
    def features(self) -> tuple[Field, ...]:
        """The feature columns with their declared types, in service order."""
        return self.manifest.features

    @property
    def entity_table(self) -> pa.Table:
        """The entity rows alone, as they were joined."""
        n_made = 3 * len(self.features)
        return self.table.select(list(range(self.table.num_columns - n_made)))

    @classmethod
    def build(
        cls,
        feature_service: str,
        entity_rows: EntityRowsSource,
        *,
        repo: Path | feast.FeatureStore,
        knowledge: Knowledge,
        label: str,
        event_timestamp_column: str = "event_timestamp",
        label_timestamp_column: str | None = None,
        progress: Progress | None = None,
    ) -> TrainingDataset:
        """Join entity rows with a feature service.

        Args:
            feature_service: Its name in the registry.
            entity_rows: Join keys, request columns, event timestamp and label; other columns are
                kept. A path is that of a Parquet file.
            repo: The folder of a Feast feature repo, or an opened feature store.
            knowledge: AS_KNOWN for what serving could have known at each row's instant,
                LATEST_TRUTH for what is known now, backfills included. There is no default: the
                second leaks corrections made later.
            label: The column to predict.
            event_timestamp_column: The as-of instant of each row.
            label_timestamp_column: When each label was known, if the rows say so.
            progress: Told of two steps: rows read and checked, rows joined.

        Raises:
            ConfigurationError: There is no feature repo or no file at the path.
            UnknownFeatureServiceError: The registry has no such service.
            EntityRowsError: The rows cannot be joined; names column and row.
            TrainingError: The result would contain its own future.
        """
        from evenstore.offline.history import read_history
        from evenstore.schema.compile import compile_store

        steps = NullProgress() if progress is None else progress
        spec = DatasetSpec(
            feature_service, knowledge, label, event_timestamp_column, label_timestamp_column
        )
        table = read_entity_rows(entity_rows)
        store = _open(repo) if isinstance(repo, Path) else repo
        request = resolve_service(compile_store(store), feature_service)
        entity_table = check_entity_rows(table, request, spec)
        steps.advance()
        joined = read_history(
            store,
            request,
            entity_table,
            knowledge=knowledge,
            event_timestamp_column=event_timestamp_column,
        )
        steps.advance()
        return assemble_dataset(joined, entity_table, request, spec)

    @classmethod
    def from_parquet(cls, path: Path) -> TrainingDataset:
        """Read a dataset back, and check that its values are those that were written.

        Raises:
            ConfigurationError: There is no such file, or it is not Parquet.
            TrainingError: The file is not a training dataset, or its values were changed.
        """
        table = _read_table(path)
        text = (table.schema.metadata or {}).get(_MANIFEST_KEY)
        if text is None:
            msg = f"`{path}` has no manifest: it is not a training dataset"
            raise TrainingError(msg, hint="make one with `evenstore-train dataset`")
        manifest = Manifest.from_json(text.decode())
        table = table.replace_schema_metadata(None)
        if hash_table(table) != manifest.result_hash:
            msg = f"`{path}` does not hold the values that its manifest states"
            raise TrainingError(msg, hint="it was changed after it was built: build it again")
        return cls(table, manifest)

    def to_parquet(self, path: Path) -> None:
        """Write one file, manifest included; a reader sees all of it or what was there before.

        The same dataset and the same versions give the same bytes.

        Raises:
            ConfigurationError: The path cannot be written.
        """
        table = self.table.replace_schema_metadata({_MANIFEST_KEY: self.manifest.to_json()})
        with whole_file(path) as temporary:
            pq.write_table(table, temporary, compression="zstd")


def assemble_dataset(
    joined: pa.Table, entity_table: pa.Table, request: FeatureRequest, spec: DatasetSpec
) -> TrainingDataset:
    """Check what the join returned, and make the dataset with its manifest.

    Raises:
        TrainingError: Rows or columns are missing, or a row contains its own future.
    """
    features = tuple(
        Field(column.output_name(full_feature_names=True), column.field.dtype)
        for column in request.columns
    )
    names = entity_table.column_names + [
        name
        for field in features
        for name in (field.name, status_of(field.name), event_timestamp_of(field.name))
    ]
    absent = [name for name in names if name not in joined.column_names]
    if absent or joined.num_rows != entity_table.num_rows:
        msg = (
            f"the join of `{spec.feature_service}` gave {joined.num_rows:,} rows for "
            f"{entity_table.num_rows:,} entity rows and lacks {absent or 'no'} columns"
        )
        raise TrainingError(msg, hint="the offline store is at fault: please report it")
    table = joined.select(names).replace_schema_metadata(None)
    check_leakage(table, features, spec)
    manifest = Manifest(
        spec=spec,
        schema_fingerprint=request.fingerprint,
        join_keys=tuple(field.name for field in request.entity_columns),
        features=features,
        n_rows=table.num_rows,
        entity_rows_hash=hash_table(entity_table),
        result_hash=hash_table(table),
        versions=installed_versions(*_LIBRARIES),
    )
    return TrainingDataset(table, manifest)


def _open(repo: Path) -> feast.FeatureStore:
    # Imported late: Feast takes seconds, and fitting from a file of entity rows needs none of it.
    from evenstore.schema.repository import open_repository

    return open_repository(repo)


def _read_table(path: Path) -> pa.Table:
    try:
        return pq.ParquetFile(path).read()
    except FileNotFoundError as exc:
        msg = f"there is no training dataset: `{path}`"
        raise ConfigurationError(msg, hint="make one with `evenstore-train dataset`") from exc
    except (pa.ArrowInvalid, OSError) as exc:
        msg = f"`{path}` cannot be read as Parquet: {exc}"
        raise ConfigurationError(msg, hint="make it with `evenstore-train dataset`") from exc

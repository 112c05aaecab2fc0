"""Training datasets: entity rows joined point-in-time with the features of one feature service."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from evenstore.clock import timedelta_to_us
from evenstore.errors import ConfigurationError, TrainingError
from evenstore.progress import Progress
from evenstore.schema.model import Field
from evenstore.semantics import Knowledge
from training.dataset_file import DatasetFile, write_dataset
from training.entity_rows import EntityRowsSource
from training.join import DatasetJoin, JoinRun, Repository, open_join
from training.manifest import DatasetSpec, Manifest
from training.splits.group_split import GroupSplit, fold_by_group, split_by_group
from training.splits.row_indexes import Instants, RowIndexes, check_row_indexes
from training.splits.time_split import TimeSplit
from training.splits.walk_forward import walk_forward
from training.value_hash import hash_table

if TYPE_CHECKING:
    import feast

    from training.verification import Verification

__all__ = ["TrainingDataset"]

_NO_PURGE = timedelta()


class TrainingDataset:
    """Entity rows, and the features of one feature service as of each row's instant.

    `build` resolves, checks and pins everything and joins nothing. The join runs when its result is
    asked for: `to_parquet` streams it into a file without holding it, `table` holds it. Whatever
    comes first also makes the `manifest`, which says what the dataset was made from.
    """

    __slots__ = ("_join", "_manifest", "_table")

    def __init__(
        self,
        join: DatasetJoin | None = None,
        *,
        table: pa.Table | None = None,
        manifest: Manifest | None = None,
    ) -> None:
        """Use `build` or `from_parquet`; here either the join or its result must be given."""
        self._join = join
        self._table = table
        self._manifest = manifest

    @classmethod
    def build(
        cls,
        feature_service: str | feast.FeatureService,
        entity_rows: EntityRowsSource,
        *,
        repo: Repository,
        knowledge: Knowledge | str,
        label: str | None = None,
        event_timestamp_column: str = "event_timestamp",
        label_timestamp_column: str | None = None,
    ) -> TrainingDataset:
        """Prepare the join of entity rows with a feature service.

        Args:
            feature_service: Its name in the registry, or the service itself.
            entity_rows: Join keys, request columns, event timestamp and label; other columns are
                kept. A path is that of a Parquet file.
            repo: The folder of a Feast feature repo, or an opened feature store.
            knowledge: AS_KNOWN for what serving could have known at each row's instant,
                LATEST_TRUTH for what is known now, backfills included; or their values. There is no
                default: the second leaks corrections made later.
            label: The column to predict; rows that shall be scored have none.
            event_timestamp_column: The as-of instant of each row.
            label_timestamp_column: When each label was known, if the rows say so.

        Guarantees:
            The same inputs and versions give the same bytes in `to_parquet` and the same manifest;
            other versions give the same value hash.

        Raises:
            ConfigurationError: There is no feature repo, no file at the path, or no such knowledge.
            UnknownFeatureServiceError: The registry has no such service.
            EntityRowsError: The rows cannot be joined; names column and row.
            SourceUnavailableError: A source's files are missing or unreadable.
            TrainingError: A label was known before its row's instant.
        """
        spec = DatasetSpec(
            _name_of(feature_service),
            _known(knowledge),
            label,
            event_timestamp_column,
            label_timestamp_column,
        )
        return cls(open_join(entity_rows, repo, spec))

    @classmethod
    def from_parquet(cls, path: Path | str) -> TrainingDataset:
        """Read a dataset back, and check that its values are those that were written.

        Raises:
            ConfigurationError: There is no such file, or it is not Parquet.
            FormatVersionError: Its manifest was written by a version with another form.
            TrainingError: The file is not a training dataset, or its values were changed.
        """
        file = DatasetFile(Path(path))
        table = file.read()
        if hash_table(table) != file.manifest.result_hash:
            msg = f"`{path}` does not hold the values that its manifest states"
            raise TrainingError(msg, hint="it was changed after it was built: build it again")
        return cls(table=table, manifest=file.manifest)

    @staticmethod
    def verify(
        manifest: Manifest | Path | str,
        *,
        repo: Repository,
        entity_rows: EntityRowsSource | None = None,
        rebuild: bool = False,
    ) -> Verification:
        """Say what changed since a dataset was built; see `training.verification`.

        Args:
            manifest: A manifest, or the path of a dataset or of a manifest's file.
            repo: The folder of a Feast feature repo, or an opened feature store.
            entity_rows: The entity rows, to be compared too.
            rebuild: Build again, and compare the values.
        """
        from training.verification import verify_file, verify_manifest

        if not isinstance(manifest, Manifest):
            return verify_file(Path(manifest), repo=repo, entity_rows=entity_rows, rebuild=rebuild)
        return verify_manifest(manifest, repo=repo, entity_rows=entity_rows, rebuild=rebuild)

    @property
    def spec(self) -> DatasetSpec:
        """What was asked for; known before the join."""
        return self.manifest.spec if self._join is None else self._join.spec

    @property
    def features(self) -> tuple[Field, ...]:
        """The feature columns with their declared types, in service order."""
        return self.manifest.features if self._join is None else self._join.features

    @property
    def entity_table(self) -> pa.Table:
        """The entity rows alone, as they are joined; known before the join."""
        if self._join is not None:
            return self._join.entity_table
        n_made = 3 * len(self.features)
        return self.table.select(list(range(self.table.num_columns - n_made)))

    @property
    def n_rows(self) -> int:
        """Entity rows, and rows of the dataset."""
        return self.manifest.n_rows if self._join is None else self._join.entity_table.num_rows

    @property
    def table(self) -> pa.Table:
        """The joined rows, held in memory from the first use on.

        The entity rows' columns, then per feature `view__feature`, `view__feature__status` and
        `view__feature__event_timestamp`; one row per entity row, in their order.

        Raises:
            TrainingError: The join is at fault, a row contains its own future, or a source file was
                changed since the dataset was built.
            SourceUnavailableError: A source cannot be read.
        """
        return self.load()

    @property
    def manifest(self) -> Manifest:
        """What the dataset was made from; joins as `table` does, if nothing has joined yet."""
        if self._manifest is None:
            self.load()
        if self._manifest is None:
            msg = "the dataset has neither a join nor a manifest"
            raise TrainingError(msg, hint="make it with `TrainingDataset.build`")
        return self._manifest

    @property
    def instants_us(self) -> Instants:
        """The as-of instant of each row."""
        return self._instants(self.spec.event_timestamp_column)

    @property
    def label_times_us(self) -> Instants | None:
        """When each label was known; None where the entity rows do not say."""
        column = self.spec.label_timestamp_column
        return None if column is None else self._instants(column)

    def load(self, progress: Progress | None = None) -> pa.Table:
        """Join now and keep the result; returns `table`.

        Args:
            progress: Told of every row.

        Raises:
            TrainingError: As `table`.
            SourceUnavailableError: As `table`.
        """
        if self._table is None:
            run = JoinRun(self._pending(), progress)
            self._table = pa.Table.from_batches(list(run), run.schema)
            self._manifest = run.manifest()
        return self._table

    def to_parquet(self, path: Path | str, *, progress: Progress | None = None) -> None:
        """Write one file, manifest included; a reader sees all of it or what was there before.

        Rows that nobody has asked for yet are joined and written in batches, and not kept.

        Args:
            path: Where; missing folders are made.
            progress: Told of every row that is joined.

        Raises:
            ConfigurationError: The path cannot be written.
            TrainingError: As `table`; then nothing is written.
            SourceUnavailableError: As `table`.
        """
        if self._table is not None:
            table = self._table
            write_dataset(Path(path), table.schema, table.to_batches(), lambda: self.manifest)
            return
        run = JoinRun(self._pending(), progress)
        self._manifest = write_dataset(Path(path), run.schema, run, run.manifest)

    def split_by_time(
        self, *, test_share: float, purge: timedelta = _NO_PURGE, n_windows: int = 1
    ) -> tuple[TimeSplit, ...]:
        """Split into the past, which trains, and one or more test windows; needs no join.

        With several windows each is tested after all that could have been learned before it (walk
        forward). Rows whose label was not known when a window begins are purged from its training
        part: those whose label timestamp, or whose instant plus `purge`, lies after the cut.

        Args:
            test_share: Share of rows in all test windows together: the latest.
            purge: The least length of every row's label window.
            n_windows: Consecutive test windows of equal duration.

        Returns:
            One split per window, earliest first.

        Raises:
            TrainingError: The rows cannot be split so, or the purge is no timedelta.
        """
        try:
            purge_us = timedelta_to_us(purge)
        except TypeError as exc:
            msg = f"the purge is a timedelta, not {purge!r}"
            raise TrainingError(msg, hint="for example datetime.timedelta(days=60)") from exc
        return walk_forward(
            self.instants_us,
            test_share=test_share,
            n_folds=n_windows,
            purge_us=purge_us,
            label_times_us=self.label_times_us,
        )

    def split_by_group(self, *columns: str, test_share: float, seed: int = 0) -> GroupSplit:
        """Split so that all rows of one group are on one side; needs no join.

        Args:
            columns: Of the entity rows; their values together name a group.
            test_share: Share of groups to test on.
            seed: Another one draws other groups.

        Raises:
            TrainingError: There is no such column, or the rows cannot be split so.
        """
        return split_by_group(self._groups(columns), test_share=test_share, seed=seed)

    def fold_by_group(self, *columns: str, n_folds: int, seed: int = 0) -> tuple[GroupSplit, ...]:
        """Cut into folds, each of which tests once; needs no join.

        Args:
            columns: As in `split_by_group`.
            n_folds: From 2.
            seed: As in `split_by_group`.

        Raises:
            TrainingError: As `split_by_group`.
        """
        return fold_by_group(self._groups(columns), n_folds=n_folds, seed=seed)

    def take(self, rows: RowIndexes) -> TrainingDataset:
        """Return a dataset of some of the rows, such as one part of a split.

        Its manifest states the same sources; a dataset built from these entity rows alone has the
        same one.

        Args:
            rows: Indexes into the rows, in the order wanted.

        Raises:
            TrainingError: Something else than indexes, or an index that no row has.
        """
        indexes = check_row_indexes(rows, n_rows=self.n_rows)
        table = self.table.take(pa.array(indexes)).combine_chunks()
        part = TrainingDataset(table=table, manifest=self.manifest)
        part._manifest = dataclasses.replace(
            self.manifest,
            n_rows=table.num_rows,
            entity_rows_hash=hash_table(part.entity_table),
            result_hash=hash_table(table),
        )
        return part

    def explain(self) -> str:
        """Say how the rows are joined.

        Raises:
            TrainingError: The dataset was read from a file.
        """
        return self._pending().read.explain()

    def _instants(self, column: str) -> Instants:
        instants_us: Instants = self.entity_table.column(column).cast(pa.int64()).to_numpy()
        return instants_us

    def _groups(self, columns: tuple[str, ...]) -> list[pa.ChunkedArray]:
        table = self.entity_table
        unknown = [name for name in columns if name not in table.column_names]
        if unknown:
            msg = f"the entity rows have no column `{unknown[0]}` to group by"
            raise TrainingError(msg, hint="they have " + ", ".join(table.column_names))
        return [table.column(name) for name in columns]

    def _pending(self) -> DatasetJoin:
        if self._join is None:
            msg = "the dataset was not built here: it has no join"
            raise TrainingError(msg, hint="make it with `TrainingDataset.build`")
        return self._join


def _known(knowledge: Knowledge | str) -> Knowledge:
    try:
        return Knowledge(knowledge)
    except ValueError as exc:
        allowed = ", ".join(f"`{item.value}`" for item in Knowledge)
        msg = f"there is no knowledge mode {knowledge!r}"
        raise ConfigurationError(msg, hint=f"use one of {allowed}") from exc


def _name_of(feature_service: str | feast.FeatureService) -> str:
    return feature_service if isinstance(feature_service, str) else feature_service.name

"""The Feast offline store: Feast's interface over Parquet files and DuckDB."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from feast import FeatureView, RepoConfig
from feast.data_source import DataSource
from feast.feature_logging import LoggingConfig, LoggingSource
from feast.infra.offline_stores.offline_store import (
    OfflineStore,
    RetrievalJob,
)
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import FeastConfigBaseModel
from feast.utils import compute_non_entity_date_range
from typing_extensions import override

from evenstore.clock import datetime_to_us
from evenstore.errors import EntityRowsError
from evenstore.feast_versions import check_feast_version
from evenstore.offline.feast_join import FeastJoin, SeenBetween
from evenstore.offline.limits import session_limits, uses_side_index
from evenstore.offline.logged_features import write_logged_features
from evenstore.offline.publish import publish_rows
from evenstore.offline.retrieval import HistoricalJob, PullJob
from evenstore.schema.on_demand_registry import compile_requested_views
from evenstore.schema.source import batch_source
from evenstore.sql.pull import Pull

__all__ = ["DuckDBOfflineStore", "DuckDBOfflineStoreConfig"]

check_feast_version()


class DuckDBOfflineStoreConfig(FeastConfigBaseModel):
    """The `offline_store` section of feature_store.yaml."""

    type: Literal["evenstore.offline.store.DuckDBOfflineStore"] = (
        "evenstore.offline.store.DuckDBOfflineStore"
    )
    """The class; Feast finds this configuration beside it."""

    memory_limit: str | None = None
    """Most memory of one join, such as `4GB`; beyond it DuckDB spills. Default.

    80 % of the machine.
    """

    threads: int | None = None
    """Threads of one join. Default: one per core."""

    temp_directory: str | None = None
    """Where joins spill to. Default: `.tmp` in the working folder."""

    side_index: bool = True
    """Use the side index of a view where there is one that covers its files.

    `evenstore index` makes them.
    """


class DuckDBOfflineStore(OfflineStore):
    """Point-in-time joins over Parquet files, in process.

    Feast makes one object per feature store and calls static methods; there is no state.
    """

    supports_filter_by_created_timestamp = True

    @staticmethod
    @override
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: Any,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        **options: Any,
    ) -> RetrievalJob:
        """Join features to entity rows, each at its own event timestamp.

        Naive timestamps are read as UTC, as Feast demands. Entity rows are read at once, SQL
        included; the join runs when the job is asked for its result. Without entity rows, every
        entity with an event between `start_date` and `end_date` (inclusive) is found then too, and
        joined at `end_date`, as in Feast's own stores.

        Args:
            config: The repository's configuration.
            feature_views: The views, with their projections.
            feature_refs: `view:feature`, those that on-demand views need included.
            entity_df: A pandas or polars frame, an Arrow table, the path of a Parquet file (a
                PathLike, or a string ending in `.parquet`), any other string as SQL for DuckDB, or
                None for a retrieval by dates.
            registry: For on-demand views.
            project: The Feast project.
            full_feature_names: Name columns `view__feature`.
            **options: `filter_by_created_timestamp`: rows known then; `start_date`, `end_date`.

        Raises:
            ConfigurationError: There is no file of entity rows at the path.
            EntityRowsError: Entity rows of another form.
            OfflineStoreError: SQL that DuckDB refuses.
        """
        join = FeastJoin(
            feature_views=feature_views,
            feature_refs=feature_refs,
            on_demand=compile_requested_views(
                registry,
                project,
                feature_refs,
                joined={view.projection.name_to_use() for view in feature_views},
            ),
            repo_path=config.repo_path,
            limits=session_limits(config),
            is_as_known=bool(options.get("filter_by_created_timestamp", False)),
            full_feature_names=full_feature_names,
            uses_side_index=uses_side_index(config),
        )
        if entity_df is not None:
            return HistoricalJob(join, join.read_entity_rows(entity_df))
        start, end = compute_non_entity_date_range(
            feature_views, start_date=options.get("start_date"), end_date=options.get("end_date")
        )
        since_us, until_us = (datetime_to_us(at, naive_is_utc=True) for at in (start, end))
        if since_us > until_us:
            msg = f"retrieval by dates: {start} is after {end}"
            raise EntityRowsError(msg, hint="start_date comes first")
        return HistoricalJob(join, SeenBetween(since_us, until_us))

    @staticmethod
    @override
    def pull_latest_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime,
        end_date: datetime,
    ) -> RetrievalJob:
        """Select each entity's newest row with `start_date <= event timestamp <= end_date`."""
        pull = Pull(
            join_keys=tuple(join_key_columns),
            features=tuple(feature_name_columns),
            timestamp_field=timestamp_field,
            created_timestamp_column=created_timestamp_column,
            start_us=_bound_us(start_date),
            end_us=_bound_us(end_date),
            is_latest=True,
        )
        return _pull_job(config, data_source, pull)

    @staticmethod
    @override
    def pull_all_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> RetrievalJob:
        """Select all rows with `start_date <= event timestamp <= end_date`.

        A bound may be left out.
        """
        pull = Pull(
            join_keys=tuple(join_key_columns),
            features=tuple(feature_name_columns),
            timestamp_field=timestamp_field,
            created_timestamp_column=created_timestamp_column,
            start_us=_bound_us(start_date),
            end_us=_bound_us(end_date),
            is_latest=False,
        )
        return _pull_job(config, data_source, pull)

    @staticmethod
    @override
    def offline_write_batch(
        config: RepoConfig,
        feature_view: FeatureView,
        table: pa.Table,
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Publish rows as one new immutable file in the folder of the view's batch source.

        Raises:
            OfflineStoreError: The source is one file, or the columns are not those of its files.
        """
        publish_rows(batch_source(feature_view), config.repo_path, table)
        if progress is not None:
            progress(table.num_rows)

    @staticmethod
    @override
    def write_logged_features(
        config: RepoConfig,
        data: pa.Table | Path,
        source: LoggingSource,
        logging_config: LoggingConfig,
        registry: BaseRegistry,
    ) -> None:
        """Publish served features as new immutable files in the log's folder.

        Raises:
            OfflineStoreError: The destination is no folder of Parquet files, or the columns are not
                those of the feature service's log.
        """
        write_logged_features(config, data, source, logging_config, registry)


def _bound_us(bound: datetime | None) -> int | None:
    return None if bound is None else datetime_to_us(bound, naive_is_utc=True)


def _pull_job(config: RepoConfig, data_source: DataSource, pull: Pull) -> RetrievalJob:
    return PullJob(pull, data_source, session_limits(config), config.repo_path)

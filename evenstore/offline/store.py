"""The Feast offline store: Feast's interface over Parquet files and DuckDB."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
from feast import FeatureView, OnDemandFeatureView, RepoConfig
from feast.data_source import DataSource
from feast.feature_logging import LoggingConfig, LoggingSource
from feast.infra.offline_stores.offline_store import (
    OfflineStore,
    RetrievalJob,
    RetrievalMetadata,
)
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import FeastConfigBaseModel
from typing_extensions import override

from evenstore.clock import datetime_to_us
from evenstore.duckdb_session import SessionLimits, open_session
from evenstore.errors import OfflineStoreError
from evenstore.feast_versions import check_feast_version
from evenstore.offline.feast_join import FeastJoin
from evenstore.offline.publish import publish_rows
from evenstore.offline.pull import build_pull
from evenstore.offline.retrieval import ArrowRetrievalJob
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
        entity_df: pd.DataFrame | pa.Table | str | None,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        **options: Any,
    ) -> RetrievalJob:
        """Join features to entity rows, each at its own event timestamp.

        Naive timestamps are read as UTC, as Feast demands. Entity rows are read at once, SQL
        included; the join runs when the job is asked for its result.

        Args:
            config: The repository's configuration.
            feature_views: The views, with their projections.
            feature_refs: `view:feature`, those that on-demand views need included.
            entity_df: A pandas frame, an Arrow table, or SQL for DuckDB.
            registry: For on-demand views.
            project: The Feast project.
            full_feature_names: Name columns `view__feature`.
            **options: `filter_by_created_timestamp`: take only rows that were known at the entity
            row's timestamp.

        Raises:
            OfflineStoreError: Retrieval without entity rows, which is not supported yet.
            EntityRowsError: A column is missing or of another type.
        """
        if entity_df is None or "start_date" in options or "end_date" in options:
            msg = "retrieval by dates without entity rows is not supported yet"
            raise OfflineStoreError(msg, hint="pass entity rows with an event_timestamp column")
        join = FeastJoin(
            feature_views=feature_views,
            feature_refs=feature_refs,
            repo_path=config.repo_path,
            limits=_limits(config),
            is_as_known=bool(options.get("filter_by_created_timestamp", False)),
            full_feature_names=full_feature_names,
        )
        entity_table = join.read_entity_rows(entity_df)
        return ArrowRetrievalJob(
            lambda: join.run(entity_table),
            full_feature_names=full_feature_names,
            on_demand=OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry),
            metadata=join.metadata(entity_table),
            repo_path=config.repo_path,
            sql=join.describe_sql,
        )

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
        """Refuse: a served-feature log is not supported yet.

        Raises:
            OfflineStoreError: Always.
        """
        msg = "logged features are not supported yet"
        raise OfflineStoreError(msg, hint="take `logging_config` off the feature service")


def _limits(config: RepoConfig) -> SessionLimits:
    chosen = config.offline_store
    return SessionLimits(chosen.memory_limit, chosen.threads, chosen.temp_directory)


def _bound_us(bound: datetime | None) -> int | None:
    return None if bound is None else datetime_to_us(bound, naive_is_utc=True)


def _pull_job(config: RepoConfig, data_source: DataSource, pull: Pull) -> RetrievalJob:
    sql = build_pull(data_source, config.repo_path, pull)

    def run() -> pa.Table:
        with open_session(_limits(config)) as session:
            return session.sql(sql).to_arrow_table()

    return ArrowRetrievalJob(
        run,
        full_feature_names=False,
        on_demand=[],
        metadata=RetrievalMetadata(features=list(pull.features), keys=list(pull.join_keys)),
        repo_path=config.repo_path,
        sql=lambda: sql,
    )

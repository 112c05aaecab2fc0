"""The Feast batch engine: `feast materialize` and `materialize-incremental` run through it."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import redis
from feast import (
    BatchFeatureView,
    Entity,
    FeatureView,
    OnDemandFeatureView,
    RepoConfig,
    StreamFeatureView,
)
from feast.feature_view import FeatureViewState
from feast.infra.common.materialization_job import (
    MaterializationJob,
    MaterializationJobStatus,
    MaterializationTask,
)
from feast.infra.compute_engines.base import ComputeEngine
from feast.infra.offline_stores.offline_store import OfflineStore
from feast.infra.online_stores.online_store import OnlineStore
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import FeastConfigBaseModel
from pydantic import Field, ValidationError
from typing_extensions import override

from evenstore.clock import SystemClock, clock_from_environment, datetime_to_us
from evenstore.compute.bad_rows import BadRowPolicy
from evenstore.compute.lock import LockSettings, hold_view
from evenstore.compute.pace import PaceLimits
from evenstore.compute.plan import LateRowPolicy, LateRows
from evenstore.compute.run import RunOptions, ViewRun
from evenstore.compute.summary import RunSummary, tell_on_stderr
from evenstore.compute.watermark import delete_all_watermarks
from evenstore.duckdb_session import SessionLimits
from evenstore.errors import ConfigurationError
from evenstore.feast_versions import check_feast_version
from evenstore.offline.retry import list_again, retry_on_change
from evenstore.online.loads import forget_loads
from evenstore.online.store import RedisOnlineStore, stored_view
from evenstore.schema.source import open_source

__all__ = ["DuckDBComputeEngine", "DuckDBComputeEngineConfig", "ViewJob"]

check_feast_version()

_US_PER_S = 1_000_000
_View = BatchFeatureView | StreamFeatureView | FeatureView


class DuckDBComputeEngineConfig(FeastConfigBaseModel):
    """The `batch_engine` section of feature_store.yaml."""

    type: str = "evenstore.compute.engine.DuckDBComputeEngine"
    """The class; Feast finds this configuration beside it."""

    memory_limit: str | None = None
    """Most memory of DuckDB in one run, such as `4GB`. Default: 192 MB to find the newest rows,
    80 % of the machine to read them.
    """

    threads: int | None = Field(default=None, gt=0)
    """DuckDB's threads in one run. Default: one per core."""

    temp_directory: str | None = None
    """Folder that DuckDB spills to. Default: `.tmp` in the working folder."""

    late_rows: Literal["files", "created", "look_back"] = "files"
    """How late rows are found in a file that was rewritten; a new file is always read whole.
    `files`: it is read whole again, and every late row and correction is seen. `created`: only rows
    created since the last run. `look_back`: only rows of the last `look_back_s`.
    """

    commit_lag_s: float = Field(default=0.0, ge=0)
    """Of `late_rows: created`: longest time from a row's created timestamp to when it can be read,
    in seconds. A row that takes longer is never seen.
    """

    look_back_s: float = Field(default=0.0, ge=0)
    """Of `late_rows: look_back`: how long after its event timestamp a row may arrive, in seconds. A
    row that takes longer is never seen.
    """

    on_bad_row: Literal["fail", "skip"] = "fail"
    """What a row that cannot be encoded does to a run. `skip` counts it, names the first ones, and
    leaves the entity's older row in service.
    """

    max_rows_per_s: int | None = Field(default=None, gt=0)
    """Rows written in a second, on average. Default: no bound."""

    max_redis_latency_ms: float | None = Field(default=None, gt=0)
    """A run backs off while Redis takes longer to answer a PING. Default: it does not ask."""

    lock_timeout_s: float = Field(default=3600.0, ge=0)
    """Longest wait for another run of the same view, in seconds."""

    lock_lease_s: float = Field(default=30.0, ge=1)
    """How long a run that was killed keeps others of its view waiting, in seconds."""


class ViewJob(MaterializationJob):
    """A finished run, as Feast wants to hear of it."""

    def __init__(self, task: MaterializationTask, summary: RunSummary) -> None:
        self.task = task
        self.summary = summary
        self._job_id = f"{task.feature_view.name}-{uuid.uuid4().hex}"

    @override
    def status(self) -> MaterializationJobStatus:
        return MaterializationJobStatus.SUCCEEDED

    @override
    def error(self) -> BaseException | None:
        return None

    @override
    def should_be_retried(self) -> bool:
        return False

    @override
    def job_id(self) -> str:
        return self._job_id

    @override
    def url(self) -> str | None:
        return None


class DuckDBComputeEngine(ComputeEngine):
    """Streams the newest rows of a view from Parquet to Redis.

    Feast makes one object per feature store; failures are raised, so that Feast records no
    interval.

    Raises:
        ConfigurationError: The online store is not evenstore's, whose write rule a run relies on,
            or a setting has no meaning.
    """

    def __init__(
        self,
        *,
        repo_config: RepoConfig,
        offline_store: OfflineStore,
        online_store: OnlineStore,
        **settings: Any,
    ) -> None:
        super().__init__(
            repo_config=repo_config, offline_store=offline_store, online_store=online_store
        )
        if not isinstance(online_store, RedisOnlineStore):
            msg = f"batch_engine needs evenstore's online store, not {type(online_store).__name__}"
            raise ConfigurationError(
                msg, hint="online_store: {type: evenstore.online.store.RedisOnlineStore}"
            )
        self._store = online_store
        chosen = _check_settings(settings)
        self._limits = SessionLimits(chosen.memory_limit, chosen.threads, chosen.temp_directory)
        self._lock = LockSettings(chosen.lock_timeout_s, chosen.lock_lease_s)
        self._options = RunOptions(
            LateRowPolicy(
                LateRows(chosen.late_rows),
                commit_lag_us=round(chosen.commit_lag_s * _US_PER_S),
                look_back_us=round(chosen.look_back_s * _US_PER_S),
            ),
            BadRowPolicy(chosen.on_bad_row),
            PaceLimits(chosen.max_rows_per_s, chosen.max_redis_latency_ms),
        )

    @override
    def update(
        self,
        project: str,
        views_to_delete: Sequence[_View],
        views_to_keep: Sequence[_View | OnDemandFeatureView],
        entities_to_delete: Sequence[Entity],
        entities_to_keep: Sequence[Entity],
    ) -> None:
        """Forget how far views that are gone are loaded; Feast calls this on every apply.

        The online store has done so with their rows; a run may have been under way since.
        """
        names = [view.name for view in views_to_delete]
        if names:
            forget_loads(self._store.client(self.repo_config), project, names)

    @override
    def teardown_infra(
        self, project: str, fvs: Sequence[_View], entities: Sequence[Entity]
    ) -> None:
        """Forget the watermarks of a project that is torn down."""
        delete_all_watermarks(self._store.client(self.repo_config), project)

    @override
    def _materialize_one(
        self, registry: BaseRegistry, task: MaterializationTask, **kwargs: Any
    ) -> MaterializationJob:
        _require_plain_view(task.feature_view)
        _keep_serving(registry, task)
        client = self._store.client(self.repo_config)
        # Held before the files are listed: what is loaded is what there is when the wait is over.
        with hold_view(client, task.project, task.feature_view.name, self._lock):
            summary = retry_on_change(functools.partial(self._load, task, client))
        tell_on_stderr(f"{summary}\n")
        return ViewJob(task, summary)

    def _load(self, task: MaterializationTask, client: redis.Redis) -> RunSummary:
        # Taken before the files are listed: a later snapshot must never have the lower sequence.
        sequence_us = SystemClock().now_us()
        repo_path = Path(self.repo_config.repo_path or ".")
        view = stored_view(self.repo_config, task.feature_view)
        run = ViewRun(
            client=client,
            encoder=self._store.encoder(self.repo_config, view),
            writer=self._store.writer(self.repo_config, view),
            project=task.project,
            view=view,
            source=list_again(functools.partial(open_source, task.feature_view, view, repo_path)),
            clock=clock_from_environment(),
            sequence_us=sequence_us,
            limits=self._limits,
            options=self._options,
        )
        return run.execute(
            start_us=datetime_to_us(task.start_time, naive_is_utc=True),
            end_us=datetime_to_us(task.end_time, naive_is_utc=True),
        )


def _check_settings(settings: Mapping[str, Any]) -> DuckDBComputeEngineConfig:
    """Check the settings as Feast hands them over: as they stand in the file."""
    try:
        return DuckDBComputeEngineConfig(**settings)
    except ValidationError as exc:
        (first, *_) = exc.errors()
        name = ".".join(str(part) for part in first["loc"])
        msg = f"batch_engine: `{name}`: {first['msg']}"
        raise ConfigurationError(
            msg, hint="docs/reference/settings.md lists what it can be"
        ) from exc


def _require_plain_view(view: Any) -> None:
    """Refuse a view whose values are not its source's columns: they would be loaded as they are."""
    if getattr(view, "feature_transformation", None) or getattr(view, "aggregations", None):
        msg = f"{view.name}: views with a transformation or aggregations are not supported yet"
        raise ConfigurationError(
            msg, hint="write its result to Parquet and read that as the source"
        )


def _keep_serving(registry: BaseRegistry, task: MaterializationTask) -> None:
    """Commit the view back to AVAILABLE_ONLINE.

    Feast has just set it to MATERIALIZING and would refuse SDK reads until the run ends, or for
    ever after a kill.
    """
    view = task.feature_view
    if getattr(view, "state", None) == FeatureViewState.MATERIALIZING:
        view.state = FeatureViewState.AVAILABLE_ONLINE
        registry.apply_feature_view(view, task.project, commit=True)

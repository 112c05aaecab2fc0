"""What the registry says can be written, followed as it changes.

Only the writer process imports this: it imports Feast.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feast import FeatureStore, FeatureView, OnDemandFeatureView
from feast.data_source import PushSource

from evenstore.errors import EvenstoreError, SchemaError, UnknownFeatureError
from evenstore.online.store import stored_view
from evenstore.schema.compile import list_label_views
from evenstore.schema.repository import load_repository_config, open_repository, registry_file
from serving.errors import UnknownPushSourceError
from serving.writes.rows import RowColumns

__all__ = ["Catalogue", "RegistryFollower", "WriteTarget"]

logger = logging.getLogger("evenstore.serving")

_Signature = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class WriteTarget:
    """A feature view or label view that rows can be written to.

    Attributes:
        name: Its name in the registry.
        table: Feast's view.
        columns: What its rows are made of; an error where the online store cannot keep them.
        feature_names: Names of features by columns of the source that are called otherwise.
    """

    name: str
    table: FeatureView
    columns: RowColumns | EvenstoreError
    feature_names: dict[str, str]

    def row_columns(self) -> RowColumns:
        """Return the columns of a row.

        Raises:
            SchemaError: The online store cannot keep rows of the view.
        """
        if isinstance(self.columns, EvenstoreError):
            raise self.columns
        return self.columns


@dataclass(frozen=True, slots=True)
class Catalogue:
    """One state of the registry.

    Attributes:
        views: Feature views and label views by name.
        on_demand: On-demand views whose results are stored, by name.
        push_sources: Feature views by the push source that feeds them.
    """

    views: dict[str, WriteTarget]
    on_demand: dict[str, OnDemandFeatureView]
    push_sources: dict[str, tuple[WriteTarget, ...]]

    @staticmethod
    def read(store: FeatureStore) -> Catalogue:
        """Read the registry that a feature store has cached."""
        registry, project = store.registry, store.project
        tables: list[FeatureView] = [
            *registry.list_feature_views(project, allow_cache=True),
            *registry.list_stream_feature_views(project, allow_cache=True),
            *list_label_views(registry, project, allow_cache=True),
        ]
        on_demand = registry.list_on_demand_feature_views(project, allow_cache=True)
        targets = [_target(store, table) for table in tables]
        by_source: dict[str, list[WriteTarget]] = {}
        for target in targets:
            source = target.table.stream_source
            if isinstance(source, PushSource):
                by_source.setdefault(source.name, []).append(target)
        return Catalogue(
            views={target.name: target for target in targets},
            on_demand={view.name: view for view in on_demand if view.write_to_online_store},
            push_sources={name: tuple(fed) for name, fed in by_source.items()},
        )

    def of_push_source(self, name: str) -> Sequence[WriteTarget]:
        """Return the views that a push source feeds.

        Raises:
            UnknownPushSourceError: There is no such source, or it feeds no view.
        """
        targets = self.push_sources.get(name)
        if targets is None:
            known = ", ".join(f"`{source}`" for source in sorted(self.push_sources)[:20])
            msg = f"unknown push source: `{name}`"
            raise UnknownPushSourceError(
                msg, hint=f"known: {known}" if known else "no feature view has a push source"
            )
        return targets

    def of_view(self, name: str) -> WriteTarget | OnDemandFeatureView:
        """Return what `POST /write-to-online-store` names.

        Raises:
            UnknownFeatureError: There is no such view that is stored.
        """
        target = self.views.get(name) or self.on_demand.get(name)
        if target is None:
            raise UnknownFeatureError([name], [*self.views, *self.on_demand])
        return target


class RegistryFollower:
    """Keeps the catalogue as the registry is; for use from several threads.

    A registry file is looked at for each request, which takes microseconds; any other registry when
    a catalogue is `max_age_s` old, or when a caller insists.

    Args:
        repo_path: Folder of the Feast repo.
        max_age_s: How old the catalogue of a registry that is no file may be.

    Raises:
        ConfigurationError: There is no usable `feature_store.yaml`.
    """

    def __init__(self, repo_path: Path, *, max_age_s: float) -> None:
        self._repo_path = repo_path
        self._max_age_s = max_age_s
        self._file = registry_file(repo_path, load_repository_config(repo_path))
        self._lock = threading.Lock()
        self._store: FeatureStore | None = None
        self._catalogue: Catalogue | None = None
        self._seen: _Signature | None = None
        self._read_at_s = 0.0

    @property
    def is_file(self) -> bool:
        """Tell whether the registry is a file, which only one process at a time should change."""
        return self._file is not None

    def store(self) -> FeatureStore:
        """Return the feature store, with the registry as it was read last.

        Raises:
            ConfigurationError: There is no registry.
        """
        with self._lock:
            return self._open()

    def catalogue(self, *, is_fresh: bool = False) -> Catalogue:
        """Return what can be written now.

        Args:
            is_fresh: Whether to look at the registry first, even where that takes long.

        Raises:
            ConfigurationError: There is no registry, and there was none.
            Exception: Whatever the registry's driver raises, before it could be read once.
        """
        with self._lock:
            if self._catalogue is None:
                return self._read()
            if self._is_stale(is_fresh=is_fresh):
                try:
                    return self._read()
                except Exception:
                    # Any driver's; the registry that was read last still holds.
                    logger.exception("the writer keeps the registry it has")
            return self._catalogue

    def _open(self) -> FeatureStore:
        if self._store is None:
            self._store = open_repository(self._repo_path)
        return self._store

    def _read(self) -> Catalogue:
        signature = self._signature()
        store: Any = self._open()
        store.refresh_registry()
        catalogue = Catalogue.read(store)
        if signature == self._signature():
            self._seen = signature
        self._catalogue = catalogue
        self._read_at_s = time.monotonic()
        return catalogue

    def _is_stale(self, *, is_fresh: bool) -> bool:
        if self._file is None:
            return is_fresh or time.monotonic() - self._read_at_s > self._max_age_s
        signature = self._signature()
        # Feast truncates the file and then writes it: an empty one is not an empty registry.
        return signature is not None and signature[1] > 0 and signature != self._seen

    def _signature(self) -> _Signature | None:
        try:
            status = None if self._file is None else self._file.stat()
        except OSError:
            return None
        return None if status is None else (status.st_mtime_ns, status.st_size, status.st_ino)


def _target(store: FeatureStore, table: FeatureView) -> WriteTarget:
    source: Any = table.batch_source
    columns: RowColumns | EvenstoreError
    if source is None:
        columns = SchemaError(f"{table.name}: no batch source says which column is the timestamp")
        return WriteTarget(table.name, table, columns, {})
    try:
        columns = RowColumns(
            stored_view(store.config, table),
            event=source.timestamp_field,
            created=source.created_timestamp_column or None,
        )
    except EvenstoreError as exc:
        columns = exc
    return WriteTarget(table.name, table, columns, dict(source.field_mapping or {}))

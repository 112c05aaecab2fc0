"""Compares what is stored online with the registry and the sources, and removes what is left over.

Only what a run wrote is ever an orphan: a pushed row may be of no source. Everything goes only
where it is still what was seen, so that runs and pushes may go on meanwhile.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb
import redis
from feast import FeatureStore, FeatureView

from evenstore.clock import Clock
from evenstore.codec.entity_key import EntityKeyEncoder
from evenstore.codec.packed_row import RowSchema
from evenstore.compute.expiry import RowLives
from evenstore.compute.leftovers import GoneView, sweep_gone_views
from evenstore.compute.orphans import OrphanSearch
from evenstore.duckdb_session import SessionLimits, open_session
from evenstore.errors import ConfigurationError, EvenstoreError, UnknownFeatureError
from evenstore.offline.limits import session_limits
from evenstore.online.feature_removal import find_stale_schemas, remove_features
from evenstore.online.key_scan import open_key_encoder
from evenstore.online.loads import forget_loads
from evenstore.online.purge import OwnEntities, fetch_schemas
from evenstore.online.row_edits import remove_rows
from evenstore.online.store import RedisOnlineStore, RedisOnlineStoreConfig, stored_view
from evenstore.online.stored_rows import StoredRow, read_rows, scan_rows
from evenstore.progress import open_progress
from evenstore.schema.model import FeatureViewSchema, Layout
from evenstore.schema.repository import keeps_versions
from evenstore.schema.source import open_source
from evenstore.semantics import Origin

__all__ = ["Reconciliation", "ViewReport", "reconcile"]

_US_PER_S = 1_000_000
_MAX_EXAMPLES = 20
# Beyond it stored entities are spilled.
_MEMORY = "512MB"


@dataclass(slots=True)
class ViewReport:
    """What was found of one view, and what was done.

    Attributes:
        view: Its name.
        n_rows: Stored rows.
        n_run_rows: Those that a run wrote.
        n_orphans: Those whose entity the source does not name.
        examples: Join keys of the first orphans.
        n_old_tombstones: Deleted entities whose replay window is over.
        gone_features: Features that rows were stored with and the view does not have.
        n_unreadable: Entities whose bytes are no row that this version knows.
        n_removed: Orphans and tombstones removed, and rows rid of gone features.
        error: Why the view could not be compared; empty where it was.
    """

    view: str
    n_rows: int = 0
    n_run_rows: int = 0
    n_orphans: int = 0
    examples: list[dict[str, Any]] = field(default_factory=list)
    n_old_tombstones: int = 0
    gone_features: list[str] = field(default_factory=list)
    n_unreadable: int = 0
    n_removed: int = 0
    error: str = ""

    @property
    def has_leftovers(self) -> bool:
        """Whether there is something to remove."""
        found = self.n_orphans + self.n_old_tombstones
        return bool(found or self.gone_features)


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What was found in a project.

    Attributes:
        is_dry_run: Whether it was only looked for.
        views: The registry's views.
        gone_views: Views that rows are stored of and that the registry does not have.
        n_without_expiry: Entities that have no expiry although all their rows expire.
    """

    is_dry_run: bool
    views: Sequence[ViewReport]
    gone_views: Sequence[GoneView]
    n_without_expiry: int = 0

    @property
    def has_leftovers(self) -> bool:
        """Whether there is something to remove."""
        return bool(self.gone_views or self.n_without_expiry) or any(
            view.has_leftovers for view in self.views
        )


def reconcile(
    store: FeatureStore, names: Sequence[str], clock: Clock, *, is_dry_run: bool
) -> Reconciliation:
    """Compare the views of a project, and remove what is left over.

    Args:
        store: The feature store, opened now.
        names: Views; all, and those that are gone too, without names.
        clock: What the age of tombstones goes by.
        is_dry_run: Whether nothing is removed.

    Raises:
        ConfigurationError: The online store is not evenstore's.
        UnknownFeatureError: A named view is not registered.
        OnlineStoreError: Redis refused or cannot be reached.
    """
    settings = store.config.online_store
    if not isinstance(settings, RedisOnlineStoreConfig):
        msg = "the online store is not evenstore's: it does not say who wrote a row"
        raise ConfigurationError(
            msg, hint="online_store: {type: evenstore.online.store.RedisOnlineStore}"
        )
    client = RedisOnlineStore().client(store.config)
    # Before the registry: what is registered later has no rows yet, and is not known here either.
    schemas = fetch_schemas(client, store.project)
    store.refresh_registry()
    tables = _tables(store)
    missing = set(names) - set(tables)
    if missing:
        raise UnknownFeatureError(missing, tables)
    comparison = _Comparison(
        client=client,
        store=store,
        layout=Layout(settings.layout),
        schemas=schemas,
        forgotten_us=clock.now_us() - int(settings.tombstone_s * _US_PER_S),
        limits=session_limits(store.config),
        is_dry_run=is_dry_run,
    )
    online = sorted(name for name, table in tables.items() if table.online)
    reports = [comparison.report(tables[name]) for name in (names or online)]
    if names:
        return Reconciliation(is_dry_run, reports, ())
    gone = comparison.sweep_gone_views()
    n_without_expiry = 0 if clock.is_frozen else comparison.give_expiry(list(tables.values()))
    return Reconciliation(is_dry_run, reports, gone, n_without_expiry)


def _tables(store: FeatureStore) -> dict[str, FeatureView]:
    views = (*store.list_feature_views(), *store.list_stream_feature_views())
    return {view.name: view for view in views}


@dataclass(frozen=True)
class _Comparison:
    client: redis.Redis
    store: FeatureStore
    layout: Layout
    schemas: Mapping[str, Mapping[bytes, RowSchema]]
    forgotten_us: int
    limits: SessionLimits
    is_dry_run: bool

    def report(self, table: FeatureView) -> ViewReport:
        """Compare one view; an error of its source is told in the report."""
        report = ViewReport(table.name)
        try:
            view = stored_view(self.store.config, table)
            report.view = view.name
            with self._open_search(table, view) as search:
                seen = self._walk(view, search, report)
                if search is not None:
                    self._settle_orphans(view, search, report)
            self._settle_schemas(view, seen, report)
        except EvenstoreError as exc:
            report.error = exc.message
        return report

    def sweep_gone_views(self) -> list[GoneView]:
        """Find and remove the rows of views that the registry does not have."""
        views = self.store.registry.list_all_feature_views(self._project)
        return sweep_gone_views(
            self.client,
            self._project,
            {view.name for view in views},
            self.schemas,
            is_versioned=keeps_versions(self.store.config),
            is_dry_run=self.is_dry_run,
        )

    def give_expiry(self, tables: Sequence[FeatureView]) -> int:
        """Find entities that lack the expiry of their rows, and set it."""
        settings = self.store.config.online_store
        if settings.expiry_grace_s is None or self.layout is not Layout.PACKED:
            return 0
        lives = RowLives.of(
            [stored_view(self.store.config, table) for table in tables],
            grace_us=int(settings.expiry_grace_s * _US_PER_S),
            tombstone_us=int(settings.tombstone_s * _US_PER_S),
        )
        own = OwnEntities(self._project, (), self.schemas)
        return lives.give_expiry(self.client, self._project, own, is_dry_run=self.is_dry_run)

    @property
    def _project(self) -> str:
        return self.store.project

    @contextlib.contextmanager
    def _open_search(
        self, table: FeatureView, view: FeatureViewSchema
    ) -> Iterator[OrphanSearch | None]:
        if table.batch_source is None:  # All its rows were pushed.
            yield None
            return
        repo_path = Path(self.store.repo_path)
        limits = replace(self.limits, memory_limit=self.limits.memory_limit or _MEMORY)
        with open_session(limits, sources=[open_source(table, view, repo_path)]) as session:
            yield self._search(session, table, view)

    def _search(
        self, session: duckdb.DuckDBPyConnection, table: FeatureView, view: FeatureViewSchema
    ) -> OrphanSearch:
        return OrphanSearch(session, table, view, self._encoder(view), Path(self.store.repo_path))

    def _encoder(self, view: FeatureViewSchema) -> EntityKeyEncoder:
        return open_key_encoder(view, self._project, self.layout)

    def _walk(
        self, view: FeatureViewSchema, search: OrphanSearch | None, report: ViewReport
    ) -> set[bytes]:
        """Look at every row; collect those of runs, remove old tombstones, note the schemas."""
        seen: set[bytes] = set()
        with open_progress(f"{view.name}: stored rows", unit="entities") as progress:
            for batch in scan_rows(self.client, self._project, view, self.layout):
                old = [row for row in batch.rows if self._is_forgotten(row)]
                rows = [row for row in batch.rows if not row.is_tombstone]
                of_runs = [row for row in rows if row.origin is Origin.RUN]
                if search is not None:
                    search.add(of_runs)
                if not self.is_dry_run:
                    report.n_removed += remove_rows(self.client, view, self.layout, old)
                seen.update(row.fingerprint for row in rows)
                report.n_rows += len(rows)
                report.n_run_rows += len(of_runs)
                report.n_old_tombstones += len(old)
                report.n_unreadable += batch.n_unreadable
                progress.advance(batch.n_keys)
        return seen

    def _is_forgotten(self, row: StoredRow) -> bool:
        return row.is_tombstone and row.order.event_us < self.forgotten_us

    def _settle_orphans(
        self, view: FeatureViewSchema, search: OrphanSearch, report: ViewReport
    ) -> None:
        report.n_orphans = search.find()
        if report.n_orphans and not self.is_dry_run:
            forget_loads(self.client, self._project, [view.name])
        encoder = self._encoder(view)
        names = [key.name for key in view.join_keys]
        for found in search.orphans():
            if len(report.examples) < _MAX_EXAMPLES:
                decoded = [encoder.decode(key) for key, _ in found[:_MAX_EXAMPLES]]
                report.examples += [dict(zip(names, v, strict=True)) for v in decoded if v]
            if self.is_dry_run:
                if len(found) >= _MAX_EXAMPLES:
                    return
                continue
            orders = dict(found)
            stored = read_rows(self.client, view, self.layout, list(orders)).rows
            same = [
                row
                for row in stored
                if row.origin is Origin.RUN
                and not row.is_tombstone
                and row.order == orders[row.key]
            ]
            report.n_removed += remove_rows(self.client, view, self.layout, same)

    def _settle_schemas(
        self, view: FeatureViewSchema, seen: set[bytes], report: ViewReport
    ) -> None:
        """Remove features that are gone.

        A schema that no row has stays: a writer that still has it may write one at any moment.
        """
        known = self.schemas.get(view.name, {})
        stale = find_stale_schemas([view], {view.name: known}, stored=seen)
        report.gone_features = [gone.name for found in stale for gone in found.gone]
        if self.is_dry_run:
            return
        for found in stale:
            with open_progress(f"{view.name}: remove features", unit="entities") as progress:
                report.n_removed += remove_features(
                    self.client, self._project, found, self.layout, progress=progress
                )

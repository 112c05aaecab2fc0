"""Evidence from evenstore's own stores: Parquet through DuckDB, Redis, watermarks. Reads only.

For each batch of entities one query of the source and one round trip to Redis; twins of keys are
looked for in a bounded number of entities only.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import redis
from feast import FeatureStore, FeatureView

from evenstore.clock import clock_from_environment
from evenstore.compute.watermark import FileVersion, Watermark, load_fingerprint, read_watermark
from evenstore.errors import ConfigurationError, UnknownFeatureError
from evenstore.online.key_scan import open_key_encoder
from evenstore.online.store import RedisOnlineStore, RedisOnlineStoreConfig, stored_view
from evenstore.schema.files import SourceFiles
from evenstore.schema.model import FeatureViewSchema, Layout
from evenstore.schema.repository import keeps_versions
from evenstore.schema.request import ViewRead
from evenstore.schema.version import find_pinned_view
from parity.causes.evidence import AskedEntity, EntityEvidence
from parity.causes.key_twins import list_key_twins, list_text_twins
from parity.causes.rows import LoadState
from parity.causes.source_rows import EntityHistory, EntityKey, read_view_history
from parity.causes.stored_entities import StoredEntity, read_stored_entities

__all__ = ["ReadingLimits", "StoreEvidence"]

_US_PER_S = 1_000_000


@dataclass(frozen=True, slots=True)
class ReadingLimits:
    """How much is read for the sake of causes.

    Attributes:
        entities_per_batch: Entities in one query and one round trip.
        max_keys_per_s: Redis keys read in a second, on average.
        n_twins_looked_for: Entities without a row whose key is also tried in other encodings.
        rows_per_instant: Rows of the source before, and after, each instant.
    """

    entities_per_batch: int = 5_000
    max_keys_per_s: int = 20_000
    n_twins_looked_for: int = 500
    rows_per_instant: int = 8


@dataclass(frozen=True, slots=True)
class _View:
    """One view: as asked for, under the name of its rows, now, and in the version asked for."""

    declared: FeatureViewSchema
    stored_as: FeatureViewSchema
    table: FeatureView
    source: FeatureView
    keeps_versions: bool

    @property
    def present_version(self) -> int:
        return self.table.current_version_number or 0

    @property
    def pinned_version(self) -> str | None:
        """The version that it is asked for by, where the rows online are of the present one."""
        pinned = self.declared.name.partition("@")[2]
        is_stored = self.keeps_versions or pinned in {"", f"v{self.present_version}"}
        return None if is_stored else pinned


class StoreEvidence:
    """Reads what both stores of a repo have of some entities.

    Args:
        store: The feature store.
        limits: How much is read at once, and how fast.

    Raises:
        ConfigurationError: The online store is not evenstore's.
    """

    def __init__(self, store: FeatureStore, *, limits: ReadingLimits | None = None) -> None:
        settings = store.config.online_store
        if not isinstance(settings, RedisOnlineStoreConfig):
            msg = "the online store is not evenstore's: rows do not say where they come from"
            raise ConfigurationError(msg, hint="`evenstore-parity audit` compares other stores")
        self._store = store
        self._project = store.project
        self._limits = limits or ReadingLimits()
        self._layout = Layout(settings.layout)
        self._grace_s = settings.expiry_grace_s
        # Nothing is told to expire while the clock stands.
        is_frozen = clock_from_environment().is_frozen
        if is_frozen or self._layout is not Layout.PACKED:
            self._grace_s = None
        self._client: redis.Redis = RedisOnlineStore().client(store.config)
        views: list[FeatureView] = [
            *store.list_feature_views(),
            *store.list_stream_feature_views(),
        ]
        self._tables = {view.name: view for view in views}
        self._n_twins_left = self._limits.n_twins_looked_for

    def read(self, read: ViewRead, asked: Sequence[AskedEntity]) -> list[EntityEvidence]:
        """Return the evidence of each asked entity, in order.

        Raises:
            UnknownFeatureError: The registry does not have the view.
            OnlineStoreError: Redis refused or cannot be reached.
            OfflineStoreError: The source cannot be read.
        """
        table = self._find_table(read.view)
        view = _View(
            read.view,
            self.stored_as(read.view),
            table,
            self._find_version(read.view, table),
            keeps_versions=keeps_versions(self._store.config),
        )
        found: list[EntityEvidence] = []
        for start in range(0, len(asked), self._limits.entities_per_batch):
            found += self._read_batch(view, asked[start : start + self._limits.entities_per_batch])
        return found

    def stored_as(self, view: FeatureViewSchema) -> FeatureViewSchema:
        """Return a view under the name that its rows online go by.

        Raises:
            UnknownFeatureError: The registry does not have the view.
        """
        if view.stored_as:
            return view.stored()
        table = self._find_table(view)
        name = stored_view(self._store.config, table).name
        if "@" in view.name and keeps_versions(self._store.config):
            name = _version_name(table, view.version)
        return replace(view, name=name)

    def _read_batch(self, view: _View, asked: Sequence[AskedEntity]) -> Iterator[EntityEvidence]:
        stored = self._read_stored(view.stored_as, [entity.key for entity in asked])
        watermark = read_watermark(self._client, self._project, view.stored_as.name)
        # A store that no run has loaded has read no file.
        files: Mapping[str, FileVersion] = {} if watermark is None else watermark.files
        history = read_view_history(
            self._store,
            view.source,
            view.declared,
            [_instants(entity, row) for entity, row in zip(asked, stored, strict=True)],
            files_read=files,
            most_rows=self._limits.rows_per_instant,
        )
        loads = self._load_state(view.stored_as, watermark, history.source)
        for entity, row, rows in zip(asked, stored, history.entities, strict=True):
            twin, version = self._find_elsewhere(view, entity, row, rows)
            yield EntityEvidence(
                history=rows.rows,
                n_source_rows=rows.n_rows,
                stored=row.row,
                problem=row.problem,
                loads=loads,
                is_pushable=True if view.table.stream_source is not None else None,
                key_exists=row.key_exists,
                twin_key=twin,
                pinned_version=view.pinned_version,
                stored_version=version,
            )

    def _read_stored(
        self, view: FeatureViewSchema, keys: Sequence[tuple[object, ...]]
    ) -> list[StoredEntity]:
        encoder = open_key_encoder(view, self._project, self._layout)
        encoded = [encoder.encode(key) for key in keys]
        started_s = time.monotonic()
        found = read_stored_entities(self._client, self._project, view, self._layout, encoded)
        rest_s = len(keys) / self._limits.max_keys_per_s - (time.monotonic() - started_s)
        if rest_s > 0:
            time.sleep(rest_s)
        return found

    def _find_elsewhere(
        self, view: _View, entity: AskedEntity, row: StoredEntity, rows: EntityHistory
    ) -> tuple[str | None, str | None]:
        """Look for a row that one side lacks: the key's other encoding, and another version."""
        is_stored = row.row is not None or row.problem is not None
        if is_stored == bool(rows.rows) or self._n_twins_left <= 0:
            return None, None
        self._n_twins_left -= 1
        if is_stored:
            return self._find_source_twin(view, entity), None
        for twin, key, what in list_key_twins(view.stored_as, entity.key):
            (found,) = self._read_stored(twin, [key])
            if found.row is not None and not found.row.is_tombstone:
                return what, None
        return None, self._find_other_version(view, entity)

    def _find_source_twin(self, view: _View, entity: AskedEntity) -> str | None:
        instants = [entity.as_of_us]
        twins = [(key, instants) for key in list_text_twins(view.declared, entity.key)]
        if not twins:
            return None
        history = read_view_history(
            self._store, view.source, view.declared, twins, files_read=None, most_rows=1
        )
        for (key, _), rows in zip(twins, history.entities, strict=True):
            if rows.rows:
                return f"in the source as {key!r}"
        return None

    def _find_other_version(self, view: _View, entity: AskedEntity) -> str | None:
        if not view.keeps_versions:
            return None
        for version in range(view.present_version, -1, -1):
            name = _version_name(view.table, version)
            if name != view.stored_as.name:
                (found,) = self._read_stored(replace(view.stored_as, name=name), [entity.key])
                if found.row is not None or found.problem is not None:
                    return f"v{version}"
        return None

    def _load_state(
        self, view: FeatureViewSchema, watermark: Watermark | None, source: SourceFiles
    ) -> LoadState:
        ttl_us = None
        if self._grace_s is not None and view.ttl_us is not None:
            ttl_us = view.ttl_us + int(self._grace_s * _US_PER_S)
        if watermark is None:
            return LoadState(physical_ttl_us=ttl_us)
        return LoadState(
            intervals=((watermark.event_start_us, watermark.event_end_us),),
            created_end_us=watermark.created_end_us,
            loaded_at_us=watermark.sequence_us,
            is_schema_current=watermark.fingerprint == load_fingerprint(view, source, self._layout),
            physical_ttl_us=ttl_us,
        )

    def _find_version(self, view: FeatureViewSchema, table: FeatureView) -> FeatureView:
        if "@" not in view.name:
            return table
        pinned = find_pinned_view(self._store.registry, self._store.project, view.name)
        return pinned if isinstance(pinned, FeatureView) else table

    def _find_table(self, view: FeatureViewSchema) -> FeatureView:
        base = view.name.partition("@")[0]
        if base not in self._tables:
            raise UnknownFeatureError([base], [*self._tables])
        return self._tables[base]


def _instants(entity: AskedEntity, row: StoredEntity) -> tuple[EntityKey, list[int]]:
    stored_us = None if row.row is None else row.row.order.event_us
    # Many rows may be due after `until_us`: those near the instant need not show the answer's row.
    instants = (entity.as_of_us, entity.until_us, entity.online_event_us, stored_us)
    return entity.key, [instant for instant in instants if instant is not None]


def _version_name(table: FeatureView, version: int) -> str:
    return f"{table.name}_v{version}" if version else table.name

"""The Feast online store: atomic newest-wins writes and ttl-true reads in Redis."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import pydantic
import redis
from feast import Entity, FeatureView, RepoConfig
from feast.infra.online_stores.helpers import compute_versioned_name
from feast.infra.online_stores.online_store import OnlineStore
from feast.infra.supported_async_methods import SupportedAsyncMethods
from feast.protos.feast.serving.ServingService_pb2 import GetOnlineFeaturesResponse
from feast.protos.feast.types.EntityKey_pb2 import EntityKey as EntityKeyProto
from feast.protos.feast.types.Value_pb2 import Value as ValueProto
from feast.repo_config import FeastConfigBaseModel
from typing_extensions import override

from evenstore.clock import Clock, SystemClock, clock_from_environment, us_to_datetime
from evenstore.codec.feast_value import value_encoder
from evenstore.codec.rows import RowEncoder
from evenstore.errors import ConfigurationError
from evenstore.feast_versions import check_feast_version
from evenstore.online.connection import execute_raw, open_redis
from evenstore.online.deletion import Deletion
from evenstore.online.key_group import open_key_group
from evenstore.online.purge import delete_project
from evenstore.online.push import PushedRow, PushedRowEncoder, read_key_values
from evenstore.online.removal import Removal
from evenstore.online.sdk_read import AskedView, SdkRead, decode_group, open_view_read, rows_of
from evenstore.online.shared_names import SharedNames
from evenstore.online.view_decoder import DEFAULT_MAX_SKEW_US, RowAnswer
from evenstore.online.writer import RowWriter, open_encoder
from evenstore.redis_server import resolve_connection
from evenstore.schema.compile import compile_feature_view
from evenstore.schema.model import FeatureViewSchema, Layout
from evenstore.schema.repository import keeps_versions
from evenstore.schema.source import check_source_types
from evenstore.semantics import Status

__all__ = ["RedisOnlineStore", "RedisOnlineStoreConfig", "stored_view"]

check_feast_version()

_US_PER_S = 1_000_000
_MAX_PREPARED = 256
_EMBEDDED = "embedded"
_KEY_VERSION = 3


class RedisOnlineStoreConfig(FeastConfigBaseModel):
    """The `online_store` section of feature_store.yaml."""

    type: Literal["evenstore.online.store.RedisOnlineStore"] = (
        "evenstore.online.store.RedisOnlineStore"
    )
    """The class; Feast finds this configuration beside it."""

    connection_string: str = "embedded"
    """`embedded` (the one that evenstore runs), a `redis://`, `rediss://` or `unix://` URL, or
    Feast's `host:port,key=value`.
    """

    layout: Literal["packed", "feast"] = "packed"
    """How rows lie in Redis: `packed` is small and fast, `feast` is stock Feast's own."""

    timeout_s: float = pydantic.Field(10.0, gt=0)
    """Longest wait for a connection and for a reply, in seconds."""

    expiry_grace_s: float | None = pydantic.Field(None, ge=0)
    """How long after its ttl Redis may forget a row by itself, in seconds. Default: never. Only in
    the packed layout, and never while the clock is frozen.
    """

    tombstone_s: float = pydantic.Field(604800.0, ge=0)
    """How long a deleted entity's tombstone keeps older rows from bringing it back, in seconds."""


class RedisOnlineStore(OnlineStore):
    """Rows in Redis, packed or in Feast's own layout, written atomically, with true statuses.

    One object per feature store and process; its client is a thread-safe pool that survives forks.
    """

    _versioned_read_supported = True

    def __init__(self) -> None:
        self._urls: dict[str, str] = {}
        self._clients: dict[str, redis.Redis] = {}
        self._prepared: dict[tuple[Any, ...], tuple[tuple[Any, ...], SdkRead]] = {}
        self._clock: Clock = clock_from_environment()

    def client(self, config: RepoConfig) -> redis.Redis:
        """Return the connected pool of a configuration.

        Raises:
            OnlineStoreUnavailableError: The embedded Redis is asked for and none runs.
            ConfigurationError: The connection string has no known form.
        """
        settings = config.online_store
        if config.entity_key_serialization_version != _KEY_VERSION:
            msg = f"entity_key_serialization_version is {config.entity_key_serialization_version}"
            raise ConfigurationError(
                msg, hint=f"set it to {_KEY_VERSION}: Feast deprecates the others"
            )
        # Where the embedded Redis is may change at any time; all else is where it is said to be.
        url = self._urls.get(settings.connection_string)
        if url is None:
            url = resolve_connection(settings.connection_string, Path(config.repo_path or "."))
            if settings.connection_string != _EMBEDDED:
                self._urls[settings.connection_string] = url
        if url not in self._clients:
            self._clients[url] = open_redis(url, timeout_s=settings.timeout_s)
        return self._clients[url]

    def encoder(self, config: RepoConfig, view: FeatureViewSchema) -> RowEncoder:
        """Return what makes the bytes of a view's rows, thread-safe."""
        settings = config.online_store
        grace_s = settings.expiry_grace_s
        is_frozen = not isinstance(self._clock, SystemClock)
        return open_encoder(
            view,
            config.project,
            Layout(settings.layout),
            expiry_grace_us=None if grace_s is None or is_frozen else int(grace_s * _US_PER_S),
        )

    def writer(self, config: RepoConfig, view: FeatureViewSchema) -> RowWriter:
        """Return what sends a view's rows; for one thread."""
        layout = Layout(config.online_store.layout)
        return RowWriter(self.client(config), config.project, view, layout)

    @override
    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[PushedRow],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Write pushed rows, each where it is greater than the stored one.

        The rows' ingest sequence is the machine's instant of this call. Naive timestamps are read
        as UTC.

        Raises:
            FutureRowError: A row is later than now plus the allowed skew; nothing is written then.
            EntityRowsError: A join key is null or of another type; nothing is written then.
            OnlineStoreError: A row lacks a feature of its view (nothing is written then), or Redis
                refused.
        """
        view = stored_view(config, table)
        encoder = PushedRowEncoder(
            view,
            self.encoder(config, view),
            latest_us=self._clock.now_us() + DEFAULT_MAX_SKEW_US,
            # Not the store's clock, which may be frozen: the sequence orders arrivals, not events.
            sequence_us=SystemClock().now_us(),
        )
        self.writer(config, view).write(encoder.encode(data))
        if progress is not None:
            progress(len(data))

    @override
    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKeyProto],
        requested_features: list[str] | None = None,
    ) -> list[tuple[datetime | None, dict[str, ValueProto] | None]]:
        """Read rows as Feast wants them; an absent or withheld row is `(event timestamp, None)`.

        A feature that the stored row does not have is left out of its values.

        Raises:
            UnknownFeatureError: A feature is not of the view.
            CorruptRowError: Stored bytes are not of the declared type.
            FutureRowError: A stored row is later than now plus the allowed skew.
            OnlineStoreError: Redis refused or cannot be reached.
        """
        view = stored_view(config, table)
        names = requested_features or [field.name for field in view.features]
        answers: list[tuple[datetime | None, dict[str, ValueProto] | None]] = []
        encoders = [value_encoder(field.dtype) for field in open_view_read(view, names).features]
        for event_us, decoded, statuses in self._read(config, view, entity_keys, names):
            event = None if event_us is None else us_to_datetime(event_us)
            is_withheld = view.withholds_expired and Status.OUTSIDE_MAX_AGE in statuses
            values = {
                name: ValueProto.FromString(encode(value))
                for name, encode, value, status in zip(
                    names, encoders, decoded, statuses, strict=True
                )
                if status is not Status.NOT_FOUND
            }
            answers.append((event, None if event is None or is_withheld else values))
        return answers

    @override
    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],
        entities_to_keep: Sequence[Entity],
        partial: bool,
    ) -> None:
        """Check what is applied, and remove the rows of views and the features that are gone.

        Raises:
            UnsupportedDtypeError: A source column cannot be widened exactly to its declared type;
                nothing is applied.
            CodecError: Two features, or two views, of one entity share the bytes that name them.
            OnlineStoreError: A view is gone and Redis refused or cannot be reached.
        """
        kept = []
        names = SharedNames()
        for table in tables_to_keep:
            if isinstance(table, FeatureView):
                view = stored_view(config, table)
                names.check(view, table.name)
                check_source_types(table, view, Path(config.repo_path or "."))
                kept.append(view)
        removal = Removal(kept, _compile_views(tables_to_delete), keeps_versions(config))
        layout = Layout(config.online_store.layout)
        removal.apply(lambda: self.client(config), config.project, layout)

    @override
    def teardown(
        self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]
    ) -> None:
        """Remove every row of this project, and of no other."""
        delete_project(self.client(config), config.project, _compile_views(tables))

    def delete_entity(
        self, config: RepoConfig, table: FeatureView, entity_rows: Sequence[Mapping[str, Any]]
    ) -> int:
        """Delete entities of one view: NOT_FOUND until a row comes that is later than now.

        Args:
            config: The configuration.
            table: The view.
            entity_rows: Join keys with their values; other columns are ignored.

        Returns:
            How many distinct entities have no row now; one whose row has a later event timestamp
            keeps it.

        Raises:
            EntityRowsError: A join key is missing, null or of another type; nothing is deleted.
            OnlineStoreError: Redis refused or cannot be reached.
        """
        view = stored_view(config, table)
        settings = config.online_store
        deletion = Deletion.now(self._clock, remembered_s=settings.tombstone_s)
        tombstones = deletion.encode(view, config.project, Layout(settings.layout), entity_rows)
        return self.writer(config, view).write(tombstones).n_written

    @override
    def _read_features_per_fv(
        self,
        config: RepoConfig,
        grouped_refs: list[Any],
        join_key_values: dict[str, Any],
        entity_name_to_join_key_map: dict[str, str],
        online_features_response: GetOnlineFeaturesResponse,
        full_feature_names: bool,
        include_feature_view_version_metadata: bool,
    ) -> None:
        """Read every view and append its features with true statuses to Feast's response."""
        prepared = self._prepare(config, grouped_refs)
        parts = prepared.read(
            join_key_values,
            entity_name_to_join_key_map,
            functools.partial(execute_raw, self.client(config)),
            self._clock.now_us(),
        )
        for table, names in grouped_refs:
            output_name = table.projection.name_to_use()
            online_features_response.metadata.feature_names.val.extend(
                f"{output_name}__{name}" if full_feature_names else name for name in names
            )
        if include_feature_view_version_metadata:
            _add_versions(online_features_response, [table for table, _ in grouped_refs])
        online_features_response.MergeFromString(b"".join(parts))

    @property
    @override
    def async_supported(self) -> SupportedAsyncMethods:
        return SupportedAsyncMethods(read=True, write=True)

    # Feast's asynchronous forms run these in threads: the client's pool is safe there, and belongs
    # to no event loop.

    @override
    async def online_write_batch_async(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[PushedRow],
        progress: Callable[[int], Any] | None,
    ) -> None:
        await asyncio.to_thread(self.online_write_batch, config, table, data, progress)

    @override
    async def online_read_async(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKeyProto],
        requested_features: list[str] | None = None,
    ) -> list[tuple[datetime | None, dict[str, ValueProto] | None]]:
        return await asyncio.to_thread(
            self.online_read, config, table, entity_keys, requested_features
        )

    @override
    async def _read_features_per_fv_async(self, *arguments: Any) -> None:
        await asyncio.to_thread(self._read_features_per_fv, *arguments)

    def _prepare(self, config: RepoConfig, grouped_refs: Sequence[tuple[Any, Any]]) -> SdkRead:
        """Return the prepared reading of some views, kept while Feast keeps the views."""
        tables = tuple(table for table, _ in grouped_refs)
        key = tuple((id(table), tuple(names)) for table, names in grouped_refs)
        known = self._prepared.get(key)
        # An address may be another object's by now: the views kept beside it tell.
        if known is not None and all(
            mine is table for mine, table in zip(known[0], tables, strict=True)
        ):
            return known[1]
        asked = [
            AskedView(table, stored_view(config, table), tuple(names))
            for table, names in grouped_refs
        ]
        prepared = SdkRead(Layout(config.online_store.layout), config.project, asked)
        if len(self._prepared) >= _MAX_PREPARED:
            self._prepared.clear()
        self._prepared[key] = tables, prepared
        return prepared

    def _read(
        self,
        config: RepoConfig,
        view: FeatureViewSchema,
        entity_keys: Sequence[EntityKeyProto],
        names: Sequence[str],
    ) -> Iterator[RowAnswer]:
        read = open_view_read(view, names)
        group = open_key_group(Layout(config.online_store.layout), config.project, [read])
        keys = [
            group.encoder.encode(read_key_values(entity_key, view, row_idx=row_idx))
            for row_idx, entity_key in enumerate(entity_keys)
        ]
        as_of_us = self._clock.now_us()
        send = functools.partial(execute_raw, self.client(config))
        (answers,) = decode_group(group, send(group.commands(keys)), as_of_us, send)
        return rows_of(answers)


def _add_versions(response: GetOnlineFeaturesResponse, tables: Sequence[Any]) -> None:
    """Say which version of each view is read; of several of one view the first, as Feast does."""
    told = response.metadata.feature_view_metadata
    for table in tables:
        name = table.projection.name_alias or table.projection.name
        if all(each.name != name for each in told):
            told.add(name=name, version=getattr(table, "current_version_number", 0) or 0)


def stored_view(config: RepoConfig, table: FeatureView) -> FeatureViewSchema:
    """Compile a view under the name of its rows: with its version, where the registry keeps them.

    As in stock Feast, rows of version 0 go by the view's own name; where the registry keeps no
    versions, Feast refuses to read one.
    """
    return dataclasses.replace(
        compile_feature_view(table), name=compute_versioned_name(table, keeps_versions(config))
    )


def _compile_views(tables: Sequence[object]) -> list[FeatureViewSchema]:
    """Compile the feature views among what Feast hands over, without regard to versions."""
    views = [table for table in tables if isinstance(table, FeatureView)]
    return [compile_feature_view(view, is_offline=True) for view in views]

"""The Feast online store: atomic newest-wins writes and ttl-true reads in Redis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import redis
from feast import Entity, FeatureView, RepoConfig
from feast.infra.online_stores.helpers import _redis_key
from feast.infra.online_stores.online_store import OnlineStore
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus, GetOnlineFeaturesResponse
from feast.protos.feast.types.EntityKey_pb2 import EntityKey as EntityKeyProto
from feast.protos.feast.types.Value_pb2 import Value as ValueProto
from feast.repo_config import FeastConfigBaseModel
from feast.utils import _get_entity_key_protos, _get_unique_entities
from google.protobuf.timestamp_pb2 import Timestamp
from typing_extensions import override

from evenstore.clock import Clock, clock_from_environment, datetime_to_us, format_us, us_to_datetime
from evenstore.codec.feast_row import (
    FeastRowLayout,
    decode_timestamp,
    encode_order,
    encode_timestamp,
)
from evenstore.codec.rows import EncodedRows
from evenstore.errors import FutureRowError, OnlineStoreError
from evenstore.feast_versions import check_feast_version
from evenstore.online.connection import execute, open_redis
from evenstore.online.lookup import DEFAULT_MAX_SKEW_US
from evenstore.online.purge import delete_project, delete_view
from evenstore.online.writer import RowWriter
from evenstore.redis_server import resolve_connection
from evenstore.schema.compile import compile_feature_view
from evenstore.schema.model import FeatureViewSchema
from evenstore.schema.source import check_source_types
from evenstore.semantics import Origin, RowOrder, Status, decide_status, is_within_ttl

__all__ = ["RedisOnlineStore", "RedisOnlineStoreConfig"]

check_feast_version()

_ENTITY_KEY_VERSION = 3
_FIELD_STATUS = {status: FieldStatus.Value(status.name) for status in Status}

_Row = tuple[EntityKeyProto, dict[str, ValueProto], datetime, datetime | None]


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

    timeout_s: float = 10.0
    """Longest wait for a connection and for a reply, in seconds."""


class RedisOnlineStore(OnlineStore):
    """Rows in Feast's own Redis layout, written atomically and read with true statuses.

    One object per feature store and process; its client is a thread-safe pool that survives forks.
    """

    _versioned_read_supported = False

    def __init__(self) -> None:
        self._clients: dict[str, redis.Redis] = {}
        self._clock: Clock = clock_from_environment()

    def client(self, config: RepoConfig) -> redis.Redis:
        """Return the connected pool of a configuration.

        Raises:
            OnlineStoreUnavailableError: The embedded Redis is asked for and none runs.
            ConfigurationError: The connection string has no known form.
        """
        settings = config.online_store
        url = resolve_connection(settings.connection_string, Path(config.repo_path or "."))
        if url not in self._clients:
            self._clients[url] = open_redis(url, timeout_s=settings.timeout_s)
        return self._clients[url]

    @override
    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[_Row],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Write pushed rows, each where it is greater than the stored one.

        The rows' ingest sequence is the instant of this call. Naive timestamps are read as UTC.

        Raises:
            FutureRowError: A row is later than now plus the allowed skew; nothing is written then.
            OnlineStoreError: A row lacks a feature of its view, or Redis refused.
        """
        view = compile_feature_view(table)
        now_us = self._clock.now_us()
        rows = _encode_pushed(view, config.project, data, now_us)
        RowWriter(self.client(config), view).write(rows)
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
        """Read rows as Feast wants them; an absent or withheld row is `(event timestamp, None)`."""
        view = compile_feature_view(table)
        names = requested_features or [field.name for field in view.features]
        rows = self._read(config, view, entity_keys, names)
        return [
            (
                None if row.event_us is None else us_to_datetime(row.event_us),
                None if not row.shows_values else row.values(),
            )
            for row in rows
        ]

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
        """Check what is applied and remove the rows of views that are gone.

        Raises:
            UnsupportedDtypeError: A source column cannot be widened exactly to its declared type;
                nothing is applied.
            CodecError: Two features of a view share a field name.
        """
        for table in tables_to_keep:
            if isinstance(table, FeatureView):
                view = compile_feature_view(table)
                FeastRowLayout(view)
                check_source_types(table, view, Path(config.repo_path or "."))
        for table in tables_to_delete:
            if isinstance(table, FeatureView):
                delete_view(self.client(config), config.project, compile_feature_view(table))

    @override
    def teardown(
        self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]
    ) -> None:
        """Remove every row of this project, and of no other."""
        delete_project(self.client(config), config.project)

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
        for table, names in grouped_refs:
            entities, positions, n_rows = _get_unique_entities(
                table, join_key_values, entity_name_to_join_key_map
            )
            view = compile_feature_view(table)
            rows = self._read(config, view, _get_entity_key_protos(entities), list(names))
            output_name = table.projection.name_to_use()
            online_features_response.metadata.feature_names.val.extend(
                f"{output_name}__{name}" if full_feature_names else name for name in names
            )
            by_row = _spread(rows, positions, n_rows)
            for i in range(len(names)):
                online_features_response.results.append(
                    GetOnlineFeaturesResponse.FeatureVector(
                        values=[row.value(i) for row in by_row],
                        statuses=[_FIELD_STATUS[row.status(i)] for row in by_row],
                        event_timestamps=[row.timestamp() for row in by_row],
                    )
                )

    def _read(
        self,
        config: RepoConfig,
        view: FeatureViewSchema,
        entity_keys: Sequence[EntityKeyProto],
        names: list[str],
    ) -> list[_StoredRow]:
        layout = FeastRowLayout(view)
        fields = [layout.timestamp_field, *(layout.feature_fields[name] for name in names)]
        commands = [
            (b"HMGET", _redis_key(config.project, key, _ENTITY_KEY_VERSION), *fields)
            for key in entity_keys
        ]
        as_of_us = self._clock.now_us()
        replies: list[Any] = execute(self.client(config), commands)
        return [_StoredRow(view, names, reply, as_of_us) for reply in replies]


class _StoredRow:
    """One entity's stored fields, as Feast's response wants them."""

    def __init__(
        self,
        view: FeatureViewSchema,
        names: list[str],
        reply: Sequence[bytes | None],
        as_of_us: int,
    ) -> None:
        self._names = names
        self._fields = reply[1:]
        self.event_us = None if reply[0] is None else decode_timestamp(reply[0])
        self._is_expired = self.event_us is not None and not is_within_ttl(
            event_us=self.event_us, as_of_us=as_of_us, ttl_us=view.enforced_ttl_us
        )
        self.shows_values = self.event_us is not None and not (
            self._is_expired and view.withholds_expired
        )

    def value(self, position: int) -> ValueProto:
        value = ValueProto()
        field = self._fields[position]
        if self.shows_values and field:
            value.ParseFromString(field)
        return value

    def values(self) -> dict[str, ValueProto]:
        return {
            name: self.value(i) for i, name in enumerate(self._names) if self._fields[i] is not None
        }

    def status(self, position: int) -> Status:
        field = self._fields[position]
        return decide_status(
            is_found=self.event_us is not None and field is not None,
            is_expired=self._is_expired,
            is_null=field == b"",
        )

    def timestamp(self) -> Timestamp:
        timestamp = Timestamp()
        if self.event_us is not None:
            timestamp.FromMicroseconds(self.event_us)
        return timestamp


def _spread(
    rows: Sequence[_StoredRow], positions: Sequence[Sequence[int]], n_rows: int
) -> list[_StoredRow]:
    placed = {i: row for row, targets in zip(rows, positions, strict=True) for i in targets}
    return [placed[i] for i in range(n_rows)]


def _encode_pushed(
    view: FeatureViewSchema, project: str, data: Sequence[_Row], now_us: int
) -> EncodedRows:
    keys, timestamps, orders = [], [], []
    for row_idx, (entity_key, values, event, created) in enumerate(data):
        missing = [field.name for field in view.features if field.name not in values]
        if missing:
            msg = f"{view.name}: row {row_idx} lacks {', '.join(missing)}"
            raise OnlineStoreError(msg, hint="write all features of the view in one row")
        order = _pushed_order(view, row_idx, (event, created), now_us)
        keys.append(_redis_key(project, entity_key, _ENTITY_KEY_VERSION))
        timestamps.append(encode_timestamp(order.event_us))
        orders.append(encode_order(order, Origin.PUSH))
    features = [
        [values[field.name].SerializeToString() for _, values, _, _ in data]
        for field in view.features
    ]
    return EncodedRows(keys, timestamps, orders, features)


def _pushed_order(
    view: FeatureViewSchema, row_idx: int, stamps: tuple[datetime, datetime | None], now_us: int
) -> RowOrder:
    event, created = stamps
    event_us = datetime_to_us(event, naive_is_utc=True)
    if event_us > now_us + DEFAULT_MAX_SKEW_US:
        msg = f"{view.name}: row {row_idx} has event timestamp {format_us(event_us)}, after now"
        raise FutureRowError(msg, hint="it would hide the row that is valid until then")
    created_us = None if created is None else datetime_to_us(created, naive_is_utc=True)
    return RowOrder(event_us, created_us, now_us)

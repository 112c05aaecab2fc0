"""The Feast online store: atomic newest-wins writes and ttl-true reads in Redis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import redis
from feast import Entity, FeatureView, RepoConfig
from feast.infra.online_stores.online_store import OnlineStore
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus, GetOnlineFeaturesResponse
from feast.protos.feast.types.EntityKey_pb2 import EntityKey as EntityKeyProto
from feast.protos.feast.types.Value_pb2 import Value as ValueProto
from feast.repo_config import FeastConfigBaseModel
from feast.utils import _get_entity_key_protos, _get_unique_entities
from google.protobuf.timestamp_pb2 import Timestamp
from typing_extensions import override

from evenstore.clock import Clock, SystemClock, clock_from_environment, us_to_datetime
from evenstore.codec.entity_key import EntityKeyEncoder
from evenstore.codec.feast_row import FeastRowLayout
from evenstore.errors import CodecError, UnknownFeatureError
from evenstore.feast_versions import check_feast_version
from evenstore.online.connection import execute, open_redis
from evenstore.online.lookup import DEFAULT_MAX_SKEW_US, ViewDecoder
from evenstore.online.purge import delete_project, delete_view
from evenstore.online.push import PushedRow, PushedRowEncoder, read_key_values
from evenstore.online.writer import RowWriter
from evenstore.redis_server import resolve_connection
from evenstore.schema.compile import compile_feature_view
from evenstore.schema.model import FeatureViewSchema, Field
from evenstore.schema.request import ViewRead
from evenstore.schema.source import check_source_types
from evenstore.semantics import Status

__all__ = ["RedisOnlineStore", "RedisOnlineStoreConfig"]

check_feast_version()

_FIELD_STATUS = {status: FieldStatus.Value(status.name) for status in Status}


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
        view = compile_feature_view(table)
        encoder = PushedRowEncoder(
            view,
            config.project,
            latest_us=self._clock.now_us() + DEFAULT_MAX_SKEW_US,
            # Not the store's clock, which may be frozen: the sequence orders arrivals, not events.
            sequence_us=SystemClock().now_us(),
        )
        RowWriter(self.client(config), view).write(encoder.encode(data))
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
        view = compile_feature_view(table)
        names = requested_features or [field.name for field in view.features]
        answers: list[tuple[datetime | None, dict[str, ValueProto] | None]] = []
        for row in self._read(config, view, entity_keys, names):
            event = None if row.event_us is None else us_to_datetime(row.event_us)
            is_withheld = view.withholds_expired and Status.OUTSIDE_MAX_AGE in row.statuses
            values = {
                name: row.values[i]
                for i, name in enumerate(names)
                if row.statuses[i] is not Status.NOT_FOUND
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
        """Check what is applied and remove the rows of views that are gone.

        Raises:
            UnsupportedDtypeError: A source column cannot be widened exactly to its declared type;
                nothing is applied.
            CodecError: Two features of one entity share a field name.
        """
        taken: dict[tuple[tuple[Field, ...], bytes], str] = {}
        for table in tables_to_keep:
            if isinstance(table, FeatureView):
                view = compile_feature_view(table)
                _refuse_shared_fields(view, taken)
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
            view = compile_feature_view(table)
            keys = _entity_keys(table, view, join_key_values)
            if keys is None:
                entities, positions, n_rows = _get_unique_entities(
                    table, join_key_values, entity_name_to_join_key_map
                )
                rows = self._read(config, view, _get_entity_key_protos(entities), list(names))
                by_row = _spread(rows, positions, n_rows)
            else:
                by_row = self._read(config, view, keys, list(names))
            output_name = table.projection.name_to_use()
            online_features_response.metadata.feature_names.val.extend(
                f"{output_name}__{name}" if full_feature_names else name for name in names
            )
            for i in range(len(names)):
                online_features_response.results.append(
                    GetOnlineFeaturesResponse.FeatureVector(
                        values=[row.values[i] for row in by_row],
                        statuses=[_FIELD_STATUS[row.statuses[i]] for row in by_row],
                        event_timestamps=[row.timestamp for row in by_row],
                    )
                )

    def _read(
        self,
        config: RepoConfig,
        view: FeatureViewSchema,
        entity_keys: Sequence[EntityKeyProto],
        names: Sequence[str],
    ) -> list[_StoredRow]:
        decoder = ViewDecoder(_view_read(view, names))
        encoder = EntityKeyEncoder(view.join_keys, config.project)
        commands = [
            (
                b"HMGET",
                encoder.encode(read_key_values(entity_key, view, row_idx=row_idx)),
                *decoder.fields,
            )
            for row_idx, entity_key in enumerate(entity_keys)
        ]
        as_of_us = self._clock.now_us()
        replies: list[Any] = execute(self.client(config), commands)
        return [_stored_row(decoder, reply, as_of_us) for reply in replies]


def _refuse_shared_fields(
    view: FeatureViewSchema, taken: dict[tuple[tuple[Field, ...], bytes], str]
) -> None:
    """Views on the same join keys share a hash, whose field names have only 32 bits."""
    for feature, stored in FeastRowLayout(view).feature_fields.items():
        name = f"{view.name}:{feature}"
        other = taken.setdefault((view.join_keys, stored), name)
        if other != name:
            msg = f"features `{other}` and `{name}` share the field {stored.hex()}"
            raise CodecError(msg, hint="rename one of them: Feast's field names have 32 bits")


def _view_read(view: FeatureViewSchema, names: Sequence[str]) -> ViewRead:
    features = {field.name: field for field in view.features}
    missing = [name for name in names if name not in features]
    if missing:
        raise UnknownFeatureError(
            [f"{view.name}:{name}" for name in missing],
            [f"{view.name}:{name}" for name in features],
        )
    return ViewRead(
        view=view,
        output_name=view.name,
        key_columns=tuple(key.name for key in view.join_keys),
        features=tuple(features[name] for name in names),
    )


def _entity_keys(
    table: FeatureView, view: FeatureViewSchema, columns: dict[str, Any]
) -> list[EntityKeyProto] | None:
    """Return a request's entity keys by the columns that the view's projection names.

    Feast itself mixes the columns up where a view is read under its own join key and under an
    alias. None where a column goes by another name, such as an entity's: then Feast's own look-up
    decides.
    """
    renamed = table.projection.join_key_map or {}
    wanted = [renamed.get(key.name, key.name) for key in view.join_keys]
    if not wanted or any(name not in columns for name in wanted):
        return None
    names = [key.name for key in view.join_keys]
    rows = zip(*(columns[name] for name in wanted), strict=True)
    return [EntityKeyProto(join_keys=names, entity_values=row) for row in rows]


@dataclass(frozen=True, slots=True)
class _StoredRow:
    """One entity's row, as Feast's response wants it."""

    event_us: int | None
    values: Sequence[ValueProto]
    statuses: Sequence[Status]

    @property
    def timestamp(self) -> Timestamp:
        timestamp = Timestamp()
        if self.event_us is not None:
            timestamp.FromMicroseconds(self.event_us)
        return timestamp


def _stored_row(decoder: ViewDecoder, reply: Sequence[bytes | None], as_of_us: int) -> _StoredRow:
    # Decoded first, so that the SDK refuses and withholds exactly what the gateway does.
    event_us, decoded, statuses = decoder.decode(reply, as_of_us)
    values = [
        ValueProto() if value is None or not data else ValueProto.FromString(data)
        for value, data in zip(decoded, reply[1:], strict=True)
    ]
    return _StoredRow(event_us, values, statuses)


def _spread(
    rows: Sequence[_StoredRow], positions: Sequence[Sequence[int]], n_rows: int
) -> list[_StoredRow]:
    placed = {i: row for row, targets in zip(rows, positions, strict=True) for i in targets}
    return [placed[i] for i in range(n_rows)]

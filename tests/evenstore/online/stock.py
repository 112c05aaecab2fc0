"""Stock Feast's own Redis store on the test server, and rows of plain Python values for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import unquote, urlsplit

from feast import FeatureView, RepoConfig
from feast.infra.online_stores.redis import RedisOnlineStore as StockRedisOnlineStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

__all__ = ["StockStore", "int64_key", "stock_connection"]


def stock_connection(redis_url: str) -> str:
    """Say a test server's URL in stock Feast's form."""
    parts = urlsplit(redis_url)
    if parts.scheme == "unix":
        return f"localhost:0,unix_socket_path={unquote(parts.path)}"
    return f"{parts.hostname}:{parts.port}"


class StockStore:
    """Stock's store for one project."""

    def __init__(self, redis_url: str, project: str) -> None:
        self.config = RepoConfig(
            project=project,
            provider="local",
            registry="unused.db",
            online_store={"type": "redis", "connection_string": stock_connection(redis_url)},
            entity_key_serialization_version=3,
        )
        self._store = StockRedisOnlineStore()

    def write(
        self,
        view: FeatureView,
        rows: Sequence[tuple[EntityKey, Mapping[str, Value], datetime, datetime | None]],
    ) -> None:
        """Write rows as stock does: read the timestamps, then write what is later."""
        self._store.online_write_batch(
            self.config,
            view,
            [(key, dict(values), event, created) for key, values, event, created in rows],
            None,
        )

    def read(
        self, view: FeatureView, keys: list[EntityKey], features: list[str]
    ) -> list[tuple[datetime | None, dict[str, Any] | None]]:
        """Read rows as stock does."""
        return list(self._store.online_read(self.config, view, keys, features))


def int64_key(name: str, value: int) -> EntityKey:
    """Make Feast's key of an int64 entity."""
    return EntityKey(join_keys=[name], entity_values=[Value(int64_val=value)])

"""Where pushed rows go online: the repo's Redis, in the repo's layout."""

from __future__ import annotations

import threading
from pathlib import Path

import redis
from feast import FeatureStore

from evenstore.codec.rows import RowEncoder
from evenstore.errors import ConfigurationError
from evenstore.online.connection import open_redis
from evenstore.online.store import RedisOnlineStore
from evenstore.online.writer import RowWriter, open_encoder
from evenstore.redis_server import resolve_connection
from evenstore.schema.model import FeatureViewSchema, Layout

__all__ = ["OnlineWriter"]

_STOCK_TIMEOUT_S = 10.0

_KnownWriter = tuple[FeatureViewSchema, redis.Redis | None, RowWriter]


class OnlineWriter:
    """Encodes and writes rows of any view; for use from several threads.

    In front of stock Feast's own online store it writes the same layout, with the atomic rule.

    Args:
        store: The feature store.
        repo_path: Folder of the repo.
    """

    def __init__(self, store: FeatureStore, repo_path: Path) -> None:
        self._config = store.config
        self._repo_path = repo_path
        online_store = store._get_provider().online_store  # noqa: SLF001 - Feast has no other way
        self._own = online_store if isinstance(online_store, RedisOnlineStore) else None
        self._client: redis.Redis | None = None if self._own else self._open_stock()
        # By name, and only for the very view that is asked for: hashing a view takes long.
        self._encoders: dict[str, tuple[FeatureViewSchema, RowEncoder]] = {}
        self._of_thread = threading.local()

    def encoder(self, view: FeatureViewSchema) -> RowEncoder:
        """Return what makes the bytes of a view's rows."""
        known = self._encoders.get(view.name)
        if known is not None and known[0] is view:
            return known[1]
        encoder = (
            open_encoder(view, self._config.project, Layout.FEAST)
            if self._own is None
            else self._own.encoder(self._config, view)
        )
        self._encoders[view.name] = (view, encoder)
        return encoder

    def writer(self, view: FeatureViewSchema) -> RowWriter:
        """Return what sends a view's rows; for this thread only.

        Raises:
            OnlineStoreUnavailableError: The embedded Redis does not run.
        """
        # Where the embedded Redis is may change: its client is asked for each time.
        client = self._client
        if self._own is not None:
            client = self._own.client(self._config)
        writers: dict[str, _KnownWriter] = self._of_thread.__dict__.setdefault("writers", {})
        known = writers.get(view.name)
        if known is not None and known[0] is view and known[1] is client:
            return known[2]
        writer = self._make(view, client)
        writers[view.name] = (view, client, writer)
        return writer

    def _make(self, view: FeatureViewSchema, client: redis.Redis | None) -> RowWriter:
        if self._own is not None:
            return self._own.writer(self._config, view)
        if client is None:
            raise _no_redis()
        return RowWriter(client, self._config.project, view, Layout.FEAST)

    def _open_stock(self) -> redis.Redis:
        connection_string = getattr(self._config.online_store, "connection_string", None)
        if not isinstance(connection_string, str):
            raise _no_redis()
        url = resolve_connection(connection_string, self._repo_path)
        return open_redis(url, timeout_s=_STOCK_TIMEOUT_S)


def _no_redis() -> ConfigurationError:
    return ConfigurationError(
        "`online_store` in feature_store.yaml has no connection_string",
        hint="the gateway writes to Redis: use `evenstore.online.store.RedisOnlineStore`",
    )

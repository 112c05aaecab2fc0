"""Where pushed rows go online: the repo's Redis, in the repo's layout."""

from __future__ import annotations

import threading
from dataclasses import dataclass
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
from serving.writes.few_rows import FewRowsWriter, is_few
from serving.writes.rows import PushedRows

__all__ = ["OnlineWriter"]

_STOCK_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class _ViewWriter:
    """What writes rows of one view in one thread, made for one client.

    Attributes:
        view: The view.
        client: Where to; None before it is known.
        many: Writes what an encoder made.
        few: Encodes and writes few rows for less, where the layout allows it.
    """

    view: FeatureViewSchema
    client: redis.Redis | None
    many: RowWriter
    few: FewRowsWriter | None


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

    def write(self, rows: PushedRows, sequence_us: int) -> None:
        """Write rows of one view, each where it is greater than the stored one.

        Args:
            rows: At most one of each entity.
            sequence_us: Their ingest sequence.

        Raises:
            CodecError: A value cannot be stored; nothing is written.
            OnlineStoreError: Redis refused, or cannot be reached.
        """
        writer = self._writer(rows.view)
        if writer.few is not None and is_few(rows):
            try:
                writer.few.write(rows, sequence_us)
            except OverflowError:
                pass  # The other encoder says what is wrong.
            else:
                return
        writer.many.write(self._encoder(rows.view).encode(rows.batch(sequence_us)))

    def _encoder(self, view: FeatureViewSchema) -> RowEncoder:
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

    def _writer(self, view: FeatureViewSchema) -> _ViewWriter:
        """Return what writes a view's rows in this thread."""
        # Where the embedded Redis is may change: its client is asked for each time.
        client = self._client
        if self._own is not None:
            client = self._own.client(self._config)
        writers: dict[str, _ViewWriter] = self._of_thread.__dict__.setdefault("writers", {})
        known = writers.get(view.name)
        if known is not None and known.view is view and known.client is client:
            return known
        writer = _ViewWriter(view, client, self._many(view, client), self._few(view, client))
        writers[view.name] = writer
        return writer

    def _many(self, view: FeatureViewSchema, client: redis.Redis | None) -> RowWriter:
        if self._own is not None:
            return self._own.writer(self._config, view)
        if client is None:
            raise _no_redis()
        return RowWriter(client, self._config.project, view, Layout.FEAST)

    def _few(self, view: FeatureViewSchema, client: redis.Redis | None) -> FewRowsWriter | None:
        if self._own is None or client is None:
            return None
        settings = self._config.online_store
        if Layout(settings.layout) is not Layout.PACKED or settings.expiry_grace_s is not None:
            return None
        return FewRowsWriter(client, self._config.project, view)

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

"""The isolated copy that faults are planted in: a repo and a Redis that nobody else uses."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from feast import FeatureStore
from redis import Redis

from evenstore.clock import datetime_to_us
from evenstore.codec.rows import RowBatch, RowInstants
from evenstore.online.key_scan import open_key_encoder
from evenstore.online.writer import RowWriter, open_encoder
from evenstore.redis_server import embedded_redis
from evenstore.schema.arrow import arrow_type
from evenstore.schema.compile import compile_store
from evenstore.schema.model import FeatureViewSchema
from evenstore.schema.repository import open_repository
from evenstore.schema.request import FeatureRequest
from evenstore.schema.version import resolve_request
from evenstore.semantics import Origin
from parity.selftest.definitions import LAYOUT, PROJECT, SERVICE, define, write_configuration
from parity.selftest.rows import (
    NOW,
    STATS_ROWS,
    generate_offers,
    generate_products,
    generate_stats,
    newest_first,
)

__all__ = ["STATS", "World", "open_world"]

STATS = "stats"
_FILE = "rows.parquet"
_EARLIEST = datetime(1950, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Kept:
    """What Redis and the sources were before a fault."""

    stored: Mapping[bytes, bytes] = field(default_factory=dict)
    files: Mapping[Path, tuple[bytes, int]] = field(default_factory=dict)


@dataclass(slots=True)
class World:
    """One generated repo, loaded into its own Redis.

    Attributes:
        path: The repo's folder.
        store: The repo, opened.
        redis: The online store.
        views: The views, by name.
        request_before_edit: The feature service as it was before the definitions were edited.
        rows: All rows of the customers' view.
    """

    path: Path
    store: FeatureStore
    redis: Redis
    views: Mapping[str, FeatureViewSchema]
    request_before_edit: FeatureRequest
    rows: list[dict[str, Any]] = field(default_factory=list)
    _kept: _Kept = field(default_factory=_Kept)

    @property
    def data(self) -> Path:
        """The folder of the sources."""
        return self.path / "data"

    @property
    def request(self) -> FeatureRequest:
        """The feature service as it is."""
        return resolve_request(self.store, SERVICE)

    @property
    def customers(self) -> list[int]:
        """All customers that the source knows."""
        return sorted({row["customer_id"] for row in self.rows})

    def newest(self, customer: int, nth: int = 0) -> dict[str, Any]:
        """Return a customer's newest row, or the one so many before it."""
        return newest_first(self.rows, customer)[nth]

    def load(self, seed: int) -> None:
        """Write the rows of a seed, and materialize them into an empty Redis.

        The offers have no random rows: they are loaded with the first seed alone.
        """
        views = [name for name in self.views if name != "offers" or not self.rows]
        self.rows = generate_stats(seed)
        _write_rows(self.data, self.rows, seed)
        self.redis.flushall()
        with _quietly():
            self.store.materialize(_EARLIEST, NOW, feature_views=views)
        self._kept = self._keep()

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Put everything back, after the block, as it was when it was loaded."""
        try:
            yield
        finally:
            self._restore()

    def remove(self, key: Any, view: str = STATS) -> None:
        """Remove an entity with all its rows online."""
        self.redis.delete(self.key(key, view))

    def key(self, key: Any, view: str = STATS) -> bytes:
        """Return the Redis key of an entity."""
        return open_key_encoder(self.views[view], PROJECT, LAYOUT).encode((key,))

    def store_row(
        self,
        key: Any,
        row: Mapping[str, Any],
        *,
        view: FeatureViewSchema | None = None,
        origin: Origin = Origin.RUN,
    ) -> None:
        """Write a row online as a run or a push does: it stays where it is the greater.

        Args:
            key: The entity.
            row: Features by name, `event_timestamp` and, where there is one, `created`.
            view: The schema that it is written with, if not that of the customers' view.
            origin: Who is said to write it.
        """
        view = view or self.views[STATS]
        created = row.get("created")
        instants = RowInstants(
            event_us=np.array([datetime_to_us(row["event_timestamp"])], np.int64),
            created_us=np.array([0 if created is None else datetime_to_us(created)], np.int64),
            is_created_null=np.array([created is None], np.bool_),
            sequence_us=np.ones(1, np.int64),
            origin=origin,
        )
        columns = [
            pa.array([row.get(field.name)], arrow_type(field.dtype)) for field in view.features
        ]
        keys = [pa.array([key], arrow_type(view.join_keys[0].dtype))]
        batch = RowBatch(keys, columns, frozenset(), instants)
        encoded = open_encoder(view, PROJECT, LAYOUT).encode(batch)
        RowWriter(self.redis, PROJECT, view, LAYOUT).write(encoded)

    def replace(self, key: int, changes: Mapping[str, Any], **options: Any) -> None:
        """Put a changed row in the place of a customer's newest, whatever their order.

        Args:
            key: The customer.
            changes: What is other than in the newest row of the source.
            options: As for `store_row`.
        """
        self.remove(key)
        self.store_row(key, self.newest(key) | dict(changes), **options)

    def append(self, *rows: Mapping[str, Any]) -> None:
        """Publish another file of the customers' source."""
        _write_source(self.data / STATS, _stats_table(rows), "later.parquet")

    def rewrite(self, keeps: Callable[[Mapping[str, Any]], bool]) -> None:
        """Write the customers' source anew with some of its rows."""
        _write_source(self.data / STATS, _stats_table([row for row in self.rows if keeps(row)]))

    def _keep(self) -> _Kept:
        keys = [*self.redis.scan_iter()]
        pipeline = self.redis.pipeline(transaction=False)
        for key in keys:
            pipeline.dump(key)
        stored = dict(zip(keys, pipeline.execute(), strict=True))
        paths = self._files()
        return _Kept(stored, {path: (path.read_bytes(), _modified(path)) for path in paths})

    def _restore(self) -> None:
        kept = self._kept
        self.redis.flushall()
        pipeline = self.redis.pipeline(transaction=False)
        for key, value in kept.stored.items():
            pipeline.restore(key, 0, value)
        pipeline.execute()
        for path in self._files():
            if path not in kept.files:
                path.unlink()
        for path, (data, modified_ns) in kept.files.items():
            if not path.exists() or _modified(path) != modified_ns:
                path.write_bytes(data)
                # The watermark knows a file by this.
                os.utime(path, ns=(modified_ns, modified_ns))

    def _files(self) -> Sequence[Path]:
        return sorted(self.data.rglob("*.parquet"))


@contextmanager
def open_world(seed: int) -> Iterator[World]:
    """Make a repo in a temporary folder with a Redis of its own; both are gone after the block.

    Raises:
        ConfigurationError: There is no Redis server to start.
        OnlineStoreError: It does not start.
    """
    with tempfile.TemporaryDirectory(prefix="evenstore-selftest-") as temporary:
        folder = Path(temporary).resolve()
        # Without the variable that names a server: everything in this one is removed.
        environ = {"PATH": os.environ.get("PATH", "")}
        with (
            embedded_redis(folder / "redis", environ=environ) as server,
            Redis.from_url(server.url) as client,
        ):
            yield _build(folder / "repo", server.url, client, seed)


def _build(path: Path, redis_url: str, client: Redis, seed: int) -> World:
    path.mkdir()
    write_configuration(path, redis_url)
    data = path / "data"
    _write_source(data / "offers", generate_offers(10.0))
    _write_source(data / "first_offers", generate_offers(20.0))
    _write_rows(data, generate_stats(seed), seed)
    unedited = _apply(path, is_edited=False)
    request = resolve_request(unedited, SERVICE)
    store = _apply(path, is_edited=True)
    views = {view.name: view for view in compile_store(store).feature_views}
    world = World(path, store, client, views, request)
    world.load(seed)
    return world


def _apply(path: Path, *, is_edited: bool) -> FeatureStore:
    with warnings.catch_warnings(), _quietly():
        # Feast calls on-demand views experimental wherever one is made.
        warnings.simplefilter("ignore", RuntimeWarning)
        FeatureStore(repo_path=str(path)).apply(define(path / "data", is_edited=is_edited))
    return open_repository(path)


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep what Feast and a run say of their work, on both streams, from whoever reads ours."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        yield


def _write_rows(data: Path, stats: Sequence[Mapping[str, Any]], seed: int) -> None:
    _write_source(data / STATS, _stats_table(stats))
    _write_source(data / "products", generate_products(seed))


def _stats_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist([dict(row) for row in rows], schema=STATS_ROWS)


def _write_source(folder: Path, table: pa.Table, file: str = _FILE) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / file)


def _modified(path: Path) -> int:
    return path.stat().st_mtime_ns

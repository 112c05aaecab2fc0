"""The keys met on either side, so that keys of the online side alone can be told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import duckdb
import pyarrow as pa

from evenstore.codec.cells import Cells
from evenstore.duckdb_session import SessionLimits, open_session
from evenstore.sql.key_sets import (
    KEY_BATCH,
    build_add_keys_sql,
    build_empty_set_sql,
    only_online_sql,
)

__all__ = ["KeySets", "open_key_sets"]

# Beyond it keys are spilled.
_MEMORY = "256MB"
_KEYS_PER_READ = 10_000
# A statement costs as much as thousands of keys.
_KEYS_PER_INSERT = 131_072


class KeySets:
    """Two sets of keys, on disk where they do not fit in memory.

    Args:
        session: Of its own.
    """

    def __init__(self, session: duckdb.DuckDBPyConnection) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._waiting: dict[bool, list[Cells]] = {False: [], True: []}
        for is_online in self._waiting:
            session.execute(build_empty_set_sql(is_online=is_online))

    def add(self, keys: Cells, *, is_online: bool) -> None:
        """Add keys to the set of a side; one may come more than once. Any thread may."""
        with self._lock:
            waiting = self._waiting[is_online]
            waiting.append(keys)
            if sum(map(len, waiting)) >= _KEYS_PER_INSERT:
                self._insert(is_online=is_online)

    def only_online(self) -> Iterator[list[bytes]]:
        """Stream the keys of the online side alone; nothing may be added meanwhile."""
        for is_online in self._waiting:
            self._insert(is_online=is_online)
        reader = self._session.sql(only_online_sql()).to_arrow_reader(_KEYS_PER_READ)
        for batch in reader:
            yield batch.column(0).to_pylist()

    def _insert(self, *, is_online: bool) -> None:
        keys = pa.chunked_array(self._waiting[is_online], pa.binary())
        self._waiting[is_online] = []
        if not len(keys):
            return
        self._session.register(KEY_BATCH, pa.table({"key": keys}))
        self._session.execute(build_add_keys_sql(is_online=is_online))
        self._session.unregister(KEY_BATCH)


@contextmanager
def open_key_sets(limits: SessionLimits) -> Iterator[KeySets]:
    """Make two empty sets for the block.

    Args:
        limits: Of DuckDB; the memory is bounded where they do not say how.

    Raises:
        OfflineStoreError: Neither memory nor temporary disk is left.
    """
    chosen = replace(limits, memory_limit=limits.memory_limit or _MEMORY)
    with open_session(chosen) as session:
        yield KeySets(session)

"""The online side: stored rows of many entities, read and decoded as a gateway does it.

Reads only. This is the one module that knows how lookups are sent and what they give.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow.compute as pc
import redis

from evenstore.codec.cells import Cells, cells_of, join_cells, numbered_cells
from evenstore.codec.command import encode_bulk
from evenstore.codec.entity_key import EntityKeyEncoder
from evenstore.codec.nullable_array import NullableArray
from evenstore.codec.resp import bulk_cells
from evenstore.compute.pace import Pace, PaceLimits
from evenstore.errors import EvenstoreError
from evenstore.online.connection import DRIVER_ERRORS, exchange, execute, translate_redis_error
from evenstore.online.key_group import open_key_group
from evenstore.online.key_scan import scan_likely_keys
from evenstore.online.row_schemas import RowSchemaNeeded
from evenstore.online.stored_rows import StoredRow, read_rows
from evenstore.online.view_columns import ViewColumns
from evenstore.schema.model import Layout
from evenstore.schema.request import ViewRead
from parity.full.rows import Rows

__all__ = ["Replies", "StoredReader"]

# One command keeps Redis from everybody else until it is answered.
_KEYS_PER_COMMAND = 512
# A row that must be read with care takes those of its block along: blocks shrink where there are
# such rows, and grow again behind them.
_MOST_PER_BLOCK = 10_000
_FEWEST_PER_BLOCK = 256
_KEYS_PER_TURN = 16_384

Replies = list[Any]
"""What Redis has of each entity, in the order asked for."""


class StoredReader:
    """Reads the stored rows of one view.

    Args:
        client: Redis.
        project: The Feast project.
        read: The view, under the name that its rows are stored by.
        layout: How rows lie in Redis.
        as_of_us: The instant that ttl goes by.
        limits: How fast Redis may be read.
    """

    def __init__(
        self,
        client: redis.Redis,
        project: str,
        read: ViewRead,
        layout: Layout,
        *,
        as_of_us: int,
        limits: PaceLimits,
    ) -> None:
        self._client = client
        self._keys_per_turn = limits.rows_per_chunk(_KEYS_PER_TURN)
        self._pace = Pace(limits, client.ping)
        self._turn = threading.Lock()
        self._read = read
        self._layout = layout
        self._as_of_us = as_of_us
        self._group = open_key_group(layout, project, [read])
        self._rows_per_block = _MOST_PER_BLOCK
        self._unknown: dict[tuple[str, bytes], EvenstoreError] = {}
        ((name, _, *fields),) = self._group.commands([b"key"])
        self._name, self._fields = encode_bulk(name), [encode_bulk(field) for field in fields]

    @property
    def encoder(self) -> EntityKeyEncoder:
        """What makes the Redis keys."""
        return self._group.encoder

    def fetch(self, keys: Cells) -> Replies:
        """Ask Redis for some entities; safe beside `decode` in another thread.

        Raises:
            OnlineStoreError: Redis refused or cannot be reached.
        """
        send = self._fetch_strings if self._layout is Layout.PACKED else self._fetch_hashes
        replies: Replies = []
        for start in range(0, len(keys), self._keys_per_turn):
            some = keys.slice(start, self._keys_per_turn)
            replies += send(some)
            self._rest(len(some))
        return replies

    def walk_keys(self) -> Iterator[list[bytes]]:
        """Walk the keys of all entities that the view can have rows of; a key may come twice.

        Another project's key may look like one: `encoder.decode` tells.

        Raises:
            OnlineStoreError: Redis refused or cannot be reached.
        """
        for keys in scan_likely_keys(self._client, self.encoder, self._layout):
            yield keys
            self._rest(len(keys))

    def decode(self, replies: Replies) -> Iterator[tuple[int, Rows]]:
        """Decode what `fetch` brought, block by block, each with the place of its first row.

        Raises:
            OnlineStoreError: Redis did not tell the schema of an older row.
        """
        start = 0
        while start < len(replies):
            block = replies[start : start + self._rows_per_block]
            columns = self._decode(block)
            yield start, Rows.of_lookup(columns, self._read.features)
            start += len(block)
            if self._layout is not Layout.PACKED:
                continue
            if isinstance(columns.event_us, np.ndarray | NullableArray):
                self._rows_per_block = min(2 * self._rows_per_block, _MOST_PER_BLOCK)
            else:
                self._rows_per_block = max(self._rows_per_block // 4, _FEWEST_PER_BLOCK)

    def read(self, keys: Sequence[bytes]) -> Iterator[tuple[int, Rows]]:
        """Fetch and decode some entities."""
        return self.decode(self.fetch(cells_of(list(keys))))

    def read_heads(self, keys: Sequence[bytes]) -> dict[bytes, StoredRow]:
        """Read what the rows of some entities are, tombstones too, not what they hold."""
        found = read_rows(self._client, self._read.view, self._layout, list(keys)) if keys else None
        return {} if found is None else {row.key: row for row in found.rows}

    def _fetch_strings(self, keys: Cells) -> Replies:
        cells = bulk_cells([keys])
        data = _bytes_of(cells)
        ends = np.frombuffer(cells.buffers()[1], np.int32, len(keys) + 1, cells.offset * 4)
        pieces: list[bytes | memoryview] = []
        for start in range(0, len(keys), _KEYS_PER_COMMAND):
            stop = min(start + _KEYS_PER_COMMAND, len(keys))
            pieces.append(b"*%d\r\n%b" % (stop - start + 1, self._name))
            pieces.append(data[ends[start] : ends[stop]])
        replies = self._exchange(pieces, len(pieces) // 2)
        return [value for reply in replies for value in reply]

    def _fetch_hashes(self, keys: Cells) -> Replies:
        head = b"*%d\r\n%b" % (2 + len(self._fields), self._name)
        lengths = numbered_cells(pc.binary_length(keys), b"$%d\r\n".__mod__)
        tail = b"\r\n" + b"".join(self._fields)
        commands = join_cells(head, lengths, keys, tail)
        return self._exchange([_bytes_of(commands)], len(keys))

    def _rest(self, n_keys: int) -> None:
        with self._turn:
            self._pace.rest(n_keys)

    def _exchange(self, pieces: list[bytes | memoryview], n_replies: int) -> Replies:
        try:
            replies = exchange(self._client, pieces, n_replies=n_replies)
        except DRIVER_ERRORS as exc:
            raise translate_redis_error(exc) from exc
        for reply in replies:
            if isinstance(reply, Exception):
                raise translate_redis_error(reply) from reply
        return replies

    def _decode(self, block: Replies) -> ViewColumns:
        replies = [block] if self._layout is Layout.PACKED else block
        while True:
            try:
                (columns,) = self._group.decode_columns(replies, self._as_of_us, self._unknown)
            except RowSchemaNeeded as needed:
                self._learn(needed)
            else:
                return columns

    def _learn(self, needed: RowSchemaNeeded) -> None:
        (reply,) = execute(self._client, [needed.command])
        try:
            self._group.learn(needed, reply)
        except EvenstoreError as exc:
            self._unknown[needed.view_name, needed.fingerprint] = exc


def _bytes_of(cells: Cells) -> memoryview:
    """Return the bytes of all cells, which were made just now and so lie one behind the other."""
    return memoryview(cells.buffers()[2])

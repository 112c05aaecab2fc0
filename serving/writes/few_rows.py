"""Writes few rows of the packed layout for less than many cost, as pushes of single rows need."""

from __future__ import annotations

import redis

from evenstore.codec.command import encode_bulk, encode_command
from evenstore.codec.packed_plain_encoder import PlainRowEncoder
from evenstore.codec.packed_row import view_id
from evenstore.online.row_schemas import register_schema_command
from evenstore.online.scripts import Script
from evenstore.schema.model import FeatureViewSchema
from evenstore.semantics import Origin, RowOrder
from serving.writes.rows import PushedRows

__all__ = ["FewRowsWriter", "is_few"]

_MAX_VALUES = 400
# As `Origin.PUSH` rows of the packed layout are written: one column, the row.
_N_COLUMNS = 1


def is_few(rows: PushedRows) -> bool:
    """Tell whether rows are few enough to be encoded one by one."""
    return len(rows) * (len(rows.view.features) + 2) <= _MAX_VALUES


class FewRowsWriter:
    """Encodes and writes rows of one view in the packed layout; not thread-safe.

    Args:
        client: Redis.
        project: The Feast project.
        view: The view; none of its rows has an instant of physical expiry.
    """

    def __init__(self, client: redis.Redis, project: str, view: FeatureViewSchema) -> None:
        self._client = client
        self._rows = PlainRowEncoder(view, project, Origin.PUSH)
        self._script = Script("write_packed.lua")
        self._register = encode_command(register_schema_command(project, view))
        self._begin = encode_bulk("EVALSHA") + encode_bulk(self._script.sha)
        self._head = encode_bulk(view_id(view.name)) + encode_bulk(_N_COLUMNS)

    def write(self, rows: PushedRows, sequence_us: int) -> None:
        """Write rows, each where it is greater than the stored one.

        Args:
            rows: At most one of each entity.
            sequence_us: Their ingest sequence.

        Raises:
            OnlineStoreError: Redis refused, or cannot be reached.
            OverflowError: An instant has no bytes in this layout; nothing is written.
        """
        self._script.run(self._client, [[self.encode(rows, sequence_us)]], before=self._register)

    def encode(self, rows: PushedRows, sequence_us: int) -> bytes:
        """Make the call of the write script for rows; `write` has its arguments."""
        n_rows = len(rows)
        orders = [
            RowOrder(event_us, created_us, sequence_us)
            for event_us, created_us in zip(rows.event_us, rows.created_us, strict=True)
        ]
        keys = map(encode_bulk, self._rows.encode_keys(rows.keys, n_rows))
        stored = map(encode_bulk, self._rows.encode_rows(rows.features, orders))
        n_arguments = 3 + n_rows + 2 + n_rows * _N_COLUMNS
        return b"".join(
            [b"*%d\r\n" % n_arguments, self._begin, encode_bulk(n_rows), *keys, self._head, *stored]
        )

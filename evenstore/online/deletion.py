"""Deletes entities of a view: a tombstone stays, so that no older row brings one back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evenstore.clock import Clock, SystemClock
from evenstore.codec.cells import Cells, cells_of
from evenstore.codec.entity_key import check_key_value
from evenstore.codec.feast_row import encode_deletion
from evenstore.codec.packed_row import encode_tombstone
from evenstore.codec.rows import EncodedRows
from evenstore.errors import EntityRowsError
from evenstore.online.key_scan import open_key_encoder
from evenstore.schema.model import FeatureViewSchema, Layout
from evenstore.semantics import RowOrder

__all__ = ["Deletion"]

_US_PER_S = 1_000_000
_US_PER_MS = 1_000


@dataclass(frozen=True, slots=True)
class Deletion:
    """When entities are deleted, and how long that is remembered.

    Attributes:
        order: The tombstone's place in the total order: the instant of deletion, created null, and
            the microsecond at which the call was received. Rows that are lower stay away.
        forgotten_us: The machine's instant from which Redis may forget it: only where an entity has
            nothing else, and only in the packed layout.
    """

    order: RowOrder
    forgotten_us: int

    @staticmethod
    def now(clock: Clock, *, remembered_s: float) -> Deletion:
        """Delete at this instant.

        Args:
            clock: The one that event timestamps go by, which may be frozen.
            remembered_s: How long rows may still arrive that are older.
        """
        received_us = SystemClock().now_us()
        order = RowOrder(clock.now_us(), None, received_us)
        return Deletion(order, received_us + int(remembered_s * _US_PER_S))

    def encode(
        self,
        view: FeatureViewSchema,
        project: str,
        layout: Layout,
        entity_rows: Sequence[Mapping[str, Any]],
    ) -> EncodedRows:
        """Make tombstones for a view's writer, one for each distinct entity.

        Args:
            view: The view.
            project: The Feast project.
            layout: How rows lie in Redis.
            entity_rows: Values by join key; others are ignored.

        Raises:
            EntityRowsError: A join key is missing, null or of another type.
        """
        encoder = open_key_encoder(view, project, layout)
        keys = {
            encoder.encode(_key_values(view, row, row_idx)): None
            for row_idx, row in enumerate(entity_rows)
        }
        if layout is Layout.PACKED:
            expires_ms = str(self.forgotten_us // _US_PER_MS + 1).encode()
            columns = (encode_tombstone(self.order), expires_ms)
        else:
            columns = (encode_deletion(self.order), b"")
        return EncodedRows(cells_of(list(keys)), tuple(_repeat(c, len(keys)) for c in columns))


def _key_values(view: FeatureViewSchema, row: Mapping[str, Any], row_idx: int) -> list[Any]:
    missing = [key.name for key in view.join_keys if key.name not in row]
    if missing:
        names = ", ".join(f"`{name}`" for name in missing)
        msg = f"row {row_idx} lacks join key {names}"
        raise EntityRowsError(msg, hint="name every join key of the view")
    return [check_key_value(row[key.name], key, row_idx=row_idx) for key in view.join_keys]


def _repeat(cell: bytes, n_rows: int) -> Cells:
    return cells_of([cell] * n_rows)

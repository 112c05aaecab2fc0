"""Gives entities the expiry that they lost while a row that does not expire kept them.

A write cannot: it knows how long rows of its own view live, and not those beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import redis

from evenstore.codec.packed_row import EXPIRES, read_row, split_slots, view_id
from evenstore.online.connection import execute
from evenstore.online.key_scan import fetch_values, scan_strings
from evenstore.online.purge import OwnEntities
from evenstore.online.row_edits import set_expiry
from evenstore.online.writer import expires_after_us
from evenstore.schema.model import FeatureViewSchema

__all__ = ["RowLives"]

_US_PER_MS = 1_000


@dataclass(frozen=True, slots=True)
class RowLives:
    """How long rows live, by view.

    Attributes:
        by_view: Microseconds after the event timestamp, by the bytes that name a view in an entity;
            views whose rows never expire are left out.
        tombstone_us: Microseconds after its instant that a tombstone is needed.
    """

    by_view: Mapping[bytes, int]
    tombstone_us: int

    @staticmethod
    def of(views: Sequence[FeatureViewSchema], *, grace_us: int, tombstone_us: int) -> RowLives:
        """Take the lives from the views' ttl."""
        lives: dict[bytes, list[int | None]] = {}
        for view in views:
            lives.setdefault(view_id(view.name), []).append(expires_after_us(view, grace_us))
        # Views of different join keys may share their bytes: then the longest life counts.
        by_view = {
            name: max(life for life in of_name if life is not None)
            for name, of_name in lives.items()
            if None not in of_name
        }
        return RowLives(by_view, tombstone_us)

    def give_expiry(
        self, client: redis.Redis, project: str, own: OwnEntities, *, is_dry_run: bool
    ) -> int:
        """Find entities without an expiry all of whose rows expire, and set it.

        Args:
            client: Redis.
            project: The Feast project.
            own: Tells its entities from other programs' keys.
            is_dry_run: Whether they are only looked for.

        Returns:
            How many were found.

        Raises:
            OnlineStoreError: Redis refused or cannot be reached.
        """
        n_found = 0
        for keys in scan_strings(client, project):
            found = {}
            for key, value in zip(keys, fetch_values(client, keys), strict=True):
                if value is not None and own.has_value(value):
                    at_ms = self._expires_at_ms(value)
                    if at_ms is not None:
                        found[key] = value, at_ms
            lives_ms = execute(client, [(b"PTTL", key) for key in found])
            lost = [key for key, left in zip(found, lives_ms, strict=True) if left == -1]
            n_found += len(lost)
            if not is_dry_run:
                values = [found[key][0] for key in lost]
                set_expiry(client, lost, values, [found[key][1] for key in lost])
        return n_found

    def _expires_at_ms(self, value: bytes) -> int | None:
        """Return when an entity may go; None for never."""
        ends_us = []
        for name, row in split_slots(value).items():
            head = read_row(row)
            life_us = self.tombstone_us if head.is_tombstone else self.by_view.get(name)
            if life_us is None or not head.flags & EXPIRES:
                return None
            ends_us.append(head.order.event_us + life_us)
        return max(ends_us) // _US_PER_MS + 1

"""Faults in which entities the online store has at all."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from evenstore.online.store import RedisOnlineStore
from evenstore.semantics import Origin
from parity.causes.finding import Cause
from parity.selftest.comparison import compare_service
from parity.selftest.plant import Entity, Plant
from parity.selftest.rows import HOUR, PLAIN, UNKNOWN_CUSTOMER
from parity.selftest.world import STATS, World

__all__ = ["PLANTS"]


def _removed(world: World) -> AbstractSet[Entity]:
    world.remove(PLAIN)
    return {PLAIN}


def _expired(world: World) -> AbstractSet[Entity]:
    world.redis.pexpireat(world.key(PLAIN), 1)
    return {PLAIN}


def _first_write_lost(world: World) -> AbstractSet[Entity]:
    world.remove(PLAIN)
    # The row of another view keeps the entity's key.
    offer = {"price": 1.0, "rebate": 0.5, "event_timestamp": world.newest(PLAIN)["event_timestamp"]}
    world.store_row(PLAIN, offer, view=world.views["offers"])
    return {PLAIN}


def _orphan_by_run(world: World) -> AbstractSet[Entity]:
    world.store_row(UNKNOWN_CUSTOMER, world.newest(PLAIN))
    return {UNKNOWN_CUSTOMER}


def _orphan_by_push(world: World) -> AbstractSet[Entity]:
    world.store_row(UNKNOWN_CUSTOMER, world.newest(PLAIN), origin=Origin.PUSH)
    return {UNKNOWN_CUSTOMER}


def _pushed_row(world: World) -> AbstractSet[Entity]:
    newest = world.newest(PLAIN)
    later = {"spend": 9.75, "event_timestamp": newest["event_timestamp"] + HOUR / 2}
    world.store_row(PLAIN, newest | later, origin=Origin.PUSH)
    return {PLAIN}


def _pushed_value(world: World) -> AbstractSet[Entity]:
    world.replace(PLAIN, {"spend": 9.75}, origin=Origin.PUSH)
    return {PLAIN}


def _entity_gone_from_source(world: World) -> AbstractSet[Entity]:
    world.rewrite(lambda row: row["customer_id"] != PLAIN)
    return {PLAIN}


def _row_gone_from_source(world: World) -> AbstractSet[Entity]:
    newest = world.newest(PLAIN)
    world.rewrite(lambda row: row is not newest)
    return {PLAIN}


def _tombstone(world: World) -> AbstractSet[Entity]:
    table = world.store.get_feature_view(STATS)
    RedisOnlineStore().delete_entity(world.store.config, table, [{"customer_id": PLAIN}])
    return {PLAIN}


PLANTS = (
    Plant("removed-entity", ("D29",), _removed, Cause.KEY_EXPIRED),
    Plant("expired-key", ("D29",), _expired, Cause.KEY_EXPIRED),
    Plant("missing-entity-in-a-service", ("D8",), _removed, Cause.KEY_EXPIRED, compare_service),
    Plant("lost-first-write", ("D30",), _first_write_lost, Cause.NOT_MATERIALIZED),
    Plant("orphan-by-a-run", ("D6",), _orphan_by_run, Cause.DELETED_ROW),
    Plant("orphan-by-a-push", ("D20",), _orphan_by_push, Cause.PUSHED_ONLINE_ONLY),
    Plant("row-pushed-online-only", ("D20", "D21"), _pushed_row, Cause.PUSHED_ONLINE_ONLY),
    Plant("value-pushed-online-only", ("D21",), _pushed_value, Cause.PUSHED_ONLINE_ONLY),
    Plant("deleted-source-entity", ("D6",), _entity_gone_from_source, Cause.DELETED_ROW),
    Plant("deleted-source-row", ("D6",), _row_gone_from_source, Cause.DELETED_ROW),
    Plant("tombstone", ("D6",), _tombstone, Cause.DELETED_ROW),
)
"""The faults of this family."""

"""Faults in which of an entity's rows the online store has: late, lost, raced, not replaced."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from datetime import timedelta

from evenstore.clock import datetime_to_us
from evenstore.online.key_scan import open_key_encoder
from parity.causes.finding import Cause
from parity.causes.stored_entities import read_stored_entities
from parity.selftest.comparison import (
    compare_after_an_hour,
    compare_products,
    compare_service,
)
from parity.selftest.definitions import LAYOUT, PROJECT
from parity.selftest.plant import Entity, Plant
from parity.selftest.rows import (
    CORRECTED,
    NOW,
    PLAIN,
    PRE_EPOCH,
    TIED,
    UNKNOWN_CUSTOMER,
)
from parity.selftest.world import STATS, World

__all__ = ["PLANTS"]

_MINUTE = timedelta(minutes=1)


def _other_of_tie(world: World) -> AbstractSet[Entity]:
    view = world.views[STATS]
    key = open_key_encoder(view, PROJECT, LAYOUT).encode((TIED,))
    (found,) = read_stored_entities(world.redis, PROJECT, view, LAYOUT, [key])
    won = None if found.row is None else found.row.values["orders"]
    tied = [row for row in world.rows if row["customer_id"] == TIED]
    newest = max(row["event_timestamp"] for row in tied)
    loser = next(r for r in tied if r["event_timestamp"] == newest and r["orders"] != won)
    world.replace(TIED, loser)
    return {TIED}


def _late_row(world: World) -> AbstractSet[Entity]:
    newest = world.newest(PLAIN)
    world.append(newest | {"spend": 3.5, "event_timestamp": newest["event_timestamp"] + _MINUTE})
    return {PLAIN}


def _late_entity(world: World) -> AbstractSet[Entity]:
    world.append(world.newest(PLAIN) | {"customer_id": UNKNOWN_CUSTOMER})
    return {UNKNOWN_CUSTOMER}


def _row_not_due_yet(world: World) -> AbstractSet[Entity]:
    world.append(world.newest(PLAIN) | {"event_timestamp": NOW + _MINUTE})
    after = (row for row in world.rows if row["event_timestamp"] > NOW)
    hour_on_us = datetime_to_us(NOW) + 3_600_000_000
    due = {r["customer_id"] for r in after if datetime_to_us(r["event_timestamp"]) <= hour_on_us}
    return {PLAIN, *due}


def _dropped_correction(world: World) -> AbstractSet[Entity]:
    # The row as it was before: of the same event timestamp, created earlier.
    world.replace(CORRECTED, world.newest(CORRECTED, 1))
    return {CORRECTED}


def _older_row_won(world: World) -> AbstractSet[Entity]:
    world.replace(PLAIN, world.newest(PLAIN, 1))
    return {PLAIN}


def _write_was_lost(world: World) -> AbstractSet[Entity]:
    world.replace(PLAIN, world.newest(PLAIN, 2))
    return {PLAIN}


def _partial_write(world: World) -> AbstractSet[Entity]:
    world.replace(PLAIN, {"refund": world.newest(PLAIN, 1)["refund"]})
    return {PLAIN}


def _pre_epoch_order(world: World) -> AbstractSet[Entity]:
    year = 1_960
    world.remove(PRE_EPOCH, "products")
    event = NOW.replace(year=year, month=1, day=1)
    row = {"sold": year, "event_timestamp": event}
    world.store_row(PRE_EPOCH, row, view=world.views["products"])
    return {PRE_EPOCH}


PLANTS = (
    Plant("other-row-of-a-tie", ("D17",), _other_of_tie, Cause.AMBIGUOUS_TIE),
    Plant("late-row", ("D4",), _late_row, Cause.LATE_ARRIVAL),
    Plant(
        "late-row-under-an-on-demand-view", ("D4",), _late_row, Cause.LATE_ARRIVAL, compare_service
    ),
    Plant("late-first-row-of-an-entity", ("D4",), _late_entity, Cause.LATE_ARRIVAL),
    Plant(
        "row-since-the-last-run",
        ("D19",),
        _row_not_due_yet,
        Cause.NOT_MATERIALIZED,
        compare_after_an_hour,
    ),
    Plant("dropped-correction", ("D2",), _dropped_correction, Cause.DROPPED_CORRECTION),
    Plant("older-row-won-a-write-race", ("D7",), _older_row_won, Cause.WRITE_ORDER),
    Plant("stale-row-after-a-lost-write", ("D7",), _write_was_lost, Cause.WRITE_ORDER),
    Plant("old-value-under-a-new-timestamp", ("D23",), _partial_write, Cause.WRITE_ORDER),
    Plant(
        "older-row-of-before-1970",
        ("D39",),
        _pre_epoch_order,
        Cause.WRITE_ORDER,
        compare_products,
    ),
)
"""The faults of this family."""

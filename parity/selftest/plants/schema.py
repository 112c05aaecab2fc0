"""Faults in what a view's definition is, or was when the row was written."""

from __future__ import annotations

import math
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any

from evenstore.dtypes import Dtype
from evenstore.schema.model import Field
from parity.causes.finding import Cause
from parity.selftest.comparison import compare_as_version, serve_unedited
from parity.selftest.plant import Damage, Entity, Plant
from parity.selftest.rows import NOW, PLAIN, TTL, newest_first
from parity.selftest.world import STATS, World

__all__ = ["PLANTS"]


def _written_as(change: Callable[[Field], Field | None], **values: Any) -> Damage:
    """Return what stores a row as an older definition of the view would have."""

    def damage(world: World) -> AbstractSet[Entity]:
        view = world.views[STATS]
        features = tuple(field for feature in view.features if (field := change(feature)))
        world.replace(PLAIN, values, view=replace(view, features=features))
        return {PLAIN}

    return damage


def _without_spend(field: Field) -> Field | None:
    return None if field.name == "spend" else field


def _spend_as_text(field: Field) -> Field:
    return Field("spend", Dtype.STRING) if field.name == "spend" else field


def _spend_renamed(field: Field) -> Field:
    return Field("spent", field.dtype) if field.name == "spend" else field


def _any_customer(_world: World) -> AbstractSet[Entity]:
    return {PLAIN}


def _all_with_spend(world: World) -> AbstractSet[Entity]:
    found = set()
    for customer in world.customers:
        row = next(iter(newest_first(world.rows, customer)), None)
        if row is None or NOW - row["event_timestamp"] > TTL:
            continue
        if row["spend"] is not None and not math.isnan(row["spend"]):
            found.add(customer)
    return found


PLANTS = (
    Plant(
        "new-feature-not-backfilled",
        ("D3",),
        _written_as(_without_spend),
        Cause.NEW_FEATURE_NOT_BACKFILLED,
    ),
    Plant(
        "renamed-feature",
        ("D28",),
        _written_as(_spend_renamed, spent=10.1),
        Cause.NEW_FEATURE_NOT_BACKFILLED,
    ),
    Plant(
        "schema-drift",
        ("D11", "D12"),
        _written_as(_spend_as_text, spend="10.1"),
        Cause.SCHEMA_DRIFT,
    ),
    Plant("wrong-version", ("D28",), _any_customer, Cause.VERSION_PIN, compare_as_version),
    Plant("on-demand-edit", ("D15",), _all_with_spend, Cause.ON_DEMAND_DIVERGENCE, serve_unedited),
)
"""The faults of this family."""

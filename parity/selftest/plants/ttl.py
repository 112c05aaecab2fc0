"""Faults in how long a row is served."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import replace

from evenstore.clock import timedelta_to_us
from evenstore.schema.model import FeatureViewSchema
from parity.causes.finding import Cause
from parity.selftest.comparison import serve_edited_view
from parity.selftest.plant import Entity, Plant
from parity.selftest.rows import NOW, TTL, newest_first
from parity.selftest.world import World

__all__ = ["PLANTS"]

_TTL_US = timedelta_to_us(TTL)


def _with_ttl(ttl_us: int | None) -> Plant:
    def edit(view: FeatureViewSchema) -> FeatureViewSchema:
        return replace(view, ttl_us=ttl_us)

    def find_victims(world: World) -> AbstractSet[Entity]:
        ages_us = {
            customer: timedelta_to_us(NOW - rows[0]["event_timestamp"])
            for customer in world.customers
            if (rows := newest_first(world.rows, customer))
        }
        return {
            customer
            for customer, age_us in ages_us.items()
            if (age_us > _TTL_US) != (ttl_us is not None and age_us > ttl_us)
        }

    names = {_TTL_US - 1: "ttl-one-microsecond-short", _TTL_US + 1: "ttl-one-microsecond-long"}
    name = "ttl-not-enforced" if ttl_us is None else names[ttl_us]
    return Plant(name, ("D1",), find_victims, Cause.TTL_BOUNDARY, serve_edited_view(edit))


PLANTS = (_with_ttl(_TTL_US - 1), _with_ttl(_TTL_US + 1), _with_ttl(None))
"""The faults of this family."""

"""Faults in the key that a row is stored under."""

from __future__ import annotations

import unicodedata
from collections.abc import Set as AbstractSet
from dataclasses import replace

from evenstore.dtypes import Dtype
from evenstore.schema.model import Field
from parity.causes.finding import Cause
from parity.selftest.comparison import compare_products
from parity.selftest.plant import Damage, Entity, Plant
from parity.selftest.rows import HOUR, NOW, PLAIN, UNICODE
from parity.selftest.world import STATS, World

__all__ = ["PLANTS"]


def _key_of(dtype: Dtype, key: Entity) -> Damage:
    def damage(world: World) -> AbstractSet[Entity]:
        view = replace(world.views[STATS], join_keys=(Field("customer_id", dtype),))
        world.remove(PLAIN)
        world.store_row(key, world.newest(PLAIN), view=view)
        return {PLAIN}

    return damage


def _other_form(world: World) -> AbstractSet[Entity]:
    view = world.views["products"]
    decomposed = unicodedata.normalize("NFD", UNICODE)
    world.remove(UNICODE, "products")
    world.store_row(decomposed, {"sold": 7, "event_timestamp": NOW - HOUR}, view=view)
    return {UNICODE, decomposed}


PLANTS = (
    Plant("key-of-another-type", ("D24",), _key_of(Dtype.INT32, PLAIN), Cause.KEY_ENCODING),
    Plant("key-as-text", ("D24",), _key_of(Dtype.STRING, str(PLAIN)), Cause.KEY_ENCODING),
    Plant(
        "key-in-another-unicode-form", ("D26",), _other_form, Cause.KEY_ENCODING, compare_products
    ),
)
"""The faults of this family."""

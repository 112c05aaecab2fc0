"""A fault that can be planted, and what is expected to be said of it."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from parity.causes.finding import Cause
from parity.selftest.comparison import Look, compare_stats
from parity.selftest.world import World

__all__ = ["Damage", "Entity", "Plant"]

Entity = int | str
Damage = Callable[[World], AbstractSet[Entity]]
"""Plants the fault; returns the entities that must differ then, and no others."""


@dataclass(frozen=True, slots=True)
class Plant:
    """One fault.

    Attributes:
        name: What it is, in words joined by hyphens.
        classes: The ways of training-serving skew that it stands for.
        damage: Plants it.
        cause: What every differing cell must be put down to.
        look: The comparison that must find it.
    """

    name: str
    classes: tuple[str, ...]
    damage: Damage
    cause: Cause
    look: Look = compare_stats

"""All mutants."""

from __future__ import annotations

from tests.mutants.catalogue import loading, offline, serving, shared
from tests.mutants.mutant import Mutant

__all__ = ["MUTANTS"]

MUTANTS: tuple[Mutant, ...] = (
    *shared.MUTANTS,
    *offline.MUTANTS,
    *loading.MUTANTS,
    *serving.MUTANTS,
)
"""In the order of the table."""

"""Cells of a feature, a view or a whole report, counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from evenstore.semantics import Status
from parity.causes.finding import Cause
from parity.compare import Outcome

__all__ = ["Counts", "StatusPair"]

StatusPair = tuple[Status | None, Status | None]
"""The offline status and the online status of a cell; None where a side gives none."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Cells of a feature, a view or a service, counted.

    Attributes:
        n_compared: All cells.
        n_non_null: Cells in which at least one side has a value.
        n_ambiguous: Cells whose winning row is tied within its snapshot. Both sides resolve such
            ties by the same rule, so they are compared like all others.
        by_outcome: How many cells have each outcome; they add up to `n_compared`.
        n_bit_equal: Cells whose values have the same bits on both sides: 0.0 and -0.0 are equal,
            but not in bits. None where nobody counted.
        statuses: How many cells have each pair of statuses; empty where nobody counted.
        by_cause: How many differing cells have each cause; empty before causes were looked for.
        n_waived: Differing cells that a waiver accepts because of their cause. They stay
            differing; they do not violate parity.
    """

    n_compared: int = 0
    n_non_null: int = 0
    n_ambiguous: int = 0
    by_outcome: Counter[Outcome] = field(default_factory=Counter)
    n_bit_equal: int | None = None
    statuses: Counter[StatusPair] = field(default_factory=Counter)
    by_cause: Counter[Cause] = field(default_factory=Counter)
    n_waived: int = 0

    @property
    def n_both_null(self) -> int:
        """Cells in which neither side has a value."""
        return self.n_compared - self.n_non_null

    @property
    def n_differing(self) -> int:
        """Cells in which the sides disagree, whatever the outcome."""
        return sum(n for outcome, n in self.by_outcome.items() if not outcome.is_agreement)

    @property
    def n_within_tolerance(self) -> int:
        """Cells that agree only because a waiver declares a tolerance."""
        return self.by_outcome[Outcome.WITHIN_TOLERANCE]

    @property
    def n_unexplained(self) -> int:
        """Differing cells for which no rule names a cause."""
        return self.by_cause[Cause.UNKNOWN]

    @property
    def coverage(self) -> float:
        """Share of cells in which at least one side has a value; 0 when nothing was compared."""
        return self.n_non_null / self.n_compared if self.n_compared else 0.0

    def __add__(self, other: Counts) -> Counts:
        if not self.n_compared:
            return other
        if not other.n_compared:
            return self
        knows_bits = self.n_bit_equal is not None and other.n_bit_equal is not None
        return Counts(
            self.n_compared + other.n_compared,
            self.n_non_null + other.n_non_null,
            self.n_ambiguous + other.n_ambiguous,
            self.by_outcome + other.by_outcome,
            (self.n_bit_equal or 0) + (other.n_bit_equal or 0) if knows_bits else None,
            self.statuses + other.statuses,
            self.by_cause + other.by_cause,
            self.n_waived + other.n_waived,
        )

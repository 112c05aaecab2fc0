"""Confidence intervals of rates."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Rate", "estimate_rate"]

_Z = 1.959963984540054  # The normal distribution's 97.5 % point: an interval of 95 %.


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of cells, and the interval that holds the true share with 95 % confidence.

    Attributes:
        n_hits: Cells counted.
        n_cells: Of so many.
        low: Lower end of the Wilson interval.
        high: Its upper end.
    """

    n_hits: int
    n_cells: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """The share that was seen; 0 of nothing."""
        return self.n_hits / self.n_cells if self.n_cells else 0.0


def estimate_rate(n_hits: int, n_cells: int) -> Rate:
    """Estimate a rate with its Wilson score interval, which is right for rates near 0 too.

    No hit in 1,000 cells gives 0 to 0.0038: what a clean sample of that size can promise.

    Args:
        n_hits: Cells counted, 0 to `n_cells`.
        n_cells: Of so many; of none the interval is 0 to 1.
    """
    if not n_cells:
        return Rate(0, 0, 0.0, 1.0)
    share, square = n_hits / n_cells, _Z * _Z / n_cells
    middle = share + square / 2
    half = _Z * math.sqrt(share * (1 - share) / n_cells + square / (4 * n_cells))
    low = 0.0 if n_hits == 0 else (middle - half) / (1 + square)
    high = 1.0 if n_hits == n_cells else (middle + half) / (1 + square)
    return Rate(n_hits, n_cells, low, high)

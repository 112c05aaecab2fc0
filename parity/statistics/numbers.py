"""How far numbers differ: exact for integers, in units in the last place for floats.

`parity.statistics.number_tally` adds these up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "SHARES",
    "NumberStatistics",
    "Numbers",
    "Quantiles",
    "absolute_differences",
    "measure_quantiles",
    "relative_differences",
    "symmetric_errors",
    "ulp_distances",
]

Numbers = npt.NDArray[Any]
"""One of int32, int64, float32, float64."""

SHARES = (0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
"""The quantiles that are measured; 1.0 is the greatest number."""


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Quantiles of some numbers; each is one of the numbers, not a mean of two.

    Attributes:
        shares: Which quantiles; 1.0 is the greatest.
        values: One per share.
    """

    shares: tuple[float, ...]
    values: tuple[float | int, ...]

    def at(self, share: float) -> float | int:
        """Return one quantile.

        Raises:
            ValueError: It was not measured.
        """
        return self.values[self.shares.index(share)]


@dataclass(frozen=True, slots=True)
class NumberStatistics:
    """How far the two sides' numbers differ, over the cells in which both have a finite one.

    Attributes:
        n_pairs: So many cells.
        n_not_finite: Cells with a value on both sides, left out because one is NaN or infinite.
        smape: Symmetric mean absolute percentage error, 0 to 2; two zeros differ by 0.
        max_absolute: Greatest absolute difference.
        max_relative: Greatest absolute difference relative to the greater magnitude, 0 to 2.
        max_ulp: Greatest distance in floats of the declared type; None for integers.
        bias: Mean of online minus offline: above 0 where serving sees more than training did.
        offline: Quantiles of the offline values; None without a pair.
        online: Quantiles of the online values.
        absolute: Quantiles of the absolute differences.
    """

    n_pairs: int
    n_not_finite: int
    smape: float
    max_absolute: float | int
    max_relative: float
    max_ulp: int | None
    bias: float
    offline: Quantiles | None
    online: Quantiles | None
    absolute: Quantiles | None


def absolute_differences(offline: Numbers, online: Numbers) -> Numbers:
    """Return the absolute differences: uint64 and exact for integers, float64 for floats.

    The difference of float32 numbers is taken in float64, which holds it exactly unless their
    exponents are far apart.
    """
    if offline.dtype.kind == "f":
        with np.errstate(over="ignore", invalid="ignore"):
            wide: Numbers = np.abs(online.astype(np.float64) - offline.astype(np.float64))
        return wide
    # Unsigned subtraction wraps around to the right difference of any two int64.
    greater = np.maximum(offline, online).astype(np.int64).view(np.uint64)
    lesser = np.minimum(offline, online).astype(np.int64).view(np.uint64)
    difference: Numbers = greater - lesser
    return difference


def relative_differences(offline: Numbers, online: Numbers) -> npt.NDArray[np.float64]:
    """Return absolute differences relative to the greater magnitude; 0 for two zeros."""
    offline_part, online_part = _scaled(offline, online)
    relative: npt.NDArray[np.float64] = np.abs(online_part - offline_part)
    return relative


def symmetric_errors(offline: Numbers, online: Numbers) -> npt.NDArray[np.float64]:
    """Return each pair's difference relative to the mean magnitude, 0 to 2; 0 for two zeros."""
    offline_part, online_part = _scaled(offline, online)
    total = np.abs(offline_part) + np.abs(online_part)
    total[total == 0.0] = 1.0
    errors: npt.NDArray[np.float64] = 2 * np.abs(online_part - offline_part) / total
    return errors


def ulp_distances(offline: Numbers, online: Numbers) -> npt.NDArray[np.uint64]:
    """Return how many floats of their type lie from one number to the other; 0.0 and -0.0 are one.

    Args:
        offline: float32 or float64, finite.
        online: The same.
    """
    offline_rank, online_rank = _float_ranks(offline), _float_ranks(online)
    greater = np.maximum(offline_rank, online_rank).view(np.uint64)
    return greater - np.minimum(offline_rank, online_rank).view(np.uint64)


def measure_quantiles(numbers: Numbers, shares: Sequence[float] = SHARES) -> Quantiles | None:
    """Return quantiles that are numbers of the column; None of an empty one."""
    if not numbers.size:
        return None
    values = np.quantile(numbers, shares, method="inverted_cdf")
    return Quantiles(tuple(shares), tuple(values.tolist()))


def _scaled(offline: Numbers, online: Numbers) -> tuple[Numbers, Numbers]:
    """Divide both by the greater magnitude, so that no sum of two overflows."""
    wide_offline, wide_online = offline.astype(np.float64), online.astype(np.float64)
    scale = np.maximum(np.abs(wide_offline), np.abs(wide_online))
    scale[scale == 0.0] = 1.0
    offline_part, online_part = wide_offline / scale, wide_online / scale
    if offline.dtype.kind != "f":
        # Integers above 2**53 that differ may be one float64: their difference is exact.
        difference = absolute_differences(offline, online).astype(np.float64) / scale
        is_more = online > offline
        online_part = np.where(is_more, offline_part + difference, offline_part - difference)
    return offline_part, online_part


def _float_ranks(numbers: Numbers) -> npt.NDArray[np.int64]:
    """Number the floats of a type in ascending order; both zeros have rank 0."""
    if numbers.dtype == np.float32:
        bits = np.ascontiguousarray(numbers).view(np.int32).astype(np.int64)
        least = np.int64(-(2**31))
    else:
        bits = np.ascontiguousarray(numbers).view(np.int64)
        least = np.int64(-(2**63))
    ranks: npt.NDArray[np.int64] = np.where(bits < 0, least - bits, bits)
    return ranks

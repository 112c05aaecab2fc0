"""How far numbers differ, added up over batches in bounded memory.

Counts, sums and greatest differences are of every pair. Quantiles are of every pair as long as
there are few, and then of every second, fourth... one; their greatest number stays exact.
"""

from __future__ import annotations

import math

import numpy as np

from parity.statistics.numbers import (
    SHARES,
    Numbers,
    NumberStatistics,
    Quantiles,
    absolute_differences,
    relative_differences,
    symmetric_errors,
    ulp_distances,
)

__all__ = ["NumberSample", "NumberTally", "measure_numbers"]


class NumberTally:
    """Adds up how far two columns of numbers differ.

    Args:
        dtype: Of the numbers: int32, int64, float32 or float64.
        most_kept: How many numbers of each side quantiles are taken of; None for all.
    """

    def __init__(self, dtype: np.dtype[np.generic], *, most_kept: int | None = None) -> None:
        self._is_float = dtype.kind == "f"
        self._n_pairs = 0
        self._n_not_finite = 0
        self._n_different = 0
        self._sum_errors = 0.0
        self._sum_signed = 0.0
        self._max_relative = 0.0
        self._max_ulp = 0
        self._offline = NumberSample(most_kept)
        self._online = NumberSample(most_kept)
        # Of the pairs that differ: all others have the difference 0.
        self._absolute = NumberSample(most_kept)

    def add(self, offline: Numbers, online: Numbers) -> None:
        """Add pairs.

        Args:
            offline: The offline values, null nowhere.
            online: The online values of the same cells, in the same dtype.

        Raises:
            ValueError: The columns differ in length or dtype.
        """
        if offline.shape != online.shape or offline.dtype != online.dtype:
            msg = f"{offline.dtype}{offline.shape} offline, {online.dtype}{online.shape} online"
            raise ValueError(msg)
        offline, online = self._finite(offline, online)
        self._offline.add(offline)
        self._online.add(online)
        differs = offline != online
        offline, online = offline[differs], online[differs]
        if not offline.size:
            return
        absolute = absolute_differences(offline, online)
        signed = np.where(online > offline, 1.0, -1.0) * absolute.astype(np.float64)
        self._n_different += int(offline.size)
        self._sum_errors += float(symmetric_errors(offline, online).sum())
        with np.errstate(over="ignore", invalid="ignore"):
            self._sum_signed += float(signed.sum())
        relative = float(relative_differences(offline, online).max())
        self._max_relative = max(self._max_relative, relative)
        self._absolute.add(absolute)
        if self._is_float:
            self._max_ulp = max(self._max_ulp, int(ulp_distances(offline, online).max()))

    def add_equal(self, values: Numbers) -> None:
        """Add pairs of two equal numbers: no difference needs to be taken.

        Args:
            values: The numbers, null nowhere.
        """
        if self._is_float:
            is_finite = np.isfinite(values)
            n_finite = int(np.count_nonzero(is_finite))
            if n_finite < values.size:
                self._n_not_finite += int(values.size) - n_finite
                values = values[is_finite]
        self._n_pairs += int(values.size)
        self._offline.add(values)
        self._online.add(values)

    def measured(self) -> NumberStatistics:
        """Return what was added up."""
        n_pairs = self._n_pairs
        greatest = self._absolute.greatest
        return NumberStatistics(
            n_pairs=n_pairs,
            n_not_finite=self._n_not_finite,
            smape=self._sum_errors / n_pairs if n_pairs else 0.0,
            max_absolute=0 if greatest is None else greatest,
            max_relative=self._max_relative,
            max_ulp=self._max_ulp if self._is_float else None,
            bias=self._sum_signed / n_pairs if n_pairs else 0.0,
            offline=self._offline.quantiles(),
            online=self._online.quantiles(),
            absolute=self._absolute.quantiles(n_zeros=n_pairs - self._n_different),
        )

    def _finite(self, offline: Numbers, online: Numbers) -> tuple[Numbers, Numbers]:
        """Count pairs, and leave out those with a number that is NaN or infinite."""
        if self._is_float:
            is_finite = np.isfinite(offline) & np.isfinite(online)
            self._n_not_finite += int(offline.size - np.count_nonzero(is_finite))
            offline, online = offline[is_finite], online[is_finite]
        self._n_pairs += int(offline.size)
        return offline, online


def measure_numbers(offline: Numbers, online: Numbers) -> NumberStatistics:
    """Measure how far two columns of numbers differ.

    Args:
        offline: The offline values, null nowhere.
        online: The online values of the same cells, in the same dtype.

    Raises:
        ValueError: The columns differ in length or dtype.
    """
    tally = NumberTally(offline.dtype)
    tally.add(offline, online)
    return tally.measured()


class NumberSample:
    """Numbers that quantiles are taken of: all, or every n-th where there are too many.

    Args:
        most: How many are kept at most; None for all.

    Attributes:
        greatest: The greatest of all numbers, kept or not; None without a number.
    """

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._parts: list[Numbers] = []
        self._n_kept = 0
        self._n_seen = 0
        self._stride = 1
        self.greatest: float | int | None = None

    def add(self, numbers: Numbers) -> None:
        """Add numbers, none of them NaN."""
        if not numbers.size:
            return
        greatest = numbers.max().item()
        if self.greatest is None or greatest > self.greatest:
            self.greatest = greatest
        first = -self._n_seen % self._stride
        self._n_seen += int(numbers.size)
        # A copy: a slice would keep the whole batch.
        part = numbers[first :: self._stride].copy()
        self._parts.append(part)
        self._n_kept += int(part.size)
        while self._most is not None and self._n_kept > self._most:
            kept = np.concatenate(self._parts)[::2].copy()
            self._parts, self._n_kept = [kept], int(kept.size)
            self._stride *= 2

    def quantiles(self, *, n_zeros: int = 0) -> Quantiles | None:
        """Return quantiles of the numbers and of so many zeros below them; None of nothing."""
        n_all = n_zeros + self._n_seen
        if not n_all:
            return None
        kept = np.sort(np.concatenate(self._parts)) if self._parts else np.zeros(0)
        values: list[float | int] = []
        for share in SHARES:
            rank = max(math.ceil(n_all * share - 1), 0) - n_zeros
            if rank < 0 or self.greatest is None:
                values.append(0)
            elif rank >= self._n_seen - 1:
                values.append(self.greatest)
            else:
                values.append(kept[rank * kept.size // self._n_seen].item())
        return Quantiles(SHARES, tuple(values))

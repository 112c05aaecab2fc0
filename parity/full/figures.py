"""How far the values of one feature differ, added up while rows go by in bounded memory."""

from __future__ import annotations

import numpy as np

from evenstore.dtypes import Dtype
from parity.full.value_column import Mask, ValueColumn
from parity.statistics.features import (
    NUMBER_TYPES,
    FeatureStatistics,
    ValuePair,
    measure_differing,
)
from parity.statistics.number_tally import NumberTally

__all__ = ["MOST_LISTS", "MOST_NUMBERS", "MOST_PAIRS", "FeatureFigures"]

MOST_NUMBERS = 65_536
"""With more pairs of numbers, quantiles are of a sample."""

MOST_PAIRS = 10_000
"""Differing cells that confusions, and the figures of maps, are taken of."""

MOST_LISTS = 1_000
"""Differing cells that the figures of lists are taken of: an edit distance may take 10 ms."""


class FeatureFigures:
    """Adds up how the values of a feature differ.

    Args:
        dtype: The declared type.
    """

    def __init__(self, dtype: Dtype) -> None:
        self._dtype = dtype
        self._type = NUMBER_TYPES.get(dtype)
        self._numbers = (
            None
            if self._type is None
            else NumberTally(np.dtype(self._type), most_kept=MOST_NUMBERS)
        )
        self._most_pairs = MOST_LISTS if dtype.is_list or dtype.is_set else MOST_PAIRS
        self._pairs: list[ValuePair] = []

    def add_equal(self, values: ValueColumn) -> None:
        """Add cells in which both sides have the same value, or none."""
        if self._numbers is not None:
            has_nulls = values.is_null.any()
            self._numbers.add_equal(values.values[~values.is_null] if has_nulls else values.values)

    def add(self, offline: ValueColumn, online: ValueColumn, differs: Mask) -> None:
        """Add cells that may differ.

        Args:
            offline: The offline values.
            online: The online values.
            differs: Which cells are no agreement, whatever the outcome.
        """
        if self._numbers is not None:
            has_both = ~(offline.is_null | online.is_null)
            self._numbers.add(
                offline.values[has_both].astype(self._type),
                online.values[has_both].astype(self._type),
            )
            return
        places = np.flatnonzero(differs)[: self._most_pairs - len(self._pairs)]
        self._pairs += zip(offline.plain(places), online.plain(places), strict=True)

    def measured(self) -> FeatureStatistics:
        """Return what was added up."""
        if self._numbers is not None:
            return FeatureStatistics(numbers=self._numbers.measured())
        return measure_differing(self._dtype, self._pairs)

"""The figures of one feature: which of them there are depends on its declared type."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evenstore.dtypes import Dtype
from parity.compare import CellColumn, Outcome
from parity.statistics.confusions import Confusion, count_confusions
from parity.statistics.number_tally import measure_numbers
from parity.statistics.numbers import NumberStatistics
from parity.statistics.sequences import (
    ListStatistics,
    MapStatistics,
    measure_lists,
    measure_maps,
)
from parity.values import PlainValue

__all__ = [
    "NUMBER_TYPES",
    "FeatureStatistics",
    "ValuePair",
    "count_bit_equal",
    "measure_differing",
    "measure_feature",
]

ValuePair = tuple[PlainValue | None, PlainValue | None]
"""The offline and the online value of a cell."""

NUMBER_TYPES: dict[Dtype, Any] = {
    Dtype.INT32: np.int32,
    Dtype.INT64: np.int64,
    Dtype.UNIX_TIMESTAMP: np.int64,
    Dtype.FLOAT32: np.float32,
    Dtype.FLOAT64: np.float64,
}
"""NumPy's types of those that are measured as numbers: instants too, in seconds."""

_PYTHON: dict[Dtype, type] = {
    Dtype.INT32: int,
    Dtype.INT64: int,
    Dtype.UNIX_TIMESTAMP: int,
    Dtype.FLOAT32: float,
    Dtype.FLOAT64: float,
}


@dataclass(frozen=True, slots=True)
class FeatureStatistics:
    """How the values of one feature differ; what does not fit its type is None or empty.

    Attributes:
        numbers: For numbers and instants, over all cells with a value on both sides.
        lists: For lists and sets, over differing cells.
        maps: For maps and structs, over differing cells.
        confusions: For every other type, the most frequent pairs of differing values.
    """

    numbers: NumberStatistics | None = None
    lists: ListStatistics | None = None
    maps: MapStatistics | None = None
    confusions: tuple[Confusion, ...] = ()


def measure_feature(
    dtype: Dtype, offline: CellColumn, online: CellColumn, outcomes: Sequence[Outcome]
) -> FeatureStatistics:
    """Measure how one feature's values differ.

    Args:
        dtype: The declared type.
        offline: The offline cells.
        online: The online cells of the same entity rows.
        outcomes: What was found of each.
    """
    if dtype in NUMBER_TYPES:
        return FeatureStatistics(numbers=_measure_numbers(dtype, offline.values, online.values))
    differing = [
        (offline_value, online_value)
        for offline_value, online_value, outcome in zip(
            offline.values, online.values, outcomes, strict=True
        )
        if not outcome.is_agreement
    ]
    return measure_differing(dtype, differing)


def measure_differing(dtype: Dtype, differing: Sequence[ValuePair]) -> FeatureStatistics:
    """Measure how the differing values of a feature without numbers differ.

    Args:
        dtype: The declared type.
        differing: The values of each differing cell.
    """
    if dtype.is_map or dtype.is_struct:
        return FeatureStatistics(maps=measure_maps(_both_tuples(differing)))
    if dtype.is_list or dtype.is_set:
        return FeatureStatistics(lists=measure_lists(_both_tuples(differing)))
    return FeatureStatistics(confusions=count_confusions(differing))


def count_bit_equal(
    offline: Sequence[PlainValue | None], online: Sequence[PlainValue | None]
) -> int:
    """Count cells whose values have the same bits: unlike equality it tells 0.0 from -0.0.

    Two nulls are equal in bits. All NaN count as one: JSON has only one.
    """
    # Equal values of one type that are neither empty nor 0 have the same bits; lists are looked
    # at item by item.
    return sum(
        offline_value is online_value
        or (
            type(offline_value) is type(online_value)
            and type(offline_value) is not tuple
            and bool(offline_value and offline_value == online_value)
        )
        or _has_same_bits(offline_value, online_value)
        for offline_value, online_value in zip(offline, online, strict=True)
    )


def _has_same_bits(offline: PlainValue | None, online: PlainValue | None) -> bool:
    if type(offline) is not type(online):
        return False
    if isinstance(offline, float) and isinstance(online, float):
        both_nan = offline != offline and online != online  # noqa: PLR0124
        return both_nan or struct.pack("<d", offline) == struct.pack("<d", online)
    if isinstance(offline, tuple) and isinstance(online, tuple):
        return len(offline) == len(online) and all(map(_has_same_bits, offline, online))
    return offline == online


def _measure_numbers(
    dtype: Dtype, offline: Sequence[PlainValue | None], online: Sequence[PlainValue | None]
) -> NumberStatistics:
    expected = _PYTHON[dtype]
    is_pair = [
        type(offline_value) is expected and type(online_value) is expected
        for offline_value, online_value in zip(offline, online, strict=True)
    ]
    numpy_type = NUMBER_TYPES[dtype]
    return measure_numbers(
        np.array(list(itertools.compress(offline, is_pair)), numpy_type),
        np.array(list(itertools.compress(online, is_pair)), numpy_type),
    )


def _both_tuples(
    pairs: Sequence[ValuePair],
) -> list[tuple[tuple[PlainValue | None, ...], tuple[PlainValue | None, ...]]]:
    return [
        (offline, online)
        for offline, online in pairs
        if isinstance(offline, tuple) and isinstance(online, tuple)
    ]

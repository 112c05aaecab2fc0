"""From cells to what a model sees, as `evenstore-train` makes it of a joined table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from evenstore.dtypes import Dtype
from parity.values import PlainValue

__all__ = ["model_column"]

_US_PER_S = 1_000_000
_US_PER_DAY = 86_400_000_000.0


def model_column(dtype: Dtype, values: Sequence[PlainValue | None], as_of_us: Sequence[int]) -> Any:
    """Build one input column.

    Numbers and flags become float64, a timestamp its age in days at the row's instant, a list its
    length, null becomes NaN; strings stay objects with None for null. A value that cannot be one
    of the declared type counts as null.
    """
    if dtype is Dtype.STRING:
        texts = [value if isinstance(value, str) else None for value in values]
        return pd.Series(texts, dtype=object)
    if dtype is Dtype.UNIX_TIMESTAMP:
        return np.array(
            [
                (now_us - value * _US_PER_S) / _US_PER_DAY if isinstance(value, int) else math.nan
                for value, now_us in zip(values, as_of_us, strict=True)
            ],
            dtype=np.float64,
        )
    return np.array([_number(value) for value in values], dtype=np.float64)


def _number(value: PlainValue | None) -> float:
    if isinstance(value, tuple):
        return float(len(value))
    return float(value) if isinstance(value, bool | int | float) else math.nan

"""One view's rows of many entities, read together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from evenstore.codec.nullable_array import NullableArray

__all__ = ["BlockColumn", "NoBlockError", "ViewBlock", "are_all"]

BlockColumn = npt.NDArray[Any] | NullableArray | list[Any]


class NoBlockError(Exception):
    """Rows that must be read one by one: deleted, of another schema, or damaged."""


@dataclass(frozen=True, slots=True)
class ViewBlock:
    """One view's rows of a block.

    Attributes:
        event_us: int64.
        values: One column per feature asked for: an array, one with nulls, or a list with None
            where null.
    """

    event_us: npt.NDArray[Any]
    values: list[BlockColumn]


def are_all(mask: npt.NDArray[Any]) -> bool:
    """Tell whether all of a mask is true, several times as fast as `mask.all()`."""
    return int(np.count_nonzero(mask)) == mask.size

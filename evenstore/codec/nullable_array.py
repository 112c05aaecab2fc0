"""A NumPy column in which some values are null."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["NullableArray"]


@dataclass(slots=True)  # Not frozen: that would cost more than what is done with a small one.
class NullableArray:
    """One value or null per row.

    Attributes:
        values: Anything where null.
        is_null: Whether each is null.
    """

    values: npt.NDArray[Any]
    is_null: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.values)

    def tolist(self) -> list[Any]:
        """Return Python values; None where null."""
        values: list[Any] = self.values.tolist()
        for row in np.flatnonzero(self.is_null).tolist():
            values[row] = None
        return values

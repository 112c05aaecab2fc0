"""Many sortable integers at once (`sortable` has the format)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from evenstore.codec.cells import Bytes
from evenstore.codec.sortable import FIRST_POSITIVE, MAX_SORTABLE_BYTES, SORTABLE_BOUND

__all__ = ["sortable_matrix"]


def sortable_matrix(
    values: npt.NDArray[np.int64], is_null: npt.NDArray[np.bool_] | None = None
) -> tuple[Bytes, npt.NDArray[np.bool_]]:
    """Encode many integers.

    Returns:
        A matrix of eight bytes a row, and which of them count.

    Raises:
        OverflowError: One is out of range.
    """
    if is_null is not None:
        values = np.where(is_null, 0, values)
    if len(values) and not (values.min() >= -SORTABLE_BOUND and values.max() < SORTABLE_BOUND):
        msg = "an instant is out of range"
        raise OverflowError(msg)
    magnitudes = values ^ (values >> 63)
    sizes = np.ones(len(values), np.int64)
    for size in range(1, MAX_SORTABLE_BYTES):
        sizes += magnitudes >= (1 << (8 * size - 4))
    bits = 8 * sizes - 4
    is_negative = values < 0
    kinds = np.where(is_negative, FIRST_POSITIVE - sizes, FIRST_POSITIVE - 1 + sizes)
    rests = values + (is_negative.astype(np.int64) << bits)
    words = kinds.astype(np.uint64) << bits.astype(np.uint64) | rests.astype(np.uint64)
    words <<= (64 - 8 * sizes).astype(np.uint64)
    if is_null is not None:
        words[is_null] = 0
        sizes[is_null] = 1
    matrix = words.astype(">u8").view(np.uint8).reshape(-1, MAX_SORTABLE_BYTES)
    return matrix, np.arange(MAX_SORTABLE_BYTES) < sizes[:, None]

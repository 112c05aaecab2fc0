"""Binary search in many slices of one array at once, and the order that makes gathering cheap."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

__all__ = ["BLOCK", "Bools", "Int64s", "blocks_of", "count_at_most", "sort_with_places"]

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

# What a block of searches touches fits into a core's cache, and its arrays are small enough for the
# allocator to hand them out again: 2x at 1 M searches in 10 M rows.
BLOCK = 8_192
_INT64_BITS = 63


def blocks_of(n_items: int) -> Iterator[slice]:
    """Yield slices that divide a number of searches into blocks."""
    for first in range(0, n_items, BLOCK):
        yield slice(first, min(first + BLOCK, n_items))


def count_at_most(values: Int64s, start: Int64s, end: Int64s, limit: Int64s) -> Int64s:
    """Find, for each slice of an array, where the values above a limit begin.

    Faster than `numpy.searchsorted` over one key made of slice and value, which also overflows.

    Args:
        values: Ascending inside of each slice.
        start: First position of each slice.
        end: The position after its last.
        limit: What is searched for in each. Of many, give one of `blocks_of` at a time.

    Returns:
        The first position whose value is greater than the limit; `end` where there is none.

    Complexity:
        O(log of the longest slice) rounds over all searches.
    """
    # Every round skips `step` rows or none: no branches, and no second bound to keep.
    position = start.copy()
    longest = int((end - start).max(initial=0))
    last = len(values) - 1
    step = 1 << (longest.bit_length() - 1) if longest > 0 else 0
    while step:
        probe = position + (step - 1)
        is_at_most = probe < end
        np.minimum(probe, last, out=probe)
        is_at_most &= values[probe] <= limit
        position += is_at_most * step
        step >>= 1
    return position


def sort_with_places(numbers: Int64s) -> tuple[Int64s, Int64s]:
    """Sort numbers that are not negative.

    Returns:
        The places that the sorted numbers had, and the sorted numbers.
    """
    n_bits = len(numbers).bit_length()
    greatest = int(numbers.max()) if len(numbers) else 0
    if greatest.bit_length() + n_bits > _INT64_BITS:
        places = np.argsort(numbers)
        return places, numbers[places]
    # Sorting number and place as one integer is four times as fast as numpy's argsort.
    packed = numbers << n_bits
    packed |= np.arange(len(numbers))
    packed.sort()
    return packed & ((1 << n_bits) - 1), packed >> n_bits

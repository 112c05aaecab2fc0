"""Draws rows by kind, so that rare kinds occur, and exactly as many as were asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["draw_strata", "share_out"]

Bools = np.ndarray[Any, np.dtype[np.bool_]]
Integers = np.ndarray[Any, np.dtype[np.int64]]


def share_out(percents: Mapping[str, int], n_rows: int) -> dict[str, int]:
    """Split a number of rows by percent, without losing one to rounding.

    Args:
        percents: Percent of the rows by kind; the sum is 100.
        n_rows: How many rows to split.

    Guarantees:
        The counts add up to `n_rows`; a kind of p percent gets a row when `p * n_rows >= 100`.
    """
    counts, percent, n_done = {}, 0, 0
    for kind, share in percents.items():
        percent += share
        n_until = percent * n_rows // 100
        counts[kind] = n_until - n_done
        n_done = n_until
    return counts


def draw_strata(
    rng: np.random.Generator, pools: Mapping[str, Bools], counts: Mapping[str, int]
) -> tuple[Integers, dict[str, int]]:
    """Draw row indexes from overlapping pools, each row once as long as there are rows left.

    Args:
        rng: Where chance comes from.
        pools: Which rows are of a kind, by kind; at least one row in all. Drawn in this order.
        counts: How many rows of each kind to draw.

    Returns:
        The drawn indexes, and how many were drawn of each kind. What a pool could not give is made
        up from all rows and counted as `any`.

    Guarantees:
        As many indexes as the counts add up to; one comes twice only when there are fewer rows.
    """
    n_pool = len(next(iter(pools.values())))
    is_free = np.ones(n_pool, dtype=np.bool_)
    drawn, kinds = [], {}
    for kind, pool in pools.items():
        free = np.flatnonzero(pool & is_free)
        idx = rng.choice(free, size=min(counts[kind], len(free)), replace=False)
        is_free[idx] = False
        drawn.append(idx)
        kinds[kind] = len(idx)
    n_missing = sum(counts[kind] for kind in pools) - sum(kinds.values())
    free = np.flatnonzero(is_free)
    n_fresh = min(n_missing, len(free))
    drawn.append(rng.choice(free, size=n_fresh, replace=False))
    drawn.append(rng.integers(0, n_pool, size=n_missing - n_fresh))
    kinds["any"] = kinds.get("any", 0) + n_missing
    return np.concatenate(drawn), kinds

"""Time-based splits: the past trains, the future tests, and no label of the past reaches into it.

A row of the past whose label was not yet known when the test period begins would bring the test
period's events into training; such rows are purged. `training.splits.walk_forward` makes several
such splits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evenstore.clock import format_us
from evenstore.errors import TrainingError
from training.splits.row_indexes import Instants, RowIndexes, rows_where

__all__ = ["TimeSplit", "split_at", "split_by_time"]

_US_PER_DAY = 86_400_000_000


@dataclass(frozen=True, slots=True, eq=False)
class TimeSplit:
    """Row indexes of one split, each ascending; no row is in two of the three.

    Rows after the test period, where it has an end, are in none.

    Attributes:
        train: Rows before the cut whose label window ends at or before it.
        test: Rows at or after the cut, and before the end where there is one.
        purged: Rows before the cut whose label window reaches beyond it.
        cut_us: The first instant of the test period.
        end_us: The first instant after the test period, or None where it lasts to the last row.
    """

    train: RowIndexes
    test: RowIndexes
    purged: RowIndexes
    cut_us: int
    end_us: int | None = None


def split_by_time(
    times_us: Instants,
    *,
    test_share: float,
    purge_us: int,
    label_times_us: Instants | None = None,
) -> TimeSplit:
    """Split at the instant that leaves the share of test rows closest to the one asked for.

    Rows of one instant stay together, so that the share is met only as closely as the instants
    allow; of two equally close cuts the later one is taken. No randomness takes part.

    Args:
        times_us: The entity rows' instants, in any order.
        test_share: Share of rows to test on, between 0 and 1, both excluded.
        purge_us: The least length of every row's label window.
        label_times_us: When each label was known, where that is stated; a row's window ends at the
            later of this and its instant plus `purge_us`.

    Raises:
        TrainingError: The share or the purge is out of range, all rows have one instant, or no
            training row is left.
    """
    if not 0.0 < test_share < 1.0:
        msg = f"the test share must lie between 0 and 1: {test_share!r}"
        raise TrainingError(msg, hint="for example 0.25")
    instants, counts = np.unique(times_us, return_counts=True)
    n_instants = len(instants)
    if n_instants <= 1:
        msg = f"{len(times_us):,} rows of {n_instants} instant(s) cannot be split by time"
        raise TrainingError(msg, hint="give entity rows at several event timestamps")
    n_from = np.cumsum(counts[::-1])[::-1]
    distance = np.abs(n_from[1:] - test_share * len(times_us))
    closest = len(distance) - 1 - int(np.argmin(distance[::-1]))
    return split_at(
        times_us,
        cut_us=int(instants[closest + 1]),
        purge_us=purge_us,
        label_times_us=label_times_us,
    )


def split_at(
    times_us: Instants,
    *,
    cut_us: int,
    purge_us: int,
    label_times_us: Instants | None = None,
    end_us: int | None = None,
) -> TimeSplit:
    """Split at a given instant, which belongs to the test period.

    Args:
        times_us: As in `split_by_time`.
        cut_us: The first instant of the test period.
        purge_us: As in `split_by_time`.
        label_times_us: As in `split_by_time`.
        end_us: The first instant after the test period; without one it lasts to the last row.

    Raises:
        TrainingError: The purge is negative, or no training or no test row is left.
    """
    if purge_us < 0:
        msg = f"the purge must not be negative: {purge_us / _US_PER_DAY:g} days"
        raise TrainingError(msg, hint="give the length of the label's window")
    window_ends_us = times_us + np.int64(purge_us)
    if label_times_us is not None:
        window_ends_us = np.maximum(window_ends_us, label_times_us)
    is_past = times_us < cut_us
    is_known = window_ends_us <= cut_us
    is_test = ~is_past if end_us is None else ~is_past & (times_us < end_us)
    split = TimeSplit(
        train=rows_where(is_past & is_known),
        test=rows_where(is_test),
        purged=rows_where(is_past & ~is_known),
        cut_us=cut_us,
        end_us=end_us,
    )
    _refuse_empty_part(split, times_us)
    return split


def _refuse_empty_part(split: TimeSplit, times_us: Instants) -> None:
    if len(split.test) == 0:
        msg = f"no test row lies in the period that begins at {format_us(split.cut_us)}"
        raise TrainingError(msg, hint="choose an earlier cut, or fewer folds")
    if len(split.train) == 0:
        span_days = (split.cut_us - int(times_us.min())) / _US_PER_DAY
        msg = (
            f"no training row is left before {format_us(split.cut_us)}: all "
            f"{len(split.purged):,} earlier rows have labels that reach beyond it"
        )
        raise TrainingError(
            msg,
            hint=f"the rows begin {span_days:.1f} days before that: give older entity rows, "
            "a shorter purge or a smaller test share",
        )

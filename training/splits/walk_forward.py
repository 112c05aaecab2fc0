"""Walk-forward folds: the test period is cut into windows, each predicted from its own past.

One split judges one season. Several test windows in a row, each with all that could have been
learned before it (an expanding training window), show how far a result moves with time, which is
what a model that is fitted again every month will meet.
"""

from __future__ import annotations

from evenstore.clock import format_us
from evenstore.errors import TrainingError
from training.splits.row_indexes import Instants
from training.splits.time_split import TimeSplit, split_at, split_by_time

__all__ = ["describe_fold", "walk_forward"]


def walk_forward(
    times_us: Instants,
    *,
    test_share: float,
    n_folds: int,
    purge_us: int,
    label_times_us: Instants | None = None,
) -> tuple[TimeSplit, ...]:
    """Split the latest rows into consecutive test windows of equal duration, earliest first.

    The test period is the one that a single split with this share has. A fold trains on every row
    before its window whose label window ends at or before the window's start, rows of earlier test
    windows included; it never sees a later row. One fold is `split_by_time`, exactly.

    Args:
        times_us: The entity rows' instants, in any order.
        test_share: Share of rows in all test windows together.
        n_folds: How many windows, from 1.
        purge_us: The least length of every row's label window.
        label_times_us: When each label was known, where that is stated.

    Guarantees:
        The test windows are disjoint and together hold the rows of the one test period.

    Raises:
        TrainingError: As `split_by_time`; or a fold has no training or no test row, in which case
            the message names the fold and its dates.
    """
    if n_folds < 1:
        msg = f"the number of folds must be 1 or more: {n_folds}"
        raise TrainingError(msg, hint="for example 4")
    if n_folds == 1:
        whole = split_by_time(
            times_us, test_share=test_share, purge_us=purge_us, label_times_us=label_times_us
        )
        return (whole,)
    # Unpurged: only the cut is wanted here, and a refusal below names the fold and its dates.
    start_us = split_by_time(times_us, test_share=test_share, purge_us=0).cut_us
    end_us = int(times_us.max()) + 1
    edges_us = [start_us + (end_us - start_us) * i // n_folds for i in range(n_folds + 1)]
    return tuple(
        _split_window(
            times_us,
            (edges_us[i], edges_us[i + 1]),
            purge_us=purge_us,
            label_times_us=label_times_us,
            name=_name(i, n_folds, edges_us[i], edges_us[i + 1]),
        )
        for i in range(n_folds)
    )


def describe_fold(splits: tuple[TimeSplit, ...], fold_idx: int) -> str:
    """Name a fold and the dates of its test window, for messages; nothing where there is one."""
    split = splits[fold_idx]
    if split.end_us is None:
        return ""
    return _name(fold_idx, len(splits), split.cut_us, split.end_us) + ": "


def _split_window(
    times_us: Instants,
    window_us: tuple[int, int],
    *,
    purge_us: int,
    label_times_us: Instants | None,
    name: str,
) -> TimeSplit:
    try:
        return split_at(
            times_us,
            cut_us=window_us[0],
            end_us=window_us[1],
            purge_us=purge_us,
            label_times_us=label_times_us,
        )
    except TrainingError as exc:
        msg = f"{name}: {exc.message}"
        raise TrainingError(msg, hint=exc.hint) from exc


def _name(fold_idx: int, n_folds: int, start_us: int, end_us: int) -> str:
    dates = f"{format_us(start_us)[:10]} to {format_us(end_us - 1)[:10]}"
    return f"fold {fold_idx + 1} of {n_folds}, test window {dates}"

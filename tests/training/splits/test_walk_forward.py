from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenstore.clock import format_us
from evenstore.errors import TrainingError
from tests.support.scale import scaled
from tests.training.samples import DAY_US, START_US
from training.splits.row_indexes import Instants
from training.splits.time_split import TimeSplit, split_at, split_by_time
from training.splits.walk_forward import describe_fold, walk_forward


def _instants(values: list[int]) -> Instants:
    return np.array(values, dtype=np.int64)


@st.composite
def _cases(draw: st.DrawFn) -> tuple[Instants, Instants, float, int, int]:
    times = draw(st.lists(st.integers(-80, 80), min_size=2, max_size=60))
    windows = [draw(st.integers(1, 30)) for _ in times]
    share = draw(st.floats(0.2, 0.8))
    purge, n_folds = draw(st.integers(0, 20)), draw(st.integers(1, 4))
    return _instants(times), _instants(times) + _instants(windows), share, purge, n_folds


def _leaking_rows(split: TimeSplit, label_times_us: Instants) -> list[int]:
    """Training rows whose label was not known yet when the test window begins."""
    return [int(row) for row in split.train if label_times_us[row] > split.cut_us]


@settings(max_examples=scaled(150, 20_000), deadline=None)
@given(_cases())
def test_no_fold_trains_on_a_label_from_after_its_cut(
    case: tuple[Instants, Instants, float, int, int],
) -> None:
    times_us, label_times_us, share, purge_us, n_folds = case
    try:
        splits = walk_forward(
            times_us,
            test_share=share,
            n_folds=n_folds,
            purge_us=purge_us,
            label_times_us=label_times_us,
        )
    except TrainingError:
        return
    assert len(splits) == n_folds
    for split in splits:
        assert not _leaking_rows(split, label_times_us)
        assert (times_us[split.train] + purge_us).max() <= split.cut_us
        assert times_us[split.train].max() < split.cut_us <= times_us[split.test].min()
    tested = np.concatenate([split.test for split in splits])
    start_us = splits[0].cut_us
    assert sorted(tested) == np.flatnonzero(times_us >= start_us).tolist()
    for earlier, later in itertools.pairwise(splits):
        assert set(earlier.train) <= set(later.train)
        assert times_us[earlier.test].max() < later.cut_us == earlier.end_us


def test_label_windows_that_are_ignored_leak_and_are_found() -> None:
    times_us = START_US + np.arange(200) * DAY_US
    label_times_us = times_us + 10 * DAY_US
    honest = walk_forward(
        times_us, test_share=0.4, n_folds=3, purge_us=0, label_times_us=label_times_us
    )
    assert [_leaking_rows(split, label_times_us) for split in honest] == [[], [], []]
    # The planted fault: as if each label had been there at once.
    early = walk_forward(
        times_us, test_share=0.4, n_folds=3, purge_us=0, label_times_us=times_us + 1
    )
    # A label known just at the cut may be used, so of the last ten rows one does not leak.
    assert [len(_leaking_rows(split, label_times_us)) for split in early] == [9, 10, 10]


def test_one_fold_is_the_single_split() -> None:
    times_us = START_US + np.arange(100) * DAY_US
    (fold,) = walk_forward(times_us, test_share=0.25, n_folds=1, purge_us=5 * DAY_US)
    single = split_by_time(times_us, test_share=0.25, purge_us=5 * DAY_US)
    for name in ("train", "test", "purged"):
        np.testing.assert_array_equal(getattr(fold, name), getattr(single, name))
    assert (fold.cut_us, fold.end_us) == (single.cut_us, None)
    assert describe_fold((fold,), 0) == ""


def test_windows_are_equally_long_and_training_expands() -> None:
    times_us = START_US + np.arange(100) * DAY_US
    splits = walk_forward(times_us, test_share=0.4, n_folds=4, purge_us=10 * DAY_US)
    ends = [split.end_us for split in splits if split.end_us is not None]
    lengths = [end - split.cut_us for end, split in zip(ends, splits, strict=True)]
    assert max(lengths) - min(lengths) <= 1
    assert splits[0].cut_us == START_US + 60 * DAY_US
    assert [len(split.test) for split in splits] == [10, 10, 10, 10]
    assert [len(split.train) for split in splits] == [51, 60, 70, 80]
    # Rows of an earlier test window train later folds, or are purged from them.
    assert {60, 69} <= set(splits[2].train)
    assert set(range(71, 80)) <= set(splits[2].purged)


def test_rows_after_the_window_are_in_no_part() -> None:
    split = split_at(_instants([0, 1, 2, 3, 4]), cut_us=2, end_us=4, purge_us=0)
    parts = (split.train.tolist(), split.test.tolist(), split.purged.tolist())
    assert parts == ([0, 1], [2, 3], [])


def test_fold_without_test_rows_is_named_with_its_dates() -> None:
    days = _instants([*range(50), *range(90, 101)])
    with pytest.raises(TrainingError) as refused:
        walk_forward(START_US + days * DAY_US, test_share=0.4, n_folds=4, purge_us=0)
    window = f"{format_us(START_US + 55 * DAY_US)[:8]}"
    assert refused.value.message.startswith("fold 2 of 4, test window 2011-")
    assert window in refused.value.message
    assert "no test row" in refused.value.message
    assert "fewer folds" in str(refused.value.hint)


def test_fold_without_training_rows_is_named_with_its_dates() -> None:
    times_us = START_US + np.arange(100) * DAY_US
    with pytest.raises(TrainingError, match=r"^fold 1 of 2, test window 2011-.*: no training row"):
        walk_forward(times_us, test_share=0.5, n_folds=2, purge_us=60 * DAY_US)


def test_less_than_one_fold_is_refused() -> None:
    with pytest.raises(TrainingError, match="1 or more: 0"):
        walk_forward(_instants([1, 2]), test_share=0.5, n_folds=0, purge_us=0)

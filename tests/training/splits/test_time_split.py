from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenstore.errors import TrainingError
from tests.support.scale import scaled
from training.splits.row_indexes import Instants
from training.splits.time_split import TimeSplit, split_at, split_by_time


def _instants(values: list[int]) -> Instants:
    return np.array(values, dtype=np.int64)


@st.composite
def _cases(draw: st.DrawFn) -> tuple[Instants, Instants, float, int]:
    times = draw(st.lists(st.integers(-50, 50), min_size=1, max_size=40))
    windows = [draw(st.integers(1, 30)) for _ in times]
    share = draw(st.floats(0.01, 0.99))
    purge = draw(st.integers(0, 40))
    return _instants(times), _instants(times) + _instants(windows), share, purge


@settings(max_examples=scaled(100, 20_000), deadline=None)
@given(_cases())
def test_no_training_label_is_known_after_the_first_test_instant(
    case: tuple[Instants, Instants, float, int],
) -> None:
    times_us, label_times_us, share, purge_us = case
    try:
        split = split_by_time(
            times_us, test_share=share, purge_us=purge_us, label_times_us=label_times_us
        )
    except TrainingError:
        return
    first_test_us = times_us[split.test].min()
    assert split.cut_us == first_test_us
    assert label_times_us[split.train].max() <= first_test_us
    assert (times_us[split.train] + purge_us).max() <= first_test_us
    assert times_us[split.train].max() < first_test_us


@settings(max_examples=scaled(100, 20_000), deadline=None)
@given(_cases())
def test_every_row_is_in_one_part_and_only_reaching_rows_are_purged(
    case: tuple[Instants, Instants, float, int],
) -> None:
    times_us, label_times_us, share, purge_us = case
    try:
        split = split_by_time(
            times_us, test_share=share, purge_us=purge_us, label_times_us=label_times_us
        )
    except TrainingError:
        return
    everything = np.concatenate([split.train, split.test, split.purged])
    assert sorted(everything) == list(range(len(times_us)))
    ends_us = np.maximum(label_times_us, times_us + purge_us)
    assert (ends_us[split.purged] > split.cut_us).all()


@settings(max_examples=scaled(100, 5_000), deadline=None)
@given(_cases(), st.integers(0, 2**32))
def test_split_does_not_depend_on_row_order(
    case: tuple[Instants, Instants, float, int], seed: int
) -> None:
    times_us, _, share, _ = case
    shuffled = np.random.default_rng(seed).permutation(times_us)
    assert _sorted_parts(times_us, share) == _sorted_parts(shuffled, share)


def _sorted_parts(times_us: Instants, share: float) -> list[list[int]] | str:
    try:
        split = split_by_time(times_us, test_share=share, purge_us=3)
    except TrainingError as exc:
        return str(exc)
    return [sorted(times_us[part]) for part in (split.train, split.test, split.purged)]


def _parts(split: TimeSplit) -> tuple[list[int], list[int], list[int]]:
    return split.train.tolist(), split.test.tolist(), split.purged.tolist()


def test_rows_whose_label_reaches_into_the_test_period_are_purged() -> None:
    times_us = _instants([0, 1, 2, 3, 4, 5, 6, 7])
    assert _parts(split_by_time(times_us, test_share=0.25, purge_us=2)) == (
        [0, 1, 2, 3, 4],
        [6, 7],
        [5],
    )


def test_longer_label_window_purges_more_than_the_stated_purge() -> None:
    times_us = _instants([0, 1, 2, 3, 4])
    split = split_at(times_us, cut_us=4, purge_us=1, label_times_us=times_us + 3)
    assert _parts(split) == ([0, 1], [4], [2, 3])


def test_rows_of_one_instant_stay_together() -> None:
    times_us = _instants([1, 1, 1, 2, 2, 2, 2, 3])
    split = split_by_time(times_us, test_share=0.5, purge_us=0)
    assert split.cut_us == 2
    assert len(split.test) == 5


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, float("nan")])
def test_share_outside_zero_to_one_is_refused(share: float) -> None:
    with pytest.raises(TrainingError, match="between 0 and 1"):
        split_by_time(_instants([1, 2]), test_share=share, purge_us=0)


@pytest.mark.parametrize("times", [[], [5], [5, 5, 5]])
def test_rows_of_one_instant_cannot_be_split(times: list[int]) -> None:
    with pytest.raises(TrainingError, match="cannot be split by time"):
        split_by_time(_instants(times), test_share=0.5, purge_us=0)


def test_purge_that_leaves_no_training_row_is_refused() -> None:
    with pytest.raises(TrainingError, match="all 2 earlier rows"):
        split_by_time(_instants([1, 2, 3]), test_share=0.3, purge_us=10)


def test_cut_after_all_rows_and_negative_purge_are_refused() -> None:
    with pytest.raises(TrainingError, match="no test row lies in the period that begins at"):
        split_at(_instants([1, 2]), cut_us=3, purge_us=0)
    with pytest.raises(TrainingError, match="negative"):
        split_at(_instants([1, 2]), cut_us=2, purge_us=-1)

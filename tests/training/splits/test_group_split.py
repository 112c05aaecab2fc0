from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenstore.errors import TrainingError
from tests.support.scale import scaled
from training.splits.group_split import fold_by_group, split_by_group


def _column(values: Any, kind: pa.DataType | None = None) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values, kind)])


@settings(max_examples=scaled(150, 10_000), deadline=None)
@given(
    st.lists(st.integers(-50, 50), min_size=1, max_size=60),
    st.floats(0.05, 0.95),
    st.integers(0, 2**64 - 1),
)
def test_every_row_is_on_one_side_and_every_group_too(
    values: list[int], share: float, seed: int
) -> None:
    try:
        split = split_by_group([_column(values)], test_share=share, seed=seed)
    except TrainingError:
        return
    assert split.train.dtype == split.test.dtype == np.int64
    assert sorted([*split.train, *split.test]) == list(range(len(values)))
    groups = np.array(values)
    assert not set(groups[split.train]) & set(groups[split.test])


@settings(max_examples=scaled(80, 5_000), deadline=None)
@given(st.lists(st.text(max_size=3), min_size=2, max_size=40), st.integers(2, 4), st.data())
def test_folds_hold_every_row_once_whatever_the_order(
    values: list[str], n_folds: int, data: st.DataObject
) -> None:
    def test_groups(order: list[str]) -> list[set[str]] | str:
        try:
            folds = fold_by_group([_column(order)], n_folds=n_folds)
        except TrainingError as exc:
            return exc.message
        assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(len(order)))
        for fold in folds:
            assert not set(fold.train) & set(fold.test)
        return [{order[row] for row in fold.test} for fold in folds]

    assert test_groups(values) == test_groups(data.draw(st.permutations(values)))


def test_a_groups_side_does_not_change_when_rows_and_groups_are_added() -> None:
    few, many = np.arange(200), np.arange(2_000)
    one = split_by_group([_column(few)], test_share=0.3)
    later = split_by_group([_column(np.repeat(many, 2))], test_share=0.3)
    assert set(one.test) == {row // 2 for row in later.test if row // 2 < 200}


def test_share_is_met_about_and_seeds_differ() -> None:
    splits = [split_by_group([_column(range(4_000))], test_share=0.3, seed=i) for i in (0, 1)]
    assert all(1_100 < len(split.test) < 1_300 for split in splits)
    assert 200 < len(set(splits[0].test) & set(splits[1].test)) < 500


def test_split_is_the_same_on_every_machine_and_in_every_version() -> None:
    column = _column(["a", "b", "c", "d", "e", "f", "g", "h"])
    assert split_by_group([column], test_share=0.5).test.tolist() == [0, 1, 4, 5, 7]


def test_width_of_integers_and_chunks_do_not_matter() -> None:
    wide = _column(range(50))
    narrow = pa.chunked_array(
        [pa.array(range(20), pa.int16()), pa.array(range(20, 50), pa.int16())]
    )
    one, other = (split_by_group([column], test_share=0.5) for column in (wide, narrow))
    np.testing.assert_array_equal(one.test, other.test)


def test_columns_name_a_group_together_and_are_not_joined_as_text() -> None:
    pairs = [(one, other) for one in ("a", "ab") for other in ("b", "bc", "c")] * 2
    columns = [_column([pair[i] for pair in pairs]) for i in (0, 1)]
    folds = [fold_by_group(columns, n_folds=2, seed=seed) for seed in range(16)]
    sides = [{pairs[row] for row in fold[0].test} for fold in folds]
    # ("a", "bc") and ("ab", "c") would always be together if the texts were joined.
    assert any((("a", "bc") in side) != (("ab", "c") in side) for side in sides)
    for one, other in itertools.pairwise(sides):
        assert one | other


@pytest.mark.parametrize(
    "column",
    [
        _column([b"a", b"b", b"c", b"d"] * 5),
        _column([True, False] * 10),
        _column(list(range(20)), pa.timestamp("us", tz="UTC")),
        _column(list(range(20)), pa.date32()),
        _column([i * 86_400_000 for i in range(20)], pa.date64()),
        _column(list(range(20)), pa.timestamp("ns")),
        _column(["a", "b", "c", "d"] * 5, pa.large_string()),
        _column(["a", "b", "c", "d"] * 5).dictionary_encode(),
    ],
    ids=lambda column: str(column.type),
)
def test_groups_can_be_of_these_types(column: pa.ChunkedArray) -> None:
    values = column.to_pylist()
    for seed in range(20):
        try:
            split = split_by_group([column], test_share=0.5, seed=seed)
        except TrainingError:
            continue
        sides = [{values[row] for row in rows} for rows in (split.train, split.test)]
        assert not sides[0] & sides[1]
        return
    pytest.fail("no seed splits the groups")


@pytest.mark.parametrize("share", [0.0, 1.0, float("nan")])
def test_share_outside_zero_to_one_is_refused(share: float) -> None:
    with pytest.raises(TrainingError, match="between 0 and 1"):
        split_by_group([_column([1, 2])], test_share=share)


def test_groups_that_cannot_be_split_are_refused() -> None:
    with pytest.raises(TrainingError, match="1 groups leave no row to"):
        split_by_group([_column([7] * 10)], test_share=0.5)
    with pytest.raises(TrainingError, match="group is null"):
        split_by_group([_column([1, None])], test_share=0.5)
    with pytest.raises(TrainingError, match="type double"):
        split_by_group([_column([1.0, 2.0])], test_share=0.5)
    with pytest.raises(TrainingError, match="no column names"):
        split_by_group([], test_share=0.5)
    with pytest.raises(TrainingError, match="2 or more"):
        fold_by_group([_column([1, 2])], n_folds=1)
    with pytest.raises(TrainingError, match="the seed must lie"):
        split_by_group([_column([1, 2])], test_share=0.5, seed=-1)

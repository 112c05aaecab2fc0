from __future__ import annotations

import dataclasses

import pyarrow as pa
import pytest

from evenstore.errors import TrainingError
from evenstore.semantics import Knowledge
from tests.training.samples import (
    DAY_US,
    SPEC,
    START_US,
    JoinedRows,
    make_entity_rows,
    make_features,
    make_join,
)
from training.dataset import TrainingDataset
from training.leakage import check_label_times


def _later(table: pa.Table, name: str, row_idx: int, instant_us: int) -> pa.Table:
    values = table[name].cast(pa.int64()).to_pylist()
    values[row_idx] = instant_us
    column = pa.array(values, pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    return table.set_column(table.column_names.index(name), name, column)


@pytest.mark.parametrize("batch_rows", [1, 2, 10])
def test_feature_of_the_future_is_a_leak_in_whatever_batch_it_comes(batch_rows: int) -> None:
    rows = make_entity_rows(4)
    as_of_us = START_US + DAY_US
    name = "activity__orders__event_timestamp"
    at_the_instant = JoinedRows(_later(make_features(rows), name, 2, as_of_us), batch_rows)
    assert TrainingDataset(make_join(at_the_instant, rows)).table.num_rows == 4
    joined = JoinedRows(_later(make_features(rows), name, 2, as_of_us + 1), batch_rows)
    with pytest.raises(TrainingError, match=r"leak: `activity__orders` in row 2 is of .*000001Z"):
        TrainingDataset(make_join(joined, rows)).load()


def test_row_that_was_created_later_is_a_leak_where_rows_must_have_been_known() -> None:
    rows = make_entity_rows(4)
    as_of = rows["event_timestamp"].cast(pa.int64()).to_pylist()
    created = pa.array([None, *as_of[1:]], pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    joined = make_features(rows).append_column("activity__created_timestamp", created)
    dataset = TrainingDataset(make_join(joined, rows))
    assert "activity__created_timestamp" not in dataset.table.column_names
    late = JoinedRows(_later(joined, "activity__created_timestamp", 3, as_of[3] + 1), 2)
    with pytest.raises(TrainingError, match=r"leak: the row of `activity` in row 3 was created at"):
        TrainingDataset(make_join(late, rows)).load()
    truth = dataclasses.replace(SPEC, knowledge=Knowledge.LATEST_TRUTH)
    assert TrainingDataset(make_join(late, rows, spec=truth)).table.num_rows == 4


def test_label_known_at_the_entity_rows_instant_is_a_leak() -> None:
    instant_us = START_US + 3 * DAY_US // 2
    check_label_times(_later(make_entity_rows(4), "label_timestamp", 3, instant_us + 1), SPEC)
    with pytest.raises(TrainingError, match="leak: label `buys_again` in row 3"):
        check_label_times(_later(make_entity_rows(4), "label_timestamp", 3, instant_us), SPEC)


def test_label_time_is_not_checked_where_it_is_not_stated() -> None:
    rows = _later(make_entity_rows(4), "label_timestamp", 3, START_US)
    check_label_times(rows, dataclasses.replace(SPEC, label_timestamp_column=None))

"""The rows near an instant: what a join takes comes first, and no entity gives too many."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from evenstore.dtypes import Dtype
from evenstore.duckdb_session import open_session
from evenstore.semantics import EARLIEST_US
from evenstore.sql.latest import build_latest_rows_sql
from evenstore.sql.relation import AS_OF_US, CREATED_US, EVENT_US, N_ROWS, ROW_IDX
from evenstore.sql.row_history import build_row_history_sql
from tests.support.parquet_view import ParquetView

MOST_ROWS = 3


def write_view(
    folder: Path, rows: Sequence[tuple[int | None, int | None, int | None, Any]]
) -> ParquetView:
    """Rows of (entity, event, created, value), instants in microseconds."""
    entity, event, created, value = (list(column) for column in zip(*rows, strict=True))
    instant = pa.timestamp("us", tz="UTC")
    table = pa.table(
        {
            "k": pa.array(entity, pa.int64()),
            "event_timestamp": pa.array(event, instant),
            "created": pa.array(created, instant),
            "x": pa.array(value, pa.float64()),
        }
    )
    return ParquetView(
        folder / "rows.parquet",
        table,
        join_keys={"k": Dtype.INT64},
        features={"x": Dtype.FLOAT64},
        created="created",
    )


def read(view: ParquetView, asked: list[tuple[int, int]]) -> list[dict[str, Any]]:
    sql = build_row_history_sql(view.source, view.view, asked_relation="asked", most_rows=MOST_ROWS)
    relation = pa.table(
        {
            "k": pa.array([key for key, _ in asked], pa.int64()),
            ROW_IDX: pa.array(range(len(asked)), pa.int64()),
            AS_OF_US: pa.array([as_of_us for _, as_of_us in asked], pa.int64()),
        }
    )
    with open_session(sources=[view.source]) as session:
        session.register("asked", relation)
        found: list[dict[str, Any]] = session.sql(sql).to_arrow_table().to_pylist()
    return found


def test_rows_on_both_sides_of_the_instant_are_the_nearest(tmp_path: Path) -> None:
    view = write_view(tmp_path, [(1, event, 0, float(event)) for event in range(20)])
    found = read(view, [(1, 10), (1, 0), (2, 10)])
    events = {i: [row[EVENT_US] for row in found if row[ROW_IDX] == i] for i in range(3)}
    assert events == {0: [13, 12, 11, 10, 9, 8], 1: [3, 2, 1, 0], 2: []}
    assert {row[N_ROWS] for row in found} == {20}


def test_tied_rows_are_in_the_order_of_content(tmp_path: Path) -> None:
    rows = [(1, 5, None, 9.0), (1, 5, 7, 1.0), (1, 5, 7, None), (1, 5, 7, 2.0), (1, 5, 8, None)]
    found = read(write_view(tmp_path, rows), [(1, 5)])
    assert [(row[CREATED_US], row["x"]) for row in found] == [(8, None), (7, 2.0), (7, 1.0)]


def test_rows_that_name_nothing_are_left_out(tmp_path: Path) -> None:
    view = write_view(tmp_path, [(None, 5, 5, 1.0), (1, None, 5, 2.0), (1, 4, 4, 3.0)])
    (row,) = read(view, [(1, 9)])
    assert (row["x"], row[N_ROWS]) == (3.0, 1)


@pytest.mark.parametrize("seed", range(3))
def test_first_row_is_the_one_that_a_join_takes(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    rows = [
        (
            int(random.integers(8)),
            int(random.integers(12)),
            None if random.random() < 0.2 else int(random.integers(3)),
            None if random.random() < 0.2 else float(random.integers(4)),
        )
        for _ in range(300)
    ]
    view = write_view(tmp_path, rows)
    as_of_us = 8
    first: dict[int, dict[str, Any]] = {}
    for row in read(view, [(key, as_of_us) for key in range(8)]):
        if row[EVENT_US] <= as_of_us:
            first.setdefault(row[ROW_IDX], row)
    sql = build_latest_rows_sql(view.source, view.view, since_us=EARLIEST_US, until_us=as_of_us)
    with open_session(sources=[view.source]) as session:
        latest = session.sql(sql).to_arrow_table().to_pylist()
    names = (EVENT_US, CREATED_US, "x")
    assert {key: [row[name] for name in names] for key, row in first.items()} == {
        row["k"]: [row[name] for name in names] for row in latest
    }

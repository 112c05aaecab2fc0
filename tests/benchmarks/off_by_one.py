"""Contenders with a fault each, for the harness to find; named by module."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from benchmarks.answers import load_answer
from benchmarks.contenders import duckdb_range
from benchmarks.contenders.contender import Join
from benchmarks.data import Dataset

__all__ = ["open_join", "prepare"]


def prepare(_dataset: Dataset) -> None:
    """Prepare nothing."""


def open_join(dataset: Dataset) -> Join:
    """Join rightly, then give one entity row the features of its neighbour."""
    right = duckdb_range.open_join(dataset)

    def join() -> pa.Table:
        answer = load_answer(right(), dataset.answer_columns)
        rows = np.arange(answer.num_rows)
        rows[3] = 4
        columns = [
            answer["row_id"],
            *answer.select(list(dataset.answer_columns)).take(rows).columns,
        ]
        return pa.table(columns, names=["row_id", *dataset.answer_columns])

    return join

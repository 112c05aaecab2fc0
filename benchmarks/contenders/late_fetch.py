"""What the hand-written contenders share: feature columns taken for the winning rows only."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.answers import Answer
from benchmarks.data import Dataset
from benchmarks.rows import FEATURES

__all__ = ["align", "finish", "take_features"]


def align(found: pa.Table, row_ids: NDArray[np.int64], n_entity_rows: int) -> pa.Table:
    """Put rows that were found in any order into the order of the entity rows, null elsewhere.

    Args:
        found: Features of some entity rows.
        row_ids: The entity row each row of `found` belongs to.
        n_entity_rows: Rows of the result.
    """
    positions = np.full(n_entity_rows, -1)
    positions[row_ids] = np.arange(len(row_ids))
    return take_features(found, positions)


def take_features(table: pa.Table, positions: NDArray[np.int64]) -> pa.Table:
    """Take rows of every column by position, -1 for a null; columns in threads."""
    indices = pa.array(positions, mask=positions < 0)

    def take(name: str) -> pa.Array:
        column = table[name]
        whole = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
        return whole.take(indices)

    with ThreadPoolExecutor() as pool:
        return pa.table(list(pool.map(take, table.schema.names)), names=table.schema.names)


def finish(dataset: Dataset, entities: pa.Table, features: Sequence[pa.Table]) -> Answer:
    """Put the entity rows and the features of each view side by side; to a file where asked."""
    names = list(entities.schema.names)
    columns = list(entities.columns)
    for view, table in zip(dataset.case.views, features, strict=True):
        names += [f"{view}__{feature}" for feature in FEATURES]
        columns += [table[feature] for feature in FEATURES]
    answer = pa.table(columns, names=names)
    if not dataset.case.is_streamed:
        return answer
    path = dataset.folder / "answer.parquet"
    pq.write_table(answer, path)
    return Path(path)

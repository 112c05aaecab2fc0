"""Stock Feast's DuckDB offline store, through Feast's SDK."""

from __future__ import annotations

import pyarrow.parquet as pq

from benchmarks.answers import Answer
from benchmarks.contenders.contender import STOCK, Join
from benchmarks.contenders.feast_repo import (
    feature_refs,
    open_feast_join,
    open_repo,
    write_repo,
)
from benchmarks.data import Dataset

__all__ = ["open_join", "prepare"]


def prepare(dataset: Dataset) -> None:
    """Write the repo."""
    write_repo(dataset, STOCK, {"type": "duckdb"})


def open_join(dataset: Dataset) -> Join:
    """Open the join."""
    if not dataset.case.is_streamed:
        return open_feast_join(dataset, STOCK)
    # It takes no path and has no to_parquet: this is what its user would write.
    store = open_repo(dataset.prepared_folder(STOCK))
    path = dataset.folder / f"answer-{STOCK}.parquet"

    def join() -> Answer:
        entity_df = dataset.read_entity_rows().to_pandas()
        job = store.get_historical_features(
            entity_df, feature_refs(dataset), full_feature_names=True
        )
        pq.write_table(job.to_arrow(), path)
        return path

    return join

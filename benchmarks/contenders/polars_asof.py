"""polars: join_asof on the narrow columns, then a gather of the feature columns."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pyarrow as pa

from benchmarks.answers import Answer
from benchmarks.contenders.contender import Join
from benchmarks.contenders.late_fetch import finish
from benchmarks.data import Dataset
from benchmarks.rows import FEATURES, ROW_ID

__all__ = ["open_join", "prepare"]


def prepare(_dataset: Dataset) -> None:
    """Do nothing: the files are taken as they come."""


def open_join(dataset: Dataset) -> Join:
    """Open the join."""
    keys = list(dataset.key_columns)
    entities = dataset.read_entity_rows()
    entity_frame = pl.DataFrame(entities)
    ttl_us = dataset.case.ttl_us
    tolerance = None if ttl_us is None else timedelta(microseconds=ttl_us)

    def features_of(view: str, wanted: pl.DataFrame) -> pa.Table:
        files = dataset.view_files(view)
        # Of equal event timestamps join_asof takes the last row: the greatest created timestamp.
        narrow = (
            pl.read_parquet(files, columns=[*keys, "event_timestamp", "created"])
            .with_row_index("position")
            .sort("event_timestamp", "created")
            .drop("created")
        )
        winners = wanted.join_asof(
            narrow,
            on="event_timestamp",
            by=keys,
            strategy="backward",
            tolerance=tolerance,
            check_sortedness=False,
        ).sort(ROW_ID)["position"]
        features = pl.read_parquet(files, columns=list(FEATURES))
        return features.select(pl.all().gather(winners)).to_arrow()

    def join() -> Answer:
        wanted = entity_frame.sort("event_timestamp")
        return finish(dataset, entities, [features_of(view, wanted) for view in dataset.case.views])

    return join

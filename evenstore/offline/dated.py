"""Entity rows for a retrieval that names dates only: every entity that was seen between them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from evenstore.duckdb_session import SessionLimits, open_session
from evenstore.offline.retry import unchanged_sources
from evenstore.schema.files import SourceFiles
from evenstore.schema.request import ViewRead
from evenstore.sql.entities import build_entities_sql

__all__ = ["find_entities"]


def find_entities(
    views: Sequence[tuple[SourceFiles, ViewRead]],
    *,
    since_us: int,
    until_us: int,
    event_timestamp_column: str,
    limits: SessionLimits | None = None,
) -> pa.Table:
    """List the entities that have a row in any of some views, each at the end of the interval.

    Views with other keys give rows of their own, whose other keys are null, as in Feast's stores.

    Args:
        views: Where to look.
        since_us: Earliest event timestamp, microseconds; both ends are inclusive.
        until_us: Latest event timestamp, and the instant of every row.
        event_timestamp_column: The name of the instants' column.
        limits: Memory and threads.

    Raises:
        SourceChangedError: A file was replaced or removed meanwhile.
        SourceUnavailableError: A file cannot be read.

    Shapes:
        out: one row per distinct entity x (key columns of all views, instants); without keys one
            row.
    """
    keyed = [(source, read) for source, read in views if read.key_columns]
    found: list[pa.Table] = []
    sources = [source for source, _ in views]
    with unchanged_sources(sources), open_session(limits, sources=sources) as session:
        for source, read in keyed:
            sql = build_entities_sql(source, read, since_us=since_us, until_us=until_us)
            found.append(session.sql(sql).to_arrow_table())
    if not found:
        return pa.table({event_timestamp_column: _instants(until_us, 1)})
    entities = pa.concat_tables(found, promote_options="default")
    if len(found) > 1:
        entities = entities.group_by(entities.column_names, use_threads=False).aggregate([])
        entities = entities.sort_by([(name, "ascending") for name in entities.column_names])
    instants = _instants(until_us, entities.num_rows)
    return entities.append_column(event_timestamp_column, instants)


def _instants(until_us: int, n_rows: int) -> pa.Array:
    return pa.array(np.full(n_rows, until_us), pa.timestamp("us", tz="UTC"))

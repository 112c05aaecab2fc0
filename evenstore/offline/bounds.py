"""What a source's footers say of its rows: how many, and between which timestamps."""

from __future__ import annotations

from collections.abc import Iterable

import duckdb

from evenstore.schema.files import SourceFiles, TimestampColumn
from evenstore.schema.footer import ColumnRange, Footer, footers_of
from evenstore.sql.row_order import RowBounds, build_row_bounds_sql

__all__ = ["choose_blocks", "read_row_bounds"]

_N_BLOCKS = 3


def read_row_bounds(session: duckdb.DuckDBPyConnection, source: SourceFiles) -> RowBounds:
    """Read the bounds from footers that are in memory; ask DuckDB where a footer does not say.

    Raises:
        SourceUnavailableError: A file cannot be read.
    """
    footers = [footer for footer in footers_of(source) if footer.n_rows]
    event_us = _bounds(footers, source.event)
    created_us = None if source.created is None else _bounds(footers, source.created)
    is_known = event_us is not None and (source.created is None or created_us is not None)
    if is_known or not footers:
        n_rows = sum(footer.n_rows for footer in footers)
        return RowBounds(len(source.paths), n_rows, event_us, created_us)
    ((n_rows, *instants),) = session.sql(build_row_bounds_sql(source)).fetchall()
    event_us, created_us = (
        None if first is None or last is None else (first, last)
        for first, last in (instants[:2], instants[2:])
    )
    return RowBounds(len(source.paths), n_rows, event_us, created_us)


def choose_blocks(source: SourceFiles) -> tuple[tuple[int, int], ...]:
    """Choose a few row groups, evenly among all, of which a sample can be read cheaply.

    Returns:
        `(index of the file, first row)` of each.
    """
    starts = [
        (file, sum(footer.row_group_rows[:i]))
        for file, footer in enumerate(footers_of(source))
        for i in range(len(footer.row_group_rows))
    ]
    last = len(starts) - 1
    chosen = sorted({i * last // (_N_BLOCKS - 1) for i in range(_N_BLOCKS)}) if starts else []
    return tuple(starts[i] for i in chosen)


def _bounds(footers: Iterable[Footer], column: TimestampColumn) -> tuple[int, int] | None:
    ranges: list[ColumnRange] = []
    for footer in footers:
        found = footer.range_of(column.name)
        if found is None:
            return None
        ranges.append(found)
    if not ranges:
        return None
    return min(int(item.minimum) for item in ranges), max(int(item.maximum) for item in ranges)

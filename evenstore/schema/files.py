"""A view's batch source as plain data: its files, and what its columns are called there."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SourceFiles", "TimestampColumn"]


@dataclass(frozen=True, slots=True)
class TimestampColumn:
    """A source's timestamp column; `has_ns` where DuckDB reads it with nanoseconds."""

    name: str
    has_ns: bool = False


@dataclass(frozen=True, slots=True)
class SourceFiles:
    """The files of one view's batch source, and what its columns are called there.

    Attributes:
        paths: Absolute paths; at least one.
        event: The event timestamp column.
        created: The created timestamp column, None where the source has none.
        columns: `(declared name, source column)` for every join key and feature.
        timestamp_features: Source columns of UNIX_TIMESTAMP features that have nanoseconds.
    """

    paths: tuple[str, ...]
    event: TimestampColumn
    created: TimestampColumn | None
    columns: tuple[tuple[str, str], ...]
    timestamp_features: frozenset[str] = frozenset()

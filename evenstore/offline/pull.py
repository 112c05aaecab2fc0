"""Feast's plain selections from a source's files."""

from __future__ import annotations

from pathlib import Path

from feast.data_source import DataSource

from evenstore.schema.source import SourceNames, find_files, read_column_types
from evenstore.sql.pull import Pull, build_pull_sql

__all__ = ["build_pull"]


def build_pull(source: DataSource, repo_path: Path | None, pull: Pull) -> str:
    """Build the SQL of a plain selection from a source's files.

    Raises:
        SourceUnavailableError: There are no files, or one is no Parquet file.
        SchemaError: A column is missing.
        UnsupportedDtypeError: A timestamp column holds no timestamps.
    """
    paths = find_files(source, repo_path)
    names = SourceNames(source.name, source, read_column_types(paths))
    for name in (*pull.join_keys, *pull.features):
        names.source_column(name)
    created = pull.created_timestamp_column
    return build_pull_sql(
        pull,
        paths,
        event=names.timestamp(pull.timestamp_field),
        created=None if created is None else names.timestamp(created),
    )

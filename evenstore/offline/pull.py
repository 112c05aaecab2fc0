"""Feast's plain selections from a source's files."""

from __future__ import annotations

from pathlib import Path

from feast.data_source import DataSource

from evenstore.schema.files import SourceFiles
from evenstore.schema.source import list_files, open_columns
from evenstore.sql.pull import Pull

__all__ = ["open_pull"]


def open_pull(source: DataSource, repo_path: Path | None, pull: Pull) -> SourceFiles:
    """Find the files of a source, and check that they have the columns of a pull.

    Nothing declares types here: of columns that live in the paths, plain integers are Int64 and all
    else is text.

    Raises:
        SourceUnavailableError: There are no files, or one is no Parquet file.
        SchemaError: A column is missing, or files disagree.
        UnsupportedDtypeError: A timestamp column holds no timestamps.
    """
    listed = list_files(source, repo_path)
    columns = open_columns(source.name, source, listed)
    created = pull.created_timestamp_column
    stamps = {pull.timestamp_field, created}
    event_column = columns.timestamp(pull.timestamp_field)
    created_column = None
    if created is not None:
        created_column = columns.timestamp(created, is_in_every_file=False)
    named = [
        (name, columns.untyped(name))
        for name in (*pull.join_keys, *pull.features)
        if name not in stamps
    ]
    return SourceFiles(
        paths=listed.paths,
        event=event_column,
        created=created_column,
        columns=tuple(named),
        name=source.name,
        path_columns=columns.path_columns,
        store=listed.store,
        identities=listed.identities,
    )

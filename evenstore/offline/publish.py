"""Publishes rows into a source's folder.

A new immutable file each time, history is never rewritten.
"""

from __future__ import annotations

import glob
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from feast import FileSource
from feast.data_format import DeltaFormat
from feast.data_source import DataSource

from evenstore.errors import OfflineStoreError, SourceUnavailableError
from evenstore.schema.remote import is_url
from evenstore.schema.source import find_files, read_column_types, resolve_path
from evenstore.whole_file import whole_file

__all__ = ["publish_rows"]


def publish_rows(source: DataSource, repo_path: Path | None, table: pa.Table) -> Path:
    """Write rows as one new file beside a source's others.

    The file gets its name when it is complete, so that a reader never sees a part; writers at the
    same time lose nothing.

    Returns:
        The new file.

    Raises:
        OfflineStoreError: The source is one file, a glob, a table or remote, or its columns differ
            from the rows'.
    """
    if not isinstance(source, FileSource):
        msg = f"data source `{source.name}` is a {type(source).__name__}"
        raise OfflineStoreError(msg, hint="rows can be added to a FileSource's folder")
    if isinstance(source.file_format, DeltaFormat) or is_url(source.path.removeprefix("file://")):
        msg = f"data source `{source.name}` is a table or on a remote store: it cannot be added to"
        raise OfflineStoreError(msg, hint="write to it with its own tools, or use a local folder")
    folder = Path(resolve_path(source.path, repo_path))
    is_one_file = folder.suffix == ".parquet" or glob.has_magic(str(folder))
    if folder.is_file() or (is_one_file and not folder.is_dir()):
        msg = f"data source `{source.name}` is one file or a glob: it cannot be added to"
        raise OfflineStoreError(msg, hint="point the source at a folder")
    _check_columns(source, repo_path, table)
    published = folder / f"{uuid.uuid4().hex}.parquet"
    with whole_file(published) as temporary:
        pq.write_table(table, temporary)
    return published


def _check_columns(source: DataSource, repo_path: Path | None, table: pa.Table) -> None:
    try:
        paths = find_files(source, repo_path)
    except SourceUnavailableError:
        return  # The first file of a source decides its columns.
    wanted = read_column_types(paths, where=f"data source `{source.name}`")
    given = dict(zip(table.schema.names, table.schema.types, strict=True))
    if given != wanted:
        differing = sorted(
            name for name in {*given, *wanted} if given.get(name) != wanted.get(name)
        )
        msg = f"data source `{source.name}`: columns differ from its files: {', '.join(differing)}"
        raise OfflineStoreError(msg, hint="write the same columns with the same types")

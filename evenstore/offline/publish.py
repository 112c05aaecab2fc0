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
    table = _fit_columns(source, repo_path, table)
    _refuse_nulls(source, table)
    published = folder / f"{uuid.uuid4().hex}.parquet"
    with whole_file(published) as temporary:
        pq.write_table(table, temporary)
    return published


def _fit_columns(source: DataSource, repo_path: Path | None, table: pa.Table) -> pa.Table:
    """Give the rows the columns and types of the source's files, where no value is changed by it.

    pandas alone makes nanoseconds of every timestamp, and floats of integers with gaps.
    """
    try:
        paths = find_files(source, repo_path)
    except SourceUnavailableError:
        return table  # The first file of a source decides its columns.
    wanted = read_column_types(paths, where=f"data source `{source.name}`")
    where = f"data source `{source.name}`, file `{paths[0]}`"
    differing = sorted({*table.column_names} ^ {*wanted})
    if differing:
        msg = f"{where}: columns differ from its files: {', '.join(differing)}"
        raise OfflineStoreError(msg, hint=f"write the columns {', '.join(wanted)}")
    columns = {}
    for name, dtype in wanted.items():
        try:
            columns[name] = table[name].cast(dtype)
        except pa.ArrowException as exc:
            msg = f"{where}: column `{name}` is {table[name].type}, {dtype} in the files: {exc}"
            raise OfflineStoreError(msg, hint=f"convert it to {dtype} first") from exc
    return pa.table(columns)


def _refuse_nulls(source: DataSource, table: pa.Table) -> None:
    name = source.timestamp_field
    if name in table.column_names and table[name].null_count:
        msg = f"data source `{source.name}`: `{name}` is null in {table[name].null_count:,} rows"
        raise OfflineStoreError(msg, hint="a row without event timestamp is never joined")

"""The scan of a source's files."""

from __future__ import annotations

import glob
from collections.abc import Iterable

from evenstore.dtypes import Dtype
from evenstore.schema.files import PathColumn, PathValue, SourceFiles
from evenstore.sql.quoting import quote_identifier, quote_literal

__all__ = ["build_probe_sql", "build_scan_sql", "used_columns"]

_PATH_TYPES = {
    Dtype.STRING: "varchar",
    Dtype.INT32: "integer",
    Dtype.INT64: "bigint",
    Dtype.FLOAT32: "float",
    Dtype.FLOAT64: "double",
    Dtype.BOOL: "boolean",
    Dtype.UNIX_TIMESTAMP: "bigint",
}


def build_scan_sql(source: SourceFiles) -> str:
    """Build the scan of a source's files, columns matched by name.

    Returns:
        What can follow `from`. It has the files' columns, those of the paths, and DuckDB's
            `file_index` (the place in `source.paths`) and `file_row_number`.
    """
    # DuckDB would take a name with a bracket or a star for a pattern, and read other files.
    listed = ", ".join(quote_literal(glob.escape(path)) for path in source.scan_paths)
    # Files of one form need not all be opened before the first is read.
    by_name = "false" if source.is_uniform else "true"
    scan = f"read_parquet([{listed}], union_by_name = {by_name}, hive_partitioning = false)"
    if not source.path_columns:
        return scan
    columns = ",\n    ".join(_path_column(column) for column in source.path_columns)
    return f"(\n  select *, file_index, file_row_number,\n    {columns}\n  from {scan}\n)"


def build_probe_sql(source: SourceFiles, columns: Iterable[str] | None = None) -> str:
    """Build a query that reads every value of some columns, to find what cannot be read.

    Args:
        source: The files.
        columns: Whose values; of all columns that are used by default.

    Shapes:
        out: one row x (a hash).
    """
    listed = ", ".join(map(quote_identifier, used_columns(source) if columns is None else columns))
    return f"select max(hash({listed}))\nfrom {build_scan_sql(source)}"


def used_columns(source: SourceFiles) -> tuple[str, ...]:
    """Name the columns of a source that a join of it reads, each once."""
    stamps = [source.event, *([source.created] if source.created else [])]
    return tuple(dict.fromkeys([column for _, column in source.columns] + [s.name for s in stamps]))


def _path_column(column: PathColumn) -> str:
    values = ", ".join(_value(value) for value in column.values)
    listed = f"cast([{values}] as {_PATH_TYPES[column.dtype]}[])"
    value = f"{listed}[cast(file_index as bigint) + 1]"
    if column.dtype is Dtype.UNIX_TIMESTAMP:
        value = f"make_timestamptz({value})"
    return f"{value} as {quote_identifier(column.name)}"


def _value(value: PathValue) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else quote_literal(str(value))

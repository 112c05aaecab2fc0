"""Entity rows in any of the forms that callers have them: frames, tables, files."""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import pyarrow as pa
import pyarrow.parquet as pq

from evenstore.errors import ConfigurationError, EntityRowsError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

__all__ = ["EntityRowsSource", "is_parquet_path", "read_entity_table"]

EntityRowsSource: TypeAlias = Union[
    pa.Table, "pd.DataFrame", "pl.DataFrame", "os.PathLike[str]", str
]
"""A table, a frame, or the path of a Parquet file; a string must end in `.parquet`."""

_FORMS = "pass a pandas or polars frame, an Arrow table, or the path of a Parquet file"


def read_entity_table(source: EntityRowsSource) -> pa.Table:
    """Read entity rows once.

    Args:
        source: A table, a pandas or polars frame, or the path of a Parquet file, relative to the
            working folder; a path that is a string ends in `.parquet`.

    Raises:
        ConfigurationError: There is no such file, or it is not Parquet.
        EntityRowsError: Two columns have one name, a pandas column is of no one type, or the object
            is of no known kind.
    """
    table = _to_arrow(source)
    repeated = [name for name, count in Counter(table.column_names).items() if count > 1]
    if repeated:
        msg = f"entity rows have more than one column `{repeated[0]}`"
        raise EntityRowsError(msg, hint="rename or drop one of them")
    return table


def is_parquet_path(source: object) -> bool:
    """Tell whether entity rows are named by the path of a file."""
    is_path = isinstance(source, str) and source.endswith(".parquet")
    return is_path or isinstance(source, os.PathLike)


def _to_arrow(source: Any) -> pa.Table:
    if is_parquet_path(source):
        return _read_file(Path(source))
    if isinstance(source, pa.Table):
        return source
    # A frame can only come from a library that is loaded: none is imported to find out.
    pandas, polars = sys.modules.get("pandas"), sys.modules.get("polars")
    if pandas is not None and isinstance(source, pandas.DataFrame):
        return _from_pandas(source)
    if polars is not None and isinstance(source, polars.DataFrame):
        return source.to_arrow()
    msg = f"entity rows cannot be a {type(source).__name__}"
    if isinstance(source, str):
        msg = f"`{source}` is no path of a Parquet file"
    raise EntityRowsError(msg, hint=_FORMS)


def _refuse_repeated(table: pa.Table) -> pa.Table:
    repeated = [name for name, count in Counter(table.column_names).items() if count > 1]
    if repeated:
        msg = f"entity rows have more than one column `{repeated[0]}`"
        raise EntityRowsError(msg, hint="rename or drop one of them")
    return table


def _from_pandas(frame: Any) -> pa.Table:
    repeated = frame.columns[frame.columns.duplicated()]
    if len(repeated):
        msg = f"entity rows have more than one column `{repeated[0]}`"
        raise EntityRowsError(msg, hint="rename or drop one of them")
    try:
        return pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowException, OverflowError, TypeError) as exc:
        msg = f"entity rows: {_name_column(frame)} is of no one type: {exc}"
        raise EntityRowsError(msg, hint="give every column one type") from exc


def _name_column(frame: Any) -> str:
    """Name the first column that Arrow does not take; it does not always say so itself."""
    for name in frame.columns:
        try:
            pa.Table.from_pandas(frame[[name]], preserve_index=False)
        except (pa.ArrowException, OverflowError, TypeError):
            return f"column `{name}`"
    return "a column"


def _read_file(path: Path) -> pa.Table:
    if not path.is_file():
        msg = f"there is no file of entity rows: `{path}`"
        raise ConfigurationError(msg, hint="give the path of a Parquet file")
    try:
        return pq.ParquetFile(path).read()
    except (pa.ArrowInvalid, OSError) as exc:
        msg = f"`{path}` cannot be read as Parquet: {exc}"
        raise ConfigurationError(msg, hint="write the entity rows as Parquet") from exc

"""Reads shop data in its Parquet form, and refuses what the transforms could not trust.

Dirt that the set is known for (cancellations, duplicates, missing customers, prices of zero)
passes: the SQL deals with it. What is refused here is data of another shape.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from demo.shop.schema import SHOP_SCHEMA
from evenstore.errors import ConfigurationError, TransformError

__all__ = ["check_shop_parquet", "read_shop_parquet"]

_HINT = "the columns are " + ", ".join(f"{field.name} ({field.type})" for field in SHOP_SCHEMA)


def check_shop_parquet(path: Path) -> int:
    """Check a file by its footer alone, without reading a line.

    Returns:
        The number of lines.

    Raises:
        ConfigurationError: There is no file at the path.
        TransformError: It is not Parquet, has no lines, or a column is missing, extra, of another
            type, or holds nulls where the set has none (where the footer counts them).
    """
    if not path.is_file():
        what = "is not a file" if path.exists() else "does not exist"
        msg = f"no shop data: `{path}` {what}"
        raise ConfigurationError(
            msg, hint="name a Parquet file, or leave the path out to make sample data"
        )
    try:
        with pq.ParquetFile(path) as file:
            metadata, schema = file.metadata, file.schema_arrow
            null_counts = _null_counts(metadata)
    except (OSError, pa.ArrowException) as exc:
        msg = f"`{path}` is not a whole Parquet file: {exc}"
        raise TransformError(msg, hint="copy or download it again") from exc
    _check_schema(path, schema)
    if metadata.num_rows == 0:
        msg = f"`{path}` has no lines"
        raise TransformError(msg, hint="copy or download it again")
    _check_nulls(path, null_counts)
    return int(metadata.num_rows)


def read_shop_parquet(path: Path) -> pa.Table:
    """Read a whole file as one table in the columns of `SHOP_SCHEMA`.

    Raises:
        ConfigurationError: There is no file at the path.
        TransformError: It is not Parquet, has no lines, or a column is missing, extra, of another
            type, or null where the set has no nulls.
    """
    check_shop_parquet(path)
    try:
        table = pq.read_table(path, partitioning=None)
    except (OSError, pa.ArrowException) as exc:
        msg = f"`{path}` cannot be read: {exc}"
        raise TransformError(msg, hint="copy or download it again") from exc
    _check_nulls(path, {name: table[name].null_count for name in SHOP_SCHEMA.names})
    return table.select(SHOP_SCHEMA.names).cast(SHOP_SCHEMA)


def _check_schema(path: Path, schema: pa.Schema) -> None:
    missing = [name for name in SHOP_SCHEMA.names if name not in schema.names]
    extra = [name for name in schema.names if name not in SHOP_SCHEMA.names]
    problems = [f"column `{name}` is missing" for name in missing]
    problems += [f"column `{name}` is unknown" for name in extra]
    for field in SHOP_SCHEMA:
        given = schema.field(field.name).type if field.name in schema.names else field.type
        if given != field.type:
            problems.append(f"column `{field.name}` is {given}, not {field.type}")
    if not problems and len(schema.names) != len(SHOP_SCHEMA.names):
        problems.append("a column is there twice")
    if problems:
        msg = f"`{path}`: " + "; ".join(problems)
        raise TransformError(msg, hint=_HINT)


def _null_counts(metadata: pq.FileMetaData) -> dict[str, int]:
    counts: dict[str, int] = {}
    for group_idx in range(metadata.num_row_groups):
        group = metadata.row_group(group_idx)
        for column_idx in range(group.num_columns):
            column = group.column(column_idx)
            statistics = column.statistics
            if statistics is not None and statistics.has_null_count:
                name = column.path_in_schema
                counts[name] = counts.get(name, 0) + statistics.null_count
    return counts


def _check_nulls(path: Path, null_counts: dict[str, int]) -> None:
    for field in SHOP_SCHEMA:
        n_nulls = null_counts.get(field.name, 0)
        if n_nulls and not field.nullable:
            msg = f"`{path}`: `{field.name}` is null in {n_nulls} lines"
            raise TransformError(msg, hint="leave those lines out of the file")

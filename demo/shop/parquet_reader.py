"""Reads shop data in its Parquet form."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from demo.shop.problems import (
    CODE_RULES,
    COLUMNS_HINT,
    COPY_HINT,
    PRICE_HINT,
    PRICE_WANTED,
    excerpt,
    is_exact_price,
    name_problems,
)
from demo.shop.schema import SHOP_SCHEMA
from evenstore.errors import TransformError

__all__ = ["read_shop_parquet"]


def read_shop_parquet(path: Path) -> pa.Table:
    """Read a whole file as one table in the columns of `SHOP_SCHEMA`.

    The footer is checked first, so a file of another shape is refused before a line is read.

    Raises:
        TransformError: It is not Parquet, has no lines, or a column is missing, extra, of another
            type, or null where the set has no nulls, a price does not fit `decimal(18, 4)`, or a
            code breaks one of the `CODE_RULES`.
    """
    _check_footer(path)
    try:
        table = pq.read_table(path, partitioning=None)
    except (OSError, pa.ArrowException) as exc:
        msg = f"`{path}` cannot be read: {exc}"
        raise TransformError(msg, hint=COPY_HINT) from exc
    _check_nulls(path, {name: table[name].null_count for name in SHOP_SCHEMA.names})
    _check_codes(path, table)
    _check_prices(path, table)
    return table.select(SHOP_SCHEMA.names).cast(SHOP_SCHEMA)


def _check_footer(path: Path) -> None:
    try:
        with pq.ParquetFile(path) as file:
            metadata, schema = file.metadata, file.schema_arrow
            null_counts = _null_counts(metadata)
    except (OSError, pa.ArrowException) as exc:
        msg = f"`{path}` is not a whole Parquet file: {exc}"
        raise TransformError(msg, hint=COPY_HINT) from exc
    _check_schema(path, schema)
    if metadata.num_rows == 0:
        msg = f"`{path}` has no lines"
        raise TransformError(msg, hint=COPY_HINT)
    _check_nulls(path, null_counts)


def _check_schema(path: Path, schema: pa.Schema) -> None:
    problems = name_problems(schema.names)
    for field in SHOP_SCHEMA:
        if schema.names.count(field.name) == 1:
            given = schema.field(field.name).type
            if given != field.type:
                problems.append(f"column `{field.name}` is {given}, not {field.type}")
    if problems:
        msg = f"`{path}`: " + "; ".join(problems)
        raise TransformError(msg, hint=COLUMNS_HINT)


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


def _check_codes(path: Path, table: pa.Table) -> None:
    for name, rules in CODE_RULES.items():
        for rule in rules:
            is_misfit = pc.match_substring_regex(table[name], rule.pattern)
            _refuse_first(path, table, name, is_misfit, (rule.what, rule.hint))


def _check_prices(path: Path, table: pa.Table) -> None:
    prices = table["UnitPrice"]
    misfits = [price for price in pc.unique(prices).to_pylist() if not is_exact_price(price)]
    is_misfit = pc.is_in(prices, value_set=pa.array(misfits, prices.type))
    _refuse_first(path, table, "UnitPrice", is_misfit, (f"is not {PRICE_WANTED}", PRICE_HINT))


def _refuse_first(
    path: Path, table: pa.Table, name: str, is_misfit: pa.ChunkedArray, why: tuple[str, str]
) -> None:
    what, hint = why
    row_idx = pc.index(is_misfit, value=True).as_py()
    if row_idx >= 0:
        value = excerpt(str(table[name][row_idx].as_py()))
        n_rows = pc.sum(is_misfit).as_py()
        msg = f"`{path}` row {row_idx + 1}, column `{name}`: {value} {what} ({n_rows:,} such rows)"
        raise TransformError(msg, hint=f"{hint}; or leave those lines out of the file")

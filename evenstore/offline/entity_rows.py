"""Entity rows for a join.

Checked, typed as declared, and numbered, so that no row is lost or doubled.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from evenstore.dtypes import Dtype
from evenstore.errors import EntityRowsError
from evenstore.schema.arrow import arrow_type, is_exact_widening
from evenstore.schema.model import Field
from evenstore.sql.relation import AS_OF_US, KNOWN_AT_US, ROW_IDX, check_column_names

__all__ = ["number_entity_rows", "to_instants_us"]


def number_entity_rows(
    table: pa.Table, entity_columns: tuple[Field, ...], *, as_of_us: pa.Array, known_at_us: pa.Array
) -> pa.Table:
    """Make the relation that the join reads.

    A null join key is kept: it names no entity, and its row comes back NOT_FOUND.

    Args:
        table: The caller's entity rows.
        entity_columns: The join key columns with their declared types.
        as_of_us: Per row, int64 microseconds.
        known_at_us: Per row, int64 microseconds.

    Shapes:
        out: n rows x (`_row_idx`, entity columns, `_as_of_us`, `_known_at_us`).

    Raises:
        EntityRowsError: A join key column is missing or of another type.
        SchemaError: Two join key columns have names that DuckDB takes for one, or one has a name
            that the joins use themselves.
    """
    check_column_names((field.name for field in entity_columns), where="entity rows")
    columns: dict[str, pa.Array | pa.ChunkedArray] = {
        ROW_IDX: pa.array(range(table.num_rows), pa.int64())
    }
    for field in entity_columns:
        columns[field.name] = _key_column(table, field)
    columns[AS_OF_US] = as_of_us
    columns[KNOWN_AT_US] = known_at_us
    return pa.table(columns)


def to_instants_us(column: pa.ChunkedArray, name: str, *, naive_is_utc: bool = False) -> pa.Array:
    """Convert a timestamp column to int64 microseconds, floored.

    Args:
        column: Timestamps of any unit.
        name: The column's name, for messages.
        naive_is_utc: Read timestamps without a zone as UTC; only where Feast's interface demands
            it.

    Raises:
        EntityRowsError: Not timestamps, without a zone, or null in some row.
    """
    dtype = column.type
    if not pa.types.is_timestamp(dtype):
        msg = f"entity rows: column `{name}` is {dtype}, not a timestamp"
        raise EntityRowsError(msg, hint="convert it: pandas.to_datetime(column, utc=True)")
    if dtype.tz is None and not naive_is_utc:
        msg = f"entity rows: column `{name}` has no time zone"
        raise EntityRowsError(msg, hint="say which: column.dt.tz_localize('UTC')")
    if column.null_count:
        row_idx = pc.index(pc.is_null(column), True).as_py()
        msg = f"entity rows: `{name}` is null in row {row_idx}"
        raise EntityRowsError(msg, hint="every entity row needs its instant")
    return _to_us(column.combine_chunks())


def _to_us(instants: pa.Array) -> pa.Array:
    raw = instants.cast(pa.int64())
    if instants.type.unit == "ns":
        return _floor_divide(raw, 1000)
    return pc.multiply_checked(raw, {"us": 1, "ms": 1000, "s": 1_000_000}[instants.type.unit])


def _floor_divide(values: pa.Array, divisor: int) -> pa.Array:
    # Arrow's integer division truncates: before 1970 that would be a later instant.
    rest = pc.less(values, 0).cast(pa.int64())
    return pc.subtract(pc.divide(pc.add(values, rest), divisor), rest)


def _floor_to_s(column: pa.ChunkedArray) -> pa.Array:
    """Floor timestamp keys to seconds, as the online side and the sources' keys are floored."""
    seconds = _floor_divide(_to_us(column.combine_chunks()), 1_000_000)
    return pc.multiply(seconds, 1_000_000).cast(arrow_type(Dtype.UNIX_TIMESTAMP))


def _key_column(table: pa.Table, field: Field) -> pa.ChunkedArray:
    if field.name not in table.column_names:
        msg = f"entity rows: no column `{field.name}`"
        have = ", ".join(f"`{name}`" for name in table.column_names)
        raise EntityRowsError(msg, hint=f"the join key is needed; the entity rows have {have}")
    column = table.column(field.name)
    if field.dtype is Dtype.UNIX_TIMESTAMP and pa.types.is_timestamp(column.type):
        return _floor_to_s(column)
    if not is_exact_widening(column.type, field.dtype):
        msg = f"entity rows: join key `{field.name}` is {column.type}, declared {field.dtype.value}"
        raise EntityRowsError(msg, hint=_key_hint(column.type, field))
    return column.cast(arrow_type(field.dtype))


def _key_hint(dtype: pa.DataType, field: Field) -> str:
    if pa.types.is_floating(dtype):
        return "a pandas column with gaps becomes float: use the Int64 extension type"
    return f"convert the column to {field.dtype.value} first"

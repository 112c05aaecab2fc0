"""Entity rows for a join.

Checked, typed as declared, and numbered, so that no row is lost or doubled.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evenstore.dtypes import Dtype
from evenstore.errors import EntityRowsError
from evenstore.schema.arrow import arrow_type, is_exact_widening
from evenstore.schema.model import Field
from evenstore.sql.relation import AS_OF_US, ROW_IDX, SINCE_US, check_column_names

__all__ = ["number_entity_rows", "to_instants_us"]

_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1


def number_entity_rows(
    table: pa.Table,
    entity_columns: tuple[Field, ...],
    *,
    as_of_us: pa.Array,
    ttl_us: int | None = None,
) -> pa.Table:
    """Make the relation that the join reads.

    A null join key is kept: it names no entity, and its row comes back NOT_FOUND.

    Args:
        table: The caller's entity rows.
        entity_columns: The join key columns with their declared types.
        as_of_us: Per row, int64 microseconds.
        ttl_us: How old a feature row may be to be seen at all; None to see expired ones too.

    Shapes:
        out: n rows x (`_row_idx`, entity columns, `_since_us`, `_as_of_us`).

    Raises:
        EntityRowsError: A join key column is missing or of another type.
        SchemaError: Two join key columns have names that DuckDB takes for one, or one has a name
            that the joins use themselves.
    """
    check_column_names((field.name for field in entity_columns), where="entity rows")
    columns: dict[str, pa.Array | pa.ChunkedArray] = {
        ROW_IDX: pa.array(np.arange(table.num_rows, dtype=np.int64))
    }
    for field in entity_columns:
        columns[field.name] = _key_column(table, field)
    columns[SINCE_US] = _since_us(as_of_us, ttl_us)
    columns[AS_OF_US] = as_of_us
    return pa.table(columns)


def _since_us(as_of_us: pa.Array, ttl_us: int | None) -> pa.Array:
    instants = as_of_us.to_numpy(zero_copy_only=False).astype(np.int64)
    if ttl_us is None or ttl_us > _INT64_MAX:
        return pa.array(np.full(len(instants), _INT64_MIN))
    # Saturating: an instant near the beginning of time has no earlier one.
    reachable = np.maximum(instants, _INT64_MIN + ttl_us)
    return pa.array(reachable - ttl_us)


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
    try:
        return _to_us(column.combine_chunks())
    except pa.ArrowInvalid as exc:
        msg = f"entity rows: `{name}` has an instant beyond what microseconds can say"
        raise EntityRowsError(msg, hint="64 bits of microseconds end in the year 294246") from exc


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

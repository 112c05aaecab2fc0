"""Declared types in SQL: a source column read as its declared type, instants as microseconds."""

from __future__ import annotations

from evenstore.dtypes import Dtype
from evenstore.schema.files import SourceFiles, TimestampColumn
from evenstore.schema.model import Field
from evenstore.sql.quoting import quote_identifier

__all__ = ["build_instant_us", "build_typed_column", "sql_type"]

_SQL_TYPES = {
    Dtype.BYTES: "blob",
    Dtype.STRING: "varchar",
    Dtype.INT32: "integer",
    Dtype.INT64: "bigint",
    Dtype.FLOAT32: "float",
    Dtype.FLOAT64: "double",
    Dtype.BOOL: "boolean",
    Dtype.UNIX_TIMESTAMP: "timestamptz",
}


def sql_type(dtype: Dtype) -> str:
    """Return DuckDB's name of a declared type."""
    element = _SQL_TYPES[dtype.element]
    return f"{element}[]" if dtype.is_list else element


def build_typed_column(column: str, field: Field, source: SourceFiles) -> str:
    """Build a source column as its declared type; the source was checked to widen exactly."""
    quoted = quote_identifier(column)
    if field.dtype is Dtype.UNIX_TIMESTAMP:
        instant_us = build_instant_us(
            TimestampColumn(column, has_ns=column in source.timestamp_features)
        )
        return f"make_timestamptz({_floor(instant_us, 1_000_000)} * 1000000)"
    if field.dtype is Dtype.UNIX_TIMESTAMP_LIST:
        has_ns = column in source.timestamp_features
        element_us = _floor("epoch_ns(x)", 1000) if has_ns else "epoch_us(x)"
        seconds = _floor(element_us, 1_000_000)
        return f"list_transform({quoted}, lambda x: make_timestamptz({seconds} * 1000000))"
    return f"cast({quoted} as {sql_type(field.dtype)})"


def build_instant_us(column: TimestampColumn) -> str:
    """Build a timestamp column as int64 microseconds, floored; naive timestamps are UTC."""
    quoted = quote_identifier(column.name)
    # epoch_us() rounds nanoseconds (and has no form for zoned ones); a later instant would leak.
    return _floor(f"epoch_ns({quoted})", 1000) if column.has_ns else f"epoch_us({quoted})"


def _floor(value: str, unit: int) -> str:
    # `//` truncates towards zero: before 1970 that is the later instant.
    return f"(({value} - (({value} % {unit}) + {unit}) % {unit}) // {unit})"

"""Declared types in SQL: a source column read as its declared type, instants as microseconds.

DuckDB orders every value that these expressions make, lists, structs and maps included, so that
content breaks ties by the value itself: `<feature> asc nulls first`. Inside a value null is the
greatest, right above NaN.
"""

from __future__ import annotations

from evenstore.dtypes import Dtype
from evenstore.schema.files import SourceFiles, TimestampColumn
from evenstore.schema.model import Field
from evenstore.sql.quoting import quote_identifier, quote_literal

__all__ = ["build_instant_us", "build_typed_column", "sql_type"]

_SQL_TYPES = {
    "Bytes": "blob",
    "String": "varchar",
    "Int32": "integer",
    "Int64": "bigint",
    "Float32": "float",
    "Float64": "double",
    "Bool": "boolean",
    "UnixTimestamp": "timestamptz",
    "PdfBytes": "blob",
    "ImageBytes": "blob",
    "Json": "varchar",
    "Uuid": "varchar",
    "TimeUuid": "varchar",
    "Decimal": "varchar",
    "ZonedTimestamp": "timestamptz",
    "Map": "map(varchar, varchar)",
    "ScalarMap": "map(varchar, varchar)",
}
_INSTANTS = frozenset({"UnixTimestamp", "ZonedTimestamp"})
_UUIDS = frozenset({"Uuid", "TimeUuid"})


def sql_type(dtype: Dtype) -> str:
    """Return DuckDB's name of a declared type.

    A map has the types of its source in a query's result; its name here is of Feast's own map.
    """
    if dtype.is_list or dtype.is_set:
        return f"{sql_type(dtype.element)}[]"
    if dtype.is_struct:
        fields = [f"{quote_identifier(name)} {sql_type(field)}" for name, field in dtype.fields]
        return f"struct({', '.join(fields)})"
    return _SQL_TYPES[dtype.value]


def build_typed_column(column: str, field: Field, source: SourceFiles) -> str:
    """Build a source column as its declared type; the source was checked to widen exactly.

    A set's elements are made distinct and ascending, a UUID's text the canonical one. A null inside
    a list or set, and a text that is no UUID, stay as they are: `evenstore.schema.values` refuses
    them where a result holds one.
    """
    quoted = quote_identifier(column)
    has_ns = column in source.timestamp_features
    if field.dtype.value in _INSTANTS:
        return _build_second(quoted, has_ns=has_ns)
    if field.dtype is Dtype.UNIX_TIMESTAMP_LIST:
        return f"list_transform({quoted}, lambda x: {_build_second('x', has_ns=has_ns)})"
    if field.dtype.is_plain:
        return f"cast({quoted} as {sql_type(field.dtype)})"
    value = _build_value(quoted, field.dtype, depth=0)
    # Names the type of a source without values, which has none; a map keeps the source's.
    return value if field.dtype.holds_map else f"cast({value} as {sql_type(field.dtype)})"


def _build_value(value: str, dtype: Dtype, *, depth: int) -> str:
    """Build a value of a declared type from one of its source.

    Args:
        value: The source's value: a column, or a variable of a lambda or a field of one.
        dtype: The declared type.
        depth: How many lambdas are around it, so that each has a variable of its own.
    """
    if dtype.is_map:
        return value
    if dtype.is_struct:
        return _build_struct(value, dtype, depth=depth)
    if dtype.is_list or dtype.is_set:
        variable = f"x{depth}"
        element = _build_value(variable, dtype.element, depth=depth + 1)
        elements = f"list_transform({value}, lambda {variable}: {element})"
        return _build_set(elements, variable) if dtype.is_set else elements
    if dtype.value in _INSTANTS:
        return _build_second_of_any_unit(value)
    if dtype.value in _UUIDS:
        return f"coalesce(cast(try_cast({value} as uuid) as varchar), cast({value} as varchar))"
    return f"cast({value} as {sql_type(dtype)})"


def _build_struct(value: str, dtype: Dtype, *, depth: int) -> str:
    fields = []
    for name, field in dtype.fields:
        child = _build_value(f"struct_extract({value}, {quote_literal(name)})", field, depth=depth)
        fields.append(f"{quote_identifier(name)} := {child}")
    return f"case when {value} is null then null else struct_pack({', '.join(fields)}) end"


def _build_set(elements: str, variable: str) -> str:
    # A list of the one list gives it a name, so that its text is not repeated at each level.
    # list_distinct() would drop a null, which must be seen to be refused.
    return (
        f"list_transform([{elements}], lambda {variable}: case"
        f" when len({variable}) > list_count({variable}) then {variable}"
        f" else list_sort(list_distinct({variable})) end)[1]"
    )


def _build_second(value: str, *, has_ns: bool) -> str:
    """Build the whole second of a timestamp, floored, as a timestamptz."""
    instant_us = _floor(f"epoch_ns({value})", 1000) if has_ns else f"epoch_us({_typed(value)})"
    return f"make_timestamptz({_floor(instant_us, 1_000_000)} * 1000000)"


def _build_second_of_any_unit(value: str) -> str:
    # The unit of a timestamp inside another value is not known here, and DuckDB's conversion
    # between units rounds.
    typed = _typed(value)
    second = (
        f"case when typeof({typed}) in ('TIMESTAMP_NS', 'TIMESTAMPTZ_NS')"
        f" then {_floor(f'epoch_ns({typed})', 1_000_000_000)}"
        f" else {_floor(f'epoch_us(cast({typed} as timestamptz))', 1_000_000)} end"
    )
    return f"make_timestamptz(({second}) * 1000000)"


def _typed(value: str) -> str:
    # A source of nothing but nulls has no type; any other timestamp keeps its own.
    return f"coalesce({value}, cast(null as timestamp))"


def build_instant_us(column: TimestampColumn) -> str:
    """Build a timestamp column as int64 microseconds, floored; naive timestamps are UTC."""
    quoted = quote_identifier(column.name)
    # epoch_us() rounds nanoseconds (and has no form for zoned ones); a later instant would leak.
    return _floor(f"epoch_ns({quoted})", 1000) if column.has_ns else f"epoch_us({quoted})"


def _floor(value: str, unit: int) -> str:
    # `//` truncates towards zero: before 1970 that is the later instant.
    return f"(({value} - (({value} % {unit}) + {unit}) % {unit}) // {unit})"

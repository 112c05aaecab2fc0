"""Arrow types of the value types, and which source types can be widened to them exactly."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from evenstore.dtypes import Dtype
from evenstore.schema.model import fold_name

__all__ = ["arrow_type", "fill_null_array", "is_exact_widening"]

_TEXTS = frozenset({pa.string(), pa.large_string(), pa.string_view()})
_BINARIES = frozenset({pa.binary(), pa.large_binary(), pa.binary_view()})
_NARROW_INTEGERS = frozenset({pa.int8(), pa.int16(), pa.uint8(), pa.uint16()})
_INTEGERS = _NARROW_INTEGERS | {pa.int32(), pa.int64(), pa.uint32(), pa.uint64()}
_INSTANT = pa.timestamp("us", tz="UTC")
_FEAST_MAP = pa.map_(pa.string(), pa.string())
# DuckDB reads a decimal of more digits as a float.
_MAX_DECIMAL_DIGITS = 38

_ARROW_TYPES: dict[str, pa.DataType] = {
    "Bytes": pa.binary(),
    "String": pa.string(),
    "Int32": pa.int32(),
    "Int64": pa.int64(),
    "Float32": pa.float32(),
    "Float64": pa.float64(),
    "Bool": pa.bool_(),
    "UnixTimestamp": _INSTANT,
    "PdfBytes": pa.binary(),
    "ImageBytes": pa.binary(),
    "Json": pa.string(),
    "Uuid": pa.string(),
    "TimeUuid": pa.string(),
    "Decimal": pa.string(),
    "ZonedTimestamp": _INSTANT,
    "Map": _FEAST_MAP,
    "ScalarMap": _FEAST_MAP,
}

_EXACT_SOURCES: dict[str, frozenset[pa.DataType]] = {
    "Int32": _NARROW_INTEGERS | {pa.int32()},
    "Int64": _NARROW_INTEGERS | {pa.int32(), pa.uint32(), pa.int64()},
    "Float32": _NARROW_INTEGERS | {pa.float16(), pa.float32()},
    # int64 is missing on purpose: above 2^53 a float64 cannot hold it.
    "Float64": _NARROW_INTEGERS
    | {pa.int32(), pa.uint32(), pa.float16(), pa.float32(), pa.float64()},
    "Bool": frozenset({pa.bool_()}),
    "String": _TEXTS,
    "Bytes": _BINARIES,
    "PdfBytes": _BINARIES,
    "ImageBytes": _BINARIES,
    "Json": _TEXTS,
    "Uuid": _TEXTS,
    "TimeUuid": _TEXTS,
    # As text an integer of any width is exact.
    "Decimal": _TEXTS | _INTEGERS,
}

# What a map of unknown types may hold: whatever has a Feast type of its own.
_MAP_VALUES = frozenset().union(*_EXACT_SOURCES.values()) - {pa.uint64()}
_SCALAR_MAP_KEYS = _MAP_VALUES - _TEXTS
_UUID = "arrow.uuid"
_JSON = "arrow.json"


def arrow_type(dtype: Dtype, source: Any = None) -> pa.DataType:
    """Return the Arrow type that offline values of a declared type have.

    UNIX_TIMESTAMP and ZONED_TIMESTAMP are `timestamp[us, UTC]` holding whole seconds. UUIDs,
    decimals and JSON are text, as in Feast's own Arrow types. A set is a list.

    Args:
        dtype: The declared type.
        source: The Arrow type of the source's column, which matters only where `dtype.holds_map`:
            a map keeps the types that its keys and values have there. Without it a map is Feast's
            own `map<string, string>`.
    """
    if source is not None and (pa.types.is_null(source) or not dtype.holds_map):
        source = None
    if dtype.is_list or dtype.is_set:
        return pa.list_(arrow_type(dtype.element, None if source is None else source.value_type))
    if dtype.is_struct:
        return pa.struct(
            [
                (name, arrow_type(field, None if source is None else source.field(name).type))
                for name, field in dtype.fields
            ]
        )
    if dtype.is_map and source is not None:
        return _plain_type(source)
    return _ARROW_TYPES[dtype.value]


def fill_null_array(values: pa.Array, default: Any) -> pa.Array:
    """Put a declared default in the place of nulls, as `evenstore.schema.degradation` does.

    Args:
        values: Of a declared Arrow type.
        default: A Python value of that type; None declares none.
    """
    if default is None or not values.null_count:
        return values
    return pc.if_else(pc.is_null(values), pa.scalar(default, values.type), values)


def _plain_type(source: Any) -> pa.DataType:
    """Return the type that DuckDB's result has for a source type, with Arrow's usual names."""
    if pa.types.is_dictionary(source):
        return _plain_type(source.value_type)
    if _is_any_list(source):
        return pa.list_(_plain_type(source.value_type))
    if pa.types.is_map(source):
        return pa.map_(_plain_type(source.key_type), _plain_type(source.item_type))
    if pa.types.is_struct(source):
        return pa.struct([(field.name, _plain_type(field.type)) for field in source])
    return _plain_scalar(source)


def _plain_scalar(source: Any) -> pa.DataType:
    if pa.types.is_timestamp(source):
        unit = "ns" if source.unit == "ns" else "us"
        return pa.timestamp(unit, None if source.tz is None else "UTC")
    if pa.types.is_decimal(source):
        return pa.decimal128(source.precision, source.scale)
    if _extension_name(source) or source in _TEXTS:
        return pa.string()
    if source in _BINARIES:
        return pa.binary()
    return {pa.float16(): pa.float32(), pa.date64(): pa.date32()}.get(source, source)


def is_exact_widening(source: Any, dtype: Dtype) -> bool:
    """Tell whether every value of a source column is kept exactly in the declared type.

    Timestamps of any unit become whole seconds by declaration; an all-null column fits everything.
    A struct's source may have more fields than are declared.
    """
    if pa.types.is_null(source):
        return True
    if pa.types.is_dictionary(source):
        return is_exact_widening(source.value_type, dtype)
    if dtype.is_list or dtype.is_set:
        return _is_any_list(source) and is_exact_widening(source.value_type, dtype.element)
    if dtype.is_struct:
        return _fits_struct(source, dtype)
    if dtype.is_map:
        return _fits_map(source, is_scalar_map=dtype.value == "ScalarMap")
    return _fits_scalar(source, dtype.value)


def _fits_scalar(source: Any, name: str) -> bool:
    if name in {"UnixTimestamp", "ZonedTimestamp"}:
        return bool(pa.types.is_timestamp(source) or pa.types.is_date(source))
    if name in {"Uuid", "TimeUuid"} and _extension_name(source) == _UUID:
        return True
    if name == "Json" and _extension_name(source) == _JSON:
        return True
    if name == "Decimal" and pa.types.is_decimal(source):
        return bool(source.precision <= _MAX_DECIMAL_DIGITS)
    return source in _EXACT_SOURCES[name]


def _fits_struct(source: Any, dtype: Dtype) -> bool:
    if not pa.types.is_struct(source) or not _are_told_apart(field.name for field in source):
        return False
    return all(
        source.get_field_index(name) >= 0 and is_exact_widening(source.field(name).type, field)
        for name, field in dtype.fields
    )


def _fits_map(source: Any, *, is_scalar_map: bool) -> bool:
    """Tell whether a column can be a map: an Arrow map or, with text keys, a struct."""
    if pa.types.is_struct(source):
        return not is_scalar_map and _is_map_value(source)
    if not pa.types.is_map(source) or not _is_map_value(source.item_type):
        return False
    return _is_scalar_map_key(source.key_type) if is_scalar_map else _is_text(source.key_type)


def _is_map_value(source: Any) -> bool:
    if pa.types.is_dictionary(source):
        return _is_map_value(source.value_type)
    if _is_any_list(source):
        return _is_map_value(source.value_type)
    if pa.types.is_struct(source):
        names_differ = _are_told_apart(field.name for field in source)
        return names_differ and all(_is_map_value(field.type) for field in source)
    if pa.types.is_map(source):
        is_key = _is_text(source.key_type) or _is_scalar_map_key(source.key_type)
        return is_key and _is_map_value(source.item_type)
    is_known = pa.types.is_null(source) or _is_text(source) or _is_scalar_map_key(source)
    return is_known or _extension_name(source) == _JSON


def _is_text(source: Any) -> bool:
    if pa.types.is_dictionary(source):
        return _is_text(source.value_type)
    return source in _TEXTS


def _is_scalar_map_key(source: Any) -> bool:
    is_named = any(_fits_scalar(source, name) for name in ("UnixTimestamp", "Uuid", "Decimal"))
    return source in _SCALAR_MAP_KEYS or (is_named and source not in _TEXTS | {pa.uint64()})


def _is_any_list(source: Any) -> bool:
    is_list = pa.types.is_list(source) or pa.types.is_large_list(source)
    return bool(is_list or pa.types.is_fixed_size_list(source))


def _are_told_apart(names: Iterable[str]) -> bool:
    """Tell whether DuckDB tells the fields of a struct apart: it would rename one of two."""
    folded = [fold_name(name) for name in names]
    return len(set(folded)) == len(folded)


def _extension_name(source: Any) -> str | None:
    return source.extension_name if isinstance(source, pa.BaseExtensionType) else None

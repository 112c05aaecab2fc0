"""Values that a declared type does not have although their column's type does."""

from __future__ import annotations

import decimal
import json
import uuid
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from evenstore.dtypes import Dtype
from evenstore.errors import UnsupportedDtypeError
from evenstore.schema.arrow import arrow_type

__all__ = ["holds_records", "refuse_unfit_values", "to_declared_array"]

_LONGEST_SHOWN = 80


def to_declared_array(values: pa.Array, dtype: Dtype) -> pa.Array:
    """Give a result column of a query its declared Arrow type; no value changes.

    Args:
        values: What the SQL of `evenstore.sql.types` made.
        dtype: The declared type.
    """
    if values.null_count == len(values):
        # A source column of nothing but nulls has no type of its own, which a map would take.
        is_typed = _has_shape(values.type, dtype)
        return pa.nulls(len(values), arrow_type(dtype, values.type if is_typed else None))
    return values.cast(arrow_type(dtype, values.type))


def _has_shape(source: Any, dtype: Dtype) -> bool:
    if dtype.is_list or dtype.is_set:
        return pa.types.is_list(source) and _has_shape(source.value_type, dtype.element)
    if dtype.is_struct:
        return pa.types.is_struct(source) and all(
            _has_shape(source.field(name).type, field) for name, field in dtype.fields
        )
    return not dtype.is_map or pa.types.is_map(source) or pa.types.is_struct(source)


def holds_records(kind: Any) -> bool:
    """Tell whether values of an Arrow type are structs or maps, or have some inside.

    pandas would make an integer beside a null inside one a float. `to_pylist` with
    `maps_as_pydicts="strict"` keeps every value.
    """
    if pa.types.is_list(kind):
        return holds_records(kind.value_type)
    return bool(pa.types.is_struct(kind) or pa.types.is_map(kind))


def refuse_unfit_values(values: pa.Array, dtype: Dtype, *, where: str) -> None:
    """Refuse a column that holds what its declared type does not.

    That is a null inside a list or set, at any depth, maps included (Feast's values have no place
    for one), a key that a map holds twice, and a text that is no UUID, decimal or JSON where one is
    declared.

    Args:
        values: A result column, of its declared Arrow type.
        dtype: The declared type.
        where: The column, for the message: `customer_activity:orders_7d`.

    Raises:
        UnsupportedDtypeError: There is such a value.
    """
    _refuse_elements(values, where)
    _refuse_texts(values, dtype, where)


def _refuse_elements(values: pa.Array, where: str) -> None:
    kind = values.type
    if pa.types.is_list(kind):
        elements = values.flatten()
        if elements.null_count:
            msg = f"{where}: a list holds a null"
            hint = "leave null elements out of the list in the source"
            raise UnsupportedDtypeError(msg, hint=hint)
        _refuse_elements(elements, where)
    elif pa.types.is_map(kind):
        # That a value is null is allowed.
        entries = values.cast(pa.list_(_entry_type(kind)))
        _refuse_repeated_keys(entries, where)
        _refuse_elements(entries.flatten(), where)
    elif pa.types.is_struct(kind):
        for child in values.flatten():
            _refuse_elements(child, where)


def _refuse_repeated_keys(entries: pa.Array, where: str) -> None:
    rows, (keys, _) = pc.list_parent_indices(entries), entries.flatten().flatten()
    distinct = pa.table({"row": rows, "key": keys}).group_by(["row", "key"]).aggregate([])
    if distinct.num_rows < len(keys):
        msg = f"{where}: a map holds a key twice"
        raise UnsupportedDtypeError(msg, hint="write each key of a map once in the source")


def _entry_type(kind: Any) -> pa.DataType:
    return pa.struct([pa.field("key", kind.key_type, nullable=False), ("value", kind.item_type)])


def _refuse_texts(values: pa.Array, dtype: Dtype, where: str) -> None:
    if dtype.is_list or dtype.is_set:
        _refuse_texts(values.flatten(), dtype.element, where)
    elif dtype.is_struct:
        for child, (_, field) in zip(values.flatten(), dtype.fields, strict=True):
            _refuse_texts(child, field, where)
    elif dtype.value in _READERS:
        read, hint = _READERS[dtype.value]
        for text in pc.unique(values).to_pylist():
            if text is not None and not _is_readable(text, read):
                shown = text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
                msg = f"{where}: {shown!r} is no {dtype.value}"
                raise UnsupportedDtypeError(msg, hint=hint)


def _is_readable(text: str, read: Callable[[str], object]) -> bool:
    try:
        read(text)
    except (ValueError, ArithmeticError, RecursionError):
        return False
    return True


def _read_uuid(text: str) -> uuid.UUID:
    value = uuid.UUID(text)
    if str(value) != text:
        # DuckDB made every text canonical that it could read.
        raise ValueError
    return value


_UUID_HINT = "write it as 8-4-4-4-12 hexadecimal digits"
_READERS: dict[str, tuple[Callable[[str], object], str]] = {
    "Uuid": (_read_uuid, _UUID_HINT),
    "TimeUuid": (_read_uuid, _UUID_HINT),
    "Decimal": (decimal.Decimal, "write a number such as 12.50, or a Parquet decimal"),
    "Json": (json.loads, "write one JSON document in each row, or declare String"),
}

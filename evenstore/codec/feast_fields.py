"""Numbers and tags of the fields of Feast's `Value` message, by type."""

from __future__ import annotations

from evenstore.codec.wire import encode_varint
from evenstore.dtypes import Dtype
from evenstore.errors import UnsupportedDtypeError

__all__ = [
    "LIST_FIELDS",
    "MAP",
    "MAP_LIST",
    "NESTED_LIST",
    "NESTED_SET",
    "SCALAR_FIELDS",
    "SCALAR_MAP",
    "SET_FIELDS",
    "STRUCT",
    "STRUCT_LIST",
    "field_tag",
    "inner_tag",
    "value_tag",
]

MAP, MAP_LIST, NESTED_LIST, SCALAR_MAP = 20, 21, 42, 47
"""Fields of values inside others, whatever their declared types."""

STRUCT, STRUCT_LIST, NESTED_SET = 34, 35, 43
"""Fields of features of these types."""

_LENGTH_DELIMITED = 2

SCALAR_FIELDS = {
    "Bytes": 1,
    "PdfBytes": 1,
    "ImageBytes": 1,
    "String": 2,
    "Int32": 3,
    "Int64": 4,
    "Float64": 5,
    "Float32": 6,
    "Bool": 7,
    "UnixTimestamp": 8,
    "Map": MAP,
    "Json": 32,
    "Uuid": 36,
    "TimeUuid": 37,
    "Decimal": 44,
    "ScalarMap": SCALAR_MAP,
    "ZonedTimestamp": 48,
}
"""The field of each type that is neither a list, a set nor a struct."""

LIST_FIELDS = {
    "Bytes": 11,
    "String": 12,
    "Int32": 13,
    "Int64": 14,
    "Float64": 15,
    "Float32": 16,
    "Bool": 17,
    "UnixTimestamp": 18,
    "Map": MAP_LIST,
    "Json": 33,
    "Uuid": 38,
    "TimeUuid": 39,
    "Decimal": 45,
}
"""The field of a list, by its elements' type; lists of structs, lists and sets have others."""

SET_FIELDS = {
    "Bytes": 22,
    "String": 23,
    "Int32": 24,
    "Int64": 25,
    "Float64": 26,
    "Float32": 27,
    "Bool": 28,
    "UnixTimestamp": 29,
    "Uuid": 40,
    "TimeUuid": 41,
    "Decimal": 46,
}
"""The field of a set, by its elements' type; sets of lists and sets have another."""

# Every other field is length-delimited.
_WIRE_TYPES = {3: 0, 4: 0, 5: 1, 6: 5, 7: 0, 8: 0}

# What stock makes of a scalar inside another value: it sees a Python value, not its declared type.
_INNER_SCALARS = {
    "Int32": "Int64",
    "Float32": "Float64",
    "ZonedTimestamp": "UnixTimestamp",
    **dict.fromkeys(("Json", "Uuid", "TimeUuid", "Decimal"), "String"),
}
# Lists keep the width of their numbers there: NumPy tells it.
_INNER_ELEMENTS = {
    "PdfBytes": "Bytes",
    "ImageBytes": "Bytes",
    "ZonedTimestamp": "UnixTimestamp",
    **dict.fromkeys(("Json", "Uuid", "TimeUuid", "Decimal"), "String"),
}


def field_tag(number: int) -> bytes:
    """Return the tag of a field of `Value`."""
    return encode_varint(number << 3 | _WIRE_TYPES.get(number, _LENGTH_DELIMITED))


def value_tag(dtype: Dtype) -> bytes:
    """Return the tag of a feature's value.

    Raises:
        UnsupportedDtypeError: Feast's message has no field for the type.
    """
    if not dtype.is_kept_online:
        msg = f"type `{dtype.value}` has no online value: Feast's `Value` message has no field"
        raise UnsupportedDtypeError(msg, hint="leave the feature out of what is read online")
    return field_tag(_field_number(dtype))


def _field_number(dtype: Dtype) -> int:
    element = dtype.element
    if dtype.is_struct:
        return STRUCT
    if not (dtype.is_list or dtype.is_set):
        return SCALAR_FIELDS[dtype.value]
    if element.is_list or element.is_set:
        return NESTED_LIST if dtype.is_list else NESTED_SET
    if element.is_struct:
        return STRUCT_LIST
    return (LIST_FIELDS if dtype.is_list else SET_FIELDS)[element.value]


def inner_tag(dtype: Dtype) -> bytes:
    """Return the tag of a value inside a struct, a list of lists or a set of lists.

    A set is a list there, and a struct a map.
    """
    element = dtype.element
    if dtype.is_struct:
        return field_tag(MAP)
    if not (dtype.is_list or dtype.is_set):
        return field_tag(SCALAR_FIELDS[_INNER_SCALARS.get(dtype.value, dtype.value)])
    if element.is_struct:
        return field_tag(MAP_LIST)
    number = LIST_FIELDS.get(_INNER_ELEMENTS.get(element.value, element.value), NESTED_LIST)
    return field_tag(number)

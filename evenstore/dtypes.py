"""Feast's value types by their names.

Only the standard library is imported here, so that a gateway worker stays small;
`evenstore.schema.arrow` maps the same types to Arrow.
"""

from __future__ import annotations

import enum
import functools
import json
import re
from collections.abc import Iterator

from evenstore.errors import UnsupportedDtypeError

__all__ = [
    "ENTITY_KEY_DTYPES",
    "FURTHER_SCALARS",
    "INTEGER_DTYPES",
    "TEXT_DTYPES",
    "Dtype",
    "struct_name",
]

FURTHER_SCALARS = frozenset(
    {
        "Decimal",
        "ImageBytes",
        "Json",
        "Map",
        "PdfBytes",
        "ScalarMap",
        "TimeUuid",
        "Uuid",
        "ZonedTimestamp",
    }
)
"""Names of the types that are no members of `Dtype` and are made of no other declared type."""

# Feast has no field for a list or set of these; nor can a view with one be applied.
_WITHOUT_LIST = frozenset({"ImageBytes", "PdfBytes", "ScalarMap", "ZonedTimestamp"})
_WITHOUT_SET = _WITHOUT_LIST | {"Json", "Map"}

_made: dict[str, Dtype] = {}
_JSON = json.JSONDecoder()
_SCALAR = re.compile("[A-Za-z0-9]+")
_STRUCT = "Struct({"


class Dtype(enum.Enum):
    """A Feast value type; the value is its name in Feast's own notation.

    The members, which iteration gives, are the plain types: numbers, texts, bytes, flags, instants,
    and lists of them. Every other type is a further object of this class, made by its name:
    `Dtype("Set(Uuid)")`, `Dtype("Array(Array(Int64))")`, `Dtype('Struct({"city": String})')`.

    Guarantees:
        One name gives one object, so that `is` compares these types as it does members.
    """

    BYTES = "Bytes"
    STRING = "String"
    INT32 = "Int32"
    INT64 = "Int64"
    FLOAT32 = "Float32"
    FLOAT64 = "Float64"
    BOOL = "Bool"
    UNIX_TIMESTAMP = "UnixTimestamp"
    BYTES_LIST = "Array(Bytes)"
    STRING_LIST = "Array(String)"
    INT32_LIST = "Array(Int32)"
    INT64_LIST = "Array(Int64)"
    FLOAT32_LIST = "Array(Float32)"
    FLOAT64_LIST = "Array(Float64)"
    BOOL_LIST = "Array(Bool)"
    UNIX_TIMESTAMP_LIST = "Array(UnixTimestamp)"

    @functools.cached_property
    def is_list(self) -> bool:
        """Tell whether a value is a list; its elements may be of any type."""
        return self.value.startswith("Array(")

    @functools.cached_property
    def is_set(self) -> bool:
        """Tell whether a value is a list of distinct elements in ascending order."""
        return self.value.startswith("Set(")

    @functools.cached_property
    def is_struct(self) -> bool:
        """Tell whether a value is a struct of declared fields."""
        return self.value.startswith(_STRUCT)

    @functools.cached_property
    def is_map(self) -> bool:
        """Tell whether a value maps keys to values whose types only the source knows."""
        return self.value in {"Map", "ScalarMap"}

    @functools.cached_property
    def holds_map(self) -> bool:
        """Tell whether the type is a map or has one inside: then the source decides its columns."""
        inner = (
            [self.element] if self.is_list or self.is_set else [dtype for _, dtype in self.fields]
        )
        return self.is_map or any(dtype.holds_map for dtype in inner)

    @functools.cached_property
    def element(self) -> Dtype:
        """The type of the elements for a list or set, else the type itself."""
        if not (self.is_list or self.is_set):
            return self
        return Dtype(self.value[self.value.index("(") + 1 : -1])

    @functools.cached_property
    def fields(self) -> tuple[tuple[str, Dtype], ...]:
        """Names and types of a struct's fields, as declared; empty for every other type."""
        if not self.is_struct:
            return ()
        return tuple(
            (name, Dtype(self.value[start:end]))
            for name, start, end in _scan_fields(self.value, len(_STRUCT))
        )

    @functools.cached_property
    def is_float(self) -> bool:
        """Tell whether scalars of this type can be NaN."""
        return self.element in {Dtype.FLOAT32, Dtype.FLOAT64}

    @functools.cached_property
    def is_plain(self) -> bool:
        """Tell whether this is a member: a number, text, bytes, flag, instant, or a list of one."""
        return self.name in Dtype.__members__

    @functools.cached_property
    def is_kept_online(self) -> bool:
        """Tell whether Feast has an online value of the type; the offline store keeps every type.

        It has none for a list of PDFs, images, scalar maps or zoned timestamps, nor for a set of
        those, of JSON, maps or structs. Inside other values each of them has a place.
        """
        if self.is_list:
            return self.element.value not in _WITHOUT_LIST
        return not self.is_set or not (self.element.is_struct or self.element.value in _WITHOUT_SET)

    @classmethod
    def from_name(cls, name: str, *, where: str) -> Dtype:
        """Look a type up by its Feast name.

        Args:
            name: For example `Int64`, `Array(String)` or `Struct({"city": String})`.
            where: The column, for the message: `customer_activity:orders_7d`.

        Raises:
            UnsupportedDtypeError: It is no type that Feast can declare for a feature.
        """
        try:
            return cls(name)
        except ValueError as exc:
            msg = f"{where}: type `{name}` is not supported"
            known = ", ".join([*(dtype.value for dtype in cls), *sorted(FURTHER_SCALARS)])
            hint = f"use one of {known}, or an Array, Set or Struct of them"
            raise UnsupportedDtypeError(msg, hint=hint) from exc

    @classmethod
    def _missing_(cls, value: object) -> Dtype | None:  # type: ignore[explicit-override] # 3.12 has it.
        """Make the type of a name that is no member's: `enum` asks here before it refuses."""
        if not isinstance(value, str):
            return None
        known = _made.get(value)
        if known is None:
            try:
                end = _scan_type(value, 0)
            except ValueError:
                return None
            if end != len(value):
                return None
            made = object.__new__(cls)
            made._name_ = made._value_ = value
            # Of two threads that make one type, both take what the first one stored.
            known = _made.setdefault(value, made)
        return known


def struct_name(fields: list[tuple[str, str]]) -> str:
    """Name the type of a struct from its fields' names and their types' names.

    Field names are quoted as JSON texts: Feast's own notation leaves them bare, and one that holds
    a comma or a brace could not be read back.
    """
    return f"{_STRUCT}{', '.join(f'{json.dumps(name)}: {dtype}' for name, dtype in fields)}}})"


def _scan_type(text: str, at: int) -> int:
    """Return where the type that begins at a position ends; raises ValueError where none does."""
    for opening in ("Array(", "Set("):
        if text.startswith(opening, at):
            return _skip(text, _scan_type(text, at + len(opening)), ")")
    if text.startswith(_STRUCT, at):
        fields = list(_scan_fields(text, at + len(_STRUCT)))
        if len({name for name, _, _ in fields}) < len(fields):
            msg = f"a field is declared twice in {text!r}"
            raise ValueError(msg)
        return _skip(text, fields[-1][2], "})")
    scalar = _SCALAR.match(text, at)
    if scalar is None or scalar.group() not in _SCALARS:
        msg = f"no type at position {at} of {text!r}"
        raise ValueError(msg)
    return scalar.end()


def _scan_fields(text: str, at: int) -> Iterator[tuple[str, int, int]]:
    """Read `"name": type, ...`: each field's name, and where its type begins and ends."""
    while True:
        name, start = _JSON.raw_decode(text, at)
        # Only one way to write a name, so that one type has one name and one object.
        if not isinstance(name, str) or not text.startswith(f"{json.dumps(name)}: ", at):
            msg = f"no field at position {at} of {text!r}"
            raise ValueError(msg)
        start += len(": ")
        end = _scan_type(text, start)
        yield name, start, end
        if not text.startswith(", ", end):
            return
        at = end + len(", ")


def _skip(text: str, at: int, expected: str) -> int:
    if not text.startswith(expected, at):
        msg = f"no {expected!r} at position {at} of {text!r}"
        raise ValueError(msg)
    return at + len(expected)


_SCALARS = FURTHER_SCALARS | {dtype.value for dtype in Dtype if not dtype.is_list}

TEXT_DTYPES = frozenset({Dtype.STRING, Dtype.BYTES})
"""Scalars of any length that are stored as their bytes."""

INTEGER_DTYPES = frozenset({Dtype.INT32, Dtype.INT64, Dtype.UNIX_TIMESTAMP})
"""Scalars that are stored as integers; of timestamps the whole seconds."""

ENTITY_KEY_DTYPES = TEXT_DTYPES | INTEGER_DTYPES
"""Types that a join key may have: those whose bytes Feast's entity key format defines."""

"""The value types that evenstore keeps exactly on both sides, by their Feast names.

Only the standard library is imported here, so that a gateway worker stays small;
`evenstore.schema.arrow` maps the same types to Arrow.
"""

from __future__ import annotations

import enum
import functools

from evenstore.errors import UnsupportedDtypeError

__all__ = ["ENTITY_KEY_DTYPES", "Dtype"]


class Dtype(enum.Enum):
    """A Feast value type; the value is its name in Feast's own notation."""

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
        """Tell whether a value is a list of scalars."""
        return self.value.startswith("Array(")

    @functools.cached_property
    def element(self) -> Dtype:
        """The scalar type: of the elements for a list, else the type itself."""
        return Dtype(self.value[6:-1]) if self.is_list else self

    @functools.cached_property
    def is_float(self) -> bool:
        """Tell whether scalars of this type can be NaN."""
        return self.element in {Dtype.FLOAT32, Dtype.FLOAT64}

    @classmethod
    def from_name(cls, name: str, *, where: str) -> Dtype:
        """Look a type up by its Feast name.

        Args:
            name: For example `Int64` or `Array(String)`.
            where: The column, for the message: `customer_activity:orders_7d`.

        Raises:
            UnsupportedDtypeError: Feast has the type, evenstore does not keep it yet.
        """
        try:
            return cls(name)
        except ValueError as exc:
            msg = f"{where}: type `{name}` is not supported yet"
            known = ", ".join(dtype.value for dtype in cls)
            raise UnsupportedDtypeError(msg, hint=f"use one of {known}") from exc


ENTITY_KEY_DTYPES = frozenset(
    {Dtype.STRING, Dtype.BYTES, Dtype.INT32, Dtype.INT64, Dtype.UNIX_TIMESTAMP}
)
"""Types that a join key may have: those whose bytes Feast's entity key format defines."""

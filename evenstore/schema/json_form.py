"""Single values in JSON, exactly: the form of declared defaults and of the gateway's `/v1` routes.

```text
type                     JSON
integers, flags, texts   as they are
floats                   a number; NaN and the infinities are the texts NaN, Infinity, -Infinity
bytes                    base64 text
instants                 RFC 3339 text in UTC; whole seconds since 1970 are read, too
lists, sets              array
structs, maps            object; keys that are no texts are the texts of their own JSON
```

Null is null in every type, so that NaN and null are told apart.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any

from evenstore.clock import us_to_datetime
from evenstore.dtypes import Dtype
from evenstore.schema.on_demand_values import coerce_value

__all__ = ["dump_value", "load_value", "value_reader", "value_writer"]

ValueForm = Callable[[Any], Any] | None
"""Turns one value, no null, into another form; None where both forms are the same."""

_US_PER_S = 1_000_000
_FLOAT_TEXTS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_BLOBS = frozenset({"Bytes", "PdfBytes", "ImageBytes"})
_INSTANTS = frozenset({"UnixTimestamp", "ZonedTimestamp"})


def load_value(text: str, dtype: Dtype, *, where: str) -> Any:
    """Read a value of a declared type from its JSON text.

    Raises:
        UnsupportedDtypeError: It is not of the type.
    """
    value = json.loads(text)
    read = value_reader(dtype)
    return coerce_value(value if read is None or value is None else read(value), dtype, where=where)


def dump_value(value: Any, dtype: Dtype) -> str:
    """Write a value of a declared type as JSON text; equal values give equal text."""
    write = value_writer(dtype)
    written = value if write is None or value is None else write(value)
    return json.dumps(written, default=_instant_text, separators=(",", ":"), sort_keys=True)


def value_reader(dtype: Dtype, *, is_text_form: bool = True) -> ValueForm:
    """Return what reads values of a type from JSON, or from MessagePack.

    A value that cannot be read is left as it is: `coerce_value` and the checks of join keys refuse
    it and say where.

    Args:
        dtype: The declared type.
        is_text_form: Whether bytes come as base64 text.
    """
    if dtype.is_list or dtype.is_set:
        read = value_reader(dtype.element, is_text_form=is_text_form)
        return None if read is None else _reader_of_elements(read)
    if dtype.is_struct:
        return _reader_of_fields(
            {name: value_reader(field, is_text_form=is_text_form) for name, field in dtype.fields}
        )
    if dtype.is_float:
        return _read_float
    if dtype.value in _INSTANTS:
        return _read_instant
    return _read_bytes if dtype.value in _BLOBS and is_text_form else None


def value_writer(dtype: Dtype) -> ValueForm:
    """Return what turns values of a type into what a JSON library renders.

    Instants stay datetimes, which the library must render as RFC 3339.
    """
    if not dtype.is_plain:
        return _write_any
    if dtype.is_list:
        write = value_writer(dtype.element)
        return None if write is None else lambda values: [write(value) for value in values]
    if dtype.is_float:
        return _write_float
    return _write_bytes if dtype is Dtype.BYTES else None


def _write_any(value: Any) -> Any:
    """Turn a value of any type into what a JSON library renders."""
    if isinstance(value, Mapping):
        return {_key_text(key): _write_any(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_write_any(item) for item in value]
    if isinstance(value, float):
        return _write_float(value)
    if isinstance(value, bytes):
        return _write_bytes(value)
    if value is None or isinstance(value, bool | int | str | date):
        return value
    return str(value)


def _key_text(key: Any) -> str:
    written = _write_any(key)
    return written if isinstance(written, str) else json.dumps(written, default=_instant_text)


def _instant_text(value: Any) -> str:
    if isinstance(value, datetime):
        in_utc = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return in_utc.isoformat().replace("+00:00", "Z")
    return str(value)


def _write_float(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")


def _write_bytes(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _read_float(value: Any) -> Any:
    return _FLOAT_TEXTS.get(value, value) if isinstance(value, str) else value


def _read_bytes(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except ValueError:  # binascii.Error among them.
        return value


def _read_instant(value: Any) -> Any:
    try:
        if isinstance(value, str):
            instant = datetime.fromisoformat(value)
            # In UTC it may be before the first year or after the last.
            return value if instant.tzinfo is None else instant.astimezone(UTC)
        if isinstance(value, int) and not isinstance(value, bool):
            return us_to_datetime(value * _US_PER_S)
    except (ValueError, OverflowError):
        pass
    return value


def _reader_of_elements(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda values: (
        [read(value) for value in values] if isinstance(values, list | tuple) else values
    )


def _reader_of_fields(readers: Mapping[str, ValueForm]) -> Callable[[Any], Any]:
    def read_fields(value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {name: _read_with(readers.get(name), item) for name, item in value.items()}

    return read_fields


def _read_with(read: ValueForm, value: Any) -> Any:
    return value if read is None else read(value)

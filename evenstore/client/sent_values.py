"""Python values as the gateway takes them in JSON."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from evenstore.clock import datetime_to_us, format_us
from evenstore.errors import EntityRowsError
from evenstore.semantics import floor_to_s

__all__ = ["native_value", "sent_value", "written_value"]


def sent_value(value: object, where: str) -> object:
    """Make the JSON of a join key or of request data in Feast's form.

    A datetime is its whole seconds.

    Raises:
        EntityRowsError: The value has no JSON form.
    """
    return _json_form(value, where, _FEAST)


def native_value(value: object, where: str) -> object:
    """Make the JSON of a join key or of request data of the gateway's own routes.

    A datetime is RFC 3339, to the microsecond; NaN and the infinities are their names.

    Raises:
        EntityRowsError: The value has no JSON form.
    """
    return _json_form(value, where, _NATIVE)


def written_value(value: object, where: str) -> object:
    """Make the JSON of a value that is written; a datetime is RFC 3339, to the microsecond.

    Raises:
        EntityRowsError: The value has no JSON form.
    """
    return _json_form(value, where, _WRITTEN)


@dataclass(frozen=True, slots=True)
class _Form:
    instant: Callable[[datetime], object]
    names_non_finite: bool


def _whole_seconds(value: datetime) -> int:
    return floor_to_s(datetime_to_us(value))


def _rfc_3339(value: datetime) -> str:
    return format_us(datetime_to_us(value))


_FEAST = _Form(_whole_seconds, names_non_finite=False)
_NATIVE = _Form(_rfc_3339, names_non_finite=True)
_WRITTEN = _Form(_rfc_3339, names_non_finite=False)


def _json_form(value: object, where: str, form: _Form) -> object:
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, float) and form.names_non_finite:
        return "NaN" if math.isnan(value) else f"{'-' if value < 0 else ''}Infinity"
    if isinstance(value, list | tuple):
        return [_json_form(item, where, form) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, datetime) and value.tzinfo is not None:
        return form.instant(value)
    kinds = "str, int, float" if form.names_non_finite else "str, int, finite float"
    msg = f"{where}: {value!r} cannot be sent"
    raise EntityRowsError(msg, hint=f"send {kinds}, bool, bytes, a datetime with a zone, or lists")

"""Plain values in a golden set's file: JSON that loses nothing, read back by the declared type."""

from __future__ import annotations

import base64
import json
import math
from typing import Any, cast

from evenstore.client.values import Scalar, freeze_json
from evenstore.dtypes import Dtype
from evenstore.errors import ParityError
from parity.values import PlainValue, Undecodable, to_json

__all__ = ["read_value", "write_value"]

_BLOBS = frozenset({"Bytes", "PdfBytes", "ImageBytes"})
_FLOAT_TEXTS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def write_value(value: PlainValue | None, *, where: str) -> object:
    """Make a value's JSON.

    Raises:
        ParityError: The value is not of its declared type, so that there is nothing to keep.
    """
    if isinstance(value, Undecodable):
        msg = f"{where}: {value.raw} is not of the declared type"
        raise ParityError(msg, hint="mend the source: a golden set cannot expect this value")
    return to_json(value)


def read_value(value: Any, dtype: Dtype, *, where: str) -> PlainValue | None:
    """Read back what `write_value` made.

    Raises:
        ParityError: The JSON is of no value of the type.
    """
    if value is None:
        return None
    if not dtype.is_plain and dtype.value not in _BLOBS:
        return freeze_json(value)
    try:
        if dtype.is_list:
            return tuple(_read_scalar(item, dtype.element) for item in value)
        return _read_scalar(value, dtype)
    except (TypeError, ValueError, KeyError) as exc:
        msg = f"{where}: {json.dumps(value)} is no {dtype.value}"
        raise ParityError(msg, hint="build the golden set anew") from exc


def _read_scalar(value: Any, dtype: Dtype) -> Scalar:
    if dtype.value in _BLOBS:
        return base64.b64decode(value, validate=True)
    if dtype.is_float:
        return _FLOAT_TEXTS[value] if isinstance(value, str) else float(value)
    kinds: dict[Dtype, type] = {Dtype.STRING: str, Dtype.BOOL: bool}
    if type(value) is not kinds.get(dtype, int):
        raise TypeError
    return cast("Scalar", value)

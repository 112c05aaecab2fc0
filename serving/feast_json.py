"""Feast's JSON form of a lookup, made from and into Python values.

Deliberate differences from stock Feast: true statuses, features in the order asked for, a null
timestamp is null, a scalar NaN is null (inside a list it stays the text `NaN`, as in stock).
`evenstore.codec.json_value` has those of values that hold values.
"""

from __future__ import annotations

import base64
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from evenstore.clock import datetime_to_us, us_to_datetime
from evenstore.codec.json_value import json_writer
from evenstore.dtypes import Dtype
from evenstore.errors import EntityRowsError
from evenstore.schema.model import Field
from evenstore.schema.request import FeatureRequest
from evenstore.semantics import floor_to_s
from serving.errors import InvalidRequestError

__all__ = ["NO_EVENT_TIMESTAMP", "FeastForm"]

NO_EVENT_TIMESTAMP = "1970-01-01T00:00:00Z"
"""What Feast says where there is no event timestamp."""

_US_PER_S = 1_000_000


class FeastForm:
    """Reads and writes the JSON of one feature request.

    Build once per schema and request: converters are chosen here by type, never per value.

    Attributes:
        key_writers: For each entity column what turns a value into what is rendered; None where it
            is rendered as it is.
        writers: The same for each feature, for values that are not null.
    """

    def __init__(self, request: FeatureRequest) -> None:
        sent = (*request.entity_columns, *request.request_fields)
        self._readers = {field.name: read for field in sent if (read := _reader(field)) is not None}
        self.key_writers = [_key_writer(field) for field in request.entity_columns]
        self.writers = [_writer(column.field.dtype) for column in request.columns]
        self._names = {
            is_full: [
                *(field.name for field in request.entity_columns),
                *(column.output_name(full_feature_names=is_full) for column in request.columns),
            ]
            for is_full in (False, True)
        }
        self._repeated = {
            is_full: [name for name, count in Counter(names).items() if count > 1]
            for is_full, names in self._names.items()
        }
        self._view_names = _view_names(request)

    def read_columns(self, entities: Mapping[str, Sequence[Any]]) -> Mapping[str, Sequence[Any]]:
        """Turn a request's JSON columns into Python values.

        Bytes come as base64 text and timestamps as whole seconds; everything else has its JSON type
        already. A value that is no such text or number is left as it is: the lookup refuses it and
        says where.

        Raises:
            EntityRowsError: A bytes value is not base64.
        """
        if not self._readers:
            return entities
        columns: dict[str, Sequence[Any]] = dict(entities)
        for name, read in self._readers.items():
            if name in columns:
                columns[name] = [
                    read(value, f"`{name}`, row {i}") for i, value in enumerate(columns[name])
                ]
        return columns

    def check_names(self, *, full_feature_names: bool) -> None:
        """Refuse names that would stand twice in an answer.

        Raises:
            InvalidRequestError: Two columns have one name.
        """
        repeated = self._repeated[full_feature_names]
        if not repeated:
            return
        listed = ", ".join(f"`{name}`" for name in repeated)
        hint = "rename one of them" if full_feature_names else "set `full_feature_names` to true"
        msg = f"two columns of the answer would have one name: {listed}"
        raise InvalidRequestError(msg, hint=hint)

    def metadata(self, *, full_feature_names: bool, lists_views: bool) -> dict[str, Any]:
        """Return the metadata of an answer.

        Args:
            full_feature_names: Whether features are named `view__feature`.
            lists_views: Whether the feature views read are named.
        """
        metadata: dict[str, Any] = {"feature_names": self._names[full_feature_names]}
        if lists_views:
            metadata["feature_view_metadata"] = self._view_names
        return metadata


def _view_names(request: FeatureRequest) -> list[dict[str, Any]]:
    """Name the views read, as stock does: by their aliases, without on-demand views.

    Of several versions of a view stock tells the first one's number, and 0 not at all.
    """
    named: dict[str, dict[str, Any]] = {}
    for read in request.reads:
        name = read.output_name.partition("@v")[0]
        version = {"version": read.view.version} if read.view.version else {}
        named.setdefault(name, {"name": name, **version})
    return list(named.values())


_Writer = Callable[[Any], Any] | None
"""Turns a value that is not null into what orjson renders; None where it renders it as it is."""


def _write_float(value: float) -> float | str | None:
    if math.isfinite(value):
        return value
    return None if math.isnan(value) else _infinity(value)


def _write_float_element(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else _infinity(value)


def _write_floats(values: Sequence[float]) -> Sequence[float | str]:
    # A sum is finite only if all of them are.
    if math.isfinite(sum(values)):
        return values
    return [_write_float_element(value) for value in values]


def _infinity(value: float) -> str:
    return "Infinity" if value > 0 else "-Infinity"


def _write_bytes(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _write_timestamp(value: datetime) -> int:
    return floor_to_s(datetime_to_us(value))


def _writer(dtype: Dtype) -> _Writer:
    if not dtype.is_plain:
        return json_writer(dtype)
    if not dtype.is_list:
        return _WRITERS.get(dtype)
    if dtype.is_float:
        return _write_floats
    write_element = _WRITERS.get(dtype.element)
    if write_element is None:
        return None
    return lambda values: [write_element(value) for value in values]


def _key_writer(field: Field) -> _Writer:
    # The lookup gives timestamp keys back as the whole seconds that its key bytes hold.
    return _write_bytes if field.dtype is Dtype.BYTES else None


def _reader(field: Field) -> Callable[[Any, str], Any] | None:
    read = _READERS.get(field.dtype.element)
    if read is None or not field.dtype.is_list:
        return read
    return lambda values, where: (
        [read(value, where) for value in values] if isinstance(values, list) else values
    )


def _read_bytes(value: Any, where: str) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except ValueError as exc:  # binascii.Error among them.
        msg = f"{where}: not base64"
        raise EntityRowsError(msg, hint="JSON carries bytes as base64 text") from exc


def _read_timestamp(value: Any, _where: str) -> Any:
    if not isinstance(value, int) or isinstance(value, bool):
        return value
    try:
        return us_to_datetime(value * _US_PER_S)
    except OverflowError:
        return value


_READERS: dict[Dtype, Callable[[Any, str], Any]] = {
    Dtype.BYTES: _read_bytes,
    Dtype.UNIX_TIMESTAMP: _read_timestamp,
}
_WRITERS: dict[Dtype, Callable[[Any], Any]] = {
    Dtype.FLOAT32: _write_float,
    Dtype.FLOAT64: _write_float,
    Dtype.BYTES: _write_bytes,
    Dtype.UNIX_TIMESTAMP: _write_timestamp,
}

"""Renders answers in Feast's JSON form: one text per column, what repeats only once."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from evenstore.codec.nullable_array import NullableArray
from evenstore.dtypes import Dtype
from evenstore.online.column_lookup import ColumnAnswer, plain_column
from evenstore.online.view_columns import Column
from evenstore.schema.request import FeatureRequest
from evenstore.semantics import Status
from serving.feast_json import NO_EVENT_TIMESTAMP, FeastForm

__all__ = ["FeastRenderer"]

_OPTIONS = (
    orjson.OPT_SERIALIZE_NUMPY
    | orjson.OPT_NAIVE_UTC
    | orjson.OPT_UTC_Z
    # A column with nulls is refused, not rendered as an object.
    | orjson.OPT_PASSTHROUGH_DATACLASS
)
_NAMES = {status: b'"%b"' % status.name.encode() for status in Status}
# No name has one of these bytes.
_NAMES_BY_BYTE = [(bytes([status]), name + b",") for status, name in _NAMES.items()]
_FEW = 16
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - as orjson takes it, in UTC, and far sooner made
_NO_EVENT = orjson.dumps(NO_EVENT_TIMESTAMP)
# Longer texts are made anew each time: kept, they would take hundreds of megabytes.
_MAX_CACHED_ROWS = 1024
_FLOATS = frozenset({Dtype.FLOAT64, Dtype.FLOAT32})
_NUMERIC = _FLOATS | {Dtype.INT32, Dtype.INT64, Dtype.BOOL}


class FeastRenderer:
    """Renders the answers of one request's schema.

    Args:
        request: What is asked for.
        form: How its values are written.
    """

    def __init__(self, request: FeatureRequest, form: FeastForm) -> None:
        self._key_writers = form.key_writers
        self._writers = form.writers
        self._is_float = [column.field.dtype in _FLOATS for column in request.columns]
        self._runs = _runs(request)
        self._is_numeric = all(column.field.dtype in _NUMERIC for column in request.columns)
        self._heads = {
            (is_full, lists_views): _head(
                form.metadata(full_feature_names=is_full, lists_views=lists_views)
            )
            for is_full in (False, True)
            for lists_views in (False, True)
        }

    def render(
        self,
        keys: Sequence[Sequence[Any]],
        answer: ColumnAnswer,
        n_rows: int,
        *,
        full_feature_names: bool,
        lists_views: bool,
    ) -> bytes:
        """Render an answer.

        Args:
            keys: The entity columns, as they were sent.
            answer: The features.
            n_rows: Length of every column.
            full_feature_names: Whether features are named `view__feature`.
            lists_views: Whether the metadata names the feature views read.
        """
        pieces = [self._heads[full_feature_names, lists_views]]
        present = _uniform_statuses(n_rows)
        key_tail = _TAIL % (present, _uniform_instants(n_rows))
        for values, write in zip(keys, self._key_writers, strict=True):
            written = values if write is None else [write(value) for value in values]
            pieces += (orjson.dumps(written)[:-1], key_tail)
        texts = self._texts(answer.values)
        for start, end in self._runs:
            event_us = answer.event_us[start]
            instants = _uniform_instants(n_rows) if event_us is None else _instants(event_us)
            statuses = answer.statuses[start:end]
            tail = _TAIL % (present, instants)
            if statuses.count(None) == end - start:
                pieces += (b"[", (tail + b"[").join(texts[start:end]), tail)
                continue
            last: Sequence[Status] | None = None
            for text, column in zip(texts[start:end], statuses, strict=True):
                # Columns of one view mostly have the very same statuses.
                if column is not last:
                    last = column
                    part = present if column is None else _status_part(column)
                    tail = _TAIL % (part, instants)
                pieces += (b"[", text, tail)
        # The last piece ends with what is before the next column's values.
        pieces[-1] = pieces[-1][: -len(_BETWEEN)] + b"}]}"
        return b"".join(pieces)

    def _texts(self, columns: Sequence[Column]) -> list[bytes]:
        """Render each column of values, without its brackets."""
        if not self._is_numeric:
            return [
                _text(column, write, is_float=is_float)
                for column, write, is_float in zip(
                    columns, self._writers, self._is_float, strict=True
                )
            ]
        # One call for all: nothing but columns has brackets.
        plain: Sequence[Any] = columns
        if NullableArray in map(type, columns):
            plain = [_json_column(column) for column in columns]
        text = orjson.dumps(plain, option=_OPTIONS)
        texts = text[2:-2].split(b"],[")
        if b"n" in text:
            for i, is_float in enumerate(self._is_float):
                if is_float and b"n" in texts[i] and _has_infinity(plain[i]):
                    texts[i] = _write_each(columns[i], self._writers[i])
        return texts


def _runs(request: FeatureRequest) -> list[tuple[int, int]]:
    """Return where features of one view that follow each other start and end."""
    starts = [
        i
        for i, column in enumerate(request.columns)
        if i == 0 or column.view_name != request.columns[i - 1].view_name
    ]
    return list(zip(starts, [*starts[1:], len(request.columns)], strict=True))


_BETWEEN = b'},{"values":'
# Behind a column's values: its statuses and event timestamps, and what is before the next one's.
_TAIL = b'],%b,"event_timestamps":%b' + _BETWEEN


def _head(metadata: dict[str, Any]) -> bytes:
    return b'{"metadata":%b,"results":[{"values":' % orjson.dumps(metadata)


def _json_column(column: Column) -> Sequence[Any] | npt.NDArray[Any]:
    """Return what orjson renders as a column; infinite floats become null there."""
    if not isinstance(column, NullableArray):
        return column
    if column.values.dtype != np.float64:
        return column.tolist()
    # As null as any other value that is no number.
    column.values[column.is_null] = np.nan
    return column.values


def _has_infinity(column: Sequence[Any] | npt.NDArray[Any]) -> bool:
    if isinstance(column, np.ndarray):
        return bool(np.isinf(column).any())
    return math.inf in column or -math.inf in column


def _text(column: Column, write: Callable[[Any], Any] | None, *, is_float: bool) -> bytes:
    if write is not None:
        if not is_float:
            return _write_each(column, write)
        plain = _json_column(column)
        if _has_infinity(plain):
            return _write_each(column, write)
        return orjson.dumps(plain, option=_OPTIONS)[1:-1]
    return orjson.dumps(_json_column(column), option=_OPTIONS)[1:-1]


def _write_each(column: Column, write: Callable[[Any], Any] | None) -> bytes:
    values = plain_column(column)
    if write is not None:
        values = [None if value is None else write(value) for value in values]
    return orjson.dumps(values)[1:-1]


def _status_part(statuses: Sequence[Status]) -> bytes:
    if len(statuses) <= _FEW:
        return b'"statuses":[%b]' % b",".join([_NAMES[status] for status in statuses])
    text = bytes(statuses)
    for number, name in _NAMES_BY_BYTE:
        text = text.replace(number, name)
    return b'"statuses":[%b]' % text[:-1]


def _instants(event_us: Column) -> bytes:
    if type(event_us) is tuple and len(event_us) == 1:
        instant = _EPOCH + timedelta(0, 0, event_us[0] or 0)
        return b"[%b]" % orjson.dumps(instant, option=_OPTIONS)
    if isinstance(event_us, NullableArray):
        # Feast's word for no event is the instant 0.
        event_us.values[event_us.is_null] = 0
        event_us = event_us.values
    elif not isinstance(event_us, np.ndarray):
        event_us = np.array([event or 0 for event in event_us], np.int64)
    return orjson.dumps(event_us.view("M8[us]"), option=_OPTIONS)


def _uniform_statuses(n_rows: int) -> bytes:
    return _kept_statuses(n_rows) if n_rows <= _MAX_CACHED_ROWS else _made_statuses(n_rows)


def _made_statuses(n_rows: int) -> bytes:
    return b'"statuses":[%b]' % b",".join([_NAMES[Status.PRESENT]] * n_rows)


def _uniform_instants(n_rows: int) -> bytes:
    return _kept_instants(n_rows) if n_rows <= _MAX_CACHED_ROWS else _made_instants(n_rows)


def _made_instants(n_rows: int) -> bytes:
    return b"[%b]" % b",".join([_NO_EVENT] * n_rows)


_kept_statuses = functools.lru_cache(maxsize=None)(_made_statuses)
_kept_instants = functools.lru_cache(maxsize=None)(_made_instants)

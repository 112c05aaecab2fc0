"""Renders answers in Feast's JSON form: one text per column, what repeats only once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import orjson

from evenstore.clock import format_us
from evenstore.dtypes import Dtype
from evenstore.online.column_lookup import ColumnAnswer, plain_column
from evenstore.online.view_columns import Column
from evenstore.schema.request import FeatureRequest
from evenstore.semantics import Status
from serving.feast_json import NO_EVENT_TIMESTAMP, FeastForm

__all__ = ["FeastRenderer"]

_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z
_NAMES = {status: b'"%b"' % status.name.encode() for status in Status}
_NO_EVENT = orjson.dumps(NO_EVENT_TIMESTAMP)
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
        key_tail = _uniform_tail(n_rows)
        for values, write in zip(keys, self._key_writers, strict=True):
            written = values if write is None else [write(value) for value in values]
            pieces += (orjson.dumps(written), key_tail)
        texts, opening, closing = self._texts(answer.values)
        for start, end in self._runs:
            event_us = answer.event_us[start]
            if answer.statuses[start:end].count(None) == end - start:
                tail = closing + _tail(None, event_us, n_rows)
                pieces += (opening, (tail + opening).join(texts[start:end]), tail)
                continue
            for text, statuses in zip(texts[start:end], answer.statuses[start:end], strict=True):
                pieces += (opening, text, closing, _tail(statuses, event_us, n_rows))
        # The last piece ends with what is before the next column's values.
        pieces[-1] = pieces[-1][: -len(_BETWEEN)] + b"}]}"
        return b"".join(pieces)

    def _texts(self, columns: Sequence[Column]) -> tuple[list[bytes], bytes, bytes]:
        """Render each column of values; return also what stands before and behind each."""
        if self._is_numeric:
            # One call for all: nothing but columns has brackets.
            text = orjson.dumps(columns, option=_OPTIONS)
            if b"n" not in text:
                return text[2:-2].split(b"],["), b"[", b"]"
        texts = [
            _values(column, write, is_float=is_float)
            for column, write, is_float in zip(columns, self._writers, self._is_float, strict=True)
        ]
        return texts, b"", b""


def _runs(request: FeatureRequest) -> list[tuple[int, int]]:
    """Return where features of one view that follow each other start and end."""
    starts = [
        i
        for i, column in enumerate(request.columns)
        if i == 0 or column.view_name != request.columns[i - 1].view_name
    ]
    return list(zip(starts, [*starts[1:], len(request.columns)], strict=True))


_BETWEEN = b'},{"values":'


def _head(metadata: dict[str, Any]) -> bytes:
    return b'{"metadata":%b,"results":[{"values":' % orjson.dumps(metadata)


def _values(values: Column, write: Callable[[Any], Any] | None, *, is_float: bool) -> bytes:
    if write is None:
        return orjson.dumps(values, option=_OPTIONS)
    if is_float:
        text = orjson.dumps(values, option=_OPTIONS)
        # Infinity becomes null there, too.
        n_nulls = 0 if isinstance(values, np.ndarray) else values.count(None)
        if text.count(b"n") == n_nulls:
            return text
    return orjson.dumps([None if value is None else write(value) for value in plain_column(values)])


def _tail(statuses: Sequence[Status] | None, event_us: Column | None, n_rows: int) -> bytes:
    return b',"statuses":%b,"event_timestamps":%b%b' % (
        _uniform_statuses(n_rows)
        if statuses is None
        else b"[%b]" % b",".join([_NAMES[status] for status in statuses]),
        _uniform_instants(n_rows) if event_us is None else _instants(event_us, n_rows),
        _BETWEEN,
    )


def _instants(event_us: Column, n_rows: int) -> bytes:
    if n_rows == 1:
        event = event_us[0]
        return b"[%b]" % (_NO_EVENT if event is None else _instant(int(event)))
    if not isinstance(event_us, np.ndarray):
        # Feast's word for no event is the instant 0.
        event_us = np.array([event or 0 for event in event_us], np.int64)
    return orjson.dumps(event_us.view("M8[us]"), option=_OPTIONS)


@functools.lru_cache(maxsize=4096)
def _instant(event_us: int) -> bytes:
    return b'"%b"' % format_us(event_us).encode()


def _uniform_tail(n_rows: int) -> bytes:
    return b',"statuses":%b,"event_timestamps":%b%b' % (
        _uniform_statuses(n_rows),
        _uniform_instants(n_rows),
        _BETWEEN,
    )


@functools.lru_cache(maxsize=_MAX_CACHED_ROWS)
def _uniform_statuses(n_rows: int) -> bytes:
    return b"[%b]" % b",".join([_NAMES[Status.PRESENT]] * n_rows)


@functools.lru_cache(maxsize=_MAX_CACHED_ROWS)
def _uniform_instants(n_rows: int) -> bytes:
    return b"[%b]" % b",".join([_NO_EVENT] * n_rows)

"""Feature vectors as an Arrow IPC stream; imported when the first caller asks for one.

One record batch whose columns have the names and the nesting of the JSON form: `keys`, `values`,
`statuses`, `event_timestamps`, `ages_s` and `error` are structs. Their types follow from the
schema alone, whatever rows are in the batch. The fields before `feature_vectors` are JSON in the
schema's metadata, under `evenstore`.

A feature whose type has a map inside has no declared Arrow type: it is text that holds the value's
JSON, and its field's metadata says `evenstore.form: json`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pyarrow as pa

from evenstore.dtypes import Dtype
from evenstore.online.row_lookup import RowVectors
from evenstore.schema.arrow import arrow_type
from evenstore.schema.json_form import dump_value
from evenstore.schema.model import Field
from evenstore.schema.request import FeatureRequest
from evenstore.semantics import Status
from serving.native.vectors_form import AnswerHeader, describe_error

__all__ = ["render_arrow"]

_METADATA = b"evenstore"
_AS_JSON = {b"evenstore.form": b"json"}
_INSTANT = pa.timestamp("us", tz="UTC")
_STATUS_NAMES = pa.array([status.name for status in sorted(Status)])
_STATUS = pa.dictionary(pa.int8(), pa.string())
_ERROR = pa.struct([("code", pa.string()), ("message", pa.string()), ("hint", pa.string())])
_US_PER_S = 1_000_000


def render_arrow(
    request: FeatureRequest, answer: RowVectors, header: AnswerHeader, names: Sequence[str]
) -> bytes:
    """Render an answer as an Arrow IPC stream of one record batch.

    Args:
        request: What was asked for.
        answer: What was looked up.
        header: What is said of the whole.
        names: The features' names, in order.
    """
    n_rows = answer.n_rows
    features = [
        _feature_column(name, column.column.field.dtype, column.values)
        for name, column in zip(names, answer.columns, strict=True)
    ]
    statuses = [
        (pa.field(name, _STATUS), _status_column(column.statuses))
        for name, column in zip(names, answer.columns, strict=True)
    ]
    keys = [_key_column(field, answer.keys[field.name]) for field in request.entity_columns]
    columns = {
        "keys": _struct(keys, n_rows),
        "values": _struct(features, n_rows),
        "statuses": _struct(statuses, n_rows),
        "event_timestamps": _instants(answer.view_event_us, n_rows),
        "ages_s": _ages(answer.view_event_us, answer.as_of_us, n_rows),
        "error": pa.array(
            [
                describe_error(answer.errors[i]) if i in answer.errors else None
                for i in range(n_rows)
            ],
            _ERROR,
        ),
    }
    document = orjson.dumps(header.to_document(names), option=orjson.OPT_UTC_Z)
    batch = pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))
    batch = batch.replace_schema_metadata({_METADATA: document})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    rendered: bytes = sink.getvalue().to_pybytes()
    return rendered


def _struct(columns: Sequence[tuple[pa.Field, pa.Array]], n_rows: int) -> pa.Array:
    if not columns:  # Arrays of no columns would have no length.
        return pa.array([{}] * n_rows, pa.struct([]))
    fields, arrays = zip(*columns, strict=True)
    return pa.StructArray.from_arrays(list(arrays), fields=list(fields))


def _feature_column(name: str, dtype: Dtype, values: Sequence[Any]) -> tuple[pa.Field, pa.Array]:
    if dtype.holds_map:
        texts = [None if value is None else dump_value(value, dtype) for value in values]
        return pa.field(name, pa.string(), metadata=_AS_JSON), pa.array(texts, pa.string())
    kind = arrow_type(dtype)
    return pa.field(name, kind), pa.array(values, kind)


def _key_column(field: Field, values: Sequence[Any]) -> tuple[pa.Field, pa.Array]:
    # Whole seconds, as the key's bytes hold them: no microsecond holds all of theirs.
    is_instant = field.dtype is Dtype.UNIX_TIMESTAMP
    kind = pa.timestamp("s", tz="UTC") if is_instant else arrow_type(field.dtype)
    return pa.field(field.name, kind), pa.array(values, kind)


def _status_column(statuses: Sequence[Status]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(statuses, pa.int8()), _STATUS_NAMES)


def _instants(view_event_us: Mapping[str, Sequence[int | None]], n_rows: int) -> pa.Array:
    columns = [
        (pa.field(name, _INSTANT), pa.array(event_us, pa.int64()).cast(_INSTANT))
        for name, event_us in view_event_us.items()
    ]
    return _struct(columns, n_rows)


def _ages(
    view_event_us: Mapping[str, Sequence[int | None]], as_of_us: int, n_rows: int
) -> pa.Array:
    columns = []
    for name, event_us in view_event_us.items():
        ages = [None if each is None else (as_of_us - each) / _US_PER_S for each in event_us]
        columns.append((pa.field(name, pa.float64()), pa.array(ages, pa.float64())))
    return _struct(columns, n_rows)

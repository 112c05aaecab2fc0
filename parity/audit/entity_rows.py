"""Entity rows that the caller names, in place of drawn ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from evenstore.errors import EntityRowsError
from evenstore.schema.arrow import arrow_type
from evenstore.schema.model import Field
from evenstore.schema.request import FeatureRequest
from evenstore.semantics import Status
from parity.values import PlainValue, decode_offline

__all__ = ["parse_entities", "read_entity_rows", "take_columns"]


def read_entity_rows(path: Path) -> pa.Table:
    """Read a Parquet file of entity rows.

    Raises:
        EntityRowsError: It cannot be read.
    """
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as exc:
        msg = f"`{path}` cannot be read as Parquet: {exc}"
        raise EntityRowsError(msg, hint="write entity columns and request data to it") from exc


def parse_entities(texts: Sequence[str]) -> pa.Table:
    """Make a table of JSON objects, one entity row each.

    Raises:
        EntityRowsError: One is no JSON object.
    """
    rows = []
    for text in texts:
        try:
            row = json.loads(text)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            msg = f"not a JSON object: {text!r}"
            raise EntityRowsError(msg, hint='for example {"customer_id": 12347}')
        rows.append(row)
    return pa.Table.from_pylist(rows)


def take_columns(table: pa.Table, request: FeatureRequest) -> dict[str, Sequence[PlainValue]]:
    """Take what a request needs from entity rows, as plain values of the declared types.

    Raises:
        EntityRowsError: A column is missing, of another type, or a join key is null.
    """
    fields = (*request.entity_columns, *request.request_fields)
    return {field.name: _take(table, field) for field in fields}


def _take(table: pa.Table, field: Field) -> list[Any]:
    if field.name not in table.column_names:
        msg = f"entity rows: no column `{field.name}`"
        raise EntityRowsError(msg, hint=f"it is a {field.dtype.value} that the request needs")
    try:
        column = table[field.name].cast(arrow_type(field.dtype))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as exc:
        msg = f"entity rows: `{field.name}` is {table[field.name].type}, not {field.dtype.value}"
        raise EntityRowsError(msg, hint="write it in its declared type") from exc
    return decode_offline(field.dtype, column, [Status.PRESENT] * table.num_rows, where=field.name)

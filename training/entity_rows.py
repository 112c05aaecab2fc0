"""Entity rows: where they come from, and what they must be before they are joined."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from evenstore.dtypes import Dtype
from evenstore.errors import EntityRowsError
from evenstore.offline.entity_rows import to_instants_us
from evenstore.offline.entity_source import EntityRowsSource, read_entity_table
from evenstore.schema.arrow import arrow_type, is_exact_widening
from evenstore.schema.model import Field
from evenstore.schema.request import FeatureRequest
from training.manifest import DatasetSpec, event_timestamp_of, status_of

__all__ = ["EntityRowsSource", "check_entity_rows", "check_request_rows", "read_entity_rows"]

_INSTANT = pa.timestamp("us", tz="UTC")


def read_entity_rows(source: EntityRowsSource) -> pa.Table:
    """Read entity rows as an Arrow table with plain string and binary columns.

    Args:
        source: A table, a pandas or polars frame, or the path of a Parquet file; a path that is a
            string ends in `.parquet`.

    Raises:
        ConfigurationError: There is no such file, or it is not Parquet.
        EntityRowsError: Two columns have one name, or the object is of no known kind.
    """
    table = read_entity_table(source).replace_schema_metadata(None)
    fields = [pa.field(field.name, _plain_type(field.type)) for field in table.schema]
    return table.cast(pa.schema(fields))


def check_entity_rows(table: pa.Table, request: FeatureRequest, spec: DatasetSpec) -> pa.Table:
    """Check entity rows against what a feature service needs, and widen columns to their types.

    A null join key is kept: it names no entity, and its features come back NOT_FOUND.

    Returns:
        The same rows and columns: instants floored to `timestamp[us, UTC]`, join keys and request
            columns in their declared types.

    Raises:
        EntityRowsError: There are no rows; a column is missing, has a name that the join makes, or
            a type that cannot be widened exactly; a timestamp is naive or null; a label is null.
            The message names the column and, where there is one, the row.
    """
    roles = _request_roles(request, spec.event_timestamp_column)
    if spec.label is None and spec.label_timestamp_column is not None:
        msg = f"`{spec.label_timestamp_column}` is the time of a label, but no label is named"
        raise EntityRowsError(msg, hint="name the label too, or neither")
    for name, role in ((spec.label, "label"), (spec.label_timestamp_column, "label timestamp")):
        if name is not None and name in roles:
            msg = f"`{name}` cannot be the {role}: it is already a {roles[name]}"
            raise EntityRowsError(msg, hint=f"name another column as the {role}")
        if name is not None:
            roles[name] = role
    _check_columns(table, roles, _joined_names(request))
    table = _typed(table, request, (spec.event_timestamp_column, spec.label_timestamp_column))
    if spec.label is not None:
        _refuse_null_labels(table, spec.label)
    return table


def check_request_rows(
    table: pa.Table,
    request: FeatureRequest,
    *,
    event_timestamp_column: str | None = None,
    made_columns: Iterable[str] = (),
) -> pa.Table:
    """Check rows that have no label: join keys and request columns, to be looked up or scored.

    Args:
        table: As `read_entity_rows` gives it.
        request: What is looked up.
        event_timestamp_column: Column with each row's instant, where the rows say it.
        made_columns: Names that the rows must not have, as the result gets them.

    Returns:
        As `check_entity_rows`.

    Raises:
        EntityRowsError: As `check_entity_rows`.
    """
    roles = _request_roles(request, event_timestamp_column)
    _check_columns(table, roles, _joined_names(request))
    for name in made_columns:
        if name in table.column_names:
            msg = f"entity rows already have a column `{name}`, which the result gets"
            raise EntityRowsError(msg, hint="rename or drop it")
    return _typed(table, request, (event_timestamp_column,))


def _plain_type(kind: Any) -> Any:
    if pa.types.is_dictionary(kind):
        return _plain_type(kind.value_type)
    if pa.types.is_large_string(kind) or kind == pa.string_view():
        return pa.string()
    if pa.types.is_large_binary(kind) or kind == pa.binary_view():
        return pa.binary()
    return kind


def _request_roles(request: FeatureRequest, event_timestamp: str | None) -> dict[str, str]:
    roles = {} if event_timestamp is None else {event_timestamp: "event timestamp"}
    roles |= {field.name: "join key" for field in request.entity_columns}
    return roles | {field.name: "request column" for field in request.request_fields}


def _joined_names(request: FeatureRequest) -> set[str]:
    outputs = [column.output_name(full_feature_names=True) for column in request.columns]
    return {made for name in outputs for made in (name, status_of(name), event_timestamp_of(name))}


def _check_columns(table: Any, roles: dict[str, str], reserved: set[str]) -> None:
    missing = [name for name in roles if name not in table.column_names]
    if missing:
        msg = f"entity rows have no column `{missing[0]}` ({roles[missing[0]]})"
        raise EntityRowsError(msg, hint="columns given: " + ", ".join(table.column_names))
    for name in table.column_names:
        if name in reserved:
            msg = f"entity rows already have a column `{name}`, which the join makes"
            raise EntityRowsError(msg, hint="rename or drop it")
    if table.num_rows == 0:
        msg = "there are no entity rows"
        raise EntityRowsError(msg, hint="give at least one row to join features to")


def _typed(table: Any, request: FeatureRequest, instants: tuple[str | None, ...]) -> Any:
    for column in instants:
        if column is not None:
            table = _replace(table, column, _instants(table, column))
    for field in request.entity_columns:
        table = _replace(table, field.name, _widened(table, field, "join key"))
    for field in request.request_fields:
        table = _replace(table, field.name, _widened(table, field, "request column"))
    return table


def _instants(table: Any, name: str) -> Any:
    return to_instants_us(table.column(name), name).cast(_INSTANT)


def _refuse_null_labels(table: Any, name: str) -> None:
    column = table.column(name)
    if column.null_count:
        row_idx = pc.index(pc.is_null(column), pa.scalar(value=True)).as_py()
        msg = f"entity rows: label `{name}` is null in row {row_idx}"
        if column.null_count > 1:
            msg += f" and in {column.null_count - 1:,} more"
        raise EntityRowsError(
            msg, hint="drop rows whose label is not known yet: nothing is learned from them"
        )


def _widened(table: Any, field: Field, role: str) -> Any:
    column = table.column(field.name)
    if not is_exact_widening(column.type, field.dtype):
        msg = (
            f"entity rows: {role} `{field.name}` is {column.type}, declared as {field.dtype.value}"
        )
        raise EntityRowsError(msg, hint=f"convert it to {arrow_type(field.dtype)}")
    if field.dtype.element is Dtype.UNIX_TIMESTAMP and not field.dtype.is_list:
        return _instants(table, field.name)
    return column.cast(arrow_type(field.dtype))


def _replace(table: Any, name: str, column: Any) -> Any:
    return table.set_column(table.column_names.index(name), name, column)

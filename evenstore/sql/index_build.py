"""What a side index is made of: all rows in the joins' total order, and in the order of knowing."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

from evenstore.schema.files import SourceFiles
from evenstore.schema.model import FeatureViewSchema
from evenstore.sql.quoting import quote_identifier
from evenstore.sql.relation import (
    AVAILABLE_US,
    CREATED_US,
    EVENT_US,
    FILE,
    FILE_ROW,
    PLACE,
    ROW_IDX,
    build_feature_rows_sql,
    content_columns,
)
from evenstore.sql.row_order import build_content_order
from evenstore.sql.types import sql_type

__all__ = [
    "ENTITY",
    "NEVER_US",
    "NULL_CREATED_US",
    "ROW",
    "build_known_order_sql",
    "build_sorted_rows_sql",
    "build_tied_content_sql",
    "build_tied_rows_sql",
    "build_tied_winners_sql",
    "content_names",
]

ENTITY = "_entity"
ROW = "_row"
NULL_CREATED_US = -(2**63)
"""Stands for a created timestamp that is null: the lowest one."""
NEVER_US = 2**63 - 1
"""Later than every instant that is asked for."""


def build_sorted_rows_sql(
    source: SourceFiles,
    view: FeatureViewSchema,
    *,
    with_features: bool,
    missing: Collection[str] = (),
) -> str:
    """Build the query of all rows that an answer can be made of, in the total order.

    Args:
        source: The view's files.
        view: The view.
        with_features: Select the features, not the positions.
        missing: Source columns that none of the files has, although others of the source do.

    Shapes:
        out: the source's rows without those that have a null key or event timestamp x (join keys,
            `_event_us`, `_created_us`, then the features, or `_file` and `_file_row`), ordered by
            keys, event, created (null lowest), content.
    """
    rows = _build_rows_with_nulls(source, view, missing)
    keys = [quote_identifier(key.name) for key in view.join_keys]
    content = build_content_order(
        (quote_identifier(field.name), field.dtype) for field in content_columns(view)
    )
    features = [quote_identifier(field.name) for field in view.features]
    selected = [
        *keys,
        EVENT_US,
        f"coalesce({CREATED_US}, {NULL_CREATED_US}) as {CREATED_US}",
        *(features if with_features else [FILE, FILE_ROW]),
    ]
    columns = ",\n  ".join(selected)
    order = ",\n  ".join(
        [*keys, EVENT_US, *(f"{value} nulls first" for value in (CREATED_US, *content))]
    )
    exists = " and ".join(f"{name} is not null" for name in [*keys, EVENT_US])
    return f"""\
with feature_rows as (
{rows}
)
select
  {columns}
from feature_rows
where {exists}
order by
  {order}"""


def _build_rows_with_nulls(
    source: SourceFiles, view: FeatureViewSchema, missing: Collection[str]
) -> str:
    named = dict(source.columns)
    absent = [field for field in view.features if named[field.name] in missing]
    if source.created is not None and source.created.name in missing:
        source = dataclasses.replace(source, created=None)
    present = [field for field in view.features if field not in absent]
    rows = build_feature_rows_sql(source, view, features=present, with_position=True)
    if not absent:
        return rows
    nulls = ",\n  ".join(
        f"cast(null as {sql_type(field.dtype)}) as {quote_identifier(field.name)}"
        for field in absent
    )
    return f"""\
select
  *,
  {nulls}
from (
{rows}
)"""


def build_known_order_sql(relation: str) -> str:
    """Build the query of the order in which an entity's rows became both true and known.

    Args:
        relation: Rows x (`_entity`, `_event_us`, `_created_us`, `_row`), int64.

    Shapes:
        out: the same number of rows x (`_available_us`, `_row`), ordered by entity; a row without a
            created timestamp is never known: it comes last of its entity, without a `_row` (-1).
    """
    is_null = f"{CREATED_US} = {NULL_CREATED_US}"
    return f"""\
select
  case when {is_null} then {NEVER_US} else greatest({EVENT_US}, {CREATED_US}) end
    as {AVAILABLE_US},
  case when {is_null} then -1 else {ROW} end as {ROW}
from {quote_identifier(relation)}
order by {ENTITY}, {AVAILABLE_US}, {ROW}"""


def content_names(view: FeatureViewSchema) -> tuple[str, ...]:
    """Name the columns of tied rows: as many as the view has features, in the order of content."""
    return tuple(f"content_{number}" for number in range(len(view.features)))


def build_tied_content_sql(relation: str) -> str:
    """Build the query of tied rows that a relation holds with their content."""
    return f"select * from {quote_identifier(relation)}"


def build_tied_rows_sql(source: SourceFiles, view: FeatureViewSchema, relation: str) -> str:
    """Build the query of the content of tied rows that are known by position.

    Args:
        source: The view's files.
        view: The view.
        relation: Rows x (`_row_idx`, `_row`, `_file`, `_file_row`), int64.

    Shapes:
        out: as many rows x (`_row_idx`, `_row`, the features by the names of `content_names`).
    """
    content = "".join(
        f",\n  f.{quote_identifier(field.name)} as {name}"
        for field, name in zip(content_columns(view), content_names(view), strict=True)
    )
    return f"""\
with feature_rows as (
{build_feature_rows_sql(source, view, with_position=True)}
)
select
  t.{ROW_IDX},
  t.{ROW}{content}
from {quote_identifier(relation)} t
join feature_rows f on f.{FILE} = t.{FILE} and f.{FILE_ROW} = t.{FILE_ROW}"""


def build_tied_winners_sql(view: FeatureViewSchema, rows_sql: str) -> str:
    """Build the query of the greatest of the tied rows of each entity row, by content.

    Args:
        view: The view.
        rows_sql: A query of rows x (`_row_idx`, `_row`, the features by the names of
            `content_names`).

    Shapes:
        out: one row per `_row_idx` x (`_row_idx`, `_row`).
    """
    content = zip(content_names(view), content_columns(view), strict=True)
    greatest_first = ", ".join(
        f"{value} desc nulls last"
        for value in build_content_order((name, field.dtype) for name, field in content)
    )
    order = f" order by {greatest_first}" if greatest_first else ""
    return f"""\
with tied as (
{rows_sql}
),
placed as (
  select
    {ROW_IDX},
    {ROW},
    row_number() over (partition by {ROW_IDX}{order}) as {PLACE}
  from tied
)
select {ROW_IDX}, {ROW}
from placed
where {PLACE} = 1"""

"""The point-in-time join.

For each entity row, the greatest feature row at or before its as-of instant.
"""

from __future__ import annotations

from evenstore.schema.files import SourceFiles
from evenstore.schema.model import FeatureViewSchema, Field
from evenstore.schema.request import ViewRead
from evenstore.semantics import Knowledge
from evenstore.sql.quoting import quote_identifier
from evenstore.sql.relation import (
    AS_OF_US,
    CREATED_US,
    EVENT_US,
    KNOWN_AT_US,
    ROW_IDX,
    ROW_ORDER,
    build_feature_rows_sql,
    content_columns,
)

__all__ = ["build_point_in_time_sql"]


def build_point_in_time_sql(
    source: SourceFiles, read: ViewRead, *, entity_relation: str, knowledge: Knowledge
) -> str:
    """Build the join of one view.

    A feature row qualifies when its event timestamp is not after the as-of instant and, in as-known
    mode on a source with created timestamps, its created timestamp is not after the known-at
    instant. Rows older than the ttl still qualify: that they are there and expired is the answer.
    Every feature row of an asked entity is given its place in the total order as one integer, and
    the greatest wins; rows that tie on both timestamps are placed by content.

    Args:
        source: The view's files.
        read: The view, the caller's key columns and the features to fetch.
        entity_relation: Name of a relation with `_row_idx`, the key columns, `_as_of_us` and
            `_known_at_us`.
        knowledge: Which rows may be known.

    Returns:
        One SELECT statement without side effects.

    Shapes:
        in: n entity rows.
        out: n rows x (`_row_idx`, `_event_us`, features in the order of `read.features`), ordered
            by
            `_row_idx`.

    Guarantees:
        Exactly one row per entity row; `_event_us` and the features are null where no row
        qualifies.
    """
    view = read.view
    fetched = "".join(f",\n  f.{quote_identifier(field.name)}" for field in read.features)
    return f"""\
with feature_rows as materialized (
{build_feature_rows_sql(source, view)}
),
ordered as materialized (
  select *, row_number() over (order by {_total_order(view)}) as {ROW_ORDER}
  from feature_rows f{_of_asked_entities(read, entity_relation)}
),
winner as (
  select e.{ROW_IDX}, max(f.{ROW_ORDER}) as {ROW_ORDER}
  from {quote_identifier(entity_relation)} e
  join ordered f
    on {_qualifies(read, source, knowledge)}
  group by e.{ROW_IDX}
)
select
  e.{ROW_IDX},
  f.{EVENT_US}{fetched}
from {quote_identifier(entity_relation)} e
left join winner w on w.{ROW_IDX} = e.{ROW_IDX}
left join ordered f on f.{ROW_ORDER} = w.{ROW_ORDER}
order by e.{ROW_IDX}"""


def _total_order(view: FeatureViewSchema) -> str:
    content = [_ascending(field) for field in content_columns(view)]
    return ", ".join([EVENT_US, f"{CREATED_US} nulls first", *content])


def _ascending(field: Field) -> str:
    # DuckDB places NaN above every number, as the total order wants.
    return f"{quote_identifier(field.name)} asc nulls first"


def _of_asked_entities(read: ViewRead, entity_relation: str) -> str:
    """Leave rows of other entities out before they are sorted: few entities are asked for often."""
    if not read.view.join_keys:
        return ""
    condition = "\n    and ".join(_has_key(read))
    return f"\n  semi join {quote_identifier(entity_relation)} e\n    on {condition}"


def _has_key(read: ViewRead) -> list[str]:
    return [
        f"f.{quote_identifier(key.name)} = e.{quote_identifier(column)}"
        for key, column in zip(read.view.join_keys, read.key_columns, strict=True)
    ]


def _qualifies(read: ViewRead, source: SourceFiles, knowledge: Knowledge) -> str:
    conditions = _has_key(read)
    conditions.append(f"f.{EVENT_US} <= e.{AS_OF_US}")
    if knowledge is Knowledge.AS_KNOWN and source.created is not None:
        conditions.append(f"f.{CREATED_US} <= e.{KNOWN_AT_US}")
    return "\n    and ".join(conditions)

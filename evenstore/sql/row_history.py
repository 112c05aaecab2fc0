"""The rows of a source around some instants of some entities: what a join chose from."""

from __future__ import annotations

from evenstore.schema.files import SourceFiles
from evenstore.schema.model import FeatureViewSchema
from evenstore.sql.quoting import quote_identifier
from evenstore.sql.relation import (
    AS_OF_US,
    CREATED_US,
    EVENT_US,
    FILE,
    FILE_ROW,
    N_ROWS,
    PLACE,
    ROW_IDX,
    build_feature_rows_sql,
    content_columns,
)
from evenstore.sql.row_order import build_content_order

__all__ = ["build_row_history_sql"]


def build_row_history_sql(
    source: SourceFiles, view: FeatureViewSchema, *, asked_relation: str, most_rows: int
) -> str:
    """Build the selection of the rows nearest to each asked instant, before and after it.

    Args:
        source: The view's files.
        view: The view.
        asked_relation: Name of a relation of the view's join keys, `_row_idx` and `_as_of_us`.
        most_rows: How many rows up to an instant, and how many after it, at most.

    Shapes:
        out: rows x (`_row_idx`, features, `_event_us`, `_created_us`, `_file`, `_file_row`,
            `_n_rows`), by `_row_idx`, then as the total order has them, greatest first.

    Guarantees:
        The first row of an asked one that is not after its instant is the one that a join takes.
        `_n_rows` counts all rows of the entity.
    """
    keys = [quote_identifier(key.name) for key in view.join_keys]
    same = " and ".join(f"a.{key} = f.{key}" for key in keys) or "true"
    content = [(quote_identifier(field.name), field.dtype) for field in content_columns(view)]
    features = [f"f.{quote_identifier(field.name)}" for field in view.features]
    columns = ", ".join([f"a.{ROW_IDX}", *features, *(f"f.{name}" for name in _PLACES)])
    is_past = f"f.{EVENT_US} <= a.{AS_OF_US}"
    greatest = [f"f.{CREATED_US} desc nulls last"]
    greatest += [f"{value} desc nulls last" for value in build_content_order(content)]
    nearest = f"abs(f.{EVENT_US} - a.{AS_OF_US})"
    order = ", ".join([nearest, *greatest])
    newest = [f"{EVENT_US} desc", f"{CREATED_US} desc nulls last", PLACE]
    return f"""\
with feature_rows as (
{build_feature_rows_sql(source, view, with_position=True)}
),
near as (
  select
    {columns},
    count(*) over (partition by a.{ROW_IDX}) as {N_ROWS},
    row_number() over (partition by a.{ROW_IDX}, {is_past} order by {order}) as {PLACE}
  from {quote_identifier(asked_relation)} a
  join feature_rows f on {same}
  where f.{EVENT_US} is not null
)
select * exclude ({PLACE})
from near
where {PLACE} <= {int(most_rows)}
order by {", ".join([ROW_IDX, *newest])}"""


_PLACES = (EVENT_US, CREATED_US, FILE, FILE_ROW)

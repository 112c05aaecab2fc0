"""The newest row of every entity in one statement, as a golden set is drawn from.

It says in the plainest way what `evenstore.sql.newest` finds faster, and describes each entity too.
"""

from __future__ import annotations

from evenstore.dtypes import Dtype
from evenstore.schema.files import SourceFiles
from evenstore.schema.model import FeatureViewSchema
from evenstore.sql.quoting import quote_identifier
from evenstore.sql.relation import (
    CREATED_US,
    EVENT_US,
    IS_AMBIGUOUS,
    N_ROWS,
    PLACE,
    build_feature_rows_sql,
    content_columns,
)
from evenstore.sql.row_order import build_content_order

__all__ = ["build_latest_rows_sql"]


def build_latest_rows_sql(
    source: SourceFiles,
    view: FeatureViewSchema,
    *,
    since_us: int,
    until_us: int,
    known_until_us: int | None = None,
) -> str:
    """Build the selection of each entity's greatest row in the total order.

    A row with a null join key names no entity and is left out, as joins leave it out.

    Args:
        source: The view's files.
        view: The view.
        since_us: Earliest event timestamp in microseconds; both ends are inclusive.
        until_us: Latest event timestamp.
        known_until_us: Latest created timestamp, where the source has them; None for any.

    Shapes:
        out: one row per entity key x (join keys, features, `_event_us`, `_created_us`, `_n_rows`,
            `_is_ambiguous`); no order.

    Guarantees:
        One SELECT without side effects. `_n_rows` counts the entity's rows in the interval.
        `_is_ambiguous`: the winner is tied on both timestamps with a row of other content.
    """
    keys = [quote_identifier(key.name) for key in view.join_keys]
    by_entity = f"partition by {', '.join(keys)}" if keys else ""
    content = [(quote_identifier(field.name), field.dtype) for field in content_columns(view)]
    packed = ", ".join(f"c{i} := {name}" for i, (name, _) in enumerate(content))
    columns = ",\n  ".join([*keys, *(quote_identifier(field.name) for field in view.features)])
    return f"""\
with feature_rows as (
{build_feature_rows_sql(source, view)}
),
newest as (
  select *, count(*) over entity as {N_ROWS}
  from feature_rows
  where {_qualifies(source, keys, since_us, until_us, known_until_us)}
  window entity as ({by_entity})
  qualify rank() over (entity order by {_NEWEST_FIRST}) = 1
),
placed as (
  select
    *,
    row_number() over (entity order by {_greatest_first(content)}) as {PLACE},
    min(struct_pack({packed})) over entity
      is distinct from max(struct_pack({packed})) over entity as {IS_AMBIGUOUS}
  from newest
  window entity as ({by_entity})
)
select
  {columns},
  {EVENT_US},
  {CREATED_US},
  {N_ROWS},
  {IS_AMBIGUOUS}
from placed
where {PLACE} = 1"""


def _qualifies(
    source: SourceFiles, keys: list[str], since_us: int, until_us: int, known_until_us: int | None
) -> str:
    conditions = [f"{EVENT_US} between {int(since_us)} and {int(until_us)}"]
    conditions += [f"{key} is not null" for key in keys]
    if known_until_us is not None and source.created is not None:
        conditions.append(f"{CREATED_US} <= {int(known_until_us)}")
    return "\n    and ".join(conditions)


_NEWEST_FIRST = f"{EVENT_US} desc, {CREATED_US} desc nulls last"


def _greatest_first(content: list[tuple[str, Dtype]]) -> str:
    # Among rows tied on both timestamps only content decides.
    order = build_content_order(content)
    return ", ".join([_NEWEST_FIRST, *(f"{value} desc nulls last" for value in order)])

"""The entities that have a feature row in an interval."""

from __future__ import annotations

from evenstore.schema.files import SourceFiles
from evenstore.schema.request import ViewRead
from evenstore.sql.quoting import quote_identifier
from evenstore.sql.relation import EVENT_US, build_feature_rows_sql

__all__ = ["build_entities_sql"]


def build_entities_sql(source: SourceFiles, read: ViewRead, *, since_us: int, until_us: int) -> str:
    """Build the selection of a view's distinct entity keys between two event timestamps, inclusive.

    Shapes:
        out: one row per entity x (the caller's key columns), ordered by them; keys with a null are
            left out.
    """
    keys = [quote_identifier(key.name) for key in read.view.join_keys]
    columns = [quote_identifier(name) for name in read.key_columns]
    selected = ", ".join(f"{key} as {name}" for key, name in zip(keys, columns, strict=True))
    conditions = [f"{EVENT_US} between {int(since_us)} and {int(until_us)}"]
    conditions += [f"{key} is not null" for key in keys]
    rows = build_feature_rows_sql(
        source, read.view, features=(), event_range_us=(since_us, until_us)
    )
    where = "\n  and ".join(conditions)
    return f"select distinct {selected}\nfrom (\n{rows}\n)\nwhere {where}\norder by all"

"""Which stored entities a source does not have: the full comparison that deletes go by."""

from __future__ import annotations

from evenstore.schema.files import SourceFiles
from evenstore.schema.model import FeatureViewSchema
from evenstore.sql.quoting import quote_identifier
from evenstore.sql.relation import build_feature_rows_sql

__all__ = [
    "STORED_BATCH",
    "build_keep_orphans_sql",
    "build_keep_stored_sql",
    "count_orphans_sql",
    "key_column",
    "orphans_sql",
]

STORED_BATCH = "stored_batch"
"""The relation that a batch of stored entities is registered as."""

_STORED_TABLE = "stored_entities"
_ORPHANS_TABLE = "orphans"


def key_column(position: int) -> str:
    """Return the name of a join key's column in the table of stored entities."""
    return f"k{position}"


def build_keep_stored_sql(*, is_first: bool) -> str:
    """Build the statement that adds a batch to the stored entities."""
    start = f"create table {_STORED_TABLE} as" if is_first else f"insert into {_STORED_TABLE}"
    return f"{start}\nselect * from {STORED_BATCH}"


def count_orphans_sql() -> str:
    """Build the query of how many orphans there are."""
    return f"select count(*) from {_ORPHANS_TABLE}"


def orphans_sql(view: FeatureViewSchema) -> str:
    """Build the query of the orphans.

    Shapes:
        out: rows x (`redis_key`, `event_us`, `created_us`, `sequence_us`), by join key.
    """
    columns = "redis_key, event_us, created_us, sequence_us"
    order = ", ".join([*(key_column(i) for i in range(len(view.join_keys))), "redis_key"])
    return f"select {columns} from {_ORPHANS_TABLE} order by {order}"


def build_keep_orphans_sql(source: SourceFiles, view: FeatureViewSchema) -> str:
    """Build the statement that keeps the stored entities that no row of a source names.

    All rows of the source count, whatever their timestamps.

    Args:
        source: The view's files.
        view: The view.

    Shapes:
        in: `stored_entities`, any number of rows per entity x (`k0`, `k1`, ... in the order of the
            join keys, others).
        out: the table `orphans`, distinct rows of `stored_entities`.
    """
    rows = build_feature_rows_sql(source, view, features=())
    stored = f"create or replace table {_ORPHANS_TABLE} as\nselect distinct stored.*"
    if not view.join_keys:
        return f"{stored}\nfrom {_STORED_TABLE} as stored\nwhere not exists (\n{rows}\n)"
    same = "\n  and ".join(
        f"known.{quote_identifier(key.name)} = stored.{key_column(i)}"
        for i, key in enumerate(view.join_keys)
    )
    return f"{stored}\nfrom {_STORED_TABLE} as stored\nanti join (\n{rows}\n) as known\n  on {same}"
